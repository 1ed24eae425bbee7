"""Columns that are left out or hashed: on every road, in every table, and when the options change."""
from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from account import Account
from destinations import PLACES

from stripe_source import stripe_source
from stripe_source.arrow_rows.fingerprint import fingerprint
from stripe_source.arrow_rows.masking.words import columns_in_use
from stripe_source.arrow_rows.waevent import SELECT, WAEvent
from stripe_source.cli.main import main
from stripe_source.errors import ConfigurationError, InvalidOption
from stripe_source.generators import rows, waevents
from stripe_source.load.sync import sync
from stripe_source.tables.registry import TABLES
from stripe_source.verification.verify import verify

SALT, OTHER_SALT = "a salt of the tests", "another one of them"
EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
TABLE_NAMES = "customers;charges;events"
HIDDEN: dict[str, Any] = {
    "hash_columns": "%email%", "exclude_columns": "events.data%;customers.phone;customers.metadata",
    "hash_salt": SALT,
}


def hashed(text: str | None, salt: str = SALT) -> str | None:
    """By Python's own modules."""
    return None if text is None else hmac.new(salt.encode(), text.encode(), hashlib.sha256).hexdigest()


def emails(account: Account) -> set[str]:
    """All that the sandbox has ever shown."""
    return set(EMAIL.findall(json.dumps(
        [[truth.object for truth in truths] for truths in account.world.dump().values()])))


def values_with_an_email(account: Account) -> list[str]:
    """The columns of the whole file, dlt's own tables too, that hold an e-mail somewhere."""
    found = []
    with duckdb.connect(str(account.file), read_only=True) as connection:
        for schema, table in connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables").fetchall():
            where = f'"{schema}"."{table}"'
            names = [each[0] for each in connection.execute(f"DESCRIBE {where}").fetchall()]
            counts = connection.execute(f"SELECT sum((COLUMNS(*)::VARCHAR LIKE '%@%')::INT) FROM {where}").fetchone()
            found += [f"{table}.{name}" for name, number in zip(names, counts or (), strict=True) if number]
    return found


def files_with_an_email(account: Account, folder: Path) -> list[str]:
    """The files, read as bytes, in which something like the e-mails stands: the database, and all that dlt keeps."""
    domains = {email.partition("@")[2].encode() for email in emails(account)}
    assert domains
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))
            if path.is_file() and any(b"@" + domain in path.read_bytes() for domain in domains)]


def options(account: Account, **given: Any) -> dict[str, Any]:
    return {"api_base": account.stripe.url, "api_key": account.stripe.api_key, **given}


def load(account: Account, tables: str, **given: Any) -> Any:
    """A run that may change rows of what is gone."""
    return sync(account.new_pipeline(), tables=tables, **options(account, **given))


def execute(account: Account, statement: str) -> None:
    with duckdb.connect(str(account.file)) as connection:
        connection.execute(statement)


def stored(account: Account, columns: str, table: str = "customers") -> dict[str, Any]:
    """id -> values of some columns."""
    return {row[0]: row[1:] if len(row) > 2 else row[1]
            for row in account.query(f"SELECT id, {columns} FROM stripe.{table}")}


def at_stripe(account: Account, table: str = "customers") -> dict[str, dict[str, Any]]:
    return {truth.object["id"]: truth.object for truth in account.world.dump()[table] if not truth.deleted}


def test_what_is_masked_leaves_the_process_nowhere(account: Account, tmp_path: Path) -> None:
    """First load, changes, deletions, new fields, values of another type, history, and a repair; equal values have
    equal hashes in all tables.
    """
    given = {"tables": TABLE_NAMES, "history": ["customers"], **HIDDEN}
    account.world.create("customer", email="first@example.com", backup_email="second@example.com", phone="@1")
    account.world.create("customer", email={"work": "third@example.com"})
    first = account.run(**given)
    customers = at_stripe(account)
    changed, gone = sorted(stored(account, "email"))[:2]

    assert stored(account, "email") == {
        id: hashed(thing["email"] if isinstance(thing["email"], str) else None) for id, thing in customers.items()}
    assert hashed("second@example.com") in stored(account, "backup_email").values()
    assert {name: columns for name, columns in stored(account, "billing_details__email", "charges").items()} == {
        id: hashed(thing["billing_details"]["email"]) for id, thing in at_stripe(account, "charges").items()}
    assert values_with_an_email(account) == []
    assert files_with_an_email(account, tmp_path) == []
    names = {row[0] for row in account.query("DESCRIBE stripe.customers")}
    assert names.isdisjoint({"phone", "metadata", "email__v_json"}) and "backup_email" in names
    assert first.tables["customers"].inferred == ["backup_email"]
    assert any("payment_intents" in note or "charges.source" in note for note in first.notes)

    account.world.advance(3_600)
    account.world.update("customer", changed, email="fourth@example.com", phone="@2")
    account.world.update("customer", changed, email="fifth@example.com")
    account.world.delete("customer", gone)
    account.world.advance(3_600)
    second = account.run(**given)
    versions = account.query(
        f"SELECT email FROM stripe.customers_history WHERE id = '{changed}' ORDER BY _valid_from")

    assert second.tables["customers"].changed == 1 and second.tables["customers"].gone == 1
    assert stored(account, "email")[changed] == hashed("fifth@example.com")
    assert stored(account, "email, _deleted")[gone] == (hashed(customers[gone]["email"]), True)
    assert versions[-1] == (hashed("fifth@example.com"),)
    assert versions[0] == (hashed(customers[changed]["email"]),)

    execute(account, f"UPDATE stripe.customers SET email = 'planted', name = 'planted' WHERE id = '{changed}'")
    result = verify(account.new_pipeline(), repair=True, **options(account, **HIDDEN))

    assert result.repaired == {"customers": 1} and result.exit_code == 0
    assert stored(account, "email")[changed] == hashed("fifth@example.com")
    assert values_with_an_email(account) == []
    assert files_with_an_email(account, tmp_path) == []


def test_fingerprints_tell_nothing_of_what_is_masked(account: Account) -> None:
    """Who knows all other values of an object could try e-mails until its `_dlt_id` came out: with the salt only."""
    account.run("customers", exclude_columns="email", hash_salt=SALT)
    truths = at_stripe(account)
    owner = account.world.books.account
    guesses = {fingerprint(WAEvent("customers", SELECT, 0, thing, owner), False) for thing in truths.values()}
    held = set(stored(account, "_dlt_id").values())

    assert len(held) == len(guesses) == len(truths) and not held & guesses
    again = account.run("customers", exclude_columns="email", hash_salt=SALT, mode="initial")
    assert again.tables["customers"].changed == 0


def test_without_masks_the_emails_are_found(account: Account, tmp_path: Path) -> None:
    """The test above looks in the right places."""
    account.run("customers")

    assert values_with_an_email(account) == ["customers.email"]
    assert files_with_an_email(account, tmp_path) == ["test.duckdb"]


@pytest.fixture
def loaded_plainly(account: Account) -> Account:
    """Customers and their history, loaded without masks; one is deleted, one has two versions."""
    account.run("customers", history=["customers"])
    first, second = sorted(at_stripe(account))[:2]
    account.world.advance(3_600)
    account.world.delete("customer", first)
    account.world.update("customer", second, email="changed@example.com")
    account.world.advance(3_600)
    account.run("customers", history=["customers"])
    assert stored(account, "_deleted")[first]
    return account


def history(account: Account) -> dict[tuple[Any, ...], Any]:
    """id, since and until when -> e-mail, of all versions."""
    found = account.query("SELECT id, _valid_from, _valid_to, email FROM stripe.customers_history")
    return {row[:-1]: row[-1] for row in found}


def both(account: Account, columns: str) -> list[tuple[Any, ...]]:
    """Columns of all rows, and of all their versions."""
    return account.query(f"SELECT {columns} FROM stripe.customers UNION ALL "
                         f"SELECT {columns} FROM stripe.customers_history ORDER BY ALL")


def test_masks_that_come_later_reach_every_row(loaded_plainly: Account) -> None:
    """Also those of what is deleted, and versions that have ended; nothing is hashed twice, no version is added."""
    account, given = loaded_plainly, {"history": ["customers"], "hash_salt": SALT}
    before, versions = stored(account, "email"), history(account)
    masked = {"hash_columns": ["customers.email"], "exclude_columns": ["name", "phone", "metadata"], **given}
    result = load(account, "customers", **masked)

    assert stored(account, "email") == {id: hashed(email) for id, email in before.items()}
    assert history(account) == {key: hashed(email) for key, email in versions.items()}
    assert both(account, "count(name), count(phone), count(metadata)") == [(0, 0, 0)] * 2
    assert any("other columns are left out or hashed" in note for note in result.notes)
    again = load(account, "customers", **masked)
    assert again.tables["customers"].changed == 0
    assert not any("other columns" in note for note in again.notes)
    assert verify(account.new_pipeline(), **options(account, **{**masked, "history": []})).exit_code == 0

    gone = next(id for id, flagged in stored(account, "_deleted").items() if flagged)
    of_the_gone = stored(account, "email")[gone]
    load(account, "customers", **{**masked, "hash_salt": OTHER_SALT})
    assert stored(account, "email") == {
        gone: of_the_gone, **{id: hashed(thing["email"], OTHER_SALT) for id, thing in at_stripe(account).items()}}

    load(account, "customers", **{"history": ["customers"]})
    assert stored(account, "email, name") == {
        gone: (of_the_gone, None), **{id: (thing["email"], thing["name"]) for id, thing in at_stripe(account).items()}}


@pytest.mark.soak
def test_a_hash_that_is_there_is_not_hashed_again(account: Account) -> None:
    """As where a run was killed between its table and its state: some rows are masked, and the state says no."""
    account.run("customers")
    gone, *_ = sorted(at_stripe(account))
    email = stored(account, "email")[gone]
    account.world.delete("customer", gone)
    account.world.advance(3_600)
    account.run("customers")
    execute(account, f"UPDATE stripe.customers SET email = '{hashed(email)}' WHERE id = '{gone}'")
    load(account, "customers", hash_columns="customers.email", hash_salt=SALT)

    assert stored(account, "email")[gone] == hashed(email)


def test_rows_that_stripe_does_not_show_are_masked_too(account: Account) -> None:
    """Those before `start`, and all rows of a table that the key may not read any more."""
    account.run("customers;charges")
    before = stored(account, "email")
    some = sorted(thing["created"] for thing in at_stripe(account).values())
    given = {"hash_columns": "customers.email;charges.receipt_email", "hash_salt": SALT}
    load(account, "customers", **given, start=some[len(some) // 2])

    assert stored(account, "email") == {id: hashed(email) for id, email in before.items()}

    charges = stored(account, "receipt_email", "charges")
    account.world.faults.add("/v1/charges", status=403, times=None, body=json.dumps(
        {"error": {"type": "invalid_request_error", "message": "no permission"}}).encode())
    assert load(account, "charges", **given).tables["charges"].status == "no permission"
    assert stored(account, "receipt_email", "charges") == {id: hashed(email) for id, email in charges.items()}


def test_the_state_has_no_salt(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither dlt's state, nor any file of its folder, nor the database, however the salt was given."""
    load(account, "customers", hash_columns="email", hash_salt=SALT)
    state = account.new_pipeline().state["sources"]["stripe"]["resources"]["customers"]

    assert sorted(state["masks"]) == ["_dlt_id", "email"]
    assert re.fullmatch("hashed [0-9a-f]{8}", state["masks"]["email"])

    monkeypatch.setenv("SOURCES__STRIPE__HASH_SALT", SALT)
    monkeypatch.setenv("STRIPE_API_KEY", account.stripe.api_key)
    account.new_pipeline().run(stripe_source(
        tables="customers", hash_columns=["customers.email"], api_base=account.stripe.url))
    code = main(["verify", "--api-base", account.stripe.url, "--hash-columns", "email", "--pipeline", "cli", "--json"])
    said = [str(path) for path in tmp_path.rglob("*") if path.is_file() and SALT.encode() in path.read_bytes()]

    assert said == [] and code == 2


def test_the_command_line_masks(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By flags and by configuration; a verification with other columns is refused, one with the same proves it."""
    monkeypatch.setenv("STRIPE_API_KEY", account.stripe.api_key)
    monkeypatch.setenv("SOURCES__STRIPE__HASH_SALT", SALT)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", account.stripe.url)
    flags = ["--hash-columns", "customers.email", "--exclude-columns", "name;customers.phone"]
    assert main(["run", "--tables", "customers", *flags]) == 0
    with duckdb.connect("stripe.duckdb", read_only=True) as connection:
        names = {row[0] for row in connection.execute("DESCRIBE stripe_data.customers").fetchall()}
        held = dict(connection.execute("SELECT id, email FROM stripe_data.customers").fetchall())

    assert held == {id: hashed(thing["email"]) for id, thing in at_stripe(account).items()}
    assert names.isdisjoint({"name", "phone"})
    assert main(["verify", *flags]) == 0
    capsys.readouterr()
    assert main(["verify"]) == 2
    assert "`customers` other columns were left out or hashed" in capsys.readouterr().err
    monkeypatch.setenv("SOURCES__STRIPE__HASH_COLUMNS", "customers.email")
    monkeypatch.setenv("SOURCES__STRIPE__EXCLUDE_COLUMNS", '["name", "customers.phone"]')
    assert main(["verify"]) == 0


def test_rows_without_a_pipeline_are_masked(account: Account) -> None:
    """`rows` leaves out and hashes; `waevents`, whose objects are whole, refuses."""
    given = options(account, hash_columns="Customers.email", exclude_columns="name", hash_salt=SALT)
    found = [row for _, table in rows("customers", **given) for row in table.to_pylist()]

    assert {row["id"]: row["email"] for row in found} == {
        id: hashed(thing["email"]) for id, thing in at_stripe(account).items()}
    assert not any("name" in row for row in found)
    with pytest.raises(InvalidOption, match="`rows` leaves out"):
        next(waevents("customers", **given))


def test_rows_of_the_worker_are_masked(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process makes whole rows; what is masked goes before they are handed to dlt."""
    monkeypatch.setattr("stripe_source.workers.process.WORTH_A_WORKER", 0)
    account.world.create("customer", email="first@example.com", backup_email="second@example.com")
    account.run("customers", hash_columns="%email", exclude_columns="name", hash_salt=SALT)

    assert values_with_an_email(account) == []
    assert hashed("second@example.com") in stored(account, "backup_email").values()


@pytest.mark.soak
def test_a_frozen_table_may_leave_out_columns(account: Account) -> None:
    """What is left out is no new column, whatever the contract says; the column exists in neither."""
    masked = {"exclude_columns": "customers.email;customers.%backup%", "schema_contract": "columns=freeze"}
    account.run("customers", **masked)
    account.world.create("customer", email="first@example.com")
    account.world.advance(3_600)
    result = account.run("customers", **masked)

    assert (result.tables["customers"].status, result.tables["customers"].new) == ("ok", 1)


@pytest.mark.parametrize(("given", "words"), [
    ({"exclude_columns": "emial"}, "No selected table declares such a column. Did you mean `email`"),
    ({"exclude_columns": "customers.emial"}, "`customers` declares no such column. Did you mean `customers.email`"),
    ({"exclude_columns": "customer_.email"}, "There is no table `customer_`. Did you mean table `customers`?"),
    ({"exclude_columns": "customers.id"}, "`customers.id` has to be loaded as it is: it is a part of the key"),
    ({"exclude_columns": "customers.%"}, "has to be loaded as it is"),
    ({"exclude_columns": "customers.created"}, "the table is read by it"),
    ({"hash_columns": "_account_id", "hash_salt": SALT}, "has to be loaded as it is"),
    ({"exclude_columns": "_dlt_id"}, "it says how and when a row came"),
    ({"exclude_columns": "tax_ids.customer"}, "it names the object that a row belongs to"),
    ({"exclude_columns": "invoices.default_tax_rates"}, "copies of objects that have changed are found by it"),
    ({"exclude_columns": 7}, "Give names as a list"),
    ({"hash_columns": "customers.balance", "hash_salt": SALT}, r"`customers.balance` \(bigint\)"),
    ({"hash_columns": "customers.metadata", "hash_salt": SALT}, r"`customers.metadata` \(json\)"),
    ({"hash_columns": "customers.email"}, "secrets.token_hex"),
    ({"hash_columns": "customers.email", "hash_salt": "a short one"}, "fewer than 16 characters"),
])
def test_what_would_leak_or_break_is_refused(given: dict[str, Any], words: str) -> None:
    """Before anything is read; a salt is not shown."""
    with pytest.raises(InvalidOption, match=words) as refused:
        list(stripe_source(api_key="sk_test_1", **given).resources)

    assert "a short one" not in str(refused.value)


def test_a_pattern_may_mean_nothing_yet(account: Account) -> None:
    """It is named; a name that counts for a table which is not selected is no typo."""
    result = account.run("coupons", exclude_columns="%backup_email%;customers.email")

    assert [note for note in result.notes if "backup_email" in note] == [
        "`exclude_columns`: `%backup_email%` means no declared column of the selected tables."]


def test_columns_that_are_read_back_are_those_of_the_registry() -> None:
    """Each column that the code looks rows up by, taken from the entries themselves, is refused."""
    for table in TABLES:
        used = columns_in_use(table)
        wanted = {*table.key, *table.copies, *(watch.column for watch in table.watch), table.time,
                  *(found.parent_id_column for found in table.placements)}
        assert wanted - {None} <= used.keys(), table.name
    subscriptions = next(table for table in TABLES if table.name == "invoices")

    assert columns_in_use(subscriptions)["parent__subscription_details__subscription"] == (
        "what Stripe removes is found by it")


@pytest.mark.soak
@pytest.mark.parametrize("place", ["Postgres", "Delta tables", "Iceberg tables"])
def test_destinations_hold_hashes(place: str, account: Account, tmp_path: Path) -> None:
    """A first load, and masks that come later, with a column of JSON that was there."""
    folder = tmp_path / "place"
    folder.mkdir()
    with PLACES[place](folder) as there:
        pipeline = dlt.pipeline(
            "masks", destination=there.make(), dataset_name="stripe", pipelines_dir=str(tmp_path / "pipelines"))
        given = options(account, tables="customers")
        sync(pipeline, **given)
        gone, *_ = sorted(at_stripe(account))
        email = at_stripe(account)[gone]["email"]
        account.world.delete("customer", gone)
        account.world.advance(3_600)
        sync(pipeline, **given)
        masked = {**given, "hash_columns": "customers.email", "exclude_columns": "metadata;phone", "hash_salt": SALT}
        sync(pipeline, **masked)
        there.prepare(pipeline)
        held = there.rows("customers")

        assert {row["id"]: row["email"] for row in held} == {
            gone: hashed(email), **{id: hashed(thing["email"]) for id, thing in at_stripe(account).items()}}
        assert {(row.get("metadata"), row.get("phone")) for row in held} == {(None, None)}
        assert verify(pipeline, **masked).exit_code == 0
        with pytest.raises(ConfigurationError, match="In the last run"):
            verify(pipeline, **given)
