"""What our own columns say: keys, children and their places, deletions, times, fingerprints."""
from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_rows import NOW, cells, event, nested, row_of, shape, utc

from stripe_source.arrow_rows.builder import RowBuilder
from stripe_source.arrow_rows.fingerprint import fingerprint
from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.waevent import DELETE
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

COINS = Table("coins", ("coin",), "Coins of things.", placements=tuple(BY_NAME["invoice_line_items"].placements))


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
