"""What a verification looks at: the time that passes meanwhile, bounds, samples, money, and what it cannot see."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from verified_copy import Copy, found

from stripe_source import sandbox
from stripe_source.cli.main import main
from stripe_source.errors import ConfigurationError, InvalidOption, MixedData, UnknownTable
from stripe_source.verification.verify import verify

pytestmark = pytest.mark.usefixtures("hasty")

MONEY = "balance_transactions;payouts;payout_balance_transactions"


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    """A small business, loaded into a file of the test's own."""
    made = Copy(tmp_path, seed=3, scale=0.03)
    yield made
    made.stripe.close()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """A small business in several tables, loaded once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("loaded")
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        made = Copy(folder, seed=3, scale=0.12)
        made.run(tables=f"apps_secrets;charges;customers;products;invoices;invoice_line_items;{MONEY}")
    yield made
    made.stripe.close()


@pytest.fixture
def shared(loaded: Copy) -> Iterator[Copy]:
    """That copy, for tests that change the destination only: it is put back after each."""
    sound = Path(loaded.file).read_bytes()
    yield loaded
    Path(loaded.file).write_bytes(sound)


# ---- what happens meanwhile


def test_what_came_after_the_last_load_is_named_as_such(copy: Copy) -> None:
    """It differs, and is told apart; with `settled` it does not count; the next run brings it."""
    copy.run(tables="customers;products")
    copy.stripe.world.advance(3600)
    ids = [truth.object["id"] for truth in copy.stripe.world.dump()["customers"]][:2]
    copy.stripe.world.update("customer", ids[0], name="Changed")
    copy.stripe.world.delete("customer", ids[1])
    new = copy.stripe.world.create("customer", name="New")["id"]
    copy.sql("UPDATE stripe.products SET name = 'Wrong' WHERE id = (SELECT min(id) FROM stripe.products)")
    both, settled = copy.verify(), copy.verify(settled=True, tables="customers")
    customers = both.tables["customers"]

    assert {(each.kind, each.key["id"]) for each in customers.differences} == {
        ("altered", ids[0]), ("extra", ids[1]), ("missing", new)}
    assert (customers.late, customers.differing, both.tables["products"].altered) == (3, 0, 1)
    assert (both.exit_code, settled.exit_code, settled.tables["customers"].late) == (4, 0, 3)
    copy.run(tables="customers;products")
    assert found(copy.verify()).keys() == {  # the fingerprint of a row that was tampered with is still right
        ("altered", "products", copy.sql("SELECT min(id) FROM stripe.products")[0][0], "name")}


def test_an_object_that_changes_meanwhile_is_compared_again(shared: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference that a second pass does not find is none."""
    from stripe_source.verification.compare.comparison_pass import ComparisonPass

    copy = shared
    id = copy.sql("SELECT min(id) FROM stripe.customers")[0][0]
    name = copy.sql(f"SELECT name FROM stripe.customers WHERE id = '{id}'")[0][0]
    copy.sql(f"UPDATE stripe.customers SET name = 'Meanwhile' WHERE id = '{id}'")
    passes, compare = [], ComparisonPass.compare

    def then_right(self: ComparisonPass, spans: Any) -> Any:
        passes.append(spans)
        comparisons = compare(self, spans)
        copy.sql(f"UPDATE stripe.customers SET name = '{name}' WHERE id = '{id}'")
        return comparisons

    monkeypatch.setattr(ComparisonPass, "compare", then_right)
    result = copy.verify(tables="customers")

    assert (len(passes), found(result), result.exit_code) == (2, {}, 0)


def test_what_a_second_look_cannot_see_counts_as_it_was_seen(shared: Copy) -> None:
    """Stripe stops answering between the two looks: the difference stays, and is not taken for healed."""
    copy = shared
    requests = copy.stripe.world.requests
    before = len(requests)
    assert found(copy.verify(tables="customers")) == {}
    pages = sum(request.path == "/v1/customers" for request in requests[before:])
    id = copy.sql("SELECT min(id) FROM stripe.customers")[0][0]
    copy.sql(f"UPDATE stripe.customers SET name = 'Wrong' WHERE id = '{id}'")
    fault = copy.stripe.world.faults.add(path="/v1/customers", status=500, after=pages)
    result = copy.verify(tables="customers")
    fault.remove()

    assert any(request.status == 500 for request in requests[before:])
    assert found(result).keys() == {("altered", "customers", id, "name")}
    assert (result.tables["customers"].differing, result.exit_code) == (1, 4)


@pytest.mark.parametrize(("seconds", "late"), [(30, True), (600, False)])
def test_what_happened_just_before_the_last_load_may_be_missing_in_it(copy: Copy, seconds: int, late: bool) -> None:
    """Stripe's lists and events are a little behind: that long it is late, and before that it is lost."""
    world, tables = copy.stripe.world, "balance_transactions;customers"
    copy.run(tables=tables)
    world.advance(3_600)
    id = world.dump()["customers"][0].object["id"]
    held = {row[0] for row in copy.sql("SELECT id FROM stripe.balance_transactions")}
    world.update("customer", id, name="Changed")
    world.create("charge", amount=5_000, currency="usd")
    world.advance(seconds)
    copy.run(tables=tables)
    copy.sql(f"UPDATE stripe.customers SET name = 'Before' WHERE id = '{id}'")
    (new,) = {row[0] for row in copy.sql("SELECT id FROM stripe.balance_transactions")} - held
    copy.sql(f"DELETE FROM stripe.balance_transactions WHERE id = '{new}'")
    result = copy.verify(tables=tables)

    assert found(result).keys() == {
        ("altered", "customers", id, "name"), ("missing", "balance_transactions", new, None)}
    assert {each.late for table in result.tables.values() for each in table.differences} == {late}


def test_another_case_of_a_letter_inside_json_is_a_difference(copy: Copy) -> None:
    """Text in JSON is text: the order of names and blanks do not matter, letters do."""
    id = copy.stripe.world.create("customer", metadata={"since": "2", "Tier": "Gold"})["id"]
    copy.run(tables="customers")

    def verified(metadata: str) -> set[Any]:
        copy.sql(f"UPDATE stripe.customers SET metadata = '{metadata}' WHERE id = '{id}'")
        return set(found(copy.verify(tables="customers")))

    assert verified('{ "Tier": "Gold", "since": "2" }') == set()
    assert verified('{"since":"2","Tier":"gold"}') == {("altered", "customers", id, "metadata")}
    assert verified('{"since":"2","tier":"Gold"}') == {("altered", "customers", id, "metadata")}


# ---- bounds and samples


def test_bounds_save_requests_and_name_what_is_in_them(shared: Copy) -> None:
    """With `start` and `end` only that span is read and compared, children with their parents."""
    copy = shared
    times = sorted(truth.object["created"] for truth in copy.stripe.world.dump()["invoices"])
    low, high = times[len(times) // 3], times[2 * len(times) // 3]
    inside, outside = (
        copy.sql(f"SELECT l.invoice_id, l.id FROM stripe.invoice_line_items l JOIN stripe.invoices i ON i.id = "
                 f"l.invoice_id WHERE epoch(i.created) {test} ORDER BY ALL")[0]
        for test in (f">= {low} AND epoch(i.created) < {high}", f">= {high}")
    )
    for id in (inside[1], outside[1]):
        copy.sql(f"UPDATE stripe.invoice_line_items SET amount = amount + 1 WHERE id = '{id}'")
    copy.sql(f"INSERT INTO stripe.invoice_line_items SELECT * REPLACE ('il_extra' AS id) FROM stripe.invoice_line_items"
             f" WHERE id = '{inside[1]}'")
    whole = copy.verify()
    part = copy.verify(start=low, end=high)

    assert found(part).keys() == {
        ("altered", "invoice_line_items", f"{inside[0]}/{inside[1]}", "amount"),
        ("extra", "invoice_line_items", f"{inside[0]}/il_extra", None),
    }
    assert found(whole).keys() - found(part).keys() == {
        ("altered", "invoice_line_items", f"{outside[0]}/{outside[1]}", "amount")}
    assert part.tables["charges"].stripe < whole.tables["charges"].stripe / 2
    assert part.expected_requests < whole.expected_requests
    assert "part of the ledger" in part.money.balance_skipped


def test_a_sample_reads_less_and_can_be_drawn_again(shared: Copy) -> None:
    """Spans of large tables; small ones whole; the same seed draws the same."""
    copy, tables = shared, "charges;invoice%;products"
    copy.sql("UPDATE stripe.charges SET amount = amount + 1")
    copy.sql("UPDATE stripe.products SET name = 'Wrong' WHERE id = (SELECT min(id) FROM stripe.products)")
    first, second = (copy.verify(sample=100, seed=4, tables=tables) for _ in range(2))
    other = copy.verify(sample=100, tables="products")

    charges = first.tables["charges"]
    assert (charges.scope, first.tables["products"].scope) == ("sample", "whole")
    assert 50 <= charges.stripe <= 200 and charges.altered == charges.stripe
    assert first.tables["invoice_line_items"].stripe and not first.tables["invoice_line_items"].differing
    assert first.tables["products"].altered == 1
    assert found(first) == found(second)
    assert (first.seed, other.seed is None) == (4, False)


def test_more_differences_than_are_named(shared: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is lost as a whole is counted up to a bound, and repaired as a whole."""
    monkeypatch.setattr("stripe_source.verification.compare.sides.MOST_DIFFERENCES", 10)
    shared.sql("DELETE FROM stripe.customers")
    result = shared.verify(tables="customers", repair=True)
    before = result.before
    assert before

    assert (before.tables["customers"].missing, before.tables["customers"].capped) == (10, True)
    assert (result.exit_code, found(result), shared.off("customers")) == (0, {}, [])


@pytest.mark.soak
def test_a_sample_of_a_second_with_many_objects_is_that_second(tmp_path: Path) -> None:
    """A page of rows may be of one second: then all of it is read, for nothing could cut it."""
    times = [1_750_000_000 + n for n in range(100)] + [1_760_000_000] * 300 + [1_770_000_000 + n for n in range(100)]
    copy = Copy(tmp_path, sandbox.Bulk({"charges": 500}, spread=times))
    with copy.stripe:
        copy.run(tables="charges")
        copy.sql("UPDATE stripe.charges SET amount = amount + 1")
        seen = [copy.verify(sample=100, seed=seed, tables="charges").tables["charges"] for seed in range(4)]

    assert [charges.altered for charges in seen] == [charges.stripe for charges in seen]
    assert {charges.stripe for charges in seen} == {100, 300}


# ---- money


def test_wrong_money_is_found(shared: Copy) -> None:
    """A wrong net is off in the balance and in its payout, a wrong payout and a lost line by themselves."""
    copy = shared
    clean = copy.verify(tables=MONEY).money
    payout, amount = copy.sql("SELECT id, amount FROM stripe.payouts WHERE automatic ORDER BY id LIMIT 1")[0]
    others = copy.sql(
        "SELECT payout_id, m.balance_transaction_id FROM stripe.payout_balance_transactions m "
        f"WHERE m.type <> 'payout' AND payout_id <> '{payout}' ORDER BY ALL"
    )
    (second, entry), (third, line) = others[0], next(row for row in others if row[0] != others[0][0])
    copy.sql(f"UPDATE stripe.payouts SET amount = amount + 7 WHERE id = '{payout}'")
    copy.sql(f"UPDATE stripe.balance_transactions SET net = net + 1000 WHERE id = '{entry}'")
    copy.sql(f"DELETE FROM stripe.payout_balance_transactions WHERE balance_transaction_id = '{line}'")
    wrong = copy.verify(tables=MONEY, repair=True).before
    assert wrong
    off = [part for part in wrong.money.balance if not part.equal]

    assert (clean.off, clean.balance_skipped, clean.payouts_skipped) == (0, "", "")
    assert [(part.transactions - part.balance, part.status) for part in off] == [(1000, "available")]
    assert {each.id for each in wrong.money.payouts} == {payout, second, third}
    assert [(each.amount, each.swept) for each in wrong.money.payouts if each.id == payout] == [(amount + 7, amount)]
    assert wrong.exit_code == 4
    assert copy.verify(tables=MONEY).money.off == 0


def test_money_that_cannot_be_proven_says_why(shared: Copy, copy: Copy) -> None:
    """Tables that are left out, a ledger that begins with `start`."""
    lacking = shared.verify(tables="payouts").money
    copy.run(tables=MONEY, start="2026-06-01")
    bounded = copy.verify(start="2026-06-01").money

    assert "balance_transactions" in lacking.balance_skipped and "payout_balance" in lacking.payouts_skipped
    assert "`start`" in bounded.payouts_skipped and bounded.balance_skipped


# ---- what there may be


def test_an_empty_account(tmp_path: Path) -> None:
    """Nothing on both sides is equal."""
    copy = Copy(tmp_path, seed=1, empty=True)
    with copy.stripe:
        copy.run(tables="charges;customers;invoices;invoice_line_items;balance_available;prices;setup_attempts")
        result = copy.verify()

    assert (result.exit_code, found(result), result.tables["charges"].stripe) == (0, {}, 0)


def test_what_cannot_be_verified_is_refused_or_named(shared: Copy, new_pipeline: Callable[..., Any]) -> None:
    """A pipeline that has never run, an unknown table, one that was never loaded, wrong options, another account."""
    copy = shared
    with pytest.raises(ConfigurationError, match="never loaded anything"):
        verify(new_pipeline("never", "never.duckdb"), **copy.options)
    with pytest.raises(UnknownTable, match="Did you mean `customers`"):
        copy.verify(tables="custommers")
    with pytest.raises(ConfigurationError, match="none of these tables"):
        copy.verify(tables="refunds")
    with pytest.raises(InvalidOption, match="sample"):
        copy.verify(sample=0)
    with pytest.raises(InvalidOption, match="sample"):
        copy.verify(sample=10, start="2026-01-01")
    with pytest.raises(MixedData):
        copy.verify(account_id=copy.stripe.world.connected[0])
    some = copy.verify(tables="products;refunds;%secrets;topup%")

    assert {name: table.status for name, table in some.tables.items()} == {
        "apps_secrets": "not loaded", "products": "ok", "refunds": "not there"}
    assert some.exit_code == 1


def test_a_key_of_another_account_verifies_nothing(shared: Copy) -> None:
    """All rows would be extra, and a repair would flag them."""
    stranger = sandbox.World(seed=4, empty=True)
    with sandbox.serve(world=stranger) as stripe, pytest.raises(MixedData) as caught:
        verify(shared.pipeline, api_base=stripe.url, api_key=stripe.api_key, tables="customers", repair=True)
    held, given = (world.dump()["accounts"][0].object["id"] for world in (shared.stripe.world, stranger))

    assert str(caught.value).startswith(
        f"Dataset `stripe` holds data of account `{held}`, and the key reads account `{given}`.")
    assert [request.path for request in stranger.requests] == ["/v1/account"]
    assert found(shared.verify(tables="customers")) == {}


def test_a_list_that_fails_is_not_taken_for_empty(shared: Copy) -> None:
    """Its table is named with the reason, and none of its rows is called extra."""
    fault = shared.stripe.world.faults.add(path="/v1/charges", status=500, after=0)
    result = shared.verify(tables="customers;charges")
    fault.remove()
    key = shared.stripe.world.restricted_key(["rak_customer_read"])
    some, none = (
        verify(shared.pipeline, **{**shared.options, "api_key": key}, tables=tables)
        for tables in ("customers;charges", "charges")
    )

    assert (some.tables["charges"].status, some.exit_code, none.exit_code) == ("no permission", 1, 3)
    assert (result.tables["charges"].status, result.tables["charges"].extra, result.exit_code) == ("failed", 0, 1)
    assert result.tables["customers"].status == "ok"


def test_hard_deletes_stay_hard(copy: Copy) -> None:
    """Where rows that are gone are removed, a repair removes them too."""
    copy.run(tables="products", deletes="hard")
    before = copy.sql("SELECT count(*) FROM stripe.products")[0][0]
    copy.stripe.world.delete("product", copy.sql("SELECT min(id) FROM stripe.products")[0][0])
    result = copy.verify(repair=True)

    assert [kind for kind, *_ in found(result.before)] == ["extra"] and result.exit_code == 0
    assert copy.sql("SELECT count(*) FROM stripe.products") == [(before - 1,)]
    assert copy.off("products") == []


# ---- the command line


def test_the_command(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Exit codes, JSON, what a person reads, and the cost before it begins."""
    monkeypatch.setenv("STRIPE_API_KEY", small.api_key)
    base = "--api-base", small.url
    assert main(["verify", *base]) == 2
    assert "never loaded anything" in capsys.readouterr().err
    assert main(["run", *base, "--tables", "customers;products"]) == 0
    capsys.readouterr()
    assert main(["verify", *base]) == 0
    out, err = capsys.readouterr()
    assert "Equal: " in out and "requests to Stripe" in err
    with duckdb.connect("stripe.duckdb") as connection:
        id = connection.execute("SELECT min(id) FROM stripe_data.products").fetchall()[0][0]
        connection.execute(f"UPDATE stripe_data.products SET name = 'Wrong' WHERE id = '{id}'")
    assert main(["verify", *base, "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    products = told["tables"]["products"]["differences"]
    assert [(each["key"], each["column"], each["destination"]) for each in products] == [
        ({"id": id}, "name", "Wrong")]
    assert (told["exit_code"], told["tables"]["products"]["altered"]) == (4, 1) and told["expected_requests"] > 2
    assert main(["verify", *base, "--tables", "products", "--repair"]) == 0
    out, _ = capsys.readouterr()
    assert f'{id}  name: "Wrong" instead of' in out and "Repaired 1 row of products" in out
    assert main(["verify", *base, "--tables", "nonsense"]) == 2
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_wrong")
    assert main(["verify", *base]) == 3
