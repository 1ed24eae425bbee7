"""Every table of Stripe in the sandbox: made up, listed as Stripe lists it, and told by the dump."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
import yaml
from sandbox_walker import Data, Walker, lists_of, value_at

from stripe_source import sandbox
from stripe_source.sandbox.state.catalog import BY_PARAMETER, CHILDREN, LISTS, OBJECTS, V2_SECTIONS

MAPS = Path(__file__).parent.parent / "schema_maps" / "stripe"
NAMES = sorted(path.stem for path in MAPS.glob("*.yaml"))
DAY = 86400


@pytest.fixture(scope="module")
def box() -> Iterator[sandbox.Sandbox]:
    """Four of everything, in accounts that had nothing."""
    world = sandbox.World(empty=True)
    world.populate_all(4)
    with sandbox.serve(world=world) as box:
        yield box


@pytest.fixture(scope="module")
def walker(box: sandbox.Sandbox) -> Walker:
    """Reads what there is four of."""
    return Walker(box)


@pytest.fixture(scope="module")
def truths(box: sandbox.Sandbox) -> dict[str, list[sandbox.Truth]]:
    """What there is, once for all tests: nobody changes it."""
    return box.world.dump()


@lru_cache(maxsize=200)
def columns(table: str) -> Data:
    """The declared columns of a table."""
    text = (MAPS / f"{table}.yaml").read_text(encoding="utf-8")
    return dict(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["columns"])


# What a single call leaves out: parameters of each pass.
PASSES: dict[str, list[Data]] = {
    "apps_secrets": [{"scope[type]": "account"}, {"scope[type]": "user", "scope[user]": "usr_1"}],
    "customers": [{}, {"test_clock": "CLOCK"}],
    "invoice_rendering_templates": [{}, {"status": "archived"}],
    "payment_methods": [{}, {"type": "custom"}],
    "prices": [{}, {"active": "false"}],
    "quotes": [{}, {"test_clock": "CLOCK"}],
    "subscriptions": [{"status": "all"}, {"status": "all", "test_clock": "CLOCK"}],
    "tax_locations": [{"type": "performance"}],
    "tax_registrations": [{"status": "all"}],
    "v2_core_accounts": [{}, {"closed": "true"}],
    "v2_core_event_destinations": [{"include": list(V2_SECTIONS["v2.core.event_destination"])}],
    "v2_money_management_financial_accounts": [{
        "statuses": ["open", "pending", "closed"], "include": ["storage.deposit_insurance_eligibility"]}],
}


def clock(truths: dict[str, list[sandbox.Truth]]) -> str:
    """The clock that something lives on."""
    return next(str(each.object["test_clock"]) for each in truths["customers"] if each.object.get("test_clock"))


Found = list[tuple[str | None, Data]]  # objects with their owner


def walk(walker: Walker, truths: dict[str, list[sandbox.Truth]], table: str) -> Found:
    """All objects of a table with their owner, by its lists."""
    if table in SPECIAL:
        return SPECIAL[table](walker, truths)
    if table in CHILDREN:
        return walk_children(walker, truths, table)
    found: Found = []
    path = lists_of(table)[0]
    for more in PASSES.get(table, [{}]):
        params = {name: clock(truths) if value == "CLOCK" else value for name, value in more.items()}
        found += [(None, each) for each in walker.read(path, params)]
    if table == "v2_core_accounts":
        return [(None, walker.get(f"{path}/{each['id']}", {"include": list(V2_SECTIONS["v2.core.account"])}))
                for _, each in found]
    return found


def walk_children(walker: Walker, truths: dict[str, list[sandbox.Truth]], table: str) -> Found:
    """All objects of a table of children, by the list of each parent."""
    found: Found = []
    path = lists_of(table)[0]
    objects, _, owner = CHILDREN[table]
    names = {object.split("/")[0] for object in objects}
    for parent in parents(truths, owner):
        params: Data = {}
        if path in BY_PARAMETER:
            params[BY_PARAMETER[path]] = parent["id"]
        if table == "financial_connections_account_owners":
            params["ownership"] = parent["ownership"]
        status, _ = walker.ask(path.replace("{id}", parent["id"]), params)
        if status == 403 and owner == "account":
            continue
        found += [(parent["id"], each) for each in walker.read(
            path.replace("{id}", parent["id"]), params, pattern=path) if each["object"] in names]
    return found


def whose(grant: Data) -> Data:
    """The parameter that names the owner of a credit grant."""
    name = "customer" if grant["customer"] else "customer_account"
    return {name: grant[name]}


def credit_summaries(walker: Walker, truths: object) -> Found:
    return [(grant["id"], walker.get("/v1/billing/credit_balance_summary", {
        **whose(grant), "filter[type]": "credit_grant", "filter[credit_grant]": grant["id"],
    })) for grant in walker.read("/v1/billing/credit_grants")]


def credit_transactions(walker: Walker, truths: object) -> Found:
    path = "/v1/billing/credit_balance_transactions"
    return [(grant["id"], each) for grant in walker.read("/v1/billing/credit_grants")
            for each in walker.read(path, {**whose(grant), "credit_grant": grant["id"]})]


def meter_summaries(walker: Walker, truths: object) -> Found:
    now = walker.box.world.now
    pattern = "/v1/billing/meters/{id}/event_summaries"
    return [
        (meter["id"], each) for meter in walker.read("/v1/billing/meters")
        for customer in walker.read("/v1/customers", limit=100)
        for each in walker.read(pattern.replace("{id}", meter["id"]), {
            "customer": customer["id"], "start_time": now // DAY * DAY - 40 * DAY,
            "end_time": now // DAY * DAY + DAY, "value_grouping_window": "day"}, pattern=pattern)]


def tax_ids(walker: Walker, truths: object) -> Found:
    pattern = "/v1/customers/{id}/tax_ids"
    return [
        *((None, each) for each in walker.read("/v1/tax_ids")),
        *((owner["id"], each) for owner in walker.read("/v1/customers", limit=100)
          for each in walker.read(pattern.replace("{id}", owner["id"]), pattern=pattern)),
    ]


def schedules(walker: Walker, truths: dict[str, list[sandbox.Truth]]) -> Found:
    path = "/v1/subscription_schedules"
    owners = [each.object["id"] for each in truths["customers"] if each.object.get("test_clock")]
    return [(None, each) for more in ({}, *({"customer": owner} for owner in owners))
            for each in walker.read(path, more)]


SPECIAL: dict[str, Callable[[Walker, dict[str, list[sandbox.Truth]]], Found]] = {  # those that are no plain list
    "accounts": lambda walker, _: [
        (None, walker.get("/v1/account")), *((None, each) for each in walker.read("/v1/accounts"))],
    "balance": lambda walker, _: [(None, walker.get("/v1/balance"))],
    "balance_available": lambda walker, _: [(None, each) for each in walker.get("/v1/balance")["available"]],
    "balance_pending": lambda walker, _: [(None, each) for each in walker.get("/v1/balance")["pending"]],
    "balance_settings": lambda walker, _: [(None, walker.get("/v1/balance_settings"))],
    "billing_credit_balance_summaries": credit_summaries,
    "billing_credit_balance_transactions": credit_transactions,
    "billing_meter_event_summaries": meter_summaries,
    "discounts": lambda walker, _: [
        (None, each["discount"]) for each in walker.read("/v1/customers", limit=100) if each["discount"]],
    "payout_balance_transactions": lambda walker, _: [
        (payout["id"], each) for payout in walker.read("/v1/payouts") if payout["automatic"]
        for each in walker.read("/v1/balance_transactions", {"payout": payout["id"]})],
    "subscription_schedules": schedules,
    "tax_ids": tax_ids,
    "tax_settings": lambda walker, _: [(None, walker.get("/v1/tax/settings"))],
}


def parents(truths: dict[str, list[sandbox.Truth]], owner: str) -> list[Data]:
    """Living objects of a type; those that have no list are found by what names them."""
    if owner == "tax.calculation":
        named = [each.object for each in truths["payment_intents"]]
        ids = [((each.get("hooks") or {}).get("inputs") or {}).get("tax", {}).get("calculation") for each in named]
        ids += [each["metadata"].get("tax_calculation") for each in named]
        return [{"id": id} for id in ids if id]
    if owner == "tax.transaction":
        return [{"id": each.parent_id} for each in {each.parent_id: each for each in truths[
            "tax_transaction_line_items"]}.values()]
    table = "customer_sources" if owner == "source" else next(
        entry["table"] for path, entry in LISTS.items() if entry["objects"][0] == owner and "{" not in path)
    return [each.object for each in truths[table] if not each.deleted and each.object["object"] == owner]


def test_there_is_a_map_and_a_list_for_every_table(truths: dict[str, list[sandbox.Truth]]) -> None:
    """The dump has each of them."""
    assert sorted(truths) == NAMES


@pytest.mark.parametrize("table", NAMES)
def test_lists_show_what_the_dump_has(
    walker: Walker, truths: dict[str, list[sandbox.Truth]], table: str
) -> None:
    """Object by object, with its owner and its place in the owner's list."""
    found = walk(walker, truths, table)
    expected = [each for each in truths[table] if each.listed and not each.deleted]

    def order(pair: tuple[str | None, Data]) -> str:
        return f"{pair[0]}{json.dumps(pair[1], sort_keys=True)}"

    children = table in CHILDREN
    theirs = [(each.parent_id if children or table in (
        "billing_credit_balance_summaries", "payout_balance_transactions", "tax_ids") else None, each.object)
        for each in expected]
    assert len(found) >= 1
    assert sorted(found, key=order) == sorted(theirs, key=order)
    if children and table != "billing_meter_event_summaries":
        kinds = CHILDREN[table][1] == CHILDREN[table][0]
        for parent in {each.parent_id for each in expected} if kinds else ():
            assert [each for owner, each in found if owner == parent] == [
                each.object for each in sorted(expected, key=lambda each: each.position or 0)
                if each.parent_id == parent]


# Columns that a bare GET leaves empty, with the reason.
EMPTY: dict[str, set[str]] = {
    "account_external_accounts": {"customer"},  # they belong to an account instead
    "balance_available": {"source_types__bank_account", "source_types__fpx"},
    "balance_pending": {"source_types__bank_account", "source_types__fpx"},
    # of whole objects inside others these come with `expand[]` only
    **{name: {"price__currency_options", "price__tiers"} for name, (objects, _, _) in CHILDREN.items()
       if objects[0].startswith("item")},
    "subscription_items": {"price__currency_options", "price__tiers", "plan__tiers"},
}


def of_expanded_lists(table: str) -> tuple[str, ...]:
    """Paths of embedded lists that come with `expand[]` only; another test reads those."""
    paths = lists_of(table)
    objects = CHILDREN[table][0] if table in CHILDREN else LISTS[paths[0]]["objects"] if paths else []
    return tuple(path for object in objects for path, (expand, _) in OBJECTS.get(object.split("/")[0], {}).get(
        "lists", {}).items() if expand)


@pytest.mark.parametrize("table", NAMES)
def test_every_column_has_a_value(truths: dict[str, list[sandbox.Truth]], table: str) -> None:
    """A loader cannot be right about a column by leaving it empty."""
    objects = [each for each in truths[table] if not each.deleted]

    def has(path: str) -> bool:
        for each in objects:
            value = value_at(each.object, path)
            for section, more in each.also.items():
                if path == section or path.startswith(f"{section}."):
                    value = more if path == section else value_at(more, path[len(section) + 1:])
            if value is not None:
                return True
        return False

    lists = of_expanded_lists(table)
    wanted = {name: words.get("path") or name.replace("__", ".") for name, words in columns(table).items()}
    missing = {name for name, path in wanted.items() if not has(path) and not path.startswith(lists or ("/",))
               and not path.endswith("deleted")}  # what is deleted is in no list

    assert missing == EMPTY.get(table, set())


def test_life_goes_on_among_them() -> None:
    """Nothing that was made up is in the way of what happens afterwards."""
    world = sandbox.World(scale=0.05)
    world.populate_all(3)
    for _ in range(8):
        world.live(30)
        world.advance(9 * DAY)

    assert sorted(world.dump()) == NAMES


def test_connected_accounts_have_them_too() -> None:
    """All but what a platform has on its accounts."""
    world = sandbox.World(empty=True)
    world.populate_all(1, account=world.connected[0])
    counts = world.counts(world.connected[0])

    assert set(NAMES) - set(counts) == {"account_capabilities", "account_external_accounts", "account_persons"}
    with pytest.raises(ValueError, match="platform's"):
        world.populate("account_persons", account=world.connected[0])
