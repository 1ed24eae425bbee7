"""What becomes of an object's values: declared columns typed, the rest inferred, nothing lost, nothing raised."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import given, settings
from hypothesis import strategies as st

from stripe_source.api.pages import parse_json
from stripe_source.arrow_rows.builder import RowBuilder, Rows
from stripe_source.arrow_rows.contract import contract_of
from stripe_source.arrow_rows.fingerprint import fingerprint
from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.reading import plain_values, read_columns, readable_columns
from stripe_source.arrow_rows.undeclared import MAX_COLUMNS
from stripe_source.arrow_rows.values import convert
from stripe_source.arrow_rows.waevent import DELETE, INSERT, WAEvent
from stripe_source.errors import SchemaFrozen
from stripe_source.tables.registry import BY_NAME, TABLES
from stripe_source.tables.schema_map import Column, TableMap, table_map
from stripe_source.tables.table import Table

THINGS = Table("things", ("thing",), "Things.", path="/v1/things")
COINS = Table("coins", ("coin",), "Coins of things.", placements=tuple(BY_NAME["invoice_line_items"].placements))
NOW = 1_700_000_000
every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def snake_case(path: Sequence[str]) -> str:
    """Names as dlt makes them, the way a run asks for them."""
    return str(NamingConvention().normalize_path("__".join(path)))


def shape(
    json_kinds: Sequence[tuple[str, ...]] = (),
    children: Sequence[tuple[str, ...]] = (),
    table: Table = THINGS,
    **types: Any,
) -> TableMap:
    """A small map: columns in dlt's words, paths by their names, `decimal_10_2` with its digits."""
    bare = table_map(table)
    end = next(i for i, column in enumerate(bare.columns) if column.name in ("_position", "_deleted"))
    declared = []
    for name, words in types.items():
        kind, *digits = words.split("_")
        precision, scale = map(int, digits) if digits else (None, None)
        declared.append(Column(name, kind, tuple(name.split("__")), precision=precision, scale=scale))
    return replace(
        bare,
        columns=(*bare.columns[:end], *declared, *bare.columns[end:]),
        json_kinds=frozenset(json_kinds),
        children=frozenset(children),
    )


def event(data: dict[str, Any], table: str = "things", **rest: Any) -> WAEvent:
    return WAEvent(table, rest.pop("operation", INSERT), rest.pop("time", NOW), data, "acct_1", **rest)


def cells(made: Rows) -> list[dict[str, Any]]:
    """All rows as Python values: JSON parsed, times as datetimes; what is null is left out."""
    kinds = {field.name: field.type for field in made.table.schema}
    as_json = {column.name for column in made.inferred if column.data_type == "json"}
    rows = []
    for row in made.table.to_pylist():
        held = {name: value for name, value in row.items() if value is not None}
        rows.append({name: json.loads(value) if name in as_json else value for name, value in held.items()})
        assert all(kinds[name] == pa.string() for name in as_json & held.keys())
    return rows


def content(made: Rows) -> list[dict[str, Any]]:
    """Rows without bookkeeping."""
    ours = {"_account_id", "_deleted", "_deleted_at", "_changed_at", "_dlt_load_id", "_dlt_id", "_position"}
    return [{name: value for name, value in row.items() if name not in ours} for row in cells(made)]


def rows_of(the_map: TableMap, *objects: dict[str, Any], **known: Any) -> list[dict[str, Any]]:
    return content(RowBuilder(the_map, known.get("known"), snake_case).rows([event(data) for data in objects]))


def row_of(the_map: TableMap, **data: Any) -> dict[str, Any]:
    """The row of one object with id "t", without its id."""
    (row,) = rows_of(the_map, {"id": "t", **data})
    assert row.pop("id") == "t"
    return row


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]


# ---- declared columns


def test_declared_columns_are_typed_and_all_there() -> None:
    """A batch has every declared column in the order of the map, whether or not an object has it."""
    the_map = shape(amount="bigint", paid="bool", created="timestamp", rate="double", extra="json", tax="decimal_38_12")
    made = RowBuilder(the_map).rows(
        [
            event(
                {
                    "id": "t",
                    "amount": 5,
                    "paid": True,
                    "created": NOW,
                    "rate": 0.5,
                    "extra": {"b": [1]},
                    "tax": "1.25",
                }
            )
        ],
        "load_1",
    )

    assert made.table.schema.names == [column.name for column in the_map.columns]
    assert made.inferred == ()
    assert made.table.to_pylist() == [
        {
            "_account_id": "acct_1",
            "id": "t",
            "amount": 5,
            "paid": True,
            "created": utc(2023, 11, 14, 22, 13, 20),
            "rate": 0.5,
            "extra": '{"b":[1]}',
            "tax": Decimal("1.25"),
            "_deleted": False,
            "_deleted_at": None,
            "_changed_at": utc(2023, 11, 14, 22, 13, 20),
            "_dlt_load_id": "load_1",
            "_dlt_id": made.table["_dlt_id"][0].as_py(),
        }
    ]


def test_null_and_absent_are_both_null() -> None:
    """SQL has one way to say nothing."""
    the_map = shape(a="text", b__c="bigint", d="json")

    assert rows_of(
        the_map, {"id": "1"}, {"id": "2", "a": None, "b": None, "d": None}, {"id": "3", "b": {"c": None}}
    ) == [
        {"id": "1"},
        {"id": "2"},
        {"id": "3"},
    ]


def test_an_empty_batch_is_an_empty_table() -> None:
    """With all declared columns, in their types."""
    made = RowBuilder(table_map(BY_NAME["charges"])).rows([])

    assert made.table.num_rows == 0
    assert made.table.schema.names == list(table_map(BY_NAME["charges"]).hints())
    assert made.table.schema.field("created").type == pa.timestamp("us", tz="UTC")


FITS = [
    # type, what Stripe sent, what the column holds
    ("text", "", ""),
    ("text", "a\0b", "a\ufffdb"),  # Postgres does not take it
    ("text", 5, "5"),
    ("text", 1.5, "1.5"),
    ("text", 2**70, str(2**70)),
    ("text", True, "true"),
    ("text", {"id": "cus_1"}, "cus_1"),
    ("bigint", 2**63 - 1, 2**63 - 1),
    ("bigint", -(2**63), -(2**63)),
    ("bigint", 2.0, 2),
    ("bigint", "9007199254740993", 9007199254740993),
    ("bigint", "-7", -7),
    ("bool", False, False),
    ("double", 1, 1.0),
    ("double", -0.25, -0.25),
    ("timestamp", 0, utc(1970, 1, 1)),
    ("timestamp", -1, utc(1969, 12, 31, 23, 59, 59)),
    ("timestamp", 1.0, utc(1970, 1, 1, 0, 0, 1)),
    ("timestamp", "1700000000", utc(2023, 11, 14, 22, 13, 20)),
    ("timestamp", 253402300799, utc(9999, 12, 31, 23, 59, 59)),
    ("timestamp", -62135596800, utc(1, 1, 1)),
    ("timestamp", "2023-11-14T22:13:20Z", utc(2023, 11, 14, 22, 13, 20)),
    ("timestamp", "2023-11-14T22:13:20", utc(2023, 11, 14, 22, 13, 20)),
    ("timestamp", "2023-11-15T00:13:20.5+02:00", utc(2023, 11, 14, 22, 13, 20, 500_000)),
    ("timestamp", "2023-11-14T22:13:20.123z", utc(2023, 11, 14, 22, 13, 20, 123_000)),
    ("timestamp", "1969-12-31T23:59:59.123456789Z", utc(1969, 12, 31, 23, 59, 59, 123_456)),
    ("decimal_38_12", "0.000000000001", Decimal("0.000000000001")),
    ("decimal_38_12", -3, Decimal(-3)),
    ("decimal_38_12", 0.1, Decimal("0.1")),
    ("decimal_5_0", "12345", Decimal(12345)),
    ("decimal_5_2", "-999.99", Decimal("-999.99")),
]


@pytest.mark.parametrize(("kind", "sent", "held"), FITS, ids=repr)
def test_a_value_is_converted_where_nothing_is_lost(kind: str, sent: Any, held: Any) -> None:
    """The column holds it; there is no other column."""

    assert row_of(shape(v=kind), v=sent) == {"v": held}


NUMBERS = {  # what Stripe sends as JSON -> what a text column holds
    "18446744073709551615": "18446744073709551615", "18446744073709551616": "1.8446744073709552e+19",
    "-9223372036854775808": "-9223372036854775808", "-9223372036854775809": "-9.223372036854776e+18",
    "1" + "0" * 400: "1" + "0" * 400, "9" * 5000: "9" * 5000, "1e400": "1e400", "1e22": "1e+22", "0.1": "0.1",
    "true": "true", "false": "false",
}


@pytest.mark.parametrize("sent", NUMBERS, ids=lambda sent: sent[:24])
@pytest.mark.parametrize("beside", ['"x"', r'"\ud800"'], ids=["orjson", "json"])
def test_a_value_in_a_text_column_is_the_same_by_both_parsers(sent: str, beside: str) -> None:
    """Half a surrogate pair anywhere on a page makes orjson refuse it; the numbers on it are read all the same."""
    page = parse_json(b'{"id": "t", "v": %b, "beside": %b}' % (sent.encode(), beside.encode()))

    assert row_of(shape(v="text", beside="text"), **page)["v"] == NUMBERS[sent]


MISFITS = [
    ("text", {"a": 1}),
    ("text", [1, "x"]),
    ("text", {"id": 5}),
    ("bigint", 1.5),  # pyarrow would make it 1
    ("bigint", True),  # and this 1 too
    ("bigint", "12 apples"),
    ("bigint", "007"),
    ("bigint", "-0"),
    ("bigint", "٣"),
    ("bigint", 2**63),
    ("bigint", -(2**63) - 1),
    ("bigint", 2**64 + 1),
    ("bigint", 1e30),
    ("bigint", {"amount": 5}),
    ("bool", 1),
    ("bool", "true"),
    ("double", "1.5"),
    ("double", True),
    ("double", 2**53 + 1),
    ("timestamp", 253402300800),
    ("timestamp", -62135596801),
    ("timestamp", 1_700_000_000_000_000),
    ("timestamp", True),
    ("timestamp", 0.5),
    ("timestamp", "soon"),
    ("timestamp", "2023-11-14"),
    ("timestamp", "2023-02-30T00:00:00Z"),
    ("timestamp", "9999-12-31T23:59:59-01:00"),
    ("timestamp", "0001-01-01T00:00:00+01:00"),
    ("timestamp", "0017"),
    ("timestamp", {"seconds": 1}),
    ("decimal_38_12", "0.0000000000001"),
    ("decimal_38_12", "1e26"),
    ("decimal_38_12", "1_000"),
    ("decimal_38_12", "Infinity"),
    ("decimal_38_12", "1e9999999999999999999999"),
    ("decimal_38_12", True),
    ("decimal_5_2", "1000"),
    ("decimal_5_0", "0.5"),
]


@pytest.mark.parametrize(("kind", "sent"), MISFITS, ids=repr)
def test_a_misfit_is_kept_as_json_beside_its_column(kind: str, sent: Any) -> None:
    """The declared column is null, `<column>__v_json` has what was sent, to the last digit."""

    assert row_of(shape(v=kind), v=sent) == {"v__v_json": sent}


def test_numbers_that_json_has_not_are_null() -> None:
    """Python's parser lets NaN through; a double column holds it, JSON cannot."""
    made = RowBuilder(shape(d="double", i="bigint", t="text", j="json")).rows(
        [event({"id": "t", "d": math.nan, "i": math.nan, "t": math.inf, "j": [math.nan]})]
    )
    (row,) = made.table.to_pylist()

    assert math.isnan(row["d"])
    assert (row["i"], row["i__v_json"], row["t"], row["t__v_json"], row["j"]) == (None, "null", None, "null", "[null]")


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    """No destination takes it: DuckDB refuses the file, JSON columns included."""
    half = "a\ud83d"
    the_map = shape(text="text", js="json", ref="text")
    row = row_of(the_map, text=half, js={half: half}, ref={"id": half, "x": 1}, new=half)

    assert row == {
        "text": "a\ufffd",
        "js": '{"a\ufffd":"a\ufffd"}',
        "ref": "a\ufffd",
        "new": "a\ufffd",
        "ref__expanded": {"id": "a\ufffd", "x": 1},
    }
    assert row_of(shape(text="text"), text="\ud83d\ude00") == {"text": "😀"}  # both halves, escaped one by one
    assert row_of(shape(), **{half: 1}) == {"ax": 1}


def test_misfits_of_some_rows_leave_the_others_alone() -> None:
    """One odd object in a page."""

    assert rows_of(shape(v="bigint"), {"id": "1", "v": 1}, {"id": "2", "v": "x"}, {"id": "3", "v": None}) == [
        {"id": "1", "v": 1},
        {"id": "2", "v__v_json": "x"},
        {"id": "3"},
    ]


@pytest.mark.parametrize(("kind", "sent"), MISFITS, ids=repr)
def test_a_misfit_between_values_that_fit_is_the_only_one_kept_apart(kind: str, sent: Any) -> None:
    """Arrow takes a page of plain values as a whole: one that the column cannot hold must not slip in with them."""
    fits, held = next((sent, held) for fitting, sent, held in FITS if fitting == kind)

    assert rows_of(shape(v=kind), {"id": "1", "v": fits}, {"id": "2", "v": sent}, {"id": "3", "v": fits}) == [
        {"id": "1", "v": held},
        {"id": "2", "v__v_json": sent},
        {"id": "3", "v": held},
    ]


# ---- references


def test_a_reference_is_the_id_expanded_or_not() -> None:
    """What came with the expansion is kept beside it; a bare id has nothing to keep."""
    whole = {"id": "cus_2", "object": "customer", "name": "Ada"}

    assert rows_of(shape(customer="text"), {"id": "1", "customer": "cus_1"}, {"id": "2", "customer": whole}) == [
        {"id": "1", "customer": "cus_1"},
        {"id": "2", "customer": "cus_2", "customer__expanded": whole},
    ]


# ---- what the map does not know


def test_unknown_fields_become_columns() -> None:
    """Scalars by dlt's types, small objects flattened, lists as JSON."""

    assert row_of(
        shape(a="text"),
        a="x",
        new_text="t",
        new_int=1,
        new_float=0.5,
        new_bool=True,
        camelCase=1,
        new={"deep": {"er": 2}, "list": [1, {"b": 2}]},
    ) == {
        "a": "x",
        "new_text": "t",
        "new_int": 1,
        "new_float": 0.5,
        "new_bool": True,
        "camel_case": 1,
        "new__deep__er": 2,
        "new__list": [1, {"b": 2}],
    }


def test_unknown_fields_inside_known_objects_are_found() -> None:
    """Also where the object came with nothing else."""

    assert row_of(shape(a__b__c="text"), a={"b": {"new": 1}, "d": "x"}) == {"a__b__new": 1, "a__d": "x"}


def test_open_maps_stay_json() -> None:
    """Metadata, keys that are no field names, and objects with more leaves than are worth columns."""
    many = {f"k{n}": n for n in range(21)}

    assert row_of(shape(), metadata={"a": "1"}, prices={"price_1": 1, "X-2": 2}, many=many) == {
        "metadata": {"a": "1"},
        "prices": {"price_1": 1, "X-2": 2},
        "many": many,
    }


def test_a_new_kind_is_one_json_column() -> None:
    """Below an object that is keyed by a kind, what is new is an object; it does not widen the table."""
    the_map = shape(json_kinds=[("details",)], details__type="text", details__card="json")

    assert row_of(the_map, details={"type": "wampum", "wampum": {"beads": 5, "string": {"of": 6}}}) == {
        "details__type": "wampum",
        "details__wampum": {"beads": 5, "string": {"of": 6}},
    }


def test_empty_containers_make_no_columns() -> None:
    """There is nothing in them, and nothing to tell their type; a JSON column that is there keeps them."""

    assert row_of(shape(j="json"), j={}, a={}, b=[], c={"d": {}}) == {"j": "{}"}
    assert rows_of(shape(), {"id": "1", "a": [1]}, {"id": "2", "a": []}) == [{"id": "1", "a": [1]}, {"id": "2"}]


def test_something_else_where_an_object_is_expected() -> None:
    """A list, a text or a number in place of an object with columns inside is kept as JSON, like any misfit."""
    the_map = shape(a__b="text")

    assert row_of(the_map, a=[{"b": 1}]) == {"a__v_json": [{"b": 1}]}
    assert row_of(the_map, a="x") == {"a__v_json": "x"}
    assert row_of(the_map, a=False) == {"a__v_json": False}


def test_mixed_types_in_one_batch() -> None:
    """Whole and broken numbers make a double, anything else mixed makes JSON."""

    assert rows_of(shape(), {"id": "1", "n": 1, "m": 1}, {"id": "2", "n": 1.5, "m": "x"}) == [
        {"id": "1", "n": 1.0, "m": 1},
        {"id": "2", "n": 1.5, "m": "x"},
    ]


def test_an_object_and_a_scalar_under_one_unknown_name() -> None:
    """One JSON column has both, in whichever order they come; so has a list and an object."""
    both = [{"id": "1", "n": {"a": 1}}, {"id": "2", "n": 5}]

    assert rows_of(shape(), *both) == both
    assert rows_of(shape(), *reversed(both)) == both[::-1]
    assert rows_of(shape(), {"id": "1", "n": [1]}, {"id": "2", "n": {"a": 1}}) == [
        {"id": "1", "n": [1]}, {"id": "2", "n": {"a": 1}},
    ]


def test_types_come_from_all_batches_that_are_settled_together() -> None:
    """Numbers then text, whole then broken, small then huge, object then id: one column each, whatever the order."""
    maker = RowBuilder(shape(), normalize=snake_case)
    batches = [
        [{"id": "1", "n": 1, "f": 1, "o": {"x": 1}, "h": 1, "d": 2**53 + 1}],
        [{"id": "2", "n": "x", "f": 1.5, "o": "id", "h": 2**70, "d": 0.5}],
    ]
    for several in (batches, batches[::-1]):
        built = [maker.build([event(data) for data in batch]) for batch in several]
        made = maker.decide_columns(pa.concat_tables(built))

        assert {column.name: column.data_type for column in made.inferred} == {
            "n": "json", "f": "double", "o": "json", "h": "json", "d": "json",
        }
        assert content(made) == [{**data, "f": float(data["f"])} for batch in several for data in batch]


def test_a_field_that_became_something_else_is_kept_in_one_column() -> None:
    """What the destination has stays as it is: id to object, object to id, object to list, integer to text."""
    known = {name: {"data_type": "text"} for name in ("ref", "o__x", "o__y")} | {"n": {"data_type": "bigint"}}

    assert rows_of(
        shape(), {"id": "1", "ref": {"id": "r", "name": "R"}, "o": "id", "n": "many"},
        {"id": "2", "o": ["x"], "n": "7"},
        known=known,
    ) == [
        {"id": "1", "ref": "r", "ref__expanded": {"id": "r", "name": "R"}, "o__v_json": "id", "n__v_json": "many"},
        {"id": "2", "o__v_json": ["x"], "n": 7},
    ]


def test_two_fields_do_not_share_a_column_in_later_loads() -> None:
    """Each inferred column says whose values it holds: `Order ID` does not get into the column of `order_id`."""
    first = RowBuilder(shape(), normalize=snake_case).rows([event({"id": "1", "Order ID": 1, "order_id": 2})])
    known = {column.name: column.hint() for column in first.inferred}

    assert content(first) == [{"id": "1", "order_id": 2, "_unmapped": {"Order ID": 1}}]
    assert rows_of(shape(), {"id": "2", "Order ID": 3}, {"id": "3", "order_id": 4}, known=known) == [
        {"id": "2", "_unmapped": {"Order ID": 3}}, {"id": "3", "order_id": 4},
    ]


def test_nul_becomes_the_replacement_character() -> None:
    """In columns, in JSON, in keys, in ids; a backslash before `u0000` is text."""
    row = row_of(shape(t="text", j="json"), t="a\0b", j={"k\0": ["\0", "\\u0000"]}, new="\0", list=["\0"])

    assert row == {"t": "a\ufffdb", "j": '{"k\ufffd":["\ufffd","\\\\u0000"]}', "new": "\ufffd", "list": ["\ufffd"]}


@pytest.mark.parametrize(("mode", "columns", "rest"), [
    ("discard_value", [{"id": "1", "a": 1}, {"id": "2"}, {"id": "3"}], {"new": 1, "deep.er": 1, "a.v_json": 1}),
    ("discard_row", [{"id": "1", "a": 1}], {"new": 1, "deep.er": 1, "a.v_json": 1}),
])
def test_a_contract_keeps_values_or_rows_out(mode: str, columns: list[dict[str, Any]], rest: dict[str, int]) -> None:
    """Only what needs a new column is kept out, and it is counted by field."""
    known = {"id": {"data_type": "text"}, "a": {"data_type": "bigint"}, "deep__known": {"data_type": "text"}}
    maker = RowBuilder(shape(a="bigint"), known, snake_case, contract_of(mode))
    made = maker.rows([event(data) for data in (
        {"id": "1", "a": 1}, {"id": "2", "new": 1, "deep": {"er": 2}}, {"id": "3", "a": "x"}
    )])

    assert content(made) == columns
    assert (made.left_out, len(made.discarded)) == (rest, 3 - len(columns))


def test_a_frozen_table_names_what_is_new() -> None:
    """Nothing is made; what the table has columns for is no violation, nor is a value that fits when converted."""
    known = {"id": {"data_type": "text"}, "a": {"data_type": "bigint"}}
    maker = RowBuilder(shape(a="bigint"), known, snake_case, contract_of("freeze"))

    assert content(maker.rows([event({"id": "1", "a": "5", "empty": {}, "nothing": None})])) == [{"id": "1", "a": 5}]
    with pytest.raises(SchemaFrozen, match=r"Table `things` has no column for `b`, `c.d`,") as caught:
        maker.rows([event({"id": "2", "b": 1}), event({"id": "3", "c": {"d": [1]}})])
    assert caught.value.fields == ("b", "c.d")


def test_an_inferred_column_keeps_its_type_in_later_batches() -> None:
    """Otherwise the tables of one load could not be put together."""
    maker = RowBuilder(shape(), normalize=snake_case)
    first = maker.rows([event({"id": "1", "n": 1, "o": {"a": "x"}})])
    second = maker.rows([event({"id": "2", "n": "x", "o": {"a": {"b": 1}, "c d": 2}})])

    assert content(first) == [{"id": "1", "n": 1, "o__a": "x"}]
    assert content(second) == [{"id": "2", "n__v_json": "x", "o__a__v_json": {"b": 1}, "o__c_d": 2}]
    assert pa.concat_tables([first.table, second.table], promote_options="default").num_rows == 2


def test_a_column_of_the_destination_keeps_its_type() -> None:
    """What an earlier run inferred holds: types, and that an object is JSON."""
    known = {
        "n": {"data_type": "double"},
        "j": {"data_type": "json"},
        "t": {"data_type": "text"},
        "money": {"data_type": "decimal", "precision": 10, "scale": 2},
        "unfinished": {},
    }
    row = {"id": "1", "n": 1, "j": {"a": 1}, "t": 5, "money": "1.234", "unfinished": 1}

    assert rows_of(shape(), row, known=known) == [
        {"id": "1", "n": 1.0, "j": {"a": 1}, "t": "5", "money__v_json": "1.234", "unfinished": 1},
    ]
    assert rows_of(shape(), {"id": "1", "money": 1.5}, known=known) == [{"id": "1", "money": Decimal("1.50")}]


def test_a_column_of_the_destination_that_is_not_of_our_making() -> None:
    """A date, a binary: left alone, and what Stripe sends under that name is kept elsewhere."""
    known = {"d": {"data_type": "date"}, "w": {"data_type": "wei"}}

    assert rows_of(shape(), {"id": "1", "d": "2024-01-01", "w": 1}, known=known) == [
        {"id": "1", "_unmapped": {"d": "2024-01-01", "w": 1}},
    ]


def test_names_that_collide_go_to_unmapped() -> None:
    """With a declared column, with bookkeeping, with each other, and with the columns kept for misfits."""
    the_map = shape(amount="bigint", a__b="text")

    assert row_of(the_map, Amount=1, _deleted=2, _unmapped=3) == {
        "_unmapped": {"Amount": 1, "_deleted": 2, "_unmapped": 3},
    }
    assert row_of(the_map, a__b="x") == {"_unmapped": {"a__b": "x"}}
    assert row_of(the_map, x={"y": 1}, x__y=2) == {"x__y": 1, "_unmapped": {"x__y": 2}}
    assert row_of(the_map, amount="x", amount__v_json=1) == {"amount__v_json": 1, "_unmapped": {"amount.v_json": "x"}}
    assert row_of(the_map, amount__v_json={"A": 1}, amount="x") == {
        "amount__v_json": {"A": 1},
        "_unmapped": {"amount.v_json": "x"},
    }


def test_keys_with_dots_do_not_cover_each_other() -> None:
    """In `_unmapped` a path is its names with dots between; a key may have dots too."""
    row = row_of(shape(a__b="text", a__c="text", a_b="text"), **{"a": {"B": 1, "x": {}}, "a.B": 2, "A__B": 3})

    assert row == {"_unmapped": {"a.B": 1, '["a.B"]': 2, "A__B": 3}}


def test_names_too_long_or_empty_go_to_unmapped() -> None:
    """Postgres cuts names at 63 bytes, and two that begin alike would be one."""
    long = "x" * 64

    assert row_of(shape(), **{long: 1, "": 2, "  ": 3}) == {"_unmapped": {long: 1, "": 2, "  ": 3}}
    assert row_of(shape((), (), THINGS, **{"y" * 60: "bigint"}), **{"y" * 60: "z"}) == {
        "_unmapped": {f"{'y' * 60}.v_json": "z"}
    }


def test_tables_do_not_pass_their_width() -> None:
    """Beyond it everything is in `_unmapped`, scalars and misfits too, in any number of batches."""
    maker = RowBuilder(shape(amount="bigint"), normalize=snake_case)
    for batch in range(3):
        made = maker.rows([event({"id": "t", "amount": "x", **{f"k{batch}_{n}": n for n in range(200)}})])

        found = {**cells(made)[0].get("_unmapped", {}), **cells(made)[0]}
        assert {f"k{batch}_{n}": n for n in range(200)}.items() <= {
            k: v for k, v in found.items() if k[0] == "k"
        }.items()
        assert found["amount__v_json"] == "x"
    assert len(maker.shape.columns) + len(maker.inferred) == MAX_COLUMNS + 1  # and `_unmapped`


def test_an_unknown_object_stays_json_where_it_would_not_fit() -> None:
    """Rather than being half in columns, half in `_unmapped`."""
    the_map = shape((), (), THINGS, **{f"c{n}": "text" for n in range(MAX_COLUMNS - 10)})
    new = {"a": 1, "b": 2, "c": 3, "d": 4}

    assert row_of(the_map, new=new) == {"new": new}


def nested(depth: int, make: str = "dict") -> Any:
    value: Any = 7
    for _ in range(depth):
        value = {"a": value} if make == "dict" else [value]
    return value


@pytest.mark.parametrize("depth", [9, 200, 254, 255, 300, 1024])
@pytest.mark.parametrize("make", ["dict", "list"])
def test_depth_is_no_obstacle(depth: int, make: str) -> None:
    """orjson reads 1024 levels and writes 254, Python's own encoder fewer than 1000."""
    value = nested(depth, make)
    thing = event({"id": "t", "declared": value, "new": value, "text": value})
    made = RowBuilder(shape(declared="json", text="text"), normalize=snake_case).rows([thing])
    texts = [cell for name in made.table.column_names for cell in made.table[name].to_pylist() if isinstance(cell, str)]
    whole = ('{"a":' if make == "dict" else "[") * depth + "7" + ("}" if make == "dict" else "]") * depth

    assert whole in texts
    assert sum("7" in text for text in texts if text[0] in "{[") == 3


def test_large_texts_are_whole() -> None:
    """A megabyte, declared and not."""
    huge = "é" * 1_000_000

    assert row_of(shape(a="text"), a=huge, b=huge) == {"a": huge, "b": huge}


# ---- bookkeeping, keys, children


def test_a_deleted_row_says_so() -> None:
    """Its last known values stay."""
    (row,) = cells(RowBuilder(shape(a="text")).rows([event({"id": "t", "a": "x"}, operation=DELETE)], "load"))
    row.pop("_dlt_id")

    assert row == {
        "_account_id": "acct_1",
        "id": "t",
        "a": "x",
        "_deleted": True,
        "_deleted_at": utc(2023, 11, 14, 22, 13, 20),
        "_changed_at": utc(2023, 11, 14, 22, 13, 20),
        "_dlt_load_id": "load",
    }


def test_a_child_knows_its_parent_and_its_place() -> None:
    """Also when it is the first."""
    made = RowBuilder(shape(table=COINS)).rows([event({"id": "c"}, "coins", parent="in_1", position=0)])
    (row,) = cells(made)

    assert (row["invoice_id"], row["id"], row["_position"]) == ("in_1", "c", 0)


def test_the_wrapper_of_a_child_list_stays_with_the_parent() -> None:
    """The rows in it are another table's, whether or not that table is loaded."""
    the_map = shape(children=[("lines",)], lines__has_more="bool")

    assert row_of(the_map, lines={"object": "list", "has_more": True, "data": [{"id": "l", "secret": 1}]}) == {
        "lines__has_more": True,
        "lines__object": "list",
    }


@pytest.mark.parametrize("data", [["il_1"], {"id": "il_1"}, "il_1", [{"id": "il_1"}, 5]])
def test_a_child_list_that_no_other_table_can_take_is_kept(data: Any) -> None:
    """Ids in place of objects, say."""
    row = row_of(shape(children=[("lines",)], lines__has_more="bool"), lines={"data": data})

    assert row in ({"lines__data": data}, {"lines__data__id": "il_1"})


def test_a_list_in_place_of_a_child_wrapper_is_kept() -> None:
    """As older versions of Stripe's API have them."""

    assert row_of(shape(children=[("lines",)], lines__has_more="bool"), lines=[{"id": "l"}]) == {
        "lines__v_json": [{"id": "l"}]
    }


def test_an_object_without_its_key_is_keyed_by_its_content() -> None:
    """A null there would make the file unreadable for the destination, and two such objects one."""
    made = RowBuilder(shape()).rows([event({"a": 1}), event({"a": 2}), event({"id": ["x"]}), event({"id": 5})], "load")
    prints = made.table["_dlt_id"].to_pylist()

    assert made.table["id"].to_pylist() == [*prints[:3], "5"]
    assert made.table["id__v_json"].to_pylist() == [None, None, '["x"]', None]
    pq.write_table(made.table, pa.BufferOutputStream())


def test_bookkeeping_survives_nonsense() -> None:
    """A child without parent, a time that is none: what must not be null is not."""
    made = RowBuilder(shape(table=COINS)).rows([event({"id": "c"}, "coins", time=10**15, operation=DELETE)], "load")
    (row,) = made.table.to_pylist()

    assert row["invoice_id"] == row["_dlt_id"]
    assert (row["_changed_at"], row["_deleted_at"]) == (utc(1970, 1, 1), None)
    pq.write_table(made.table, pa.BufferOutputStream())


def test_hints_carry_the_digits_of_decimals() -> None:
    """Also a scale of 0."""

    assert Column("v", "decimal", ("v",), precision=20, scale=0).hint() == {
        "name": "v",
        "data_type": "decimal",
        "nullable": True,
        "precision": 20,
        "scale": 0,
    }


# ---- fingerprints


def test_a_fingerprint_changes_with_key_and_content() -> None:
    """And with deletion; these are all different."""
    one = event({"id": "t", "a": 1, "b": [1, 2]})
    others = [
        one._replace(data={"id": "t", "a": 2, "b": [1, 2]}),
        one._replace(data={"id": "t", "a": 1, "b": [2, 1]}),
        one._replace(data={"id": "t", "a": None, "b": [1, 2]}),
        one._replace(data={"id": "t", "b": [1, 2]}),
        one._replace(data={"id": "t", "a": "1", "b": [1, 2]}),
        one._replace(table="coins"),
        one._replace(account="acct_2"),
        one._replace(parent="p"),
        one._replace(position=0),
        one._replace(position=1),
        one._replace(data={"id": "t", "a": 2**64, "b": [1, 2]}),
        one._replace(data={"id": "t", "a": 2**64 + 1, "b": [1, 2]}),
    ]
    prints = {fingerprint(one, False), fingerprint(one, True), *(fingerprint(other, False) for other in others)}

    assert len(prints) == 2 + len(others)
    assert {len(print_) for print_ in prints} == {20}


@pytest.mark.parametrize(
    "value", [1, 2**70, "\ud83d", nested(300), nested(1024)], ids=["int", "long", "half", "deep", "deepest"]
)
def test_a_fingerprint_does_not_change_with_order_or_time(value: Any) -> None:
    """The same object read again is the same row, whatever road its JSON takes."""
    one = event({"id": "t", "a": {"x": value, "y": 2}})
    again = event({"a": {"y": 2, "x": value}, "id": "t"}, time=NOW + 5, operation="UPDATE", before={"z": 1})

    assert fingerprint(one, False) == fingerprint(again, False)


def test_json_text_is_the_same_on_both_roads() -> None:
    """The slow one is for what orjson cannot write."""
    value = {"a": [1, -2.5, 1e22, 'é\n\0"', None, True, {}, []], "b": {"c": {"d": [[]]}}, "": math.inf}
    fast, slow = dumps(value), dumps({**value, "long": 2**70})

    assert slow == fast[:-1] + f',"long":{2**70}' + "}"


# ---- any object at all


class Leaf:
    """Forms in which a value counts as found. Independent of the code under test: made from the rules of the design."""

    @staticmethod
    def of(value: Any) -> list[tuple[str, Any]]:
        """The forms in which a leaf of an object may be found."""
        if isinstance(value, bool):
            return [("bool", value)]
        if isinstance(value, (int, float)):
            return [("number", Fraction(value))]
        forms = [("text", value.replace("\0", "\ufffd"))]
        if match := re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|z|[+-]\d\d:\d\d)?", value, re.ASCII):
            try:
                moment = datetime.fromisoformat(match[1] + (match[3] or "Z").upper().replace("Z", "+00:00"))
                forms.append(("second", int(moment.timestamp())))
            except (ValueError, OverflowError):
                pass
        if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", value):
            forms.append(("decimal", Fraction(value)))
        return forms

    @staticmethod
    def held(value: Any, kind: str) -> Iterator[tuple[str, Any]]:
        """The forms that a cell of a column holds."""
        if value is None:
            return
        if kind == "json":
            yield from (Leaf.of(leaf)[0] for leaf in leaves(json.loads(value)))
        elif kind == "timestamp":
            yield ("second", math.floor(Fraction(value, 10**6)))
            yield ("number", Fraction(value, 10**6))
            yield ("text", str(value // 10**6))
        elif kind == "decimal":
            yield ("decimal", Fraction(value))
            yield ("number", Fraction(value))
            yield ("number", Fraction(float(value)))
        elif kind == "text":
            yield ("text", value)
            if value in ("true", "false") or re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", value):
                scalar = (
                    json.loads(value) if value[0] in "tf" else float(value) if re.search("[.eE]", value) else int(value)
                )
                yield from Leaf.of(scalar)[:1] if scalar not in (math.inf, -math.inf) else ()
        else:
            yield Leaf.of(value)[0]
            if kind == "bigint":
                yield ("text", str(value))


def leaves(value: Any, without: frozenset[tuple[str, ...]] = frozenset(), path: tuple[str, ...] = ()) -> Iterator[Any]:
    """The leaves of a value, but not the data of lists at the paths `without`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            rows = isinstance(inner, list) and all(isinstance(item, dict) for item in inner)
            if not (path in without and key == "data" and rows):
                yield from leaves(inner, without, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif value is not None:
        yield value


def missing(data: Mapping[str, Any], made: Rows, index: int, the_map: TableMap) -> list[Any]:
    """The leaves of an object that are not in its row, as often as they are in the object."""
    kinds = {column.name: column.data_type for column in (*the_map.columns, *made.inferred)}
    found: Counter[tuple[str, Any]] = Counter()
    for name in made.table.column_names:
        if name in ("_account_id", "_dlt_id", "_dlt_load_id", "_changed_at", "_deleted", "_deleted_at"):
            continue
        column = made.table[name]
        column = column.cast(pa.int64()) if kinds[name] == "timestamp" else column
        found.update(Leaf.held(column[index].as_py(), kinds[name]))
    lost = []
    for leaf in leaves(data, the_map.children):
        form = next((form for form in Leaf.of(leaf) if found[form] > 0), None)
        if form is None:
            lost.append(leaf)
        else:
            found[form] -= 1
    return lost


KEYS = st.one_of(
    st.sampled_from(
        [
            "id",
            "amount",
            "object",
            "data",
            "type",
            "card",
            "new_field",
            "New",
            "v_json",
            "expanded",
            "amount__v_json",
            "_unmapped",
            "_deleted",
            "metadata",
            "a.b",
            "a__b",
            "a",
            "b",
            "",
            "x" * 70,
            "lines",
            "has_more",
            "billing_details",
        ]
    ),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["2024-02-03T04:05:06Z", "2024-02-03T04:05:06.789+05:30", "12", "1.50", "-0", "1e5"]),
    st.integers(-(10**12), 10**12),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=15,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=8)
RIGHT = {
    "text": st.text(max_size=8),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "timestamp": st.integers(0, 2**33),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "json": JSON,
    "decimal": st.decimals(-(10**9), 10**9, places=6).map(str),
}
WIDE = [
    "charges",
    "invoices",
    "payment_methods",
    "subscriptions",
    "events",
    "balance_transactions",
    "prices",
    "transfers",
]


@st.composite
def like_stripe(draw: st.DrawFn, the_map: TableMap) -> dict[str, Any]:
    """An object with values at paths of the map, mostly of the right type, and some that the map does not know."""
    declared = [column for column in the_map.columns if column.path is not None]
    thing: dict[str, Any] = {"id": "x_1"}
    for column in draw(st.lists(st.sampled_from(declared), max_size=12, unique_by=lambda column: column.name)):
        assert column.path is not None
        here = thing
        for step in column.path[:-1]:
            inner = here.setdefault(step, {})
            if not isinstance(inner, dict):
                break
            here = inner
        else:
            right = draw(st.integers(0, 3)) > 0
            here[column.path[-1]] = draw(RIGHT[column.data_type] if right else JSON)
            here.update(draw(st.dictionaries(KEYS, JSON, max_size=1)))
    return thing


def check_nothing_is_lost(the_map: TableMap, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
    maker = RowBuilder(the_map, normalize=snake_case)
    tables = []
    for objects in batches:
        made = maker.rows([event(data) for data in objects], "load")
        assert made.table.num_rows == len(objects)
        assert [missing(data, made, index, the_map) for index, data in enumerate(objects)] == [[]] * len(objects)
        assert (
            len(made.table.column_names)
            == len(set(made.table.column_names))
            <= max(MAX_COLUMNS, len(the_map.columns)) + 1
        )
        tables.append(made.table)
    pq.write_table(pa.concat_tables(tables, promote_options="default"), pa.BufferOutputStream())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(OBJECTS, max_size=3), min_size=1, max_size=3))
def test_nothing_is_lost_of_any_object(batches: list[list[dict[str, Any]]]) -> None:
    """A private table of which nothing is known: every leaf of every object is in its row."""
    check_nothing_is_lost(
        shape(
            amount="bigint",
            a__b="text",
            created="timestamp",
            lines__has_more="bool",
            children=[("lines",)],
            type="text",
        ),
        batches,
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_is_lost_of_objects_like_stripes(data: st.DataObject) -> None:
    """The real maps, right and wrong values, known and unknown fields."""
    the_map = table_map(BY_NAME[data.draw(st.sampled_from(WIDE))])
    batch = st.lists(like_stripe(the_map), min_size=1, max_size=2)
    check_nothing_is_lost(the_map, [data.draw(batch), data.draw(batch)])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_reading_by_columns_is_reading_object_by_object(data: st.DataObject) -> None:
    """`plain_values` is the definition; the other is fast. What it calls odd is what has more than the map knows."""
    the_map = table_map(BY_NAME[data.draw(st.sampled_from(WIDE))])
    objects = data.draw(st.lists(st.one_of(like_stripe(the_map), OBJECTS), min_size=1, max_size=3))
    columns, tree = readable_columns(the_map)
    odd: set[int] = set()
    cells: list[list[Any] | None] = [None] * len(columns)
    read_columns(tree, objects, cells, odd.add)
    values = [tuple(cell[index] if cell else None for cell in cells) for index in range(len(objects))]

    assert values == [plain_values(thing, columns) for thing in objects]
    for index, thing in enumerate(objects):
        unread = Counter(map(repr, leaves(thing, the_map.children)))
        read = Counter(repr(leaf) for value in plain_values(thing, columns) for leaf in leaves(value))
        assert index in odd or unread <= read


@every_table
def test_every_map_can_be_read(table: Table) -> None:
    """An object that has every column of its map is read without anything being odd, and each value comes back."""
    the_map = table_map(table)
    samples = {
        "text": "x",
        "bigint": 1,
        "bool": True,
        "timestamp": NOW,
        "double": 0.5,
        "json": [1],
        "decimal": "1.5",
    }
    thing: dict[str, Any] = {}
    deepest_last = sorted(
        (column for column in the_map.columns if column.path), key=lambda column: -len(column.path or ())
    )
    for column in deepest_last:
        here = thing
        for step in (column.path or ())[:-1]:
            here = here.setdefault(step, {})
        here.setdefault((column.path or ())[-1], samples[column.data_type])
    made = RowBuilder(the_map).rows([event(thing, table.name, parent="p", position=0)], "load")

    assert [column.name for column in made.inferred if not column.name.endswith(("__expanded", "__v_json"))] == []
    assert missing(thing, made, 0, the_map) == []


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from(["text", "bigint", "bool", "double", "timestamp", "decimal"]))
def test_what_fits_can_be_read_back(value: Any, kind: str) -> None:
    """A value that `fit` lets into a column is one of the forms that the column then holds."""
    held = convert(value, Column("v", kind, ("v",)))
    if held is None or value is None:
        return

    assert set(Leaf.held(held, kind)) & set(Leaf.of(value))
