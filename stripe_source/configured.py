"""What dlt's configuration says under `[sources.stripe]`, and in which place; dlt's trace gets no note of it."""
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration, configspec
from dlt.common.configuration.utils import ResolvedValueTrace, get_resolved_traces
from dlt.common.typing import TSecretStrValue

from stripe_source.api.client import API_BASE
from stripe_source.api.credentials import Credentials, Secret, is_loopback
from stripe_source.errors import InvalidOption
from stripe_source.redaction import redact

SECRETS = ("api_key", "client_secret", "refresh_token", "hash_salt")
SECTIONS = ("sources", "stripe", "stripe")


@dataclass(frozen=True)
class Setting:
    """A value of dlt's configuration.

    Args:
        value: what it says.
        place: where it says so: the provider, and the file.
        in_file: whether it stands in a file, such as one that came with the current folder.
    """

    value: Any
    place: str
    in_file: bool


@configspec
class _PlainKey(BaseConfiguration):
    stripe_api_key: TSecretStrValue | None = None


def configured(spec: type[BaseConfiguration]) -> dict[str, Setting]:
    """What dlt's configuration says about the options of the source.

    Args:
        spec: dlt's class for them.
    """
    unset = spec()
    return {name: setting for name, setting in _settings(spec, SECTIONS).items()
            if setting.value != unset[name] and not name.startswith("_")}


def configured_key() -> Setting | None:
    """The key in `STRIPE_API_KEY`, or `stripe_api_key` in another place that holds secrets."""
    return _settings(_PlainKey, ()).get("stripe_api_key")


def named_value(name: str, sections: tuple[str, ...] = ()) -> str | None:
    """A value that somebody asks for by name, such as a variable of a TQL program; None where there is none."""
    import dlt

    with _own_notes():
        value: Any = dlt.secrets.get(".".join((*sections, name)))
    return None if value is None else Secret(value)


def check_host(base: Setting | None, key: Credentials, key_place: str | None) -> None:
    """Refuse a host that a file names for a key that stands elsewhere.

    Somebody else may have written that file: it may have come with a folder that was cloned or unpacked.

    Args:
        base: what the configuration says about `api_base`.
        key: what would be sent.
        key_place: where the key stands; None: it is an argument.

    Raises:
        InvalidOption: the key would reach another host than Stripe's.
    """
    if base is None or not base.in_file or base.place == key_place:
        return
    url = str(base.value)
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.netloc == urlsplit(API_BASE).netloc:
        return
    if key.livemode is False and is_loopback(url):
        return  # a sandbox of this machine
    origin = f"`{key_place}`" if key_place else "an argument"
    raise InvalidOption("api_base", redact(url), reason=(
        f"It stands in `{base.place}`, and the key comes from {origin}: a key goes to another host than Stripe's only "
        "where the same place names that host. Give `api_base` as an argument, by `--api-base` or in "
        "`SOURCES__STRIPE__API_BASE`, put both into one file, or take it out of that one."
    ))


def hide(secret: Any) -> Any:
    """A secret that a traceback with variables does not show."""
    return Secret(secret) if isinstance(secret, str) else secret


def hide_secrets(options: Any) -> None:
    """Put secrets that a traceback with variables does not show in the place of those among the options."""
    for name in SECRETS:
        if name in options:
            options[name] = hide(options[name])


def place_of(name: str, value: object, settings: Mapping[str, Setting]) -> str | None:
    """Where the value of an option stands in the configuration; None where it is an argument."""
    setting = settings.get(name)
    return setting.place if setting is not None and setting.value == value else None


def _settings(spec: type[BaseConfiguration], sections: tuple[str, ...]) -> dict[str, Setting]:
    with _own_notes() as notes:
        found = resolve_configuration(spec(), sections=sections, accept_partial=True)
    places = {note.key: note for note in notes if note.value is not None}
    return {
        name: Setting(hide(value) if name in (*SECRETS, "stripe_api_key") else value, *_place(places[name]))
        for name, value in found.items() if value is not None and name in places
    }


def _place(note: ResolvedValueTrace) -> tuple[str, bool]:
    """Name the place of a value, and say whether it is a file."""
    return note.provider_location or note.provider_name, bool(note.provider_location)


@contextmanager
def _own_notes() -> Iterator[list[ResolvedValueTrace]]:
    """Take the notes that dlt makes of configuration values in this thread, in place of its trace.

    dlt 1.31 writes what it noted into `trace.pickle`, and leaves out only what the type of the option calls a secret.
    """
    notes, own = get_resolved_traces(), list[ResolvedValueTrace]()
    before = notes.resolved_traces, notes.all_traces, notes.logging_enabled
    notes.resolved_traces, notes.all_traces, notes.logging_enabled = own, [], True
    try:
        yield own
    finally:
        notes.resolved_traces, notes.all_traces, notes.logging_enabled = before


def from_text(option: str, value: Any) -> Any:
    """The mapping or list that a text of the configuration stands for: JSON in a variable, or as a text in a file.

    >>> from_text("marker", '{"charges": "created"}'), from_text("tables", "charges;refunds")
    ({'charges': 'created'}, 'charges;refunds')

    Raises:
        InvalidOption: it begins like JSON and is none.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InvalidOption(option, value, reason=f"It is no JSON: {error}.") from None
