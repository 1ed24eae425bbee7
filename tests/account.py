"""A small account of the sandbox, and its copy in DuckDB: what stories about changes are told with."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import duckdb
from truth import differences, snapshot, wrong_changes

from stripe_source.load.sync import sync


class Account:
    """A small account, and its copy in DuckDB."""

    def __init__(self, stripe: Any, new_pipeline: Callable[..., dlt.Pipeline], file: Path) -> None:
        self.stripe, self.world, self.new_pipeline, self.file = stripe, stripe.world, new_pipeline, file

    def run(self, tables: str | None = None, **options: Any) -> Any:
        """Run, and see to it that nothing was done to rows that no run may do."""
        given = {"tables": tables, **options} if tables else options
        before = self.rows()
        result = sync(self.new_pipeline(), **{"api_base": self.stripe.url, "api_key": self.stripe.api_key, **given})
        assert wrong_changes(before, self.rows(), hard=options.get("deletes") == "hard") == []
        return result

    def newest_event(self) -> str:
        return str(self.world.books.all("event")[-1].id)

    @contextmanager
    def late(self, *events: str) -> Iterator[None]:
        """These events are in no list yet."""
        self.world.books.delayed_events.update(dict.fromkeys(events, 2**63))
        yield
        for event in events:
            self.world.books.delayed_events.pop(event, None)

    @contextmanager
    def untold(self) -> Iterator[None]:
        """What happens has no events."""
        self.world.books.events_suppressed = True
        yield
        self.world.books.events_suppressed = False

    def rows(self) -> dict[str, Any]:
        """All rows, by table and key."""
        if not self.file.exists():
            return {}
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return snapshot(connection, "stripe")

    def asked(self, tables: str | None = None, **options: Any) -> list[str]:
        """The paths that a run asks for."""
        first = len(self.world.requests)
        self.run(tables, **options)
        return [request.path for request in self.world.requests[first:]]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def differences(self, tables: str, account: str | None = None) -> list[str]:
        dump, account = self.world.dump(), account or self.world.books.account
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return [
                difference for name in tables.split(";")
                for difference in differences(connection, "stripe", name, dump.get(name, []), account)
            ]
