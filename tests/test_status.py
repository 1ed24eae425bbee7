"""`status` says what a pipeline holds, how far it is current and what its last run did, and asks Stripe nothing."""
from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import dlt
import duckdb
import pytest
from account import Account

from stripe_source import status, sync
from stripe_source.cli.main import main
from stripe_source.errors import AuthenticationError, ConfigurationError
from stripe_source.load.extras.last_run import FILE

pytestmark = pytest.mark.usefixtures("hasty")
TABLES = "coupons;customers;invoices;invoice_line_items;balance"


def test_it_says_what_is_held_and_how_far_it_is_current(account: Account) -> None:
    """Numbers of rows are those of the sandbox's dump; a flagged row is counted apart."""
    account.run(TABLES)
    gone = next(truth.object["id"] for truth in account.world.dump()["coupons"] if not truth.deleted)
    account.world.advance(60)
    account.world.delete("coupon", gone)
    account.world.advance(600)
    account.run(TABLES)
    asked = len(account.world.requests)
    said = status(account.new_pipeline())

    assert len(account.world.requests) == asked
    assert (said.account, said.livemode, said.exit_code, said.failed) == (account.world.books.account, False, 0, {})
    assert list(said.tables) == sorted(TABLES.split(";"))
    for name, table in said.tables.items():
        assert (name, table.rows) == (name, _alive(account, name))
    assert said.tables["coupons"].deleted == 1
    assert _second(said.tables["customers"].position) == account.world.now
    lag = _second(said.checked_at) - account.world.now
    assert said.tables["customers"].lag == max(0, lag)
    assert said.tables["balance"].position is None


def _alive(account: Account, table: str) -> int:
    return sum(not truth.deleted for truth in account.world.dump()[table])


def _second(moment: str | None) -> int:
    assert moment is not None
    return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp())


def test_the_last_run_is_the_one_that_each_table_was_part_of(account: Account) -> None:
    """A run of some tables leaves what is known of the others; Striim's metrics are those of the result."""
    first = account.run(TABLES)
    account.world.advance(60)
    account.world.create("coupon", percent_off=10, duration="once")
    second = account.run("coupons")
    said = status(account.new_pipeline())

    assert said.last_run.requests == second.figures.requests
    assert said.last_run.metrics == asdict(second.striim_metrics.total)
    assert said.tables["coupons"].last_run["metrics"] == asdict(second.striim_metrics.tables["coupons"])
    assert said.tables["coupons"].last_run["new"] == 1
    assert said.tables["customers"].last_run["metrics"] == asdict(first.striim_metrics.tables["customers"])
    assert json.loads(json.dumps(said.asdict()))["tables"]["customers"]["last_run"]["new"] == first.tables[
        "customers"].new


def test_a_run_that_ended_early_is_said_with_its_reason(account: Account) -> None:
    """With what is known of the tables as before; the file holds no key, and nobody else may read it."""
    account.run(TABLES)
    pipeline = account.new_pipeline()
    wrong = "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc"
    with pytest.raises(AuthenticationError):
        sync(pipeline, tables=TABLES, api_base=account.stripe.url, api_key=wrong)
    said = status(account.new_pipeline())
    file = Path(pipeline.working_dir) / FILE

    assert said.exit_code == 1
    assert "401" in str(said.last_run.error)
    assert said.tables["customers"].last_run["status"] == "ok"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert wrong not in file.read_text()
    assert account.stripe.api_key not in file.read_text()


def test_a_refused_option_is_no_run(account: Account) -> None:
    """Nothing was asked for, and the last run stays the last run."""
    account.run(TABLES)
    before = status(account.new_pipeline()).last_run
    with pytest.raises(ConfigurationError):
        sync(account.new_pipeline(), tables="no_such_table", api_base=account.stripe.url,
             api_key=account.stripe.api_key)

    assert status(account.new_pipeline()).last_run == before


def test_a_table_that_somebody_dropped_is_named(account: Account) -> None:
    """The others are counted all the same."""
    account.run(TABLES)
    with duckdb.connect(str(account.file)) as connection:
        connection.execute("DROP TABLE stripe.coupons")
    said = status(account.new_pipeline())

    assert list(said.failed) == ["coupons"]
    assert said.tables["coupons"].rows is None
    assert said.tables["customers"].rows == _alive(account, "customers")
    assert said.exit_code == 1


def test_what_cannot_be_read_is_said_until_it_was_read(account: Account) -> None:
    """A table without permission has that status, with Stripe's reason; its rows are still counted."""
    account.run("coupons;customers")
    key = account.world.restricted_key(["rak_customer_read", "rak_event_read", "rak_connected_account_read"])
    sync(account.new_pipeline(), tables="coupons;customers", api_base=account.stripe.url, api_key=key, mode="initial")
    said = status(account.new_pipeline())
    account.run("coupons;customers")

    assert list(said.failed) == ["coupons"]
    assert said.tables["coupons"].last_run["status"] == "no permission"
    assert "coupon_read" in said.tables["coupons"].last_run["reason"]
    assert said.tables["coupons"].rows == _alive(account, "coupons")
    assert said.exit_code == 1
    assert status(account.new_pipeline()).exit_code == 0


def test_another_working_folder_takes_the_state_from_the_destination(
    account: Account, tmp_path: Path
) -> None:
    """Of the last run it knows nothing, and says so; what is held and how far is the same."""
    account.run(TABLES)
    here = status(account.new_pipeline())
    elsewhere = dlt.pipeline(
        account.new_pipeline().pipeline_name, destination=dlt.destinations.duckdb(str(account.file)),
        dataset_name="stripe", pipelines_dir=str(tmp_path / "elsewhere"))
    said = status(elsewhere)

    assert said.last_run.ended_at is None
    assert {name: (each.rows, each.position) for name, each in said.tables.items()} == {
        name: (each.rows, each.position) for name, each in here.tables.items()}


def test_a_pipeline_that_never_loaded_is_refused(new_pipeline: Callable[..., dlt.Pipeline], tmp_path: Path) -> None:
    """With the way out, and no file is made."""
    with pytest.raises(ConfigurationError, match="never loaded anything"):
        status(new_pipeline())

    assert not list(tmp_path.glob("*.duckdb"))


def test_the_command_prints_a_line_for_each_table(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As text, and as JSON; the exit code says whether the last run went well."""
    monkeypatch.setenv("STRIPE_API_KEY", account.stripe.api_key)
    assert main(["run", "--api-base", account.stripe.url, "--tables", "coupons;customers"]) == 0
    capsys.readouterr()
    assert main(["status"]) == 0
    text = capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    words = json.loads(capsys.readouterr().out)

    assert [line.split()[0] for line in text.splitlines()[:3]] == ["table", "coupons", "customers"]
    assert "The last run ended at" in text and "known up to" in text
    assert words["tables"]["customers"]["rows"] == _alive(account, "customers")
    assert words["exit_code"] == 0
    assert main(["status", "--pipeline", "another"]) == 2
