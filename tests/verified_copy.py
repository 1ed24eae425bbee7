"""A sandbox and its copy in DuckDB, and what a verification of it names."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import duckdb
from truth import differences

from stripe_source import sandbox
from stripe_source.load.sync import sync
from stripe_source.verification.result import VerifyResult
from stripe_source.verification.verify import verify


class Copy:
    """A sandbox and the DuckDB file that it was loaded into."""

    def __init__(self, folder: Path, world: sandbox.World | None = None, **options: Any) -> None:
        self.stripe = sandbox.serve(world=world or sandbox.World(**options))
        self.file = str(folder / "copy.duckdb")
        self.options = {"api_base": self.stripe.url, "api_key": self.stripe.api_key}
        self.pipeline = dlt.pipeline(
            "copy", destination=dlt.destinations.duckdb(self.file), dataset_name="stripe",
            pipelines_dir=str(folder / "pipelines"),
        )

    def run(self, **options: Any) -> Any:
        return sync(self.pipeline, **self.options, **options)

    def verify(self, **options: Any) -> VerifyResult:
        return verify(self.pipeline, **self.options, **options)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.file) as connection:
            return connection.execute(query).fetchall()

    def off(self, *tables: str) -> list[str]:
        """Where the file differs from the sandbox's dump."""
        dump = self.stripe.world.dump()
        account = dump["accounts"][0].object["id"]
        with duckdb.connect(self.file, read_only=True) as connection:
            return [line for name in tables for line in differences(connection, "stripe", name, dump[name], account)]


def found(result: VerifyResult) -> dict[tuple[str, str, Any, str | None], Any]:
    """(kind, table, key, column) -> what the destination holds, for everything that a verification named."""
    return {
        (each.kind, name, "/".join(map(str, each.key.values())), each.column): each.destination
        for name, table in result.tables.items() for each in table.differences
    }
