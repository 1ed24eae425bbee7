"""Columns for fields that no map declares."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.columns import FIELD, MAX_COLUMNS, MAX_NAME, UNMAPPED, Columns
from stripe_source.arrow_rows.contract import DISCARD_ROW, DISCARD_VALUE, EVOLVE, FREEZE
from stripe_source.arrow_rows.json_text import clean, dumps
from stripe_source.arrow_rows.undeclared_values import (
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
from stripe_source.arrow_rows.values import arrow_type, convert
from stripe_source.tables.schema_map import Column

if TYPE_CHECKING:
    import pyarrow as pa

_SNAKE_CASE = re.compile(r"[a-z][a-z0-9_]*")


class UndeclaredColumns:
    """Decides, for all rows of one load, where the values go that no declared column holds.

    Args:
        known: the columns of the table; it adds the new ones.
    """

    def __init__(self, known: Columns) -> None:
        self._known = known
        self.columns: dict[str, PackedCells] = {}
        self._unmapped: dict[int, dict[str, Any]] = {}
        self.frozen_fields: list[str] = []  # new fields that the contract does not allow
        self.discarded_rows: set[int] = set()  # rows with a new field, which the contract keeps out
        self.partial_rows: set[int] = set()  # rows that lose a value to the contract
        self.left_out: dict[str, int] = {}

    def place(self, waiting: Iterable[tuple[int, Path, Any]]) -> None:
        """Find the column of each value."""
        found: dict[Path, PackedCells] = {}
        beside: dict[Path, PackedCells] = {}
        twice: list[tuple[int, Path, Any]] = []
        for row, path, packed in waiting:
            cells = (beside if path[0] == ASIDE and len(path) == 3 else found).setdefault(path, {})
            if row in cells:
                twice.append((row, path, packed))  # two names that are one once `clean` has replaced what no text holds
            else:
                cells[row] = packed
        normalize = self._known.normalize
        for path in sorted(found, key=lambda path: normalize(path) != "__".join(path)):  # exact names first
            self._place_field(path, found[path])
        for path, cells in beside.items():
            self._keep_beside(path[1], path[2], cells)
        for row, path, packed in twice:
            self._put_into_unmapped(path, {row: packed}, self._known.contract.columns)
        for name in list(self.columns):
            self._convert_values(name)
        if self._unmapped:
            self.columns[UNMAPPED] = {
                row: {"j": "{" + ",".join(f"{dumps(key)}:{text_of(value)}" for key, value in fields.items()) + "}",
                      "e": False}
                for row, fields in self._unmapped.items()
            }

    def _place_field(self, path: Path, cells: PackedCells) -> None:
        """Find the column of a field, or the columns of its members."""
        cells = {row: packed for row, packed in cells.items() if not is_empty(packed)}
        if not cells:
            return  # empty containers do not show a type
        known = self._known
        name = known.normalize(path)
        objects = {row: packed for row, packed in cells.items() if isinstance(packed, list)}
        others = {row: packed for row, packed in cells.items() if row not in objects}
        if name not in known.inferred and (name not in known.declared or path in known.objects):
            has_columns_inside = path in known.objects or any(
                known.origin[other][:len(path)] == path if other in known.origin else other.startswith(f"{name}__")
                for other in known.inferred
            )
            if has_columns_inside or (not others and self._flattens(objects)):
                for key, inner in members_of(objects).items():
                    self._place_field((*path, key), inner)
                if others:
                    self._keep_beside(name, "v_json", others)
                return
        self._put(name, path, ".".join(path), path, cells, known.contract.columns)

    def _flattens(self, objects: PackedCells) -> bool:
        leaves = leaf_paths(objects.values())
        snake_case = all(_SNAKE_CASE.fullmatch(step) for path in leaves for step in path)
        return snake_case and len(leaves) <= MAX_LEAVES and len(self._known.names) + len(leaves) <= MAX_COLUMNS

    def _keep_beside(self, column: str, suffix: str, cells: PackedCells) -> None:
        """Keep values as JSON in a column beside another: `<column>__<suffix>`."""
        known = self._known
        mode = known.contract.data_type if suffix == "v_json" else known.contract.columns
        name, origin = known.normalize([f"{column}__{suffix}"]), ("\0", column, suffix)
        self._put(name, origin, f"{column}.{suffix}", (column, suffix), cells, mode)

    def _put(self, name: str, origin: Path, dotted: str, path: Path, cells: PackedCells, mode: str) -> None:
        """Put values into the column of that name; where it cannot hold them, into `_unmapped` under their path."""
        known = self._known
        claimed = known.origin.get(name) == origin
        if not claimed and name not in known.origin:
            claimed = not (
                not name or name in known.declared or name in known.foreign or name == UNMAPPED
                or name.startswith("_dlt") or clean(name) != name
            ) and (name in known.names or (len(known.names) < MAX_COLUMNS and len(name.encode()) <= MAX_NAME))
            if claimed and name not in known.inferred and mode != EVOLVE:
                self.apply_contract(dotted, mode, cells)
                return
        if not claimed:
            self._put_into_unmapped(path, cells, mode)
            return
        known.names.add(name)
        known.origin[name] = origin
        if name not in known.inferred:
            kind = "json" if origin[0] == "\0" else type_of(cells.values())
            known.inferred[name] = Column(name, kind, None, hints={FIELD: json.dumps(origin)})
        self.columns.setdefault(name, {}).update(cells)

    def _put_into_unmapped(self, path: Path, cells: PackedCells, mode: str) -> None:
        if UNMAPPED not in self._known.inferred:
            if mode != EVOLVE:
                self.apply_contract(".".join(path), mode, cells)
                return
            self._known.inferred[UNMAPPED] = Column(UNMAPPED, "json", None)
        for row, packed in cells.items():
            fields = self._unmapped.setdefault(row, {})
            key = ".".join(path)
            while key in fields:  # a key with a dot in it
                key = dumps([key])
            fields[key] = packed

    def _convert_values(self, name: str) -> None:
        """Convert the values of a column to its type; what it cannot hold is kept beside it."""
        column = self._known.inferred[name]
        if column.data_type == "json":
            return
        misfits: dict[str, PackedCells] = {}
        converted: PackedCells = {}
        for row, packed in self.columns[name].items():
            if (value := convert(packed, column)) is not None:
                converted[row] = value
            elif column.data_type == "text" and (id := id_of(packed)) is not None:
                converted[row] = id
                if len(packed) > 1:
                    misfits.setdefault("expanded", {})[row] = packed
            else:
                misfits.setdefault("v_json", {})[row] = packed
        self.columns[name] = converted
        if not converted:
            del self.columns[name]
        for suffix, cells in misfits.items():
            self._keep_beside(name, suffix, cells)

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

    def apply_contract(self, dotted: str, mode: str, cells: PackedCells) -> None:
        """Do with values that may have no new column what the mode of the contract says."""
        if mode == FREEZE:
            self.frozen_fields.append(dotted)
        if mode == DISCARD_ROW:
            self.discarded_rows.update(cells)
        if mode == DISCARD_VALUE:
            self.partial_rows.update(cells)
        self.left_out[dotted] = self.left_out.get(dotted, 0) + len(cells)
