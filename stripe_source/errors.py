"""Everything that can go wrong, as exceptions that say what was requested, what came back and what to do.

    StripeSourceError                   exit code 1
    ├── ConfigurationError              2: the configuration cannot work
    │   ├── MissingKey
    │   ├── MalformedKey
    │   ├── PublishableKey
    │   ├── UnknownTable
    │   ├── UnknownMarker
    │   ├── InvalidBounds
    │   ├── InvalidOption
    │   ├── NewerState                  a later release wrote the state of the pipeline
    │   └── MixedData                   the dataset holds another account's data, or the other mode's
    ├── StripeError                     1: Stripe answered with an error, or not at all
    │   ├── AuthenticationError         3: 401
    │   ├── PermissionDenied            3: 403
    │   ├── NotEnabled                  the account does not have the product
    │   ├── ResourceMissing             400 or 404 `resource_missing`
    │   ├── InvalidRequest              any other 4xx
    │   ├── Redirected                  2: a 3xx, which we never follow
    │   ├── RateLimited                 429 after all attempts
    │   ├── ApiError                    5xx after all attempts
    │   ├── Unreachable                 no answer after all attempts
    │   ├── BrokenAnswer                an answer that cannot be read, after all attempts
    │   └── EndlessPaging               a list that never ends
    ├── SchemaFrozen                    1: Stripe sends something new, and the schema contract freezes the table
    ├── DestinationError                1: the destination is down, full, or refuses
    └── Busy                            1: another process runs the pipeline
"""
from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from stripe_source.redaction import redact


def _quoted(values: Iterable[object]) -> str:
    return ", ".join(f"`{redact(value)}`" for value in values)


def _rebuild(cls: type[StripeSourceError], args: tuple[Any, ...], state: dict[str, Any]) -> StripeSourceError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class StripeSourceError(Exception):
    """Base of all errors of this package; the command line ends with `exit_code`."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:  # the default calls __init__ with `args`, which loses keyword arguments
        return _rebuild, (type(self), self.args, self.__dict__)


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
        self.suggestion = _nearest(name, known) or _nearest(name, aliases)
        hint = f" Did you mean `{self.suggestion}`?" if self.suggestion else ""
        super().__init__(f"Unknown table `{name}`.{hint} Run `stripe-source tables` to list all {len(known)}.")


class UnknownMarker(ConfigurationError):
    """An incremental load marker that we do not know, or that a table does not have."""

    def __init__(self, marker: object, known: Iterable[object], table: str | None = None) -> None:
        self.marker, self.table = marker, table
        choices = tuple(known)
        nearest = _nearest(str(marker), [str(choice) for choice in choices])
        hint = f" Did you mean `{nearest}`?" if nearest else ""
        where = f" for table `{table}`" if table else ""
        super().__init__(f"Unknown marker `{marker}`{where}.{hint} Known: {_quoted(choices)}.")


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
        nearest = _nearest(str(value), [str(choice) for choice in choices])
        parts = [f"`{value}` is no value for option `{option}`."]
        if nearest:
            parts.append(f"Did you mean `{nearest}`?")
        if choices:
            parts.append(f"Known: {_quoted(choices)}.")
        if reason:
            parts.append(reason)
        super().__init__(" ".join(parts))


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


def _nearest(name: str, known: Iterable[str]) -> str | None:
    lower = {choice.lower(): choice for choice in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


class StripeError(StripeSourceError):
    """Stripe answered with something else than data, or not at all.

    Callers that know `table` or `account` may set them later; the text is made when it is read.

    Args:
        message: what Stripe (or the transport) said.
        status: HTTP status; None when there was no answer.
        code: Stripe's error code, such as `resource_missing`.
        type: Stripe's error type, such as `invalid_request_error`.
        param: the parameter that Stripe complains of.
        request_id: Stripe's `Request-Id`, which its support asks for.
        path: the path that was requested.
        account: the connected account that the request acted on.
        table: the table that the request was for.
        attempts: how often the request was sent.
    """

    way_out: ClassVar[str] = ""

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, type: str | None = None,
        param: str | None = None, request_id: str | None = None, path: str | None = None, account: str | None = None,
        table: str | None = None, attempts: int = 1,
    ) -> None:
        self.message, self.status = redact(message), status
        self.code, self.type, self.param = _clean(code), _clean(type), _clean(param)
        self.request_id, self.path, self.account = _clean(request_id), _clean(path), _clean(account)
        self.table, self.attempts = table, attempts
        super().__init__(self.message)

    def __str__(self) -> str:
        place = [f"table `{self.table}`"] if self.table else []
        if self.path:
            place.append(f"`{self.path}`")
        if self.account:
            place.append(f"account `{self.account}`")
        where = ", ".join(place)
        where = where[:1].upper() + where[1:] + ": " if where else ""
        after = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        if self.status is None:
            said = f"{self.message.rstrip('.')}{after}."
        else:
            code = f" {self.code}" if self.code else ""
            request = f" (request {self.request_id})" if self.request_id else ""
            said = f"Stripe answered {self.status}{code}{after}{request}: {self.message.rstrip('.')}."
        return " ".join(part for part in (where + said, self.advice()) if part)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({str(self)!r})"

    def advice(self) -> str:
        """What to do about it."""
        return self.way_out


def _clean(text: object) -> str | None:
    return None if text is None else redact(text)


class AuthenticationError(StripeError):
    """Stripe does not know the key: wrong, expired, revoked."""

    exit_code = 3
    way_out = (
        "Create a key at https://dashboard.stripe.com/apikeys (test mode and sandboxes have their own) and set it as "
        "`STRIPE_API_KEY` or in `.dlt/secrets.toml`."
    )


class PermissionDenied(StripeError):
    """The key is known, and may not read this. `permission` is the `rak_…` name that Stripe's message has, if any."""

    exit_code = 3

    @property
    def permission(self) -> str | None:
        named = re.search(r"\brak_[a-z0-9_]+", self.message)
        return named.group() if named else None

    def advice(self) -> str:
        if self.code == "account_invalid":
            return "The account is gone or no longer grants access: leave it out of `accounts`, or connect it again."
        if self.permission:
            return (
                f"Give the key the permission `{self.permission}` at https://dashboard.stripe.com/apikeys, "
                "or leave the table out with `exclude`."
            )
        return "See what the key may read at https://dashboard.stripe.com/apikeys, or `exclude` the table."


class NotEnabled(StripeError):
    """The account does not have the product that the list belongs to; `reason` says so in our words."""

    way_out = "Nothing to do unless you use it; leave the table out with `exclude` to silence this."

    def __init__(self, message: str, *, reason: str = "not enabled on this account", **rest: Any) -> None:
        super().__init__(message, **rest)
        self.reason = reason


class ResourceMissing(StripeError):
    """The object that an id names is gone, or never was; `param` is the parameter that held the id."""

    way_out = "It was deleted, or belongs to another account or mode than the key's."


class InvalidRequest(StripeError):
    """Stripe did not understand the request."""

    way_out = "If you changed `api_version`, go back to the default; otherwise please report it with the request id."


class Redirected(StripeError):
    """Stripe answered with a 3xx, which we never follow: the key must not reach another host."""

    exit_code = 2
    way_out = "Redirects are never followed, so that the key reaches no other host. Check `api_base` and any proxy."


class RateLimited(StripeError):
    """Stripe answered all attempts with 429; `reason` is its `Stripe-Rate-Limited-Reason`."""

    way_out = "Lower `rate`, or run when other users of the account are quiet; nothing is lost, the next run goes on."

    def __init__(self, message: str, *, reason: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.reason = _clean(reason)


class ApiError(StripeError):
    """Stripe failed to answer the request (5xx)."""

    way_out = "See https://status.stripe.com and run again; nothing is lost, the next run goes on from here."


class Unreachable(StripeError):
    """Stripe did not answer: no connection, no such host, time-out."""

    way_out = "Check the network, the proxy variables and `api_base`, then run again; nothing is lost."


class BrokenAnswer(StripeError):
    """An answer is truncated, is not JSON, or has not the shape that it should have."""

    way_out = (
        "Something between here and Stripe may be changing or cutting answers (proxy, `api_base`); check and run again."
    )


class EndlessPaging(StripeError):
    """A list says that it has more and brings nothing new."""

    way_out = "What was read is kept. Please report it with the request id; `exclude` leaves the table out meanwhile."


class SchemaFrozen(StripeSourceError):
    """Stripe sends something that the table has no column for, and its schema contract says `freeze`.

    Args:
        table: its name.
        fields: dotted paths of the fields that are new; none: the table itself is new.
    """

    def __init__(self, table: str, fields: Iterable[str] = ()) -> None:
        self.table, self.fields = table, tuple(sorted(set(fields)))
        if self.fields:
            what = f"Table `{table}` has no column for {_quoted(self.fields)}, which Stripe sends, and its schema"
            done = "Nothing of this load was written to it, and its position stays."
            way = ("To take what is new, run once with `--schema-contract evolve`; to go on without it, with "
                   "`--schema-contract discard_value`.")
        else:
            what, done = f"The destination has no table `{table}`, and the schema", "It was not loaded."
            way = "Make it with `stripe-source schema migrate`, or run once with `--schema-contract tables=evolve`."
        super().__init__(redact(f"{what} contract is `freeze`. {done} {way}"))


class DestinationError(StripeSourceError):
    """The destination is down, full, or refuses rows or tables."""

    def __init__(self, message: object, *, destination: str | None = None, table: str | None = None) -> None:
        self.message = redact(message)
        self.destination, self.table = destination, table
        where = f"Destination `{destination}`" if destination else "The destination"
        what = f" could not take table `{table}`" if table else " failed"
        super().__init__(
            f"{where}{what}: {self.message.rstrip('.')}. "
            "Put it right and run again; what was loaded is kept, the rest is read again."
        )


class Busy(StripeSourceError):
    """Another process runs the pipeline: on this machine, or on another one that loads into the same dataset.

    Args:
        pipeline: its name.
        pid: the id of the other process, where it is known.
        host: the machine that the other process runs on.
        since: when the other process began.
        dataset: the dataset that both load into; given where the other process was noticed in the destination.
    """

    def __init__(
        self, pipeline: str, *, pid: int | None = None, host: str | None = None, since: str | None = None,
        dataset: str | None = None,
    ) -> None:
        self.pipeline, self.pid, self.host, self.since, self.dataset = pipeline, pid, host, since, dataset
        if dataset:
            super().__init__(
                f"Pipeline `{pipeline}` is run by another process too: twice it loaded into dataset `{dataset}` while "
                "this one was at work. Let one machine run it at a time, and run again: the next run reads what this "
                "one read. To load side by side, give each its own `--pipeline` and `--dataset`."
            )
            return
        who = f", pid {pid}" if pid else ""
        who += f" on `{host}`" if host else ""
        who += f", since {since}" if since else ""
        super().__init__(
            f"Pipeline `{pipeline}` is being run by another process{who}. Nothing was read. Run again when it has "
            "ended, or end it; to load side by side, give each its own `--pipeline` and `--dataset`."
        )
