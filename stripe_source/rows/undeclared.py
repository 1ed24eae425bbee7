"""Columns for fields that no map declares."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stripe_source.rows.columns import FIELD, MAX_COLUMNS, MAX_NAME, UNMAPPED, Columns
from stripe_source.rows.contract import DISCARD_ROW, DISCARD_VALUE, EVOLVE, FREEZE
from stripe_source.rows.json_text import clean, dumps
from stripe_source.rows.undeclared_values import (
    ASIDE,
    MAX_LEAVES,
    PackedCells,
    Path,
    id_of,
    is_empty,
    leaf_paths,
    members_of,
    text_of,
    type_of,
)
from stripe_source.rows.values import arrow_type, convert
from stripe_source.tables.schema_map import Column

if TYPE_CHECKING:
    import pyarrow as pa

_FIELD = re.compile(r"[a-z][a-z0-9_]*")


class UndeclaredColumns:
    """One decision of where values go that no declared column holds.

    Args:
        known: the columns of the table, to which it adds.
    """

    def __init__(self, known: Columns) -> None:
        self._known = known
        self.columns: dict[str, PackedCells] = {}
        self._unmapped: dict[int, dict[str, Any]] = {}
        self.frozen: list[str] = []  # fields that are new
        self.rows_out: set[int] = set()
        self.lacking: set[int] = set()  # rows without a value that they had
        self.left_out: dict[str, int] = {}

    def place(self, waiting: Iterable[tuple[int, Path, Any]]) -> None:
        """Find the column of each value."""
        found: dict[Path, PackedCells] = {}
        beside: dict[Path, PackedCells] = {}
        twice: list[tuple[int, Path, Any]] = []
        for row, path, packed in waiting:
            cells = (beside if path[0] == ASIDE and len(path) == 3 else found).setdefault(path, {})
            if row in cells:
                twice.append((row, path, packed))  # names that differ in what text cannot hold
            else:
                cells[row] = packed
        spelled = self._known.normalize
        for path in sorted(found, key=lambda path: spelled(path) != "__".join(path)):
            self._field(path, found[path])
        for path, cells in beside.items():
            self._aside(path[1], path[2], cells)
        for row, path, packed in twice:
            self._unmap(path, {row: packed}, self._known.contract.columns)
        for name in list(self.columns):
            self._fit(name)
        if self._unmapped:
            self.columns[UNMAPPED] = {
                row: {"j": "{" + ",".join(f"{dumps(key)}:{text_of(value)}" for key, value in fields.items()) + "}",
                      "e": False}
                for row, fields in self._unmapped.items()
            }

    def _field(self, path: Path, cells: PackedCells) -> None:
        """Find the column, or the columns, of a field."""
        cells = {row: packed for row, packed in cells.items() if not is_empty(packed)}
        if not cells:
            return  # nothing in it, and nothing to tell its type
        known = self._known
        name = known.normalize(path)
        objects = {row: packed for row, packed in cells.items() if isinstance(packed, list)}
        others = {row: packed for row, packed in cells.items() if row not in objects}
        if name not in known.inferred and (name not in known.declared or path in known.objects):
            inside = path in known.objects or any(
                known.origin[other][:len(path)] == path if other in known.origin else other.startswith(f"{name}__")
                for other in known.inferred
            )
            if inside or (not others and self._flattens(objects)):
                for key, inner in members_of(objects).items():
                    self._field((*path, key), inner)
                if others:
                    self._aside(name, "v_json", others)
                return
        self._put(name, path, ".".join(path), path, cells, known.contract.columns)

    def _flattens(self, objects: PackedCells) -> bool:
        leaves = leaf_paths(objects.values())
        fields = all(_FIELD.fullmatch(step) for path in leaves for step in path)
        return fields and len(leaves) <= MAX_LEAVES and len(self._known.names) + len(leaves) <= MAX_COLUMNS

    def _aside(self, column: str, suffix: str, cells: PackedCells) -> None:
        """Keep values in JSON beside a column."""
        known = self._known
        mode = known.contract.data_type if suffix == "v_json" else known.contract.columns
        name, origin = known.normalize([f"{column}__{suffix}"]), ("\0", column, suffix)
        self._put(name, origin, f"{column}.{suffix}", (column, suffix), cells, mode)

    def _put(self, name: str, origin: Path, dotted: str, path: Path, cells: PackedCells, mode: str) -> None:
        """Put values into the column of that name, or where that cannot be, under their path into `_unmapped`."""
        known = self._known
        claimed = known.origin.get(name) == origin
        if not claimed and name not in known.origin:
            claimed = not (
                not name or name in known.declared or name in known.foreign or name == UNMAPPED
                or name.startswith("_dlt") or clean(name) != name
            ) and (name in known.names or (len(known.names) < MAX_COLUMNS and len(name.encode()) <= MAX_NAME))
            if claimed and name not in known.inferred and mode != EVOLVE:
                self.keep_out(dotted, mode, cells)
                return
        if not claimed:
            self._unmap(path, cells, mode)
            return
        known.names.add(name)
        known.origin[name] = origin
        if name not in known.inferred:
            kind = "json" if origin[0] == "\0" else type_of(cells.values())
            known.inferred[name] = Column(name, kind, None, hints={FIELD: json.dumps(origin)})
        self.columns.setdefault(name, {}).update(cells)

    def _unmap(self, path: Path, cells: PackedCells, mode: str) -> None:
        if UNMAPPED not in self._known.inferred:
            if mode != EVOLVE:
                self.keep_out(".".join(path), mode, cells)
                return
            self._known.inferred[UNMAPPED] = Column(UNMAPPED, "json", None)
        for row, packed in cells.items():
            fields = self._unmapped.setdefault(row, {})
            key = ".".join(path)
            while key in fields:  # a key with a dot in it
                key = dumps([key])
            fields[key] = packed

    def _fit(self, name: str) -> None:
        """Take what the column's type cannot hold out of it."""
        column = self._known.inferred[name]
        if column.data_type == "json":
            return
        misfits: dict[str, PackedCells] = {}
        held: PackedCells = {}
        for row, packed in self.columns[name].items():
            if (value := convert(packed, column)) is not None:
                held[row] = value
            elif column.data_type == "text" and (id := id_of(packed)) is not None:
                held[row] = id
                if len(packed) > 1:
                    misfits.setdefault("expanded", {})[row] = packed
            else:
                misfits.setdefault("v_json", {})[row] = packed
        self.columns[name] = held
        if not held:
            del self.columns[name]
        for suffix, cells in misfits.items():
            self._aside(name, suffix, cells)

    def array(self, column: Column, length: int) -> pa.Array:
        """The Arrow array of a column."""
        import pyarrow as pa

        cells, kind = self.columns[column.name], column.data_type
        if kind == "json":
            cells = {row: text_of(packed) for row, packed in cells.items()}
        values = [cells.get(row) for row in range(length)]
        if kind == "timestamp":
            return pa.array(values, pa.int64()).cast(arrow_type(column))
        return pa.array(values, arrow_type(column))

    def keep_out(self, dotted: str, mode: str, cells: PackedCells) -> None:
        """The contract does not take these values."""
        if mode == FREEZE:
            self.frozen.append(dotted)
        if mode == DISCARD_ROW:
            self.rows_out.update(cells)
        if mode == DISCARD_VALUE:
            self.lacking.update(cells)
        self.left_out[dotted] = self.left_out.get(dotted, 0) + len(cells)
