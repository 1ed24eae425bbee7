"""What is there: the pipelines of this machine, the columns and the schema versions that a destination really has."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.destination.connection import destination_errors, missing_file, sql_client, without_config_trace
from stripe_source.errors import ConfigurationError, InvalidOption

if TYPE_CHECKING:
    import dlt
    from dlt import Schema

def attach_pipeline(name: str) -> dlt.Pipeline:
    """A pipeline that was run on this machine, by its name.

    Raises:
        InvalidOption: there is none of that name.
    """
    import dlt
    from dlt.common.pipeline import get_dlt_pipelines_dir

    folder = Path(get_dlt_pipelines_dir())
    known = sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    if name not in known:
        raise InvalidOption("pipeline", name, known, None if known else "No pipeline was run on this machine yet.")
    with without_config_trace():
        pipeline = dlt.attach(name)
    if not pipeline.default_schema_name:
        raise InvalidOption("pipeline", name, reason="It has no schema yet: nothing was loaded by it.")
    return pipeline


def last_pipeline(folder: Path) -> dlt.Pipeline | None:
    """The pipeline that was run last in a folder; None where dlt knows of none."""
    import dlt
    from dlt.common.pipeline import get_dlt_pipelines_dir

    known = Path(get_dlt_pipelines_dir())
    for each in sorted(known.iterdir() if known.is_dir() else (), key=_changed, reverse=True):
        if not each.is_dir():
            continue
        with without_config_trace():
            try:
                pipeline = dlt.attach(each.name)
            except Exception:  # what another version of dlt left, or what is no pipeline: not ours to judge
                continue
        last = pipeline.last_run_context or {}
        if pipeline.default_schema_name and last.get("local_dir") == str(folder.resolve()):
            return pipeline
    return None


def _changed(folder: Path) -> float:
    """When a pipeline wrote its state last."""
    return max((file.stat().st_mtime for file in folder.glob("*.json")), default=0.0)


def stripe_schema(pipeline: dlt.Pipeline) -> Schema:
    """The schema of what our source has loaded.

    Raises:
        ConfigurationError: the pipeline has never loaded anything.
    """
    name = "stripe" if "stripe" in pipeline.schemas else pipeline.default_schema_name
    if not name:
        raise ConfigurationError(
            f"Pipeline `{pipeline.pipeline_name}` has never loaded anything into dataset `{pipeline.dataset_name}`. "
            "Load it with `stripe-source run`, or name another `--pipeline`, `--destination` or `--dataset`."
        )
    return pipeline.schemas[name]


def check_file_name(pipeline: dlt.Pipeline) -> None:
    """See that DuckDB can tell a pipeline's dataset from its file: it takes the file's name for that of a catalog.

    Raises:
        InvalidOption: both have the same name, so that DuckDB calls each table ambiguous.
    """
    if pipeline.destination is None or pipeline.destination.destination_type != "dlt.destinations.duckdb":
        return
    with destination_errors(pipeline):
        client = sql_client(pipeline)
    file, dataset = getattr(client.credentials, "database", None), str(client.dataset_name)
    if isinstance(file, str) and _catalog_name(file).casefold() == dataset.casefold():
        raise InvalidOption("dataset", dataset, reason=(
            f"The DuckDB file `{Path(file).name}` has the same name, and DuckDB would not know which of the two is "
            "meant: name another dataset, or another file."))


def _catalog_name(file: str) -> str:
    """The name that DuckDB gives the database in a file: what is before the first dot."""
    return Path(file).name.partition(".")[0]


def restore_pipeline(pipeline: dlt.Pipeline) -> dlt.Pipeline:
    """The same pipeline; where it was never run on this machine, with the schema that its destination keeps."""
    if not pipeline.default_schema_name:
        with destination_errors(pipeline):
            with without_config_trace():
                client: Any = pipeline.destination_client()
            if not missing_file(client):
                pipeline.sync_destination()
    return pipeline
