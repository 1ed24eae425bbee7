"""The CSV file of a report becomes Arrow tables, piece by piece, with the types that its columns have by their names.

Millions of rows go this way: nothing here is done row by row, but for values that do not fit.
"""
from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from stripe_source.errors import BrokenAnswer
from stripe_source.tables.schema_map import MISFIT, Column, report_columns

PIECE = 1 << 20  # bytes of CSV that become a table; with four times as many, reading takes 140 MB more (2026-11-30)


@dataclass
class CsvRows:
    """The rows of a CSV file.

    Args:
        path: of the file.
        columns: declared ones, by name; others have their types by what reports call them, or are text.
        number: how many rows were read.
        broken: what is wrong with lines that cannot be read, the first few.
        misfits: columns with values that are not of their types.
    """

    path: Path
    columns: Mapping[str, Column]
    number: int = 0
    broken: list[str] = field(default_factory=list)
    misfits: set[str] = field(default_factory=set)

    def tables(self) -> Iterator[pa.Table]:
        """The rows, with the names and types of their columns.

        Raises:
            BrokenAnswer: the file is no CSV in UTF-8.
        """
        _check_utf8(self.path)
        if self.path.stat().st_size == 0:
            return
        try:
            names = self._header()
            reader = csv.open_csv(
                str(self.path),
                read_options=csv.ReadOptions(block_size=PIECE, use_threads=True),
                parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=self._note_line),
                convert_options=csv.ConvertOptions(
                    column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=[""],
                ),
            )
            columns = column_names(names)
            for batch in reader:
                if batch.num_rows:
                    yield self._typed(batch, names, columns)
                    self.number += batch.num_rows
        except pa.ArrowInvalid as failure:
            raise BrokenAnswer(f"the report's file is no CSV: {failure}") from None

    def _header(self) -> list[str]:
        """Stripe's names of the columns."""
        with open(self.path, "rb") as file:
            start = csv.open_csv(
                pa.BufferReader(_first_record(file.read(PIECE))), read_options=csv.ReadOptions(use_threads=False))
        return list(start.schema.names)

    def _note_line(self, row: Any) -> str:
        if len(self.broken) < 5:
            self.broken.append(f"{row.actual_columns} values where there are {row.expected_columns} columns")
        return "skip"

    def _typed(self, batch: pa.RecordBatch, names: Sequence[str], columns: Sequence[str]) -> pa.Table:
        made: dict[str, pa.Array] = {}
        for name, column, values in zip(names, columns, batch.columns, strict=True):
            known = self.columns.get(column) or column_of(name)
            made[column], rest = convert(values, known)
            if rest is not None:
                self.misfits.add(column)
                made[column + MISFIT] = rest
        return pa.table(made)


def column_of(name: str) -> Column:
    """A column that is not declared: of the type that reports have under its name, else text."""
    known = report_columns().get(re.sub(r"\[.*\]", "[key]", name))
    return known or Column(name, "text", (name,))


def column_names(names: Sequence[str]) -> list[str]:
    """Names of columns in the destination, each another one.

    >>> column_names(["net", "payment_metadata[order id]"])
    ['net', 'payment_metadata_order_id']
    """
    found: list[str] = []
    for number, name in enumerate(names):
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or f"column_{number}"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        found.append(plain if plain not in found else f"{plain}_{number}")
    return found


def convert(values: pa.Array, column: Column) -> tuple[pa.Array, pa.Array | None]:
    """Texts as values of a column's type, and the texts that are none; these are null there."""
    kind = arrow_type(column)
    if kind == pa.string():
        return values, None
    try:
        return _cast(values, kind), None
    except pa.ArrowInvalid:
        pass
    distinct = pc.drop_null(pc.unique(values))
    bad = pa.array([each for each in distinct.to_pylist() if not _fits(each, kind)], pa.string())
    misfit = pc.is_in(values, bad)
    none = pa.scalar(None, pa.string())
    return _cast(pc.if_else(misfit, none, values), kind), pc.if_else(misfit, values, none)


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column of a report."""
    local = column.hints.get("timezone") is False
    types: dict[str, pa.DataType] = {
        "bigint": pa.int64(), "bool": pa.bool_(), "date": pa.date32(),
        "timestamp": pa.timestamp("us") if local else pa.timestamp("us", "UTC"),
    }
    if column.data_type == "decimal":
        return pa.decimal128(column.precision, column.scale)
    return types.get(column.data_type, pa.string())


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind) and kind.tz:
        return values.cast(pa.timestamp("us")).cast(kind)  # a text without a zone is UTC
    return values.cast(kind)


def _fits(text: str, kind: pa.DataType) -> bool:
    try:
        _cast(pa.array([text]), kind)
    except pa.ArrowInvalid:
        return False
    return True


def _first_record(start: bytes) -> bytes:
    """The header and no other line; a name in it may hold a line break."""
    quoted = False
    for place, byte in enumerate(start):
        if byte == 0x22:
            quoted = not quoted
        elif byte == 0x0A and not quoted:
            return start[:place + 1]
    return start


def _check_utf8(path: Path) -> None:
    """See that a file is UTF-8 before its first row is loaded.

    Raises:
        BrokenAnswer: it is not.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open(path, "rb") as file:
        try:
            while piece := file.read(PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as failure:
            raise BrokenAnswer(f"the report's file is not UTF-8: {failure.reason}") from None
