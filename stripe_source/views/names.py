"""How native tables and views are called: in the destination of a pipeline, or where nothing is connected."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from stripe_source.destination.sql.dialect import DestinationSql
from stripe_source.views.dialects import ViewDialect


class DestinationNames:
    """Names in the destination of a pipeline: native ones as dlt writes them, those of views as the map has them.

    Args:
        sql: the dialect of the data's dataset.
        dataset: of the views.
    """

    def __init__(self, sql: DestinationSql, dataset: str) -> None:
        self._sql, self._dataset = sql, dataset
        config: Any = sql.client.capabilities
        self._fold: Callable[[str], str] = config.casefold_identifier

    def table(self, name: str) -> exp.Table:
        """A native table."""
        return self._without_catalog(self._sql.table(name))

    def column(self, name: str) -> str:
        """A native column."""
        return str(self._sql.column(name).this.name)

    def view(self, name: str) -> exp.Table:
        """A view, or the table in its place."""
        with self._sql.client.with_alternative_dataset_name(self._dataset):
            *path, last = self._sql.client.make_qualified_table_name_path(name, quote=False)
        last = last[:len(last) - len(self._fold(name))] + name  # ClickHouse has the dataset before it
        parts = [exp.to_identifier(each, quoted=True) for each in (last, *reversed(path))]
        return self._without_catalog(exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False))))

    def output(self, name: str) -> str:
        """A column of a view."""
        return name

    def _without_catalog(self, table: exp.Table) -> exp.Table:
        """The file of a DuckDB may be called otherwise tomorrow, and what a view reads would not be found.

        Where the file is called as the dataset, DuckDB wants both names.
        """
        if self._sql.dialect == "duckdb" and table.catalog.lower() != table.db.lower():
            table.set("catalog", None)
        return table


class DialectNames:
    """Names as dlt would write them in a kind of database, without a connection.

    Args:
        dialect: the kind.
        data: dataset of the native tables.
        dataset: of the views.
    """

    def __init__(self, dialect: ViewDialect, data: str, dataset: str) -> None:
        self._dialect, self._data, self._dataset = dialect, data, dataset

    def table(self, name: str) -> exp.Table:
        """A native table."""
        return self._table(self._data, self.column(name))

    def column(self, name: str) -> str:
        """A native column."""
        return name.upper() if self._dialect.upper else name

    def view(self, name: str) -> exp.Table:
        """A view, or the table in its place."""
        return self._table(self._dataset, name)

    def output(self, name: str) -> str:
        """A column of a view."""
        return name

    def _table(self, dataset: str, name: str) -> exp.Table:
        if self._dialect.joins != ".":
            return exp.Table(this=exp.to_identifier(f"{dataset}{self._dialect.joins}{name}", quoted=True))
        return exp.Table(this=exp.to_identifier(name, quoted=True),
                         db=exp.to_identifier(self.column(dataset), quoted=True))
