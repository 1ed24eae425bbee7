"""The statements that make a view: its query with the names of a destination, in its dialect."""
from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlglot import exp

from stripe_source.tables.registry import WITH_REPORTS
from stripe_source.tables.schema_map import table_map
from stripe_source.views.dialects import ViewDialect, in_dialect
from stripe_source.views.typed_query import LANGUAGE, SQL_TYPES, native_columns, typed_query
from stripe_source.views.view_map import View

Existing = Mapping[str, Collection[str]]  # native tables of a destination, with the columns that they have


class Names(Protocol):
    """How tables, columns and views are called in a destination."""

    def table(self, name: str) -> exp.Table:
        """A native table."""

    def column(self, name: str) -> str:
        """A native column."""

    def view(self, name: str) -> exp.Table:
        """A view."""

    def output(self, name: str) -> str:
        """A column of a view."""


@dataclass(frozen=True, eq=False)
class Definition:
    """How a view is made in a destination.

    Args:
        view: which one.
        kind: "view" or "table".
        statements: one after the other; the last one makes it, those before it remove what is replaced.
        missing: native tables that are not there; the view has no rows of them.
        lacking: columns that native tables do not have there, as `table.column`; they are null.
    """

    view: View
    kind: str
    statements: tuple[exp.Expr, ...]
    missing: tuple[str, ...]
    lacking: tuple[str, ...]

    def hash(self, dialect: str) -> str:
        """What tells whether a view has to be made again."""
        text = ";".join(each.sql(dialect) for each in self.statements)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def definition(
    view: View, dialect: ViewDialect, names: Names, existing: Existing | None = None, *, materialize: bool = False
) -> Definition:
    """How a view is made.

    Args:
        view: which one.
        dialect: of the destination.
        names: how things are called there.
        existing: the native tables that are there, with their columns; None: all of them, whole.
        materialize: a table with the rows of now, in place of a view.

    Raises:
        ViewMapError: the map is wrong.
    """
    kind = "table" if materialize or dialect.materialized else "view"
    missing: list[str] = []
    lacking: list[str] = []
    query = _query(view, names, existing, missing, lacking)
    made = exp.Create(
        this=names.view(view.name), kind=kind.upper(), expression=in_dialect(query, dialect),
        replace=kind == "view" and dialect.replace,
    )
    if dialect.name == "clickhouse" and kind == "table":
        made.set("properties", exp.Properties(expressions=[
            exp.EngineProperty(this=exp.Anonymous(this="MergeTree")),
            exp.Order(expressions=[exp.Tuple(expressions=[])]),
        ]))
    dropped = [] if kind == "view" and dialect.replace else [drop(names.view(view.name), kind)]
    return Definition(view, kind, (*dropped, made), tuple(missing), tuple(lacking))


def drop(name: exp.Table, kind: str) -> exp.Drop:
    """Remove a view, or the table in its place, if it is there."""
    return exp.Drop(tables=[name.copy()], kind=kind.upper(), exists=True)


def _query(
    view: View, names: Names, existing: Existing | None, missing: list[str], lacking: list[str]
) -> exp.Select:
    typed = typed_query(view)
    if typed.query is None:
        nulls = [exp.alias_(_null(column.type), names.output(column.name), quoted=True) for column in view.columns]
        return _no_rows(exp.select(*nulls))
    query = typed.query.copy()
    columns = list(native_columns(query))
    replacements = {name: _replacement(name, used, existing, names, missing, lacking)
                    for name, used in typed.reads.items()}
    for _, native in columns:
        if native is not None:
            native.set("this", exp.to_identifier(names.column(native.name), quoted=True))
    for table in {id(table): table for table, _ in columns}.values():
        alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
        table.replace(_aliased(replacements[table.name], alias))
    for column, projection in zip(view.columns, query.selects, strict=True):
        projection.set("alias", exp.to_identifier(names.output(column.name), quoted=True))
    return query


def _aliased(source: exp.Table | exp.Select, alias: exp.TableAlias) -> exp.Expr:
    if isinstance(source, exp.Select):
        return exp.Subquery(this=source.copy(), alias=alias)
    table = source.copy()
    table.set("alias", alias)
    return table


def _replacement(
    name: str, used: Collection[str], existing: Existing | None, names: Names, missing: list[str], lacking: list[str]
) -> exp.Table | exp.Select:
    """A native table as the destination has it; what it lacks as nulls of the right type."""
    if existing is None:
        return names.table(name)
    types = {column.name: column.data_type for column in table_map(WITH_REPORTS[name]).columns}
    if name not in existing:
        missing.append(name)
        return _no_rows(exp.select(*(
            exp.alias_(_null(types[column]), names.column(column), quoted=True) for column in used)))
    absent = [column for column in used if names.column(column) not in existing[name]]
    if not absent:
        return names.table(name)
    lacking += [f"{name}.{column}" for column in absent]
    return exp.select(*(
        exp.alias_(_null(types[column]), names.column(column), quoted=True) if column in absent
        else exp.column(exp.to_identifier(names.column(column), quoted=True))
        for column in used
    )).from_(names.table(name))


def _null(type: str) -> exp.Expr:
    return exp.cast(exp.null(), SQL_TYPES.get(type, "TEXT"), dialect=LANGUAGE)


def _no_rows(query: exp.Select) -> exp.Select:
    """The query without rows; some databases take no WHERE without a FROM."""
    one = exp.select(exp.alias_(exp.Literal.number(1), "one")).subquery("no_rows")
    return query.from_(one).where(exp.Literal.number(1).eq(exp.Literal.number(0)))
