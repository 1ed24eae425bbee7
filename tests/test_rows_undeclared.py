"""What no map knows becomes columns too: their types and names, contracts, limits of width and depth."""
from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from made_rows import THINGS, cells, content, event, nested, row_of, rows_of, shape, snake_case

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.contract import contract_of
from stripe_source.arrow_rows.undeclared import MAX_COLUMNS
from stripe_source.errors import SchemaFrozen


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
