"""From WAEvents to rows: compiled extractors that make one Arrow table of a batch, with every value that Stripe sent.

Rules, the same for every table:

- A declared column gets the value at its path. A reference gets the id, expanded or not; what came expanded beside the
  id is kept in `<column>__expanded` (JSON).
- A value that its column cannot hold (text in a bigint, an object in a text column) is converted when nothing is lost,
  and otherwise kept as JSON in `<column>__v_json` while the declared column stays null. Of a time, what is finer than a
  microsecond is cut.
- A field that the map does not know becomes a column of its own: scalars by dlt's types, small objects flattened with
  `__`, lists and open maps as JSON. What cannot be a column (a name that collides or is too long, or no room in the
  table) goes to the JSON column `_unmapped`, under its dotted path.
- What no destination can hold is made so that it can: half a surrogate pair becomes U+FFFD, NaN in JSON null, and an
  object without its key is keyed by its fingerprint.

The hot loop is `_read`: it goes by columns because at 10 microseconds a row every call counts; `plain_values` is the
readable version that a test compares it with.
"""
from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from stripe_source.schema_map import Column, TableMap
from stripe_source.tables import pair_column
from stripe_source.waevent import DELETE, WAEvent

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MAX_COLUMNS = 250  # the contract's bound: unknown objects stay JSON where flattening would pass it
MAX_NAME = 63  # bytes; Postgres cuts longer identifiers
MAX_LEAVES = 20  # an unknown object with more leaves than this stays JSON
MAX_DEPTH = 8  # likewise one that is further inside
UNMAPPED = "_unmapped"
_ASIDE = "\0"  # origin of what is kept beside a column; no path of Stripe's starts with it, and none is this long
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_SCALAR = {bool: "bool", int: "bigint", float: "double", str: "text"}
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


def dumps(value: Any) -> str:
    """JSON text of a value, whatever its depth and however long its integers."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # more than 64 bits, deeper than 254 levels, or half a surrogate pair
        return _unicode("".join(_pieces(value)))


def _pieces(value: Any, ordered: bool = False) -> Iterator[str]:
    """The parts of the JSON text of a value, without recursion: Python's stack is shallow, and values may nest deep."""
    stack: list[tuple[bool, Any]] = [(False, value)]  # whether it is text already, and what
    while stack:
        ready, here = stack.pop()
        if ready:
            yield here
        elif isinstance(here, (dict, list)):
            opening, closing = "{}" if isinstance(here, dict) else "[]"
            parts: list[tuple[bool, Any]] = [(True, opening)]
            members = here.items() if isinstance(here, dict) else ((None, inner) for inner in here)
            for place, (key, inner) in enumerate(sorted(members) if ordered and isinstance(here, dict) else members):
                name = "" if key is None else json.dumps(key, ensure_ascii=False) + ":"
                parts += [(True, ("," if place else "") + name), (False, inner)]
            stack += reversed([*parts, (True, closing)])
        elif isinstance(here, float) and not math.isfinite(here):
            yield "null"
        else:
            yield json.dumps(here, ensure_ascii=False)


def _unicode(text: str) -> str:
    """The text with U+FFFD in place of halves of surrogate pairs, which no destination takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def fingerprint(event: WAEvent, deleted: bool) -> str:
    """What `_dlt_id` holds: 20 characters that change when the row's key or content does, and not otherwise.

    The time of reading is left out, so that an object read again unchanged has the fingerprint it had.
    """
    try:
        content = orjson.dumps(event.data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        content = "".join(_pieces(event.data, ordered=True)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(content, digest_size=15)
    whose = f"\0{event.table}\0{event.account}\0{event.parent}\0{event.position}\0{event.pair}\0{deleted}"
    digest.update(whose.encode("utf-8", "surrogatepass"))
    return base64.b64encode(digest.digest()).decode()


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
_Cells = list["list[Any] | None"]


def _read(node: _Node, objects: Sequence[Mapping[str, Any]], cells: _Cells, odd: Callable[[int], None]) -> None:
    """Read objects column by column: of most objects inside of objects there is none in a batch, and nothing to read.

    Args:
        node: what is read of them.
        objects: all of one place; empty ones where there is none.
        cells: receives the values of each column; None stays where all are null.
        odd: called with the index of each object that has more than we know.
    """
    known = node.known.issuperset
    for index in [index for index, thing in enumerate(objects) if not known(thing)]:
        odd(index)
    for key, places in node.columns.items():
        values = _all(key, objects)
        for place in places:
            cells[place] = values
    for key in node.dropped:
        for index, thing in enumerate(objects):
            if (data := thing.get(key)) is not None and not _rows_of_others(data):
                odd(index)
    for key, inner in node.nodes.items():
        places = node.columns.get(key, [])
        found = (cells[places[0]] if places else None) or _all(key, objects)
        kinds = set(map(type, found))
        if kinds - _OBJECTS:
            for index, value in enumerate(found):
                if type(value) not in _OBJECTS:
                    odd(index)
        if dict in kinds:
            whole = kinds == {dict}
            inside = found if whole else [value if type(value) is dict else _EMPTY for value in found]
            _read(inner, inside, cells, odd)


def _all(key: str, objects: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One member of each object, None where there is none. Stripe sends members that are null as well."""
    try:
        return [thing[key] for thing in objects]  # half the time of the other way
    except KeyError:
        return [thing.get(key) for thing in objects]


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
            return _unicode(value)
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


def _array(values: Sequence[Any], column: Column, misfit: Callable[[int, Any], Any]) -> pa.Array:
    """An Arrow array of the column's type, with misfit(index, value) in place of a value that it cannot hold."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, held_as = column.data_type, arrow_type(column)
    if values.count(None) == len(values):  # most columns of a wide table, and twice as fast as looking at types
        return _nothing(held_as, len(values))
    types = set(map(type, values))
    plain = _PLAIN.get(kind)
    if plain is not None and types <= plain:
        try:
            if kind != "timestamp":
                return pa.array(values, held_as)
            seconds = pa.array(values, pa.int64())
            ends = pc.min_max(seconds)
            if ends["min"].as_py() in _SECONDS and ends["max"].as_py() in _SECONDS:
                return seconds.cast(pa.timestamp("s", tz="UTC")).cast(held_as)
        except (OverflowError, UnicodeEncodeError):
            pass  # too large, or text that is not text: one by one
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
    """A batch of rows of one table.

    Args:
        table: an Arrow table; all declared columns are there, in their order, then inferred ones.
        inferred: the columns of it that the map does not declare.
    """

    table: pa.Table
    inferred: tuple[Column, ...] = ()


@cache
def _reading(shape: TableMap) -> tuple[tuple[Column, ...], _Node]:
    """The columns that are read from objects, and where they are."""
    read = tuple(column for column in shape.columns if column.path is not None)
    return read, _tree(read, shape.children)


def _infer(values: Iterable[Any]) -> str:
    """The data type that holds all of these values."""
    kinds = set(map(type, values))
    if kinds == {int, float}:
        return "double"
    return _SCALAR.get(kinds.pop(), "json") if len(kinds) == 1 else "json"


def _leaves(value: Any) -> int:
    """The number of leaves, counted until they are too many."""
    count, stack = 0, [value]
    while stack and count <= MAX_LEAVES:
        here = stack.pop()
        if isinstance(here, dict):
            stack.extend(here.values())
        else:
            count += 1
    return count


_Extra = dict[str, dict[int, Any]]  # column -> index of row -> value


class RowMaker:
    """Makes the rows of one table. Remembers the type of each inferred column, so that batches agree.

    Args:
        shape: the map of the table.
        known: columns that the destination has already, as dlt column schemas by name: an undeclared one among them
            keeps its type.
        normalize: dlt's naming convention: a path of names -> a column name.
    """

    def __init__(
        self,
        shape: TableMap,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        normalize: Callable[[Sequence[str]], str] = "__".join,
    ) -> None:
        self.shape = shape
        self._normalize = normalize
        self._read, self._tree = _reading(shape)
        self._declared = {column.name for column in shape.columns}
        self._origin: dict[str, tuple[str, ...]] = {}  # of the columns that are not declared: whose values they hold
        self.inferred: dict[str, Column] = {}
        self._foreign = {UNMAPPED}  # names that are taken
        for name, hint in (known or {}).items():
            if name not in self._declared and "data_type" in hint:
                column = Column(name, hint["data_type"], None, precision=hint.get("precision"), scale=hint.get("scale"))
                if name == UNMAPPED or column.data_type in MADE:
                    self.inferred[name] = column
                else:
                    self._foreign.add(name)
        self._names = self._declared | self.inferred.keys()

    def rows(
        self, events: Sequence[WAEvent], load_id: str | None = None, fingerprints: Sequence[str] | None = None
    ) -> Rows:
        """Rows of a batch of WAEvents of this table, one for each, in order.

        Args:
            events: WAEvents of this table.
            load_id: the dlt load that they travel in.
            fingerprints: of the events, where they are known already.
        """
        import pyarrow as pa

        odd: set[int] = set()
        columns: _Cells = [None] * len(self._read)
        _read(self._tree, [event.data for event in events], columns, odd.add)
        extra: _Extra = {}
        for index in sorted(odd):
            for path, value in _unknown(events[index].data, self._tree):
                self._place(path, value, index, extra)
        arrays = {
            column.name: _nothing(arrow_type(column), len(events)) if cells is None else self._fit(cells, column, extra)
            for column, cells in zip(self._read, columns, strict=True)
        }
        self._bookkeep(events, arrays, load_id, fingerprints)
        while extra:
            name = next((name for name in extra if name != UNMAPPED), UNMAPPED)  # the others may add to that one
            cells_at = extra.pop(name)
            if name not in self.inferred:
                forced = name == UNMAPPED or self._origin[name][0] == _ASIDE
                self.inferred[name] = Column(name, "json" if forced else _infer(cells_at.values()), None)
            arrays[name] = self._fit([cells_at.get(i) for i in range(len(events))], self.inferred[name], extra)
        inferred = tuple(self.inferred[name] for name in sorted(arrays) if name not in self._declared)
        fields = [pa.field(c.name, arrow_type(c), nullable=c.nullable) for c in (*self.shape.columns, *inferred)]
        return Rows(pa.table([arrays[f.name] for f in fields], schema=pa.schema(fields)), inferred)

    def _fit(self, cells: Sequence[Any], column: Column, extra: _Extra) -> pa.Array:
        def aside(suffix: str, index: int, value: Any) -> None:
            path = (_ASIDE, column.name, suffix)
            self._put(self._normalize([f"{column.name}__{suffix}"]), path, (column.name, suffix), value, index, extra)

        def misfit(index: int, value: Any) -> Any:
            if column.data_type == "text" and isinstance(value, dict) and isinstance(value.get("id"), str):
                if len(value) > 1:
                    aside("expanded", index, value)
                return _unicode(value["id"])
            aside("v_json", index, value)
            return None

        return _array(cells, column, misfit)

    def _place(self, path: tuple[str, ...], value: Any, index: int, extra: _Extra) -> None:
        """Find the column of a value that no declared column reads."""
        name = self._normalize(path)
        empty = value in ({}, []) and type(value) in (dict, list)
        if empty and name not in self.inferred:
            return  # nothing in it, and nothing to tell its type
        if isinstance(value, dict) and self._flattens(name, path, value):
            for key, inner in value.items():
                if inner is not None:
                    self._place((*path, key), inner, index, extra)
        else:
            self._put(name, path, path, value, index, extra)

    def _put(
        self, name: str, origin: tuple[str, ...], path: tuple[str, ...], value: Any, index: int, extra: _Extra
    ) -> None:
        """Put a value into the column of that name, or where that cannot be, under its path into `_unmapped`."""
        if self._claimed(name, origin):
            extra.setdefault(name, {})[index] = value
            return
        unmapped = extra.setdefault(UNMAPPED, {}).setdefault(index, {})
        key = ".".join(path)
        while key in unmapped:  # a key with a dot in it
            key = dumps([key])
        unmapped[key] = value

    def _claimed(self, name: str, origin: tuple[str, ...]) -> bool:
        """Whether a column of that name is, or now becomes, the one for values of this origin."""
        if name in self._origin:
            return self._origin[name] == origin
        if not name or name in self._declared or name in self._foreign or _unicode(name) != name:
            return False
        if name not in self._names and (len(self._names) >= MAX_COLUMNS or len(name.encode()) > MAX_NAME):
            return False
        self._names.add(name)
        self._origin[name] = origin
        return True

    def _flattens(self, name: str, path: tuple[str, ...], value: dict[str, Any]) -> bool:
        if name in self.inferred or path[:-1] in self.shape.json_kinds or path[-1] == "metadata":
            return False
        if len(path) > MAX_DEPTH:
            return False
        if any(known.startswith(f"{name}__") for known in self.inferred):
            return True
        leaves = _leaves(value)
        return all(map(_FIELD.fullmatch, value)) and leaves <= MAX_LEAVES and len(self._names) + leaves <= MAX_COLUMNS

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
