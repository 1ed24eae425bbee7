"""Every leaf that Stripe sends is in the destination, also of objects of a kind that no table is for."""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from truth import differences

from stripe_source import sandbox
from stripe_source.extract.plan import left_out_children
from stripe_source.load.sync import sync
from stripe_source.sandbox.state.events import emit
from stripe_source.tables.placement import Placement
from stripe_source.tables.registry import TABLES
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table
from stripe_source.verification.verify import verify

NEW = "brand_new.kind"
CREATED = 1_700_000_000


class Answers:
    """One object of each list that others are found in, with one of each kind in every place, and one that is new.

    `tokens` has each text that was made up, with the table where it has to be: no two leaves have the same.
    """

    def __init__(self) -> None:
        self._number = count(1)
        self.bodies: dict[str, Any] = {}  # by path, as a pattern
        self.tokens: dict[str, str] = {}
        self.takers: set[str] = set()  # tables that have to have the new kind
        self.found: dict[str, dict[Placement, list[Table]]] = {}
        for table in TABLES:
            for place in table.placements if not (table.unsupported_reason or place_of_copies(table)) else ():
                self.found.setdefault(place.parent, {}).setdefault(place, []).append(table)
        for table in TABLES:
            if table.path and table.name in self.found:
                self.serve(table.path, [table], ())

    def serve(self, path: str, tables: list[Table], trail: tuple[str, ...]) -> None:
        """A list answers one object of each kind of these tables, and a new one; the first answer of a path counts."""
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
        if pattern in self.bodies:
            return
        v2 = {"next_page_url": None} if path.startswith("/v2/") else {"object": "list", "has_more": False, "url": path}
        body = self.bodies[pattern] = {"data": [], **v2}
        body["data"] = self.members(tables, trail)
        if tables[0].include:  # each is read once more by its id
            self.bodies.update({f"{pattern}/{thing['id']}": thing for thing in body["data"]})

    def members(self, tables: list[Table], trail: tuple[str, ...]) -> list[dict[str, Any]]:
        """One object of each kind of these tables, and one of a kind that nobody knows."""
        taker = next((table for table in tables if table.other_kinds), tables[0]).name
        self.takers.add(taker)
        return [*(self.thing(table, kind, trail) for table in tables for kind in table.object), self.leaf(NEW, taker)]

    def leaf(self, kind: str, table: str) -> dict[str, Any]:
        """An object with three texts that no other one has."""
        tokens = [f"token-{next(self._number):04}-" for _ in range(3)]
        self.tokens.update(dict.fromkeys(tokens, table))
        return {"id": tokens[0], "object": kind, "created": CREATED, "date": CREATED, "flat": tokens[1],
                "start_time": CREATED + len(self.tokens), "deep": {"in": {"side": tokens[2]}}}

    def thing(self, table: Table, kind: str, trail: tuple[str, ...]) -> dict[str, Any]:
        """An object, with others in every place where the registry looks for some."""
        thing, trail = self.leaf(kind, table.name), (*trail, table.name)
        lists = {".".join(path) for path in table_map(table).children}
        for place, tables in self.found.get(table.name, {}).items():
            if place.fallback or place.single_object or {other.name for other in tables} & set(trail):
                continue
            if place.at is None:
                for path in filter(None, (place.when, None if place.via_path else place.id)):
                    self.put(thing, path, thing["id"])
                thing.update(dict(place.where))
                if place.via_path:
                    self.bodies[re.escape(place.via_path)] = {
                        "object": "tax.association", "tax_transaction_attempts": [{"committed": {"transaction": "tx"}}]}
                self.serve(place.child_path or "", tables, trail)
            elif place.at in lists or (place.expand and place.child_path):
                data = self.members(tables, trail)
                self.put(thing, place.at, {"object": "list", "has_more": False, "url": "/", "data": data})
            elif place.at.endswith("s"):  # objects in place of their ids
                self.put(thing, place.at, self.members(tables, trail))
            else:
                self.takers.add(tables[0].name)
                self.put(thing, place.at, self.leaf(NEW, tables[0].name))
        return thing

    def put(self, thing: dict[str, Any], path: str, value: Any) -> None:
        """Set the value at a dotted path."""
        *above, last = path.split(".")
        for step in above:
            thing = thing.setdefault(step, {})
        thing[last] = value


def place_of_copies(table: Table) -> bool:
    """Whether objects of a table are only copied where others are found."""
    return bool(table.placements) and all(place.fallback for place in table.placements)


@pytest.fixture
def stripe() -> Iterator[Any]:
    with sandbox.serve(world=sandbox.World(seed=1, scale=0)) as served:
        yield served


def held_in(file: Any) -> dict[str, str]:
    """All text of each table."""
    with duckdb.connect(str(file), read_only=True) as connection:
        names = [name for (name,) in connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'stripe'").fetchall()]
        return {name: repr(connection.execute(f'SELECT * FROM stripe."{name}"').fetchall()) for name in names}


def test_a_new_kind_in_every_list_is_a_row_of_the_nearest_table(
    stripe: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """Every place where the registry looks for objects, in one load: no leaf is missing, and the result names all."""
    answers = Answers()
    for pattern, body in answers.bodies.items():
        stripe.world.faults.add(path=pattern, status=200, body=json.dumps(body))
    tables = sorted({*answers.found, *answers.tokens.values()})
    result = sync(new_pipeline(), tables=tables, api_base=stripe.url, api_key=stripe.api_key)
    held = held_in(tmp_path / "test.duckdb")
    embedded = {place.at for places in answers.found.values() for place in places if place.at and place.child_path}
    notes = " ".join(result.notes)

    assert [(token, table) for token, table in answers.tokens.items() if token not in held[table]] == []
    assert answers.takers == {name for name in tables if result.tables[name].other_kinds}
    assert [at for at in embedded if f"`{at}` of " not in notes] == []


def test_sources_of_kinds_that_are_no_more(stripe: Any, new_pipeline: Callable[..., Any], tmp_path: Path) -> None:
    """Old accounts have `alipay_account` and `bitcoin_receiver`: rows, which changes bring and verify misses."""
    world, file = stripe.world, tmp_path / "test.duckdb"
    owner, other = (each["id"] for each in (world.create("customer", name="A"), world.create("customer", name="B")))
    options = {"tables": "customers;customer_cards;customer_sources", "api_base": stripe.url, "api_key": stripe.api_key}

    def off() -> list[str]:
        with duckdb.connect(str(file), read_only=True) as connection:
            return [line for name in ("customer_cards", "customer_sources")
                    for line in differences(connection, "stripe", name, world.dump()[name], world.books.account)]

    def add(kind: str, id: str, customer: str) -> None:
        record = world.books.add(kind, id=id, parent_id=customer, customer=customer, reusable=True, username="a@b.c")
        emit(world.books, "customer.source.created", record)

    add("alipay_account", "aliacc_1", owner)
    first = sync(new_pipeline(), **options)
    before = off()
    world.advance(60)
    add("bitcoin_receiver", "btcrcv_1", other)
    second = sync(new_pipeline(), **options)
    good = verify(new_pipeline(), **options)
    after = off()
    with duckdb.connect(str(file)) as connection:
        connection.execute("DELETE FROM stripe.customer_sources WHERE id = 'aliacc_1'")
    bad = verify(new_pipeline(), **options)

    assert (before, after) == ([], [])
    assert first.tables["customer_sources"].other_kinds == {"alipay_account": 1}
    assert second.tables["customer_sources"].other_kinds == {"alipay_account": 1, "bitcoin_receiver": 1}
    assert [note for note in first.notes if "`alipay_account` (1)" in note and "rows of customer_sources" in note]
    assert (good.exit_code, bad.exit_code) == (0, 4)


def test_what_no_wanted_table_takes_is_named(stripe: Any, new_pipeline: Callable[..., Any]) -> None:
    """Without the table whose rows they would be, objects of an unknown kind are not loaded, and the result says so."""
    customer = stripe.world.create("customer", name="A")["id"]
    stripe.world.books.add("alipay_account", id="aliacc_1", parent_id=customer, customer=customer)
    result = sync(new_pipeline(), tables="customers;customer_cards", api_base=stripe.url, api_key=stripe.api_key)

    assert [note for note in result.notes if "`alipay_account` (1); they are not loaded" in note]


def test_parents_without_their_children_say_so(stripe: Any, new_pipeline: Callable[..., Any]) -> None:
    """What Stripe embeds is rows of another table: a run that loads one without the other names both."""
    options = {"api_base": stripe.url, "api_key": stripe.api_key}
    alone = sync(new_pipeline("alone", "alone.duckdb"), tables="subscriptions;invoices", **options)
    both = sync(new_pipeline("both", "both.duckdb"), tables="subscriptions;subscription_items", **options)

    assert [note.partition(",")[0] for note in alone.notes] == [
        "invoices came without the rows of invoice_line_items",
        "subscriptions came without the rows of subscription_items",
    ]
    assert (both.notes, left_out_children([table for table in TABLES if table.default])) == ([], {})


def test_the_balance_is_whole(stripe: Any, new_pipeline: Callable[..., Any], tmp_path: Path) -> None:
    """Every leaf of `/v1/balance` is in the table `balance`, also one that Stripe brings tomorrow."""
    body = {
        **stripe.world.dump()["balance"][0].object, "issuing": {"available": [{"amount": 5, "currency": "usd"}]},
        "instant_available": [{"amount": 7, "currency": "usd", "net_available": [{"amount": 6}]}],
        "new_amounts": [{"amount": 123_454_321, "currency": "new"}],
        "newer": {"deep": "leaf-of-tomorrow"},
    }
    stripe.world.faults.add(path="/v1/balance", status=200, body=json.dumps(body))
    result = sync(new_pipeline(), tables="balance", api_base=stripe.url, api_key=stripe.api_key)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        found = connection.execute("SELECT * EXCLUDE (_account_id) FROM stripe.balance")
        row = dict(zip([column[0] for column in found.description], found.fetchall()[0], strict=True))
    held = {name: json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
            for name, value in row.items() if not name.startswith("_")}

    assert held == {
        **{name: body[name] for name in (
            "object", "available", "connect_reserved", "instant_available", "livemode", "pending", "new_amounts")},
        "issuing__available": body["issuing"]["available"],
        "refund_and_dispute_prefunding__available": body["refund_and_dispute_prefunding"]["available"],
        "refund_and_dispute_prefunding__pending": body["refund_and_dispute_prefunding"]["pending"],
        "newer__deep": "leaf-of-tomorrow",
    }
    assert result.tables["balance"].inferred == ["new_amounts", "newer__deep"]


def test_objects_without_an_id_are_rows_of_their_own(
    stripe: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """Old discounts have no id: two that differ are two rows, one that is found twice is one, in every run."""
    def discount(coupon: str) -> dict[str, Any]:
        return {"object": "discount", "coupon": {"id": coupon, "object": "coupon"}, "start": CREATED}

    def page(name: str, *things: dict[str, Any]) -> None:
        body = {"object": "list", "has_more": False, "url": f"/v1/{name}", "data": things}
        stripe.world.faults.add(path=f"/v1/{name}", status=200, body=json.dumps(body))

    page("customers", *({"id": f"cus_{number}", "object": "customer", "created": CREATED, "discount": discount(coupon)}
                        for number, coupon in enumerate(["A", "B", "A"])))
    page("subscriptions", {"id": "sub_1", "object": "subscription", "created": CREATED, "discounts": [discount("C")]})
    options = {"tables": "customers;subscriptions;discounts", "api_base": stripe.url, "api_key": stripe.api_key}
    options["marker"] = None
    results = [sync(new_pipeline(), **options) for _ in range(3)]
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        held = connection.execute(
            "SELECT coupon__id, count(*), bool_or(_deleted) FROM stripe.discounts GROUP BY 1 ORDER BY 1").fetchall()

    assert held == [("A", 1, False), ("B", 1, False), ("C", 1, False)]
    counts = [(each.tables["discounts"].new, each.tables["discounts"].gone) for each in results]
    assert counts == [(3, 0), (0, 0), (0, 0)]


def test_what_events_lack_is_asked_for(small: Any, new_pipeline: Callable[..., Any], tmp_path: Path) -> None:
    """Changed objects have their expanded fields as after a first load; where no object is for one, nobody is asked."""
    world = small.world
    coupon = world.create("coupon", percent_off=10, duration="once")["id"]
    invoice = next(each.object["id"] for each in world.dump()["invoices"] if not each.deleted)
    options = {"tables": "coupons;invoices;invoice_line_items", "api_base": small.url, "api_key": small.api_key}
    sync(new_pipeline(), **options)
    world.advance(60)
    world.books.get("coupon", coupon).expand_only = {"currency_options": {"eur": {"amount_off": 7}}}
    world.update("coupon", coupon, name="Better")
    world.update("invoice", invoice, description="Changed")
    first = len(world.requests)
    sync(new_pipeline(), **options)
    with duckdb.connect(str(tmp_path / "test.duckdb"), read_only=True) as connection:
        held = connection.execute(f"SELECT currency_options FROM stripe.coupons WHERE id = '{coupon}'").fetchall()
        changed = connection.execute(f"SELECT description FROM stripe.invoices WHERE id = '{invoice}'").fetchall()
    asked = [request.path for request in world.requests[first:]]

    assert [json.loads(value) for value, in held] == [{"eur": {"amount_off": 7}}]
    assert changed == [("Changed",)]
    assert f"/v1/coupons/{coupon}" in asked and f"/v1/invoices/{invoice}" not in asked
