"""From WAEvents to rows: one Arrow table of a batch, with every value that Stripe sent.

Rules, the same for every table:

- A declared column gets the value at its path. A reference gets the id, expanded or not; what Stripe expanded beside
  the id is kept in `<column>__expanded` (JSON).
- A value that its column cannot hold (text in a bigint, an object in a text column) is converted when nothing is lost,
  and otherwise kept as JSON in `<column>__v_json` while the declared column stays null. Of a time, digits beyond the
  microsecond are cut.
- A field that the map does not declare becomes a column of its own: scalars get dlt's types, small objects are
  flattened with `__`, lists and open maps are JSON. `RowBuilder.decide_columns` decides that from all values of a load.
  The decision stays: a later value that does not fit is kept in `<column>__v_json`, like any other misfit. So is a
  value other than an object where an object with columns inside is declared.
- A value that cannot have a column (its name collides or is too long, or the table is full) goes to the JSON column
  `_unmapped`, under its dotted path.
- What no destination can hold is replaced: NUL and half a surrogate pair by U+FFFD, NaN in JSON by null, and a missing
  key by the row's fingerprint.

The hot loop is `read_columns` (`arrow_rows/reading.py`): it goes by columns because at 10 microseconds a row every call
counts; `plain_values` is the readable version that a test compares it with.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.columns import Columns
from stripe_source.arrow_rows.contract import ANYTHING, EVOLVE, Contract
from stripe_source.arrow_rows.fingerprint import fingerprint, partial_fingerprint
from stripe_source.arrow_rows.json_text import clean, dumps
from stripe_source.arrow_rows.masking.masks import EXCLUDED, TableMask
from stripe_source.arrow_rows.reading import Cells, object_paths, read_columns, readable_columns, undeclared_fields
from stripe_source.arrow_rows.undeclared import UndeclaredColumns
from stripe_source.arrow_rows.undeclared_values import ASIDE, Path, as_json, is_empty, pack, unpacked
from stripe_source.arrow_rows.values import arrow_type, column_array, nulls
from stripe_source.arrow_rows.waevent import DELETE, WAEvent
from stripe_source.errors import SchemaFrozen
from stripe_source.tables.registry import pair_column
from stripe_source.tables.schema_map import Column, TableMap

if TYPE_CHECKING:
    import pyarrow as pa

UNDECIDED = "\0undecided"  # the column of a batch with the values that wait for `RowBuilder.decide_columns`


@dataclass
class Rows:
    """Rows of one table, as they are loaded.

    Args:
        table: an Arrow table; all declared columns are there, in their order, then inferred ones.
        inferred: those of its columns that the map does not declare.
        discarded: fingerprints of the rows that the schema contract keeps out.
        left_out: the fields that the schema contract keeps out, each with the number of its values; those of whole rows
            are counted too.
    """

    table: pa.Table
    inferred: tuple[Column, ...] = ()
    discarded: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@cache
def undecided_schema(shape: TableMap) -> pa.Schema:
    """The schema of what `RowBuilder.build` makes: the declared columns, and `UNDECIDED`."""
    import pyarrow as pa

    fields = [pa.field(column.name, arrow_type(column), nullable=column.nullable) for column in shape.columns]
    return pa.schema([*fields, pa.field(UNDECIDED, pa.string())])


class RowBuilder:
    """Makes the rows of one table. It remembers the type of each inferred column, so that later batches agree.

    Args:
        shape: the map of the table.
        known: the columns that the destination has already, as dlt column schemas by name: an undeclared one among
            them keeps its type.
        normalize: dlt's naming convention, without a limit on the length: a path of names -> a column name.
        contract: the schema contract for new columns.
        mask: what is left out and hashed, when the columns are decided; None: nothing.
    """

    def __init__(
        self,
        shape: TableMap,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        normalize: Callable[[Sequence[str]], str] = "__".join,
        contract: Contract = ANYTHING,
        mask: TableMask | None = None,
    ) -> None:
        self.shape, self._mask = shape, mask
        self.contract = contract
        self._read, self._tree = readable_columns(shape)
        self._columns = Columns(
            (column.name for column in shape.columns), object_paths(self._tree), known or {}, normalize, contract
        )
        self.inferred = self._columns.inferred
        self._absent = [
            column for column in shape.columns
            if known and contract.columns != EVOLVE and column.name not in known and column.path is not None
            and not self._leaves_out(column)
        ]

    def _leaves_out(self, column: Column) -> bool:
        return self._mask is not None and self._mask.how(column.name, column.data_type) == EXCLUDED

    def rows(
        self, events: Sequence[WAEvent], load_id: str | None = None, fingerprints: Sequence[str] | None = None
    ) -> Rows:
        """Make the rows of a batch of WAEvents of this table, one for each, in order.

        Args:
            events: WAEvents of this table.
            load_id: the dlt load that brings them.
            fingerprints: those of the events, where the caller has them already.
        """
        return self.decide_columns(self.build(events, load_id, fingerprints))

    def build(
        self, events: Sequence[WAEvent], load_id: str | None = None, fingerprints: Sequence[str] | None = None
    ) -> pa.Table:
        """Make rows with the declared columns; all other values wait in the column `UNDECIDED`.

        It decides nothing and remembers nothing, so that any thread may call it. The tables of all batches have the
        same columns. The arguments are those of `rows`.
        """
        import pyarrow as pa

        with_more: set[int] = set()  # indexes of the objects that have undeclared members
        columns: Cells = [None] * len(self._read)
        read_columns(self._tree, [event.data for event in events], columns, with_more.add)
        waiting: dict[int, list[tuple[Path, Any]]] = {}
        for index in sorted(with_more):
            found = [(path, pack(value, path, self.shape.json_kinds))
                     for path, value in undeclared_fields(events[index].data, self._tree)]
            waiting[index] = [each for each in found if each[1] is not None and not is_empty(each[1])]

        def fitted(column: Column, cells: Sequence[Any]) -> pa.Array:
            def misfit(index: int, value: Any) -> Any:
                if column.data_type == "text" and isinstance(value, dict) and isinstance(value.get("id"), str):
                    if len(value) > 1:
                        waiting.setdefault(index, []).append(((ASIDE, column.name, "expanded"), as_json(value)))
                    return clean(value["id"])
                waiting.setdefault(index, []).append(((ASIDE, column.name, "v_json"), as_json(value)))
                return None

            return column_array(cells, column, misfit)

        arrays = {
            column.name: nulls(arrow_type(column), len(events)) if cells is None else fitted(column, cells)
            for column, cells in zip(self._read, columns, strict=True)
        }
        self._add_bookkeeping(events, arrays, load_id, fingerprints)
        texts = [dumps(waiting[i]) if waiting.get(i) else None for i in range(len(events))] if waiting else None
        arrays[UNDECIDED] = nulls(pa.string(), len(events)) if texts is None else pa.array(texts, pa.string())
        schema = undecided_schema(self.shape)
        return pa.table([arrays[name] for name in schema.names], schema=schema)

    def decide_columns(self, built: pa.Table) -> Rows:
        """Decide the columns of the values that wait, from all rows of a table that `build` has made.

        Raises:
            SchemaFrozen: there is something new, and the schema contract freezes the table.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        texts, table = built.column(UNDECIDED), built.drop_columns([UNDECIDED])
        undeclared = UndeclaredColumns(self._columns)
        for column in self._absent:
            array = table.column(column.name)
            if array.null_count < len(array):
                rows = [index for index, valid in enumerate(array.is_valid().to_pylist()) if valid]
                undeclared.apply_contract(".".join(column.path or ()), self.contract.columns, dict.fromkeys(rows))
            table = table.drop_columns([column.name])
        if texts.null_count < len(texts):
            undeclared.place(unpacked(texts.to_pylist()))
        if undeclared.frozen_fields:
            raise SchemaFrozen(self.shape.table.name, undeclared.frozen_fields)
        inferred = tuple(self.inferred[name] for name in sorted(undeclared.columns))
        for column in inferred:
            table = table.append_column(
                pa.field(column.name, arrow_type(column)), undeclared.array(column, table.num_rows)
            )
        if partial := undeclared.partial_rows - undeclared.discarded_rows:
            place = table.schema.get_field_index("_dlt_id")
            prints = [partial_fingerprint(print_) if index in partial else print_
                      for index, print_ in enumerate(table.column("_dlt_id").to_pylist())]
            table = table.set_column(place, table.schema.field(place), pa.array(prints, pa.string()))
        discarded: tuple[str, ...] = ()
        if undeclared.discarded_rows:
            unwanted = pa.array([index in undeclared.discarded_rows for index in range(table.num_rows)])
            discarded = tuple(table.filter(unwanted).column("_dlt_id").to_pylist())
            table = table.filter(pc.invert(unwanted))
            inferred = tuple(c for c in inferred if table.column(c.name).null_count < table.num_rows)
            declared = [name for name in table.column_names if name in self._columns.declared]
            table = table.select([*declared, *(column.name for column in inferred)])
        if self._mask:
            table = self._mask.built(table, self.inferred)
            inferred = tuple(column for column in inferred if column.name in table.column_names)
        return Rows(table, inferred, discarded, undeclared.left_out)

    def _add_bookkeeping(
        self, events: Sequence[WAEvent], arrays: dict[str, pa.Array], load_id: str | None,
        fingerprints: Sequence[str] | None,
    ) -> None:
        deleted = [event.operation == DELETE for event in events]
        prints = fingerprints or [fingerprint(event, flag) for event, flag in zip(events, deleted, strict=True)]
        cells: dict[str, Sequence[Any]] = {
            "_account_id": [event.account for event in events],
            "_position": [event.position for event in events],
            "_deleted": deleted,
            "_deleted_at": [event.time if flag else None for event, flag in zip(events, deleted, strict=True)],
            "_changed_at": [event.time for event in events],
            "_dlt_load_id": [load_id] * len(events),
            "_dlt_id": prints,
        }
        if pair := pair_column(self.shape.table):
            cells[pair] = [event.pair for event in events]
        for column in self.shape.columns:
            if column.path is None:
                values = cells[column.name] if column.name in cells else [event.parent for event in events]
                arrays[column.name] = column_array(values, column, lambda index, value: None)
        for column in self.shape.columns:
            array = arrays[column.name]
            if not column.nullable and array.null_count and column.name != "_dlt_load_id":
                defaults = prints if column.data_type == "text" else [0] * len(events)  # Parquet takes no null here
                pairs = zip(array.to_pylist(), defaults, strict=True)
                filled = [value if value is not None else default for value, default in pairs]
                arrays[column.name] = column_array(filled, column, lambda index, value: None)
