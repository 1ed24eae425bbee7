"""`check`: what a key may read and how many requests that takes, found out by one page of each list."""
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from stripe_source.api.client import Client
from stripe_source.api.pages import Answer
from stripe_source.configured import hide_secrets
from stripe_source.errors import AuthenticationError, StripeError
from stripe_source.extract.account import run_async
from stripe_source.extract.plan import ListPlan, plan_lists
from stripe_source.options import Options
from stripe_source.preflight.estimate import Estimate, RequestEstimate, Sample
from stripe_source.preflight.probe import TableCheck, permissions_needed, request_once
from stripe_source.preflight.reports import check_reports
from stripe_source.source import resolve_options
from stripe_source.tables.catalog import cost
from stripe_source.tables.markers import EVENTS_MARKER
from stripe_source.tables.objects import unix_second
from stripe_source.tables.table import Table


@dataclass
class CheckResult:
    """What a key may read.

    Args:
        account: id of the account, or None where the key may not read it.
        livemode: whether the key reads live data; None where that is not known.
        tables: a verdict for each selected table.
        requests: how many requests the check sent.
        budget: how many the first load of all tables that can be read takes.
        key_link: a page of Stripe's dashboard that makes a restricted key with the permissions that are needed; None
            where nothing is missing.
        notes: what a person should know.
    """

    account: str | None
    livemode: bool | None
    tables: dict[str, TableCheck]
    requests: int
    budget: Estimate
    key_link: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all can be read. 1: some cannot. 3: none can."""
        bad = [check for check in self.tables.values() if check.status in ("no permission", "failed")]
        return 0 if not bad else 3 if len(bad) == len(self.tables) else 1

    def asdict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        return {**asdict(self), "exit_code": self.exit_code}


def check(**options: Any) -> CheckResult:
    """Find out which of the selected tables a key may read, and how many requests their first load takes.

    It requests the account, and one page of each list that the tables need: at most one request per table, but for
    tables that are found in several lists or with parents that are not selected.

    Args:
        options: those of `stripe_source`.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
        AuthenticationError: Stripe refused the key.
        Unreachable: nothing answers at `api_base`.
    """
    hide_secrets(options)
    return run_async(_check(resolve_options(**options)))


async def _check(options: Options) -> CheckResult:
    async with options.client() as client:
        account = await _own_account(client)
        verdicts: dict[str, TableCheck] = {
            table.name: TableCheck(permission=table.permission, cost=cost(table), hidden=table.invisible_rows)
            for table in options.tables
        }
        for table in options.tables:
            if table.unsupported_reason or _has_other_mode(table, options):
                reason = table.unsupported_reason or f"{table.mode} mode only"
                verdicts[table.name] = TableCheck("not loaded", reason, table.permission, cost(table))
        named = {name for name, verdict in verdicts.items() if verdict.status == "ok"}
        roots = [root for root in _lists(options, verdicts) if permissions_needed(root, named)]
        pages = await asyncio.gather(*(request_once(client, options, root, verdicts, named) for root in roots))
        reports, notes = await check_reports(client, options)
        requests = client.figures.requests
    samples = {root.table.name: page for root, page in zip(roots, pages, strict=True) if page}
    result = CheckResult(
        account.body.get("id") if account else None, options.credentials.livemode, {**verdicts, **reports}, requests,
        _estimate(options, verdicts, samples, account), notes=notes,
    )
    if any(verdict.status == "no permission" for verdict in result.tables.values()):
        result.key_link = key_link([*options.tables, *options.reports], options.credentials.livemode)
        if any(table.permission is None for table in options.tables):
            result.notes.append("Some tables need permissions whose names are not documented; add those by hand.")
    return result


async def _own_account(client: Client) -> Answer | None:
    """The key's own account, where it may read it."""
    try:
        return await client.get("/v1/account")
    except StripeError as error:
        if error.status is None or isinstance(error, AuthenticationError):
            raise  # nothing answers, or the key is refused: no other request will do better
        return None


def _has_other_mode(table: Table, options: Options) -> bool:
    """Whether a table is of test mode only and the key of live mode, or the other way round."""
    return bool(table.mode) and options.credentials.livemode is (table.mode == "test")


def _lists(options: Options, verdicts: dict[str, TableCheck]) -> list[ListPlan]:
    """The lists that a run reads for the tables that can be read, as far as is known."""
    roots = plan_lists([table for table in options.tables if verdicts[table.name].status == "ok"])
    return [root for root in roots if not _has_other_mode(root.table, options)]


def _estimate(
    options: Options, verdicts: dict[str, TableCheck], samples: dict[str, Sample], account: Answer | None
) -> Estimate:
    """The requests of the first load of all tables; those of each table are written into its verdict."""
    begin = unix_second(account.body.get("created")) if account else None
    known_objects = {"/v1/account": account.body} if account else {}
    estimate = RequestEstimate(_lists(options, verdicts), samples, begin, options.start, known_objects)
    for name, verdict in verdicts.items():
        if verdict.status == "ok":
            of_table = estimate.of(name)
            verdict.requests, verdict.estimated = of_table.requests, of_table.estimated
    feed = any(options.markers[name] == EVENTS_MARKER for name, verdict in verdicts.items() if verdict.status == "ok")
    return estimate.total(options.governor, feed=feed)


def key_link(tables: Sequence[Table], livemode: bool | None) -> str:
    """A page of Stripe's dashboard that makes a restricted key with exactly the permissions that tables need.

    The form of the link was seen in public code and not tried (checked 2026-11-23).
    """
    names = sorted({table.permission for table in tables if table.permission})
    permissions = "".join(f"&permissions[]={quote(name)}" for name in names)
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}apikeys/create?name=dlt{permissions}"
