"""The dlt pipeline that `--destination`, `--dataset` and `--pipeline` name."""
from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stripe_source.errors import ConfigurationError, InvalidOption

if TYPE_CHECKING:
    import dlt
    from dlt.common.configuration.exceptions import ConfigFieldMissingException


def set_dlt_option(option: str, value: str) -> None:
    """Set a runtime option of dlt's own, which it reads when it is imported, unless dlt's configuration sets it."""
    for folder in Path.cwd(), Path.home():
        file = folder / ".dlt" / "config.toml"
        if file.is_file() and re.search(rf"^\s*{option}\s*=", file.read_text(errors="replace"), re.MULTILINE):
            return
    os.environ.setdefault(f"RUNTIME__{option.upper()}", value)


def quiet_dlt() -> None:
    """Let dlt log errors only: it warns a developer of much that does not matter here."""
    set_dlt_option("log_level", "ERROR")


def make_pipeline(args: argparse.Namespace) -> dlt.Pipeline:
    """Make the pipeline of a command. Nothing is connected to.

    Raises:
        ConfigurationError: something is wrong with the destination or a name.
    """
    import dlt
    from dlt.common.configuration.exceptions import ConfigFieldMissingException
    from dlt.common.destination.exceptions import UnknownDestinationModule
    from dlt.pipeline.exceptions import InvalidPipelineName

    if not re.fullmatch(r"\w+", args.dataset):
        raise InvalidOption("dataset", args.dataset, reason="Write it with letters, digits and `_` only.")
    destination = args.destination
    try:
        pipeline = dlt.pipeline(args.pipeline, destination=destination, dataset_name=args.dataset)
        pipeline.destination_client()  # finds its credentials, and connects to nothing
    except InvalidPipelineName:
        raise InvalidOption("pipeline", args.pipeline, reason="It becomes the name of a folder.") from None
    except UnknownDestinationModule as error:
        import dlt.destinations

        known = [name for name in dlt.destinations.__all__ if name not in ("destination", "dummy")]
        raise InvalidOption("destination", destination, known) from error
    except ConfigFieldMissingException as error:
        raise _missing_fields(destination, error) from None
    except Exception as error:  # a driver that is not installed, a configuration that cannot be read: dlt says it
        raise InvalidOption("destination", destination, reason=str(error).strip()) from error
    return pipeline


def _missing_fields(destination: str, error: ConfigFieldMissingException) -> ConfigurationError:
    of_credentials = re.search(r"missing field\(s\): ((?:`\w+`(?:, )?)+)", str(error))
    fields = of_credentials[1] if of_credentials else ", ".join(f"`{field}`" for field in error.fields)
    section = f"destination.{destination}{'.credentials' if of_credentials else ''}"
    return ConfigurationError(
        f"Destination `{destination}` needs {fields}: under `[{section}]` in `.dlt/secrets.toml`, or in environment "
        f"variables like `{section.upper().replace('.', '__')}__…`."
    )
