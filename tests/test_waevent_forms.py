"""WAEvents in Striim's form: written and read back in every dialect, as an independent reader understands them."""
from __future__ import annotations

import base64
import io
import json
import random
import uuid
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stripe_source.waevent_forms.avro_form import event_of_record, read_avro, write_avro
from stripe_source.waevent_forms.form import (
    BadWAEvent,
    StriimWAEvent,
    bitmap,
    bitmap_of_text,
    milliseconds,
    named_values,
    present,
    type_uuid,
)
from stripe_source.waevent_forms.json_form import (
    event_of_json,
    json_text,
    json_texts,
    operation_of,
    positional,
    sysout_text,
)
from stripe_source.waevent_forms.rows import values_json
from stripe_source.waevent_forms.scan import json_objects

NAMES = ["id", "amount", "paid", "rate", "note", "metadata", "created", "customer", "fee"]
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
CELLS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False,
                  allow_infinity=False), TEXTS)
ROWS = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, CELLS))
BITS = st.lists(st.booleans(), min_size=9, max_size=9).filter(any).map(bitmap)


@st.composite
def waevents(draw: st.DrawFn) -> StriimWAEvent:
    metadata = {"TableName": draw(TEXTS), "OperationName": draw(st.sampled_from(["SELECT", "UPDATE", "DELETE"])),
                "TimeStamp": draw(st.integers(0, 2**41)), "ColumnCount": 9, "PK_UPDATE": False}
    return StriimWAEvent(
        metadata, draw(ROWS), draw(st.none() | ROWS), draw(st.none() | st.dictionaries(TEXTS, CELLS, max_size=2)),
        draw(st.none() | BITS), draw(st.none() | BITS), draw(st.none() | st.uuids().map(str)),
    )


def as_python_sees_it(text: str) -> dict[str, Any]:
    """A WAEvent, read by the standard library alone, its bitmaps as sets of columns."""
    found = json.loads(text)
    for name in ("dataPresenceBitMap", "beforePresenceBitMap"):
        bits = found[name] and base64.b64decode(found[name])
        found[name] = bits and {7 * byte + bit for byte in range(len(bits)) for bit in range(7) if bits[byte] & 2**bit}
    return dict(found)


def said(event: StriimWAEvent) -> dict[str, Any]:
    """What it is to say, by an arithmetic of its own."""
    def columns(bits: bytes | None) -> set[int] | None:
        return None if bits is None else {n for n in range(7 * len(bits)) if bits[n // 7] >> (n % 7) & 1}

    return {"metadata": event.metadata, "data": event.data, "before": event.before, "userdata": event.userdata,
            "dataPresenceBitMap": columns(event.data_presence), "beforePresenceBitMap": columns(event.before_presence),
            "typeUUID": event.type_uuid}


@given(st.lists(st.booleans(), max_size=60))
@example([True] * 7)
@example([False] * 7 + [True])
def test_a_bitmap_has_seven_columns_a_byte(flags: list[bool]) -> None:
    """Column i is bit i % 7 of byte i // 7; the eighth bit of a byte is never set."""
    bits = bitmap(flags)

    assert [bool(bits[n // 7] & 1 << n % 7) for n in range(len(flags))] == flags
    assert len(bits) == -(-len(flags) // 7) and all(byte < 128 for byte in bits)
    assert present(bits, len(flags) + 9) == (*flags, *[False] * 9)


def test_a_bitmap_that_sets_nothing_says_nothing() -> None:
    """`AAA=`, which Striim prints beside data that is there."""
    assert bitmap_of_text("AAA=") is None and bitmap_of_text(None) is None
    assert bitmap_of_text("AwA=") == b"\x03\x00"
    with pytest.raises(BadWAEvent, match="base64"):
        bitmap_of_text("%%%")


@settings(max_examples=150)
@given(st.lists(waevents(), max_size=4), st.booleans(), st.booleans())
def test_json_comes_back_as_it_was(events: list[StriimWAEvent], array: bool, in_order: bool) -> None:
    """By name and by position, in an array and one after another; Python's own reader sees the same."""
    if in_order:
        events = [positional(event, NAMES) for event in events]
    text = "".join(json_texts(events, array))
    if array:
        assert [as_python_sees_it(json.dumps(each)) for each in json.loads(text)] == [said(each) for each in events]
    else:
        assert [as_python_sees_it(line) for line in text.split("\n")[:-1]] == [said(each) for each in events]
    found = list(json_objects(io.BytesIO(text.encode())))

    assert [event_of_json(each.value) for each in found] == events
    assert [each.position for each in found] == list(range(1, len(events) + 1))
    assert [text.encode()[each.offset:each.offset + len(each.raw)] for each in found] == [each.raw for each in found]


@settings(max_examples=60)
@given(st.lists(waevents(), max_size=4), st.sampled_from(["", "\n", " ", ",", ";\n"]), st.sampled_from([None, 2, "\t"]))
def test_any_white_space_may_stand_between(events: list[StriimWAEvent], between: str, indent: Any) -> None:
    """JSONFormatter writes members and objects with the delimiters that it is told."""
    text = between.join(json.dumps(json.loads(json_text(each)), indent=indent, ensure_ascii=False) for each in events)

    assert [event_of_json(each.value) for each in json_objects(io.BytesIO(text.encode()))] == events


@settings(max_examples=60)
@given(st.lists(waevents(), max_size=4))
def test_avro_comes_back_as_texts(events: list[StriimWAEvent]) -> None:
    """All values are texts, as Striim's schema has them; null stays null, and bitmaps and ids are whole."""
    pytest.importorskip("fastavro")
    file = io.BytesIO()
    write_avro(file, events)
    file.seek(0)

    def texts(values: Any) -> Any:
        return values and {
            name: value if value is None or isinstance(value, str) else json.dumps(value).replace("e+", "e")
            for name, value in values.items()
        }

    def same(one: Any, other: Any) -> bool:  # numbers may be written in several ways
        return one == other or float(one) == float(other)

    for event, record in zip(events, list(read_avro(file)), strict=True):
        found = event_of_record(record)
        for name in ("metadata", "data", "before", "userdata"):
            expected, got = texts(getattr(event, name)), getattr(found, name)
            assert (expected or {}).keys() == (got or {}).keys()
            assert all(same(expected[each], got[each]) for each in expected or ())
        assert found[4:] == event[4:]


def test_sysout_prints_as_striim_does() -> None:
    """The members on lines of their own, between `WAEvent{` and `};`."""
    event = StriimWAEvent({"TableName": "Charges"}, ["ch_1", 5, None], data_presence=b"\x07")

    assert sysout_text(event, "Out") == (
        'Out: WAEvent{\n  data: ["ch_1",5,null]\n  metadata: {"TableName":"Charges"}\n  userdata: null\n'
        '  before: null\n  dataPresenceBitMap: "Bw=="\n  beforePresenceBitMap: null\n  typeUUID: null\n};\n'
    )


def test_what_is_broken_costs_itself_alone() -> None:
    """Cut, empty, no object, no UTF-8, nested too deep: the others are read, and each says where it stands."""
    good = b'{"metadata": {"TableName": "t"}, "data": {"id": "a"}}'
    bad = [b'{"metadata": {"TableName": "t"', b"nonsense", b'{"data": "\xff"}', b'{"a":' * 3000 + b"1" + b"}" * 2000]
    for between in (b"\n", b",\n"):
        text = between.join([good, bad[0], good, bad[1], good, bad[2], good, bad[3], good])
        found = list(json_objects(io.BytesIO(text)))

        assert [each.reason is None for each in found] == [True, False] * 4 + [True]
        assert [text[each.offset:each.offset + len(each.raw)] for each in found] == [each.raw for each in found]
    on_one_line = b"[" + b",".join([good, bad[0], good, good[:-1], good]) + b"]"
    found = list(json_objects(io.BytesIO(on_one_line)))

    assert sum(each.reason is None for each in found) >= 2 and [0] != [each.position for each in found]


def test_an_object_may_be_longer_than_what_is_read_at_once() -> None:
    """One of 3 MB on many lines, between short ones."""
    long = json.dumps({"metadata": {}, "data": {str(n): "x" * 100 for n in range(30_000)}}, indent=1)
    text = "\n".join(['{"a": 1}', long, '{"b": 2}']).encode()

    assert [each.value for each in json_objects(io.BytesIO(text))] == [{"a": 1}, json.loads(long), {"b": 2}]


@pytest.mark.parametrize(("value", "reason"), [
    ([], "no JSON object"), ({"data": {}}, "no `metadata`"), ({"metadata": {}, "data": 5}, "`data` is neither"),
    ({"metadata": {}, "before": "x"}, "`before` is neither"), ({"metadata": {}, "userdata": []}, "`userdata`"),
    ({"metadata": {}, "dataPresenceBitMap": 5}, "bitmap"), ({"metadata": {}, "typeUUID": 5}, "`typeUUID`"),
])
def test_what_is_no_waevent_says_why(value: Any, reason: str) -> None:
    """The text of the error is the reason."""
    with pytest.raises(BadWAEvent, match=reason):
        event_of_json(value)


def test_an_unknown_operation_is_named() -> None:
    """BEGIN and COMMIT of database readers, say."""
    with pytest.raises(BadWAEvent, match="`BEGIN`"):
        operation_of(event_of_json({"metadata": {"OperationName": "BEGIN"}}))
    assert operation_of(event_of_json({"metadata": {"OperationName": "insert"}})) == "INSERT"


def test_a_whole_event_of_striim_is_understood() -> None:
    """Inherited members are left out, but for the time; the id of the type may be an object."""
    whole = {"pos": None, "_id": None, "timeStamp": 1753773949048, "key": None, "metadata": {"OperationName": "INSERT"},
             "data": ["a"], "typeUUID": {"uuidstring": "01f06c4d-1479-97c1-a333-2263d47ddc93"}}

    assert event_of_json(whole) == StriimWAEvent(
        {"OperationName": "INSERT", "TimeStamp": 1753773949048}, ["a"],
        type_uuid="01f06c4d-1479-97c1-a333-2263d47ddc93")


def test_presence_tells_null_from_unchanged() -> None:
    """By name and by position; without a bitmap all that is there is set."""
    names = ["id", "email", "name"]

    assert named_values(["a", None, "x"], names, bitmap([True, True, False])) == {"id": "a", "email": None}
    assert named_values({"id": "a", "name": "x"}, names, bitmap([True, True, False])) == {
        "id": "a", "email": None}
    assert named_values({"id": "a", "new": 1}, names, bitmap([True, True, False])) == {
        "id": "a", "email": None, "new": 1}
    assert named_values(["a"], names, None) == {"id": "a"}
    with pytest.raises(BadWAEvent, match="4 values"):
        named_values([1, 2, 3, 4], names, None)


def test_times_are_milliseconds_in_whatever_form_they_come() -> None:
    """Numbers of seconds or milliseconds, ISO text with or without a zone."""
    moment = 1753773949048
    forms = (moment, str(moment), float(moment), "2025-07-29T07:25:49.048Z", "2025-07-29T07:25:49.048",
             "2025-07-29 09:25:49.048+0200", "2025-07-29T07:25:49.048000999+00:00")

    assert [milliseconds(form) for form in forms] == [moment] * len(forms)
    assert milliseconds(1753773949) == 1753773949000
    assert [milliseconds(form) for form in (None, True, "soon", {}, 1.5)] == [None] * 5


def test_the_id_of_a_type_is_of_its_columns() -> None:
    """The same for the same columns, another one in another order."""
    one, other = type_uuid("charges", ["id", "amount"]), type_uuid("charges", ["amount", "id"])

    assert uuid.UUID(one).version == 5 and one != other and one == type_uuid("charges", ["id", "amount"])
    assert one != type_uuid("refunds", ["id", "amount"])


def test_rows_as_json_are_what_python_writes_of_them() -> None:
    """Whatever columns a table has, in whatever order, with nulls or the same everywhere: the same members."""
    columns = {
        "none": pa.nulls(3, pa.string()), "some": pa.array([None, "x", None]), "all": pa.array(["a", "b", "c"]),
        "quoted": pa.array(['q"\\', 'q"\\', 'q"\\']), "control": pa.array(["\n", None, "\u0001\u00e9"]),
        "number": pa.array([1, None, 3]), "same": pa.array([7, 7, 7]), "flag": pa.array([True, True, True]),
        "ends": pa.array(["e", "f", "e"]), "zero": pa.array([0.0, 1.5, -0.0]),
        "moment": pa.array([1, 2, None], pa.timestamp("s", tz="UTC")), "_dlt_load_id": pa.array(["1", "1", "1"]),
    }
    chance = random.Random(3)
    for _ in range(400):
        names = chance.sample(list(columns), chance.randrange(1, len(columns)))
        table = pa.table({name: columns[name] for name in names})
        expected = [
            {name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if name == "moment" else value for name, value in row.items()
             if value is not None and name != "_dlt_load_id"}
            for row in table.to_pylist()
        ]
        found = values_json(table).to_pylist()

        assert [json.loads(text) for text in found] == expected
        assert [list(json.loads(text)) for text in found] == [list(row) for row in expected]
        assert [values_json(table.slice(place, 1)).to_pylist()[0] for place in range(3)] == found
