"""A hundred differences that were planted are found and named, nothing else is, and a repair heals all."""
from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import pytest
from truth import KEYS, NEVER, PARENTS, columns
from verified_copy import Copy, found

pytestmark = pytest.mark.usefixtures("hasty")

FAN_OUT = "customer_balance_transactions", "setup_attempts", "radar_value_lists", "radar_value_list_items"
SINGLETONS = {"balance", "balance_available", "balance_pending", "balance_settings", "tax_settings"}


class Planted(NamedTuple):
    """A difference that was planted: what a verification should say about it."""

    kind: str
    table: str
    key: str
    column: str | None = None


OTHERWISE = {  # SQL for another value of a column than it holds, by data type
    "text": "coalesce({c}, '') || '~'", "bigint": "coalesce({c}, 0) + 1", "bool": "NOT coalesce({c}, false)",
    "double": "coalesce({c}, 0) + 0.25", "decimal": "coalesce({c}, 0) + 0.000000000001",
    "timestamp": "coalesce({c}, TIMESTAMPTZ '2020-02-20 00:00:00+00') + INTERVAL 1 MICROSECOND",
    "json": "'{{\"planted\": [1, null]}}'",
}


class Gardener:
    """Plants differences into rows drawn at random, one in each."""

    def __init__(self, copy: Copy, seed: int) -> None:
        self.copy, self.draw = copy, random.Random(seed)
        there = [row[0] for row in copy.sql(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'stripe' ORDER BY 1"
        ) if not row[0].startswith("_dlt")]
        self.rows = {
            name: [row[0] for row in copy.sql(f"SELECT {self.key(name)} FROM stripe.{name} WHERE NOT _deleted")]
            for name in there
        }
        self.tables = [name for name, rows in self.rows.items() if rows]
        self.sound = {name: set(rows) for name, rows in self.rows.items()}

    def key(self, table: str) -> str:
        names = KEYS.get(table, ("id",))
        return " || '/' || ".join(f"CAST({name} AS VARCHAR)" for name in names) if names else "''"

    def pick(self, tables: list[str]) -> tuple[str, str]:
        """A row that nothing was planted in, of tables in turn."""
        name = self.draw.choice([name for name in tables if self.sound[name]])
        key = self.draw.choice(sorted(self.sound[name]))
        self.sound[name].remove(key)
        return name, key

    def plant(self, statements: list[str]) -> None:
        with duckdb.connect(self.copy.file) as connection:
            for statement in statements:
                connection.execute(statement)

    def missing(self, tables: list[str]) -> tuple[Planted, str]:
        table, key = self.pick(tables)
        return Planted("missing", table, key), f"DELETE FROM stripe.{table} WHERE {self.key(table)} = '{key}'"

    def flagged(self, tables: list[str]) -> tuple[Planted, str]:
        table, key = self.pick(tables)
        set_ = "_deleted = true, _deleted_at = _changed_at"
        return Planted("missing", table, key), f"UPDATE stripe.{table} SET {set_} WHERE {self.key(table)} = '{key}'"

    def extra(self, tables: list[str]) -> tuple[Planted, str]:
        table, key = self.pick([name for name in tables if KEYS.get(name, ("id",))[-1:] == ("id",)])
        made = f"planted_{self.draw.randrange(10**9)}"
        planted = "/".join([*key.split("/")[:-1], made])
        return Planted("extra", table, planted), (
            f"INSERT INTO stripe.{table} SELECT * REPLACE ('{made}' AS id, '{made}' AS _dlt_id) FROM stripe.{table} "
            f"WHERE {self.key(table)} = '{key}'"
        )

    def twice(self, tables: list[str]) -> tuple[Planted, str]:
        table, key = self.pick(tables)
        row = f"FROM stripe.{table} WHERE {self.key(table)} = '{key}'"
        return Planted("extra", table, key), f"INSERT INTO stripe.{table} SELECT * {row}"

    def altered(self, tables: list[str], kind: str) -> tuple[Planted, str]:
        def fitting(table: str) -> list[str]:
            more = {"_position": {"data_type": "bigint"}} if table in PARENTS else {}
            return [
                name for name, words in {**columns(table), **more}.items()
                if words["data_type"] == kind and name not in (*KEYS.get(table, ("id",)), PARENTS.get(table), "created")
            ]

        table, key = self.pick([name for name in tables if fitting(name)])
        column = self.draw.choice(fitting(table))
        value = OTHERWISE[kind].format(c=f'"{column}"')
        return Planted("altered", table, key, column), (
            f'UPDATE stripe.{table} SET "{column}" = {value} WHERE {self.key(table)} = \'{key}\''
        )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A copy that is verified, has 100 differences planted, is verified and repaired, and verified again."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("planted")
    patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    copy = Copy(folder, seed=5, scale=0.05)
    world = copy.stripe.world
    for table in ("setup_attempts", "radar_value_list_items"):
        world.populate(table, 6)
    default = [name for name, truths in world.dump().items() if truths and name not in NEVER]
    names = sorted({*default, *FAN_OUT})
    copy.run(tables=names)
    clean = copy.verify()

    stale = [truth.object["id"] for truth in world.dump()["customers"] if not truth.deleted][:10]
    for id in stale:
        world.update("customer", id, name=f"Renamed {id}")  # what the destination holds is an older version now
    told = {truth.object["id"] for truth in world.dump()["events"]} - {row[0] for row in copy.sql(
        "SELECT id FROM stripe.events")}  # the events of these changes are missing, truly
    garden = Gardener(copy, seed=17)
    garden.sound["customers"] -= set(stale)
    children = [name for name in garden.tables if name in PARENTS]
    some = ["balance_transactions", "prices", "transfers"]
    parents = [*some, *garden.draw.sample(sorted(set(garden.tables) - {*PARENTS, *SINGLETONS, *some}), 8)]
    made: list[tuple[Planted, str]] = []
    for tables in (parents, children):
        made += [garden.missing(tables) for _ in range(10)] + [garden.flagged(tables) for _ in range(6)]
        made += [garden.extra(tables) for _ in range(10)] + [garden.twice(tables) for _ in range(2)]
        for kind in OTHERWISE:
            if any(words["data_type"] == kind for name in tables for words in columns(name).values()):
                made += [garden.altered(tables, kind) for _ in range(2)]
    while len(made) < 90:
        made.append(garden.altered(parents + children, garden.draw.choice(["text", "bigint", "json", "timestamp"])))
    garden.plant([statement for _, statement in made])
    expected = {planted for planted, _ in made} | {Planted("altered", "customers", id, "name") for id in stale}
    repaired = copy.verify(repair=True)
    yield {"copy": copy, "names": names, "clean": clean, "expected": expected, "seen": repaired.before,
           "repaired": repaired, "told": told}
    copy.stripe.close()
    patch.undo()


def test_a_clean_copy_has_no_difference(planted: dict[str, Any]) -> None:
    """Every table is compared, and money adds up."""
    clean = planted["clean"]

    assert found(clean) == {}
    assert (clean.exit_code, clean.money.off, clean.failed) == (0, 0, {})
    assert {name for name, table in clean.tables.items() if table.status == "ok"} >= set(planted["names"])
    assert clean.money.payouts_checked > 10 and len(clean.money.balance) >= 4
    assert sum(table.stripe for table in clean.tables.values()) > 1_500
    assert abs(clean.expected_requests - clean.requests) <= 0.2 * clean.requests


@pytest.mark.parametrize("table", ["transfers", "prices", "discounts"])
def test_a_clean_table_alone_has_no_difference(planted: dict[str, Any], table: str) -> None:
    """What a table's rows depend on is read with it: lists embedded in its objects, objects that name what it hides."""
    result = planted["copy"].verify(tables=table)

    assert (result.exit_code, found(result), list(result.tables)) == (0, {}, [table])


def test_100_of_100_planted_differences_are_found(planted: dict[str, Any]) -> None:
    """Each by table, id and column; and no row is named in which nothing was planted."""
    expected, seen = planted["expected"], found(planted["seen"])
    rows = {(name, key) for _, name, key, _ in seen if not (name == "events" and key in planted["told"])}

    assert len(expected) == 100
    assert expected - seen.keys() == set()
    assert rows == {(each.table, each.key) for each in expected}
    assert planted["seen"].exit_code == 4
    assert sum(t.differing + t.late for t in planted["seen"].tables.values()) == 100 + len(planted["told"])


def test_a_repair_heals_all(planted: dict[str, Any]) -> None:
    """What differed was written, nothing differs after it, and the file equals the sandbox's dump."""
    copy, repaired, names = planted["copy"], planted["repaired"], planted["names"]

    assert repaired.exit_code == 0 and repaired.before.exit_code == 4
    assert sum(repaired.repaired.values()) == 100 + len(planted["told"])
    assert found(repaired) == {}
    assert copy.off(*(name for name in names if name != "events")) == []


def test_months_show_where_it_is(planted: dict[str, Any]) -> None:
    """Rows of both sides by month of creation, and how many of them differ."""
    charges = planted["seen"].tables["charges"]
    months = {window.window: window for window in charges.windows}

    assert len(months) > 3 and all(len(name) == 7 for name in months)
    assert sum(window.stripe for window in months.values()) == charges.stripe
    assert sum(window.differing for window in months.values()) == charges.differing + charges.late
