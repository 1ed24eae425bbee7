"""Declared columns: what is converted, what is kept beside them, and that nothing is raised."""
from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from made_rows import NOW, event, row_of, rows_of, shape, utc

from stripe_source.api.pages import parse_json
from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import Column, table_map

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


def test_hints_carry_the_digits_of_decimals() -> None:
    """Also a scale of 0."""

    assert Column("v", "decimal", ("v",), precision=20, scale=0).hint() == {
        "name": "v",
        "data_type": "decimal",
        "nullable": True,
        "precision": 20,
        "scale": 0,
    }


# ---- references


def test_a_reference_is_the_id_expanded_or_not() -> None:
    """What came with the expansion is kept beside it; a bare id has nothing to keep."""
    whole = {"id": "cus_2", "object": "customer", "name": "Ada"}

    assert rows_of(shape(customer="text"), {"id": "1", "customer": "cus_1"}, {"id": "2", "customer": whole}) == [
        {"id": "1", "customer": "cus_1"},
        {"id": "2", "customer": "cus_2", "customer__expanded": whole},
    ]
