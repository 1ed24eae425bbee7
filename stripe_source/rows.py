"""From WAEvents to rows: compiled extractors that make one Arrow table of a batch, with every value that Stripe sent.

Rules, the same for every table:

- A declared column gets the value at its path. A reference gets the id, expanded or not; what came expanded beside the
  id is kept in `<column>__expanded` (JSON).
- A value that its column cannot hold (text in a bigint, an object in a text column) is converted when nothing is lost,
  and otherwise kept as JSON in `<column>__v_json` while the declared column stays null.
- A field that the map does not know becomes a column of its own: scalars by dlt's types, small objects flattened with
  `__`, lists and open maps as JSON. What cannot be a column (a name that collides or is too long) goes to the JSON
  column `_unmapped`.

The hot loop is `_compile`: it looks the way it does because at 30 microseconds a row every call counts;
`plain_values` is the readable version that a test compares it with.
"""
from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from stripe_source.schema_map import Column, TableMap
from stripe_source.waevent import DELETE, WAEvent

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MAX_COLUMNS = 250  # the contract's bound: unknown objects stay JSON where flattening would pass it
MAX_NAME = 63  # bytes; Postgres cuts longer identifiers
MAX_LEAVES = 20  # an unknown object with more leaves than this stays JSON
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_SCALAR = {bool: "bool", int: "bigint", float: "double", str: "text"}
_PLAIN: dict[str, frozenset[type]] = {  # Python types that Arrow takes as they are, by data type
    "text": frozenset({str, type(None)}),
    "bigint": frozenset({int, type(None)}),
    "timestamp": frozenset({int, type(None)}),
    "bool": frozenset({bool, type(None)}),
    "double": frozenset({float, type(None)}),
}
_INT64 = range(-(2**63), 2**63)
_LAST_SECOND = int((datetime(9999, 12, 31, tzinfo=timezone.utc) - EPOCH).total_seconds())


def dumps(value: Any) -> str:
    """JSON text of a value, also where an integer passes 64 bits."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fingerprint(event: WAEvent, deleted: bool) -> str:
    """What `_dlt_id` holds: 20 characters that change when the row's key or content does, and not otherwise.

    The time of reading is left out, so that an object read again unchanged has the fingerprint it had.
    """
    try:
        content = orjson.dumps(event.data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        content = json.dumps(event.data, sort_keys=True).encode()
    digest = hashlib.blake2b(content, digest_size=15)
    digest.update(f"\0{event.table}\0{event.account}\0{event.parent}\0{event.position}\0{deleted}".encode())
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


_Extractor = Callable[[Sequence[Mapping[str, Any]], Callable[[int], None]], list[tuple[Any, ...]]]


def _compile(root: _Node, width: int) -> _Extractor:
    """A function (objects, odd) -> one tuple of values per object; calls odd(index) for each with more than we know."""
    scope: dict[str, Any] = {"nothing": {}.get}
    lines = ["def extract(objects, odd):", " rows = []", " for i, o in enumerate(objects):"]
    slots = [""] * width
    counter = iter(range(10**6))

    def visit(node: _Node, getter: str, name: str) -> None:
        scope[f"known_{name}"] = node.known.issuperset
        for key, indexes in node.columns.items():
            if key in node.nodes:  # also an object with columns inside: read once
                continue
            for index in indexes:
                slots[index] = f"{getter}({key!r})"
        for key, inner in node.nodes.items():
            sub = f"n{next(counter)}"
            lines.append(f"  {sub} = {getter}({key!r})")
            for index in node.columns.get(key, ()):
                slots[index] = sub
            lines.append(f"  if {sub}.__class__ is dict:")
            scope[f"known_{sub}"] = inner.known.issuperset
            lines.append(f"   if not known_{sub}({sub}): odd(i)")
            lines.append(f"   g{sub} = {sub}.get")
            lines.append("  else:")
            lines.append(f"   if {sub} is not None: odd(i)")
            lines.append(f"   g{sub} = nothing")
            visit(inner, f"g{sub}", sub)

    lines.append("  if not known_root(o): odd(i)")
    lines.append("  g = o.get")
    visit(root, "g", "root")
    lines.append("  rows.append((" + "".join(f"{slot}," for slot in slots) + "))")
    lines.append(" return rows")
    exec(compile("\n".join(lines), "<extractor>", "exec"), scope)  # our own text: keys of a map, quoted by repr
    extract: _Extractor = scope["extract"]
    return extract


def _unknown(data: Mapping[str, Any], node: _Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Members that no column reads, with their path: unknown names, and known objects that came as something else."""
    for key, value in data.items():
        if key in node.nodes:
            if isinstance(value, dict):
                yield from _unknown(value, node.nodes[key], (*path, key))
            elif value is not None and key not in node.columns:
                yield (*path, key), value
        elif key not in node.columns and key not in node.dropped and value is not None:
            yield (*path, key), value


# ---- fitting values to types


def _microseconds(value: Any) -> int | None:
    """Microseconds since 1970 of a unix time, an RFC 3339 text, or a unix time in text; None if it is none of them."""
    if isinstance(value, str):
        if re.fullmatch(r"-?\d{1,12}", value):
            value = int(value)
        elif re.match(r"\d{4}-\d\d-\d\dT", value):
            try:
                text = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), value)
                moment = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text))
            except ValueError:
                return None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            return (moment - EPOCH) // timedelta(microseconds=1)
        else:
            return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or abs(value) > _LAST_SECOND:
        return None
    return int(value) * 1_000_000


def _decimal(value: Any, precision: int, scale: int) -> Decimal | None:
    """The exact decimal, or None where precision and scale would cut it."""
    if type(value) not in (str, int, float):
        return None
    try:
        number = Decimal(str(value))
        exponent = number.as_tuple().exponent
    except InvalidOperation:
        return None
    if not isinstance(exponent, int) or -exponent > scale or number.adjusted() >= precision - scale:
        return None
    return number


def fit(value: Any, column: Column) -> Any:
    """The value as the column's type holds it (timestamps: microseconds), or None where something would be lost."""
    kind = column.data_type
    if kind == "json":
        return dumps(value)
    if kind == "text":
        if type(value) is str:
            return value.encode("utf-8", "replace").decode() if _lone_surrogate(value) else value
        return dumps(value) if type(value) in (int, float, bool) else None
    if kind == "timestamp":
        return _microseconds(value)
    if kind == "decimal":
        return _decimal(value, column.precision or 38, column.scale or 12)
    if kind == "bool":
        return value if type(value) is bool else None
    if kind == "double":
        return float(value) if type(value) is float or (type(value) is int and abs(value) <= 2**53) else None
    if type(value) is str and re.fullmatch(r"-?\d{1,19}", value) and str(int(value)) == value:
        value = int(value)  # 64-bit integers of /v2/ travel as text
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT64 else None


def _lone_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column."""
    import pyarrow as pa

    if column.data_type == "decimal":
        return pa.decimal128(column.precision or 38, column.scale or 12)
    return {
        "text": pa.string(), "json": pa.string(), "bigint": pa.int64(), "bool": pa.bool_(), "double": pa.float64(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }[column.data_type]


def _array(values: Sequence[Any], column: Column, misfit: Callable[[int, Any], Any]) -> pa.Array:
    """An Arrow array of the column's type, with misfit(index, value) in place of a value that it cannot hold."""
    import pyarrow as pa

    kind, held_as = column.data_type, arrow_type(column)
    plain = _PLAIN.get(kind)
    if plain is not None and plain.issuperset(map(type, values)):
        try:
            if kind != "timestamp":
                return pa.array(values, held_as)
            if all(value is None or 0 <= value <= _LAST_SECOND for value in values):
                return pa.array(values, pa.int64()).cast(pa.timestamp("s", tz="UTC")).cast(held_as)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
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


@lru_cache(maxsize=None)
def _extractor(shape: TableMap) -> tuple[tuple[Column, ...], _Node, _Extractor]:
    read = tuple(column for column in shape.columns if column.path is not None)
    tree = _tree(read, shape.children)
    return read, tree, _compile(tree, len(read))


def _infer(values: Iterable[Any]) -> str:
    """The data type that holds all of these values."""
    kinds = set(map(type, values))
    if kinds == {int, float}:
        return "double"
    return _SCALAR.get(kinds.pop(), "json") if len(kinds) == 1 else "json"


def _leaves(value: Any) -> int:
    return sum(map(_leaves, value.values())) if isinstance(value, dict) else 1


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
        self._read, self._tree, self._extract = _extractor(shape)
        self._declared = {column.name for column in shape.columns}
        self._origin: dict[str, tuple[str, ...]] = {}
        self.inferred: dict[str, Column] = {
            name: Column(name, hint["data_type"], None)
            for name, hint in (known or {}).items()
            if name not in self._declared and "data_type" in hint
        }

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
        values = self._extract([event.data for event in events], odd.add)
        columns = list(zip(*values)) if values else [()] * len(self._read)
        extra: dict[str, dict[int, Any]] = {}
        for index in sorted(odd):
            for path, value in _unknown(events[index].data, self._tree):
                self._place(path, value, index, extra)
        arrays = {column.name: self._fit(cells, column, extra) for column, cells in zip(self._read, columns)}
        self._bookkeep(events, arrays, load_id, fingerprints)
        while extra:
            name, cells_at = extra.popitem()
            if name not in self.inferred:
                forced = name.endswith(("__v_json", "__expanded")) or name == "_unmapped"
                self.inferred[name] = Column(name, "json" if forced else _infer(cells_at.values()), None)
            arrays[name] = self._fit([cells_at.get(i) for i in range(len(events))], self.inferred[name], extra)
        inferred = tuple(self.inferred[name] for name in sorted(arrays) if name not in self._declared)
        fields = [pa.field(c.name, arrow_type(c), nullable=c.nullable) for c in (*self.shape.columns, *inferred)]
        return Rows(pa.table([arrays[f.name] for f in fields], schema=pa.schema(fields)), inferred)

    def _fit(self, cells: Sequence[Any], column: Column, extra: dict[str, dict[int, Any]]) -> pa.Array:
        def misfit(index: int, value: Any) -> str | None:
            if column.data_type == "text" and isinstance(value, dict) and isinstance(value.get("id"), str):
                if len(value) > 1:
                    extra.setdefault(f"{column.name}__expanded", {})[index] = value
                return str(value["id"])
            extra.setdefault(f"{column.name}__v_json", {})[index] = value
            return None

        return _array(cells, column, misfit)

    def _place(self, path: tuple[str, ...], value: Any, index: int, extra: dict[str, dict[int, Any]]) -> None:
        """Find the column of a value that no declared column reads."""
        name = self._normalize(path)
        empty = value in ({}, []) and type(value) in (dict, list)
        if empty and name not in self.inferred:
            return  # nothing in it, and nothing to tell its type
        if isinstance(value, dict) and self._flattens(name, path, value):
            for key, inner in value.items():
                if inner is not None:
                    self._place((*path, key), inner, index, extra)
        elif name in self._declared or len(name.encode()) > MAX_NAME or self._origin.setdefault(name, path) != path:
            extra.setdefault("_unmapped", {}).setdefault(index, {})[".".join(path)] = value
        else:
            extra.setdefault(name, {})[index] = value

    def _flattens(self, name: str, path: tuple[str, ...], value: dict[str, Any]) -> bool:
        if name in self.inferred or path[:-1] in self.shape.json_kinds or path[-1] == "metadata":
            return False
        if any(known.startswith(f"{name}__") for known in self.inferred):
            return True
        leaves = _leaves(value)
        width = len(self._declared) + len(self.inferred) + leaves
        return all(map(_FIELD.fullmatch, value)) and leaves <= MAX_LEAVES and width <= MAX_COLUMNS

    def _bookkeep(
        self, events: Sequence[WAEvent], arrays: dict[str, pa.Array], load_id: str | None,
        fingerprints: Sequence[str] | None,
    ) -> None:
        gone = [event.operation == DELETE for event in events]
        cells: dict[str, Sequence[Any]] = {
            "_account_id": [event.account for event in events],
            "_position": [event.position for event in events],
            "_deleted": gone,
            "_deleted_at": [event.time if deleted else None for event, deleted in zip(events, gone)],
            "_changed_at": [event.time for event in events],
            "_dlt_load_id": [load_id] * len(events),
            "_dlt_id": fingerprints or [fingerprint(event, deleted) for event, deleted in zip(events, gone)],
        }
        for column in self.shape.columns:
            if column.path is None:
                values = cells.get(column.name) or [event.parent for event in events]
                arrays[column.name] = _array(values, column, lambda index, value: None)
