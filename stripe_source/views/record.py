"""Which views of a dataset are ours: a table beside them, `_stripe_source_views`, names each that was made."""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlglot import exp, select

from stripe_source.destination.sql.dialect import DestinationSql
from stripe_source.views.names import DestinationNames

RECORD = "_stripe_source_views"
_COLUMNS = ("map", "name", "kind", "definition")


class Recorded(NamedTuple):
    """A view that we made.

    Args:
        map: name of its map.
        name: of the view.
        kind: "view" or "table".
        definition: hash of how it was made.
    """

    map: str
    name: str
    kind: str
    definition: str


class Record:
    """The table of the views of a dataset.

    Args:
        sql: the dialect of the destination.
        names: those of the dataset.
    """

    def __init__(self, sql: DestinationSql, names: DestinationNames) -> None:
        self._sql, self._table = sql, names.view(RECORD)

    def read(self) -> dict[str, Recorded]:
        """What it has, by name; nothing where it was never made."""
        query = select(*map(_column, _COLUMNS)).from_(self._table.copy())
        rows = [row for some in self._sql.fetch_connected(query) for row in some]
        return {name: Recorded(map_, name, kind, hash_) for map_, name, kind, hash_ in rows}

    def create(self) -> exp.Create:
        """The statement that makes it, where it is not there."""
        columns = [exp.ColumnDef(this=exp.to_identifier(name, quoted=True), kind=exp.DataType.build("TEXT"))
                   for name in _COLUMNS]
        made = exp.Create(this=exp.Schema(this=self._table.copy(), expressions=columns), kind="TABLE", exists=True)
        if self._sql.dialect == "clickhouse":
            made.set("properties", exp.Properties(expressions=[
                exp.EngineProperty(this=exp.Anonymous(this="MergeTree")), exp.Order(expressions=[_column("name")])]))
        return made

    def forget(self, names: Iterable[str]) -> exp.Delete:
        """The statement that removes views from it."""
        listed = exp.In(this=_column("name"), expressions=[self._sql.text(name) for name in names])
        return exp.Delete(this=self._table.copy(), where=exp.Where(this=listed))

    def note(self, views: Iterable[Recorded]) -> exp.Insert:
        """The statement that adds views to it."""
        rows = [exp.Tuple(expressions=[self._sql.text(value) for value in view]) for view in views]
        into = exp.Schema(this=self._table.copy(), expressions=[exp.to_identifier(name, quoted=True)
                                                                for name in _COLUMNS])
        return exp.Insert(this=into, expression=exp.Values(expressions=rows))


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))
