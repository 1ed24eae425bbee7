"""Schema maps: the declared columns of each table.

A map is a YAML file in `schema_maps/stripe/`, one per table, in dlt's column words. Columns that a map does not declare
are inferred: see `stripe_source/arrow_rows/builder.py`.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from stripe_source.tables.registry import pair_column, parent_column
from stripe_source.tables.reports import bounds_of, merge_key
from stripe_source.tables.table import Table

MAPS = next(
    folder
    for folder in (Path(__file__).parents[1] / "schema_maps", Path(__file__).parents[2] / "schema_maps")
    if folder.is_dir()
)


MISFIT = "__v_text"  # behind the name of a report's column: its values that are not of the column's type


@dataclass(frozen=True)
class Column:
    """A declared column: dlt's words, and the path of its value on the object (None: bookkeeping)."""

    name: str
    data_type: str
    path: tuple[str, ...] | None
    nullable: bool = True
    description: str = ""
    references: str | None = None
    precision: int | None = None
    scale: int | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)

    def hint(self) -> dict[str, Any]:
        """The column in dlt's words, as `columns=` of a resource takes it."""
        words: dict[str, Any] = {"name": self.name, "data_type": self.data_type, "nullable": self.nullable}
        for word in ("description", "precision", "scale"):
            if getattr(self, word) not in (None, ""):  # a scale of 0 is one
                words[word] = getattr(self, word)
        if self.references:
            words["x-references"] = self.references
        return {**words, **self.hints}


@dataclass(frozen=True, eq=False)
class TableMap:
    """The declared shape of one table.

    Args:
        table: the entry of the registry.
        description: one sentence.
        columns: all declared columns in the order of the destination, bookkeeping included.
        json_kinds: paths of objects keyed by a kind, whose unknown members become one JSON column each.
        children: paths of embedded Stripe lists whose `data` goes to other tables.
    """

    table: Table
    description: str
    columns: tuple[Column, ...]
    json_kinds: frozenset[tuple[str, ...]]
    children: frozenset[tuple[str, ...]]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row, or of a report what is replaced together: the account, and what it takes."""
        if self.table.report:
            return merge_key(self.table)
        return ("_account_id", *self.table.key)

    def hints(self) -> dict[str, dict[str, Any]]:
        """All declared columns as dlt column schemas."""
        return {column.name: column.hint() for column in self.columns}

    def references(self) -> list[dict[str, Any]]:
        """References to other tables in dlt's `references` form.

        dlt 1.31 keeps one reference per referenced table, so the first column in the order of the map stands for it;
        `x-references` on the columns has them all.
        """
        first: dict[str, Column] = {}
        for column in self.columns:
            if column.references:
                first.setdefault(column.references, column)
        return [
            {"referenced_table": table, "columns": ["_account_id", column.name],
             "referenced_columns": ["_account_id", "id"]}
            for table, column in first.items()
        ]


def _bookkeeping(table: Table) -> tuple[list[Column], list[Column]]:
    """The columns that every table has besides Stripe's: those at its front and those at its end."""
    front = [Column("_account_id", "text", None, False, "Id of the account whose data it is, or `self`.")]
    end = []
    if parent := parent_column(table):
        front.append(Column(parent, "text", None, False, "Id of the object that this row belongs to."))
        end.append(Column("_position", "bigint", None, True, "Place in the list of that object, from 0."))
    if pair := pair_column(table):
        front.append(Column(pair, "text", None, False, "Id of the second object that this row belongs to."))
    end += [
        Column("_deleted", "bool", None, False, "Whether Stripe no longer has it; the last known values stay."),
        Column("_deleted_at", "timestamp", None, True, "When it was deleted, or first found missing (UTC)."),
        Column("_changed_at", "timestamp", None, False, "When this version came to be, or was read (UTC)."),
        Column("_dlt_load_id", "text", None, False, "The dlt load that brought this version."),
        Column("_dlt_id", "text", None, False, "Fingerprint of the row's key and content."),
    ]
    return front, end


def _column(name: str, words: Mapping[str, Any]) -> Column:
    words = dict(words)
    path = words.pop("path", None) or name.replace("__", ".")
    return Column(
        name, words.pop("data_type"), tuple(path.split(".")), words.pop("nullable", True),
        words.pop("description", ""), words.pop("references", None), words.pop("precision", None),
        words.pop("scale", None), {word: value for word, value in words.items() if word.startswith("x-")},
    )


def _paths(dotted: Iterable[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(path.split(".")) if path else () for path in dotted)


@cache
def table_map(table: Table) -> TableMap:
    """Read the native map of a table. One YAML file is read per table asked for, no other."""
    import yaml

    if table.report:
        return _report_map(table)
    file = MAPS / "stripe" / f"{table.name}.yaml"
    text: dict[str, Any] = {"description": table.about, "columns": {}}  # a private table has no map: all is inferred
    if file.exists():
        text = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for name in table.key:
        text["columns"].setdefault(name, {"data_type": "text"})
    for name, path in table.extra.items():
        text["columns"].setdefault(name, {"data_type": "text"})["path"] = path
    front, end = _bookkeeping(table)
    taken = {column.name for column in (*front, *end)}
    declared = [
        _column(name, {**words, "nullable": False} if name in table.key else words)
        for name, words in text["columns"].items()
        if name not in taken
    ]
    return TableMap(
        table, text["description"], (*front, *declared, *end),
        _paths(text.get("json_kinds", ())), _paths(text.get("children", ())),
    )


@cache
def report_columns() -> Mapping[str, Column]:
    """The columns that reports may have, by Stripe's names; `name[key]` stands for any key."""
    return {name: report_column(name, words) for name, words in _reports_file()["columns"].items()}


def report_column(name: str, words: Mapping[str, Any]) -> Column:
    """A column of a report: amounts have up to twelve decimals, local times no time zone."""
    kind = words["data_type"]
    local = kind == "timestamp" and not name.endswith("_utc")
    precision, scale = (38, 12) if kind == "decimal" else (None, None)
    hints = {"timezone": False} if local else {}
    return Column(name, kind, (name,), True, words.get("description", ""), None, precision, scale, hints)


@cache
def _reports_file() -> Mapping[str, Any]:
    import yaml

    file = MAPS / "reports.yaml"
    read: Mapping[str, Any] = yaml.load(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return read


def _report_map(table: Table) -> TableMap:
    """The map of a report: Stripe's columns in Stripe's order, without those that are asked for by a key."""
    known = report_columns()
    names = _reports_file()["types"].get(table.report and table.report.type, ())
    payout = bounds_of(table) == "payout"
    identity = [
        Column("_payout_id", "text", None, False, "Id of the payout that the report is about."),
    ] if payout else [
        Column("_interval_start", "timestamp", None, False, "First second of the month or day (UTC)."),
        Column("_interval_end", "timestamp", None, True, "First second after what the report is about (UTC)."),
    ]
    end = [
        *identity,
        Column("_report_run_id", "text", None, True, "Id of the report run whose file it comes from."),
        Column("_row", "bigint", None, True, "Place in that file, from 0."),
        Column("_parameters", "json", None, True, "What the report was asked for."),
        Column("_deleted", "bool", None, True, "Set in a load where nothing is left of an interval; never stored.",
               hints={"hard_delete": True}),
        Column("_changed_at", "timestamp", None, True, "When Stripe made the report (UTC)."),
        Column("_dlt_load_id", "text", None, False, "The dlt load that brought the row."),
        Column("_dlt_id", "text", None, False, "Id of the report run, and the row's place in its file."),
    ]
    return TableMap(
        table, table.about,
        (Column("_account_id", "text", None, False, "Id of the account whose data it is, or `self`."),
         *(known[name] for name in names if "[" not in name), *end),
        frozenset(), frozenset(),
    )
