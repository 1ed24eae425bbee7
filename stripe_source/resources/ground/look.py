"""What the destination is asked at the start of a run: two queries, whatever the number of tables.

One asks for the columns that are there, one whether there are rows of the account and the last load that the state
knows of. Where there is no state, the second one asks instead whose rows there are. What was lost is made again.
"""
from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from dlt import Schema

from stripe_source.destination.connection import (
    destination_errors,
    missing_file,
    open_client,
    sql_client,
    without_config_trace,
)
from stripe_source.destination.sql import statements
from stripe_source.destination.sql.dialect import DestinationSql, StatementCounter
from stripe_source.errors import DestinationError
from stripe_source.resources.ground.decide import Held
from stripe_source.tables.schema_map import TableMap

if TYPE_CHECKING:
    import dlt
    from sqlglot import exp


class Owner(NamedTuple):
    """Whose rows a table holds.

    Args:
        table: its name.
        account: value of `_account_id`.
        id: of one of the rows that are not flagged as deleted, if they have one.
        live: whether one of them is live; None where the table does not say.
    """

    table: str
    account: str
    id: str | None
    live: bool | None


@dataclass
class Look:
    """A destination that holds something.

    Args:
        pipeline: whose destination it is.
        client: dlt's, connected.
        schema: dlt's, as the pipeline has it, or that of the source where it has none.
        shapes: the maps of the tables that are asked for.
        counter: counts the statements.
        columns: what the destination has of them, by table; {} for one that is not there.
    """

    pipeline: dlt.Pipeline
    client: Any
    schema: Schema
    shapes: Sequence[TableMap]
    counter: StatementCounter | None = None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        files = not hasattr(self.client, "type_mapper")
        self._sql_client = sql_client(self.pipeline) if files else self.client.sql_client
        own = self.schema.version_table_name, self.schema.loads_table_name, self.schema.state_table_name
        names = [*(self._key(shape.table.name) for shape in self.shapes), *own]
        if files:
            stored = self.client.get_stored_schema(self.schema.name)
            schema = Schema.from_stored_schema(json.loads(stored.schema)) if stored else self.schema
            self.columns = {name: schema.tables.get(name, {}).get("columns", {}) for name in names}
            self.lost_own = set[str]()
            self._sql_client.set_schemas([schema])
            return
        fold = self.client.capabilities.casefold_identifier
        known: dict[str, str] = {}
        for name in names:
            declared = self.schema.tables.get(name, {}).get("columns", {})
            known.update({fold(column): column for column in declared})
        self.columns = {
            name: {known.get(column, column): {**words, "name": known.get(column, column)}
                   for column, words in columns.items()}
            for name, columns in self.client.get_storage_tables(names)
        }
        self.lost_own = {name for name in own if not self.columns[name]}

    def _key(self, name: str) -> str:
        return self.schema.naming.normalize_table_identifier(name)

    def _there(self) -> list[TableMap]:
        return [shape for shape in self.shapes if self.columns.get(self._key(shape.table.name))]

    # ---- questions

    def held(self, account: str, last_load: str | None) -> Held:
        """What it holds of an account."""
        sql = DestinationSql(self._sql_client, self.schema, account, self.counter)
        loads, versions = self.schema.loads_table_name, self.schema.version_table_name
        tests = {shape.table.name: statements.one(sql, shape.table.name, sql.ours()) for shape in self._there()}
        if last_load and loads not in self.lost_own:
            tests[loads] = statements.load(sql, last_load)
        if (stored := self.schema.stored_version_hash) and versions not in self.lost_own:
            tests[versions] = statements.schema_version(sql, stored)
        found = self._exist(sql, tests)
        rows = found - {loads, versions}
        lost_columns = self._lost_columns() if versions in found else {}
        return Held(rows, self.lost_tables(), lost_columns, loads in found or not last_load)

    def _exist(self, sql: DestinationSql, queries: Mapping[str, exp.Select]) -> set[str]:
        """Which of some queries answer a row, by one query."""
        if not queries:
            return set()
        answers = [row for rows in sql.fetch(statements.exist(sql, list(queries.values()))) for row in rows]
        if not answers:
            raise DestinationError("it does not say what it holds", destination=self.client.config.destination_name)
        return {name for name, answer in zip(queries, answers[0], strict=True) if answer}

    def owners(self) -> list[Owner]:
        """Whose rows it holds."""
        sql = DestinationSql(self._sql_client, self.schema, "", self.counter)
        tables = {shape.table.name: self.columns[self._key(shape.table.name)] for shape in self._there()}
        rows = sql.fetch(statements.owners(sql, tables)) if tables else ()
        return [
            Owner(str(table), str(account), str(id) if id else None, None if live in (None, -1) else bool(live))
            for some in rows for table, account, id, live in some
        ]

    # ---- what is gone, and what is more

    def lost_tables(self) -> set[str]:
        """Tables that dlt has made, as its schema says, and that are not there."""
        made = set(self.schema.data_table_names(seen_data_only=True))
        names = {shape.table.name: self._key(shape.table.name) for shape in self.shapes}
        return {name for name, key in names.items() if key in made and not self.columns.get(key)}

    def _lost_columns(self) -> dict[str, set[str]]:
        fold, lost = self.client.capabilities.casefold_identifier, {}
        for shape in self._there():
            key = self._key(shape.table.name)
            there = {fold(column) for column in self.columns[key]}
            made = self.schema.tables.get(key, {}).get("columns", {})
            gone = {name for name, words in made.items() if words.get("data_type") and fold(name) not in there}
            if gone:
                lost[shape.table.name] = gone
        return lost

    def make_again(self, tables: Collection[str]) -> None:
        """Make tables, and columns of tables, that dlt's schema has and the destination has not; dlt's own as well.

        A schema that another source of the same run has changed is not stored yet: the load makes what it lacks.
        """
        names = {*map(self._key, tables), *(self.lost_own & self.schema.tables.keys())}
        if names and self.schema.version_hash == self.schema.stored_version_hash:
            self.client.update_stored_schema(only_tables=names, force=True)

    def unknown_columns(self) -> dict[str, dict[str, Any]]:
        """Columns that are there and that dlt's schema does not have: another pipeline, or release, made them."""
        fold, found = self.client.capabilities.casefold_identifier, {}
        for shape in self._there():
            key = self._key(shape.table.name)
            known = {fold(name) for name in self.schema.tables.get(key, {}).get("columns", {})}
            hints = {self.schema.naming.normalize_path(name): words for name, words in shape.hints().items()}
            declared = {fold(name): {**words, "name": name} for name, words in hints.items()}
            more = [
                declared.get(fold(name)) or {**words, "nullable": True} for name, words in self.columns[key].items()
                if fold(name) not in known and words.get("data_type")
            ]
            if more:
                found[key] = {words["name"]: words for words in more}
        return found


@contextmanager
def look(
    pipeline: dlt.Pipeline, schema: Schema, shapes: Sequence[TableMap], counter: StatementCounter | None = None
) -> Iterator[Look | None]:
    """Look at a pipeline's destination.

    Args:
        pipeline: whose destination it is.
        schema: dlt's, of the source.
        shapes: the maps of the tables that the run is about.
        counter: counts the statements.

    Yields:
        What can be asked; None where there is nothing yet, or what cannot be asked.
    """
    if schema.name not in pipeline.schemas:
        with open_client(pipeline) as client:
            yield Look(pipeline, client, schema, shapes, counter) if client and _can_be_asked(client) else None
        return
    schema = pipeline.schemas[schema.name]
    with destination_errors(pipeline):
        with without_config_trace():
            client = pipeline.destination_client(schema.name)
        if missing_file(client) or not _can_be_asked(client):
            yield None
            return
        with client:
            yield Look(pipeline, client, schema, shapes, counter)


def _can_be_asked(client: Any) -> bool:
    return hasattr(client, "sql_client") or hasattr(client, "fs_client")
