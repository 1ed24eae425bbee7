"""Errors of the configuration: no request can be sent with it."""
from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NoReturn

from stripe_source.errors.base import StripeSourceError, nearest_name, quoted
from stripe_source.redaction import redact


class ConfigurationError(StripeSourceError):
    """The configuration cannot work; no request was sent to Stripe."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class MissingKey(ConfigurationError):
    """No key was given."""

    def __init__(self) -> None:
        super().__init__(
            "No Stripe key. Set `STRIPE_API_KEY`, or `api_key` under `[sources.stripe]` in `.dlt/secrets.toml`, to a "
            "restricted key (`rk_…`) with read permissions; without any key, `stripe-source demo` shows how it works."
        )


class MalformedKey(ConfigurationError):
    """The text that was given as key cannot be one."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This is not a Stripe key: {reason}. Secret keys start with `sk_live_` or `sk_test_`, restricted keys "
            "with `rk_live_` or `rk_test_`; copy it again from https://dashboard.stripe.com/apikeys."
        )
        self.reason = redact(reason)


class PublishableKey(ConfigurationError):
    """A publishable key was given; it cannot read anything."""

    def __init__(self) -> None:
        super().__init__(
            "This is a publishable key (`pk_…`), which cannot read data. Use a restricted key (`rk_…`) with read "
            "permissions, or a secret key (`sk_…`), from https://dashboard.stripe.com/apikeys."
        )


class UnknownTable(ConfigurationError):
    """A table name or pattern that matches nothing.

    Args:
        name: the name or pattern that was given.
        known: the names of all tables.
        aliases: further names that are understood; they are suggested, and not counted.
    """

    def __init__(self, name: str, known: Collection[str], aliases: Iterable[str] = ()) -> None:
        self.name = name
        self.suggestion = nearest_name(name, known) or nearest_name(name, aliases)
        hint = f" Did you mean `{self.suggestion}`?" if self.suggestion else ""
        super().__init__(f"Unknown table `{name}`.{hint} Run `stripe-source tables` to list all {len(known)}.")


class UnknownMarker(ConfigurationError):
    """An incremental load marker that we do not know, or that a table does not have."""

    def __init__(self, marker: object, known: Iterable[object], table: str | None = None) -> None:
        self.marker, self.table = marker, table
        choices = tuple(known)
        nearest = nearest_name(str(marker), [str(choice) for choice in choices])
        hint = f" Did you mean `{nearest}`?" if nearest else ""
        where = f" for table `{table}`" if table else ""
        super().__init__(f"Unknown marker `{marker}`{where}.{hint} Known: {quoted(choices)}.")


class InvalidBounds(ConfigurationError):
    """`start` and `end` have nothing between them, or are no times."""

    def __init__(self, reason: str, *, start: object = None, end: object = None) -> None:
        self.start, self.end = start, end
        given = {"start": start, "end": end}
        values = "".join(f" `{name}` is `{value}`." for name, value in given.items() if value is not None)
        super().__init__(
            f"{reason.rstrip('.')}.{values} Bounds on `created` are a datetime, a date, ISO text or unix seconds; "
            "`end` is exclusive."
        )


class InvalidOption(ConfigurationError):
    """An option has a value that it cannot have.

    Args:
        option: its name, as in the signature.
        value: the value that was given.
        known: the values that it can have, where they can be listed.
        reason: why the value cannot be, or what to do, where they cannot be listed.
    """

    def __init__(self, option: str, value: object, known: Iterable[object] = (), reason: str | None = None) -> None:
        self.option, self.value = option, redact(value)
        choices = tuple(known)
        nearest = nearest_name(str(value), [str(choice) for choice in choices])
        parts = [f"`{value}` is no value for option `{option}`."]
        if nearest:
            parts.append(f"Did you mean `{nearest}`?")
        if choices:
            parts.append(f"Known: {quoted(choices)}.")
        if reason:
            parts.append(reason)
        super().__init__(" ".join(parts))


class RowFunctionFailed(ConfigurationError):
    """A function that was given to a resource fails, or makes what its column cannot hold.

    Args:
        what: which function.
        failure: with a row.
        other: with a table, where both were tried.
    """

    def __init__(self, what: str, failure: Exception, other: Exception | None = None) -> None:
        said = f"{type(failure).__name__}: {failure}"
        also = f" With the whole Arrow table: {type(other).__name__}: {other}." if other else ""
        super().__init__(redact(
            f"The function given to {what} fails. With a row, a dict of its columns: {said}.{also} Make it for one of "
            "the two: `lambda row: {**row, \"email\": None}` or `lambda table: table.drop_columns([\"email\"])`."
        ))


class NotPicklable(ConfigurationError):
    """A source was to be pickled."""

    def __init__(self) -> None:
        super().__init__(
            "A source cannot be pickled: it holds the key, and functions that dlt made for its resources. Pickle a "
            "function of a module that calls `stripe_source(...)`, and give the key where it runs, in `STRIPE_API_KEY` "
            "or in dlt's secrets."
        )


class NotPickled:
    """An object that refuses to be pickled: see `NotPicklable`."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise NotPicklable


class NewerState(ConfigurationError):
    """A later release of this package wrote the state of the pipeline.

    Args:
        found: the version of the state.
        known: the newest version that this release reads.
    """

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The state of this pipeline has version `{found}`, and this release reads up to `{known}`. "
            "Use the release that wrote it, or a later one."
        )
        self.found, self.known = found, known


class MixedData(ConfigurationError):
    """The dataset holds the data of another account, or of the other mode, than the key reads.

    Args:
        kind: "account" or "mode".
        stored: the account or mode whose data the dataset holds.
        read: the account or mode that the key reads.
        dataset: its name, where known.
    """

    def __init__(self, kind: str, stored: str, read: str, dataset: str | None = None) -> None:
        self.kind, self.stored, self.read, self.dataset = kind, stored, read, dataset
        where = f"Dataset `{dataset}`" if dataset else "The dataset"
        super().__init__(
            f"{where} holds data of {kind} `{stored}`, and the key reads {kind} `{read}`. "
            f"Use the key of `{stored}`, or load `{read}` into a dataset of its own (`--dataset`)."
        )


class ViewMapError(ConfigurationError):
    """A file of a schema map of views says something that cannot be.

    Args:
        file: the map and the file.
        view: the view; None where not even that is known.
        column: its column; None where it is about the view.
        reason: what is wrong, and what is known instead.
    """

    def __init__(self, file: str, view: str | None, column: str | None, reason: str) -> None:
        self.file, self.view, self.column = file, view, column
        where = f", view `{view}`" if view else ""
        what = f", column `{column}`" if column else ""
        super().__init__(f"Schema map `{file}`{where}{what}: {reason}")


class NotOurView(ConfigurationError):
    """The dataset has tables or views of these names that this package did not make; they are left alone.

    Args:
        names: of the tables or views.
        dataset: where they are.
    """

    def __init__(self, names: Iterable[str], dataset: str) -> None:
        self.names, self.dataset = tuple(names), dataset
        super().__init__(
            f"Dataset `{dataset}` has {quoted(self.names)}, which `views create` has not made, so nothing was changed. "
            "Make the views in a dataset of their own (`--dataset`), or remove what is there."
        )


class TqlSyntaxError(ConfigurationError):
    """A TQL program that cannot be read.

    Args:
        reason: what is wrong there.
        line: from 1.
        column: from 1, in characters.
        file: its name, where there is one.
    """

    def __init__(self, reason: str, line: int, column: int, file: str | None = None) -> None:
        self.reason, self.line, self.column, self.file = redact(reason), line, column, file
        where = f"{file}, line {line}, column {column}" if file else f"Line {line}, column {column}"
        super().__init__(f"{where}: {reason}")


class TqlUnsupported(ConfigurationError):
    """A TQL program asks for something that cannot be carried over.

    Args:
        problems: one line for each, with statement, property, line and column.
        way_out: what can be done all the same.
    """

    def __init__(self, problems: Iterable[str], way_out: str) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"This program cannot be carried over as it stands:\n{lines}\n{way_out}")
