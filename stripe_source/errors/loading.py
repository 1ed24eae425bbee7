"""Errors of a load: what the destination, the schema contract or another process refuses."""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from stripe_source.errors.base import StripeSourceError, quoted
from stripe_source.redaction import redact


class TablesNotRead(StripeSourceError):
    """Tables could not be read, and nobody took the reasons.

    Args:
        problems: by table, why.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = {name: redact(reason) for name, reason in problems.items()}
        lines = "".join(f"\n`{name}`: {reason}" for name, reason in self.problems.items())
        super().__init__(
            f"{len(self.problems)} tables could not be read; what came of the others is whole. To go on without them, "
            f"`exclude` them, or take the reasons with `problems`.{lines}"
        )


class SchemaFrozen(StripeSourceError):
    """Stripe sends something that the table has no column for, and its schema contract says `freeze`.

    Args:
        table: its name.
        fields: dotted paths of the fields that are new; none: the table itself is new.
    """

    def __init__(self, table: str, fields: Iterable[str] = ()) -> None:
        self.table, self.fields = table, tuple(sorted(set(fields)))
        if self.fields:
            what = f"Table `{table}` has no column for {quoted(self.fields)}, which Stripe sends, and its schema"
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
