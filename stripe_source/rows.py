"""From WAEvents to rows: compiled extractors that make one Arrow table of a batch, with every value that Stripe sent.

Rules, the same for every table:

- A declared column gets the value at its path. A reference gets the id, expanded or not; what came expanded beside the
  id is kept in `<column>__expanded` (JSON).
- A value that its column cannot hold (text in a bigint, an object in a text column) is converted when nothing is lost,
  and otherwise kept as JSON in `<column>__v_json` while the declared column stays null. Of a time, what is finer than a
  microsecond is cut.
- A field that the map does not know becomes a column of its own: scalars by dlt's types, small objects flattened with
  `__`, lists and open maps as JSON. That is decided from all values of a load (`RowMaker.settle`), and stays as it was
  decided: what comes later and does not fit is kept in `<column>__v_json`, like any other misfit. An object with
  columns inside that comes as something else is one too.
- What cannot be a column (a name that collides or is too long, or no room in the table) goes to the JSON column
  `_unmapped`, under its dotted path.
- What no destination can hold is made so that it can: NUL and half a surrogate pair become U+FFFD, NaN in JSON null,
  and an object without its key is keyed by its fingerprint.

The hot loop is `_read`: it goes by columns because at 10 microseconds a row every call counts; `plain_values` is the
readable version that a test compares it with.
"""
from __future__ import annotations

import hashlib
import json
import math
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from stripe_source.contract import ANYTHING, DISCARD_ROW, DISCARD_VALUE, EVOLVE, FREEZE, Contract
from stripe_source.drift import (
    ASIDE,
    MAX_LEAVES,
    Cells,
    Path,
    as_json,
    id_of,
    is_empty,
    leaf_paths,
    members,
    pack,
    text_of,
    type_of,
    unpacked,
)
from stripe_source.errors import SchemaFrozen
from stripe_source.json_text import clean, dumps, pieces
from stripe_source.schema_map import Column, TableMap
from stripe_source.tables import pair_column
from stripe_source.waevent import DELETE, WAEvent

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MAX_COLUMNS = 250  # the contract's bound: unknown objects stay JSON where flattening would pass it
MAX_NAME = 63  # bytes; Postgres cuts longer identifiers
UNMAPPED = "_unmapped"
LOOSE = "\0loose"  # the column of a batch in which what no declared column holds waits for `settle`
FIELD = "x-stripe-field"  # dlt's hint of an inferred column: the path of the values that it holds, as JSON
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_PLAIN: dict[str, frozenset[type]] = {  # Python types that Arrow takes as they are, by data type
    "text": frozenset({str, type(None)}),
    "bigint": frozenset({int, type(None)}),
    "timestamp": frozenset({int, type(None)}),
    "bool": frozenset({bool, type(None)}),
    "double": frozenset({float, type(None)}),
}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?", re.ASCII)
MADE = frozenset({*_PLAIN, "json", "decimal"})  # data types that we make columns of
_INT64 = range(-(2**63), 2**63)
_SECONDS = range(-62135596800, 253402300800)  # years 1 to 9999: what Python and all destinations have dates for


def fingerprint(event: WAEvent, deleted: bool) -> str:
    """What `_dlt_id` holds: 20 characters that change when the row's key or content does, and not otherwise.

    The time of reading is left out, so that an object read again unchanged has the fingerprint it had.
    """
    try:
        content = orjson.dumps(event.data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        content = "".join(pieces(event.data, ordered=True)).encode("utf-8", "surrogatepass")
    whose = f"\0{event.table}\0{event.account}\0{event.parent}\0{event.position}\0{event.pair}\0{deleted}"
    content += whose.encode("utf-8", "surrogatepass")
    return b2a_base64(hashlib.blake2b(content, digest_size=15).digest(), newline=False).decode()


# ---- reading values


@dataclass
class _Node:
    """An object inside the object: which of its members are columns, and which are objects with columns inside."""

    columns: dict[str, list[int]] = field(default_factory=dict)
    nodes: dict[str, _Node] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)  # rows of other tables

    @property
    def known(self) -> frozenset[str]:
        return frozenset((*self.columns, *self.nodes, *self.dropped))


def _tree(columns: Sequence[Column], children: Iterable[tuple[str, ...]] = ()) -> _Node:
    root = _Node()
    for index, column in enumerate(columns):
        assert column.path is not None
        node = root
        for step in column.path[:-1]:
            node = node.nodes.setdefault(step, _Node())
        node.columns.setdefault(column.path[-1], []).append(index)
    for path in children:
        node = root
        for step in path:
            node = node.nodes.setdefault(step, _Node())
        node.dropped.add("data")
    return root


def plain_values(data: Mapping[str, Any], columns: Sequence[Column]) -> tuple[Any, ...]:
    """The values of one object's columns, read in the readable way."""

    def value(path: tuple[str, ...]) -> Any:
        here: Any = data
        for step in path:
            here = here.get(step) if isinstance(here, dict) else None
        return here

    return tuple(value(column.path or ()) for column in columns)


def _rows_of_others(value: Any) -> bool:
    """Whether the data of an embedded list is what another table takes."""
    return value.__class__ is list and all(item.__class__ is dict for item in value)


_EMPTY: dict[str, Any] = {}
_Cells = list["Sequence[Any] | None"]


def _read(
    node: _Node, objects: Sequence[Mapping[str, Any] | None], cells: _Cells, odd: Callable[[int], None]
) -> None:
    """Read objects column by column: of most objects inside of objects there is none in a batch, and nothing to read.

    Args:
        node: what is read of them.
        objects: all of one place; None where there is none, but somewhere there is one.
        cells: receives the values of each column; None stays where all are null.
        odd: called with the index of each object that has more than we know.
    """
    found = _alike(objects)
    if found is None:
        present = [thing or _EMPTY for thing in objects]
        known = node.known.issuperset
        for index in [index for index, thing in enumerate(present) if not known(thing)]:
            odd(index)
        found = {
            key: [thing.get(key) for thing in present] for key in (*node.columns, *node.nodes, *node.dropped)
        }
    elif not found.keys() <= node.known:
        for index, thing in enumerate(objects):
            if thing is not None:
                odd(index)
    for key, places in node.columns.items():
        if key in found:
            for place in places:
                cells[place] = found[key]
    for key in node.dropped & found.keys():
        for index, data in enumerate(found[key]):
            if data is not None and not _rows_of_others(data):
                odd(index)
    for key, inner in node.nodes.items():
        inside = found.get(key, ())
        kinds = set(map(type, inside))
        if kinds - _OBJECTS:
            for index, value in enumerate(inside):
                if type(value) not in _OBJECTS:
                    odd(index)
            inside = [value if type(value) is dict else None for value in inside]
        if dict in kinds:
            _read(inner, inside, cells, odd)


def _alike(objects: Sequence[Mapping[str, Any] | None]) -> dict[str, Sequence[Any]] | None:
    """The values of each member where all objects have the same members, as those of a list of Stripe's mostly have.

    A third of the time of asking each object for each member; None where they differ.
    """
    first = next((thing for thing in objects if thing is not None), None)
    if not first:
        return None
    get = itemgetter(*first) if len(first) > 1 else lambda thing: (thing[next(iter(first))],)
    nothing = (None,) * len(first)
    try:
        rows = [nothing if thing is None else get(thing) for thing in objects]
    except KeyError:
        return None
    sizes = {len(first) if thing is None else len(thing) for thing in objects}
    return None if len(sizes) > 1 else dict(zip(first, zip(*rows, strict=True), strict=True))


_OBJECTS = frozenset({dict, type(None)})


def _unknown(data: Mapping[str, Any], node: _Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Members that no column reads, with their path: unknown names, and known objects that came as something else."""
    for key, value in data.items():
        if key in node.nodes:
            if isinstance(value, dict):
                yield from _unknown(value, node.nodes[key], (*path, key))
            elif value is not None and key not in node.columns:
                yield (*path, key), value
        elif value is not None and key not in node.columns and not (key in node.dropped and _rows_of_others(value)):
            yield (*path, key), value


# ---- fitting values to types


def _microseconds(value: Any) -> int | None:
    """Microseconds since 1970 of a unix time, an RFC 3339 text, or a unix time in text; None if it is none of them."""
    micro = 0
    if isinstance(value, str):
        if match := _RFC3339.fullmatch(value):
            zone = (match[3] or "Z").upper().replace("Z", "+00:00")
            try:
                moment = datetime.fromisoformat(match[1] + zone)
            except ValueError:
                return None
            value = (moment - EPOCH) // timedelta(seconds=1)
            micro = int((match[2] or "")[:6].ljust(6, "0"))
        else:
            value = _integer(value)
    elif type(value) is float and value.is_integer():
        value = int(value)
    return value * 1_000_000 + micro if type(value) is int and value in _SECONDS else None


def _integer(text: str) -> int | None:
    """The integer that a text is, if it is nothing but that."""
    return int(text) if re.fullmatch(r"0|-?[1-9]\d{0,18}", text, re.ASCII) else None


def _decimal(value: Any, precision: int, scale: int) -> Decimal | None:
    """The exact decimal, or None where precision and scale would cut it."""
    if type(value) not in (str, int, float) or not _NUMBER.fullmatch(text := str(value)):
        return None
    number = Decimal(text)
    exponent = int(number.as_tuple().exponent)
    return None if -exponent > scale or number.adjusted() >= precision - scale else number


def fit(value: Any, column: Column) -> Any:
    """The value as the column's type holds it (timestamps: microseconds), or None where something would be lost."""
    kind = column.data_type
    if kind == "json":
        return dumps(value)
    if kind == "text":
        if type(value) is str:
            return clean(value)
        return dumps(value) if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)) else None
    if kind == "timestamp":
        return _microseconds(value)
    if kind == "decimal":
        return _decimal(value, *_digits(column))
    if kind == "bool":
        return value if type(value) is bool else None
    if kind == "double":
        return float(value) if type(value) is float or (type(value) is int and abs(value) <= 2**53) else None
    if type(value) is str:
        value = _integer(value)  # 64-bit integers of /v2/ travel as text
    elif type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT64 else None


def _digits(column: Column) -> tuple[int, int]:
    """Precision and scale of a decimal column."""
    return column.precision or 38, 12 if column.scale is None else column.scale


def _nothing(held_as: pa.DataType, length: int) -> pa.Array:
    """Nulls; batches share them, as far as they go."""
    import pyarrow as pa

    if length > PAGE_OF_NULLS:
        return pa.nulls(length, held_as)
    if held_as not in _nulls:
        _nulls[held_as] = pa.nulls(PAGE_OF_NULLS, held_as)
    return _nulls[held_as].slice(0, length)


PAGE_OF_NULLS = 4_096
_nulls: dict[pa.DataType, pa.Array] = {}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    return _arrow_type(column.data_type, *_digits(column))


@cache
def _arrow_type(data_type: str, precision: int, scale: int) -> pa.DataType:
    import pyarrow as pa

    return {
        "text": pa.string(), "json": pa.string(), "bigint": pa.int64(), "bool": pa.bool_(), "double": pa.float64(),
        "timestamp": pa.timestamp("us", tz="UTC"), "decimal": pa.decimal128(precision, scale),
    }[data_type]


def _has_nul(array: pa.Array) -> bool:
    """Whether there is NUL in an array of text that was just made: 1 microsecond for 10 kB of it."""
    offsets, data = array.buffers()[1:]
    if data is None:
        return False
    end = int.from_bytes(memoryview(offsets)[4 * len(array):4 * len(array) + 4], "little")
    return b"\0" in bytes(memoryview(data)[:end])


def _array(values: Sequence[Any], column: Column, misfit: Callable[[int, Any], Any]) -> pa.Array:
    """An Arrow array of the column's type, with misfit(index, value) in place of a value that it cannot hold."""
    import pyarrow as pa

    kind, held_as = column.data_type, arrow_type(column)
    if not values or (values[0] is None and values.count(None) == len(values)):  # most columns of a wide table
        return _nothing(held_as, len(values))
    plain = _PLAIN.get(kind)
    if kind == "text" or (plain is not None and plain.issuperset(map(type, values))):
        try:
            if kind != "timestamp":
                made = pa.array(values, held_as)
                if kind != "text" or not _has_nul(made):
                    return made
                raise UnicodeError("NUL")
            there = [second for second in values if second is not None]
            if min(there) in _SECONDS and max(there) in _SECONDS:
                return pa.array(values, pa.int64()).view(pa.timestamp("s", tz="UTC")).cast(held_as)
        except (OverflowError, UnicodeError, pa.ArrowTypeError):
            pass  # too large, no text, or text that is not what destinations take: one by one
    fitted: list[Any] = []
    for index, value in enumerate(values):
        held = None if value is None else fit(value, column)
        if held is None and value is not None:
            held = misfit(index, value)
        fitted.append(held)
    if kind == "timestamp":
        return pa.array(fitted, pa.int64()).cast(held_as)
    return pa.array(fitted, held_as)


# ---- batches


@dataclass
class Rows:
    """Rows of one table.

    Args:
        table: an Arrow table; all declared columns are there, in their order, then inferred ones.
        inferred: the columns of it that the map does not declare.
        discarded: fingerprints of rows that the contract keeps out.
        left_out: fields that the contract keeps out, with the number of their values, whole rows included.
    """

    table: pa.Table
    inferred: tuple[Column, ...] = ()
    discarded: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@cache
def _reading(shape: TableMap) -> tuple[tuple[Column, ...], _Node]:
    """The columns that are read from objects, and where they are."""
    read = tuple(column for column in shape.columns if column.path is not None)
    return read, _tree(read, shape.children)


@cache
def loose_schema(shape: TableMap) -> pa.Schema:
    """The schema of what `RowMaker.loose` makes: the declared columns, and `LOOSE`."""
    import pyarrow as pa

    fields = [pa.field(column.name, arrow_type(column), nullable=column.nullable) for column in shape.columns]
    return pa.schema([*fields, pa.field(LOOSE, pa.string())])


def packed(loose: pa.Table) -> pa.Buffer:
    """Rows as `RowMaker.loose` makes them, as an Arrow stream without the columns in which there is nothing."""
    import pyarrow as pa

    some = loose.select([place for place, column in enumerate(loose.columns) if column.null_count < len(column)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, some.schema) as stream:
        stream.write_table(some)
    return sink.getvalue()


def unpacked_rows(stream: bytes, shape: TableMap) -> pa.Table:
    """The rows that `packed` made a stream of."""
    import pyarrow as pa

    some = pa.ipc.open_stream(pa.py_buffer(stream)).read_all()
    schema, there = loose_schema(shape), set(some.column_names)
    columns = [
        some.column(name) if name in there else _nothing(held_as, some.num_rows)
        for name, held_as in zip(schema.names, schema.types, strict=True)
    ]
    return pa.table(columns, schema=schema)


class RowMaker:
    """Makes the rows of one table. Remembers the type of each inferred column, so that what comes later agrees.

    Args:
        shape: the map of the table.
        known: columns that the destination has already, as dlt column schemas by name: an undeclared one among them
            keeps its type.
        normalize: dlt's naming convention, without a limit on the length: a path of names -> a column name.
        contract: what may become of new columns.
    """

    def __init__(
        self,
        shape: TableMap,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        normalize: Callable[[Sequence[str]], str] = "__".join,
        contract: Contract = ANYTHING,
    ) -> None:
        self.shape = shape
        self.contract = contract
        self._normalize = normalize
        self._read, self._tree = _reading(shape)
        self._objects = set(_objects(self._tree))
        self._declared = {column.name for column in shape.columns}
        self._origin: dict[str, Path] = {}  # of the columns that are not declared: whose values they hold
        self.inferred: dict[str, Column] = {}
        self._foreign: set[str] = set()  # names that are taken
        for name, hint in (known or {}).items():
            if name not in self._declared and "data_type" in hint:
                column = Column(
                    name, hint["data_type"], None, precision=hint.get("precision"), scale=hint.get("scale"),
                    hints={FIELD: hint[FIELD]} if FIELD in hint else {},
                )
                if name == UNMAPPED or column.data_type in MADE:
                    self.inferred[name] = column
                    if FIELD in hint:
                        self._origin[name] = tuple(json.loads(hint[FIELD]))
                else:
                    self._foreign.add(name)
        self._here = frozenset(self.inferred)
        self._names = self._declared | self.inferred.keys()
        self._absent = [
            column for column in shape.columns
            if known and contract.columns != EVOLVE and column.name not in known and column.path is not None
        ]

    def rows(
        self, events: Sequence[WAEvent], load_id: str | None = None, fingerprints: Sequence[str] | None = None
    ) -> Rows:
        """Rows of a batch of WAEvents of this table, one for each, in order.

        Args:
            events: WAEvents of this table.
            load_id: the dlt load that they travel in.
            fingerprints: of the events, where they are known already.
        """
        return self.settle(self.loose(events, load_id, fingerprints))

    def loose(
        self, events: Sequence[WAEvent], load_id: str | None = None, fingerprints: Sequence[str] | None = None
    ) -> pa.Table:
        """Rows as those of `rows`, but for what no declared column holds: that waits in the column `LOOSE`.

        It decides nothing and remembers nothing, so that it may be called in any thread. The tables of all batches
        have the same columns.
        """
        import pyarrow as pa

        odd: set[int] = set()
        columns: _Cells = [None] * len(self._read)
        _read(self._tree, [event.data for event in events], columns, odd.add)
        waiting: dict[int, list[tuple[Path, Any]]] = {}
        for index in sorted(odd):
            found = [(path, pack(value, path, self.shape.json_kinds))
                     for path, value in _unknown(events[index].data, self._tree)]
            waiting[index] = [each for each in found if each[1] is not None and not is_empty(each[1])]

        def fitted(column: Column, cells: Sequence[Any]) -> pa.Array:
            def misfit(index: int, value: Any) -> Any:
                if column.data_type == "text" and isinstance(value, dict) and isinstance(value.get("id"), str):
                    if len(value) > 1:
                        waiting.setdefault(index, []).append(((ASIDE, column.name, "expanded"), as_json(value)))
                    return clean(value["id"])
                waiting.setdefault(index, []).append(((ASIDE, column.name, "v_json"), as_json(value)))
                return None

            return _array(cells, column, misfit)

        arrays = {
            column.name: _nothing(arrow_type(column), len(events)) if cells is None else fitted(column, cells)
            for column, cells in zip(self._read, columns, strict=True)
        }
        self._bookkeep(events, arrays, load_id, fingerprints)
        texts = [dumps(waiting[i]) if waiting.get(i) else None for i in range(len(events))] if waiting else None
        arrays[LOOSE] = _nothing(pa.string(), len(events)) if texts is None else pa.array(texts, pa.string())
        schema = loose_schema(self.shape)
        return pa.table([arrays[name] for name in schema.names], schema=schema)

    def settle(self, loose: pa.Table) -> Rows:
        """Decide the columns of what waits, by all rows of a table as `loose` makes them.

        Raises:
            SchemaFrozen: there is something new, and the contract freezes the table.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        texts, table = loose.column(LOOSE), loose.drop_columns([LOOSE])
        settling = _Settling(self)
        for column in self._absent:
            array = table.column(column.name)
            if array.null_count < len(array):
                rows = [index for index, valid in enumerate(array.is_valid().to_pylist()) if valid]
                settling.keep_out(".".join(column.path or ()), self.contract.columns, dict.fromkeys(rows))
            table = table.drop_columns([column.name])
        if texts.null_count < len(texts):
            settling.place(unpacked(texts.to_pylist()))
        if settling.frozen:
            raise SchemaFrozen(self.shape.table.name, settling.frozen)
        inferred = tuple(self.inferred[name] for name in sorted(settling.columns))
        for column in inferred:
            table = table.append_column(
                pa.field(column.name, arrow_type(column)), settling.array(column, table.num_rows)
            )
        if marked := settling.lacking - settling.rows_out:
            place = table.schema.get_field_index("_dlt_id")
            prints = [lacking(print_) if index in marked else print_
                      for index, print_ in enumerate(table.column("_dlt_id").to_pylist())]
            table = table.set_column(place, table.schema.field(place), pa.array(prints, pa.string()))
        discarded: tuple[str, ...] = ()
        if settling.rows_out:
            gone = pa.array([index in settling.rows_out for index in range(table.num_rows)])
            discarded = tuple(table.filter(gone).column("_dlt_id").to_pylist())
            table = table.filter(pc.invert(gone))
            inferred = tuple(c for c in inferred if table.column(c.name).null_count < table.num_rows)
            table = table.select([*(n for n in table.column_names if n in self._declared), *(c.name for c in inferred)])
        return Rows(table, inferred, discarded, settling.left_out)

    def _bookkeep(
        self, events: Sequence[WAEvent], arrays: dict[str, pa.Array], load_id: str | None,
        fingerprints: Sequence[str] | None,
    ) -> None:
        gone = [event.operation == DELETE for event in events]
        prints = fingerprints or [fingerprint(event, deleted) for event, deleted in zip(events, gone, strict=True)]
        cells: dict[str, Sequence[Any]] = {
            "_account_id": [event.account for event in events],
            "_position": [event.position for event in events],
            "_deleted": gone,
            "_deleted_at": [event.time if deleted else None for event, deleted in zip(events, gone, strict=True)],
            "_changed_at": [event.time for event in events],
            "_dlt_load_id": [load_id] * len(events),
            "_dlt_id": prints,
        }
        if pair := pair_column(self.shape.table):
            cells[pair] = [event.pair for event in events]
        for column in self.shape.columns:
            if column.path is None:
                values = cells[column.name] if column.name in cells else [event.parent for event in events]
                arrays[column.name] = _array(values, column, lambda index, value: None)
        for column in self.shape.columns:
            array = arrays[column.name]
            if not column.nullable and array.null_count and column.name != "_dlt_load_id":
                spare = prints if column.data_type == "text" else [0] * len(events)  # Parquet takes no null here
                pairs = zip(array.to_pylist(), spare, strict=True)
                cells_ = [one if one is not None else other for one, other in pairs]
                arrays[column.name] = _array(cells_, column, lambda index, value: None)


class _Settling:
    """One decision of where values go that no declared column holds.

    Args:
        maker: whose columns it adds to.
    """

    def __init__(self, maker: RowMaker) -> None:
        self._maker = maker
        self.columns: dict[str, Cells] = {}
        self._unmapped: dict[int, dict[str, Any]] = {}
        self.frozen: list[str] = []  # fields that are new
        self.rows_out: set[int] = set()
        self.lacking: set[int] = set()  # rows without a value that they had
        self.left_out: dict[str, int] = {}

    def place(self, waiting: Iterable[tuple[int, Path, Any]]) -> None:
        """Find the column of each value."""
        found: dict[Path, Cells] = {}
        beside: dict[Path, Cells] = {}
        twice: list[tuple[int, Path, Any]] = []
        for row, path, packed in waiting:
            cells = (beside if path[0] == ASIDE and len(path) == 3 else found).setdefault(path, {})
            if row in cells:
                twice.append((row, path, packed))  # names that differ in what text cannot hold
            else:
                cells[row] = packed
        spelled = self._maker._normalize
        for path in sorted(found, key=lambda path: spelled(path) != "__".join(path)):
            self._field(path, found[path])
        for path, cells in beside.items():
            self._aside(path[1], path[2], cells)
        for row, path, packed in twice:
            self._unmap(path, {row: packed}, self._maker.contract.columns)
        for name in list(self.columns):
            self._fit(name)
        if self._unmapped:
            self.columns[UNMAPPED] = {
                row: {"j": "{" + ",".join(f"{dumps(key)}:{text_of(value)}" for key, value in fields.items()) + "}",
                      "e": False}
                for row, fields in self._unmapped.items()
            }

    def _field(self, path: Path, cells: Cells) -> None:
        """Find the column, or the columns, of a field."""
        cells = {row: packed for row, packed in cells.items() if not is_empty(packed)}
        if not cells:
            return  # nothing in it, and nothing to tell its type
        maker = self._maker
        name = maker._normalize(path)
        objects = {row: packed for row, packed in cells.items() if isinstance(packed, list)}
        others = {row: packed for row, packed in cells.items() if row not in objects}
        if name not in maker.inferred and (name not in maker._declared or path in maker._objects):
            inside = path in maker._objects or any(
                maker._origin[known][:len(path)] == path if known in maker._origin else known.startswith(f"{name}__")
                for known in maker.inferred
            )
            if inside or (not others and self._flattens(objects)):
                for key, inner in members(objects).items():
                    self._field((*path, key), inner)
                if others:
                    self._aside(name, "v_json", others)
                return
        self._put(name, path, ".".join(path), path, cells, maker.contract.columns)

    def _flattens(self, objects: Cells) -> bool:
        leaves = leaf_paths(objects.values())
        fields = all(_FIELD.fullmatch(step) for path in leaves for step in path)
        return fields and len(leaves) <= MAX_LEAVES and len(self._maker._names) + len(leaves) <= MAX_COLUMNS

    def _aside(self, column: str, suffix: str, cells: Cells) -> None:
        """Keep values in JSON beside a column."""
        maker = self._maker
        mode = maker.contract.data_type if suffix == "v_json" else maker.contract.columns
        name, origin = maker._normalize([f"{column}__{suffix}"]), ("\0", column, suffix)
        self._put(name, origin, f"{column}.{suffix}", (column, suffix), cells, mode)

    def _put(self, name: str, origin: Path, dotted: str, path: Path, cells: Cells, mode: str) -> None:
        """Put values into the column of that name, or where that cannot be, under their path into `_unmapped`."""
        maker = self._maker
        claimed = maker._origin.get(name) == origin
        if not claimed and name not in maker._origin:
            claimed = not (
                not name or name in maker._declared or name in maker._foreign or name == UNMAPPED
                or name.startswith("_dlt") or clean(name) != name
            ) and (name in maker._names or (len(maker._names) < MAX_COLUMNS and len(name.encode()) <= MAX_NAME))
            if claimed and name not in maker.inferred and mode != EVOLVE:
                self.keep_out(dotted, mode, cells)
                return
        if not claimed:
            self._unmap(path, cells, mode)
            return
        maker._names.add(name)
        maker._origin[name] = origin
        if name not in maker.inferred:
            kind = "json" if origin[0] == "\0" else type_of(cells.values())
            maker.inferred[name] = Column(name, kind, None, hints={FIELD: json.dumps(origin)})
        self.columns.setdefault(name, {}).update(cells)

    def _unmap(self, path: Path, cells: Cells, mode: str) -> None:
        if UNMAPPED not in self._maker.inferred:
            if mode != EVOLVE:
                self.keep_out(".".join(path), mode, cells)
                return
            self._maker.inferred[UNMAPPED] = Column(UNMAPPED, "json", None)
        for row, packed in cells.items():
            fields = self._unmapped.setdefault(row, {})
            key = ".".join(path)
            while key in fields:  # a key with a dot in it
                key = dumps([key])
            fields[key] = packed

    def _fit(self, name: str) -> None:
        """Take what the column's type cannot hold out of it."""
        column = self._maker.inferred[name]
        if column.data_type == "json":
            return
        misfits: dict[str, Cells] = {}
        held: Cells = {}
        for row, packed in self.columns[name].items():
            if (value := fit(packed, column)) is not None:
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

    def keep_out(self, dotted: str, mode: str, cells: Cells) -> None:
        """The contract does not take these values."""
        if mode == FREEZE:
            self.frozen.append(dotted)
        if mode == DISCARD_ROW:
            self.rows_out.update(cells)
        if mode == DISCARD_VALUE:
            self.lacking.update(cells)
        self.left_out[dotted] = self.left_out.get(dotted, 0) + len(cells)


def _objects(node: _Node, path: Path = ()) -> Iterator[Path]:
    """The paths of the objects that have columns inside."""
    for key, inner in node.nodes.items():
        if inner.columns or inner.nodes:
            yield (*path, key)
        yield from _objects(inner, (*path, key))


def lacking(print_: str) -> str:
    """The fingerprint of a row some of whose values the contract kept out: once they are wanted, the row differs."""
    return b2a_base64(hashlib.blake2b(f"{print_}\0lacking".encode(), digest_size=15).digest(), newline=False).decode()
