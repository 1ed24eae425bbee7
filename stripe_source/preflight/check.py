"""What a key may read and how many requests that takes, as one page of each list that is needed tells."""
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from stripe_source.api.client import Client
from stripe_source.api.pages import Answer
from stripe_source.errors import AuthenticationError, StripeError
from stripe_source.extract.account import run_async
from stripe_source.extract.plan import ListPlan, plan_lists
from stripe_source.options import Options
from stripe_source.preflight.estimate import Estimate, RequestEstimate, Sample
from stripe_source.preflight.probe import TableCheck, permissions_needed, request_once
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
        tables: a verdict for each wanted table.
        requests: how many requests this took.
        budget: how many the first load of all tables that can be read takes.
        key_link: a page of Stripe's dashboard that makes a restricted key with the permissions that are needed; None
            where nothing is missing.
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
    """Find out which of the wanted tables a key may read, and how many requests their first load takes.

    One page of each list that they need is asked for, and the account: at most one request per table, but for tables
    that are found in several lists or with parents that are not selected.

    Args:
        options: those of `stripe_source`.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
        AuthenticationError: Stripe refused the key.
        Unreachable: nothing answers at `api_base`.
    """

    from stripe_source.source import resolve_options

    return run_async(_check(resolve_options(**options)))


async def _check(o: Options) -> CheckResult:
    async with o.client() as client:
        own = await _own_account(client)
        verdicts: dict[str, TableCheck] = {
            table.name: TableCheck(permission=table.permission, cost=cost(table), hidden=table.invisible_rows)
            for table in o.tables
        }
        for table in o.tables:
            other = table.mode and o.credentials.livemode is (table.mode == "test")
            if table.unsupported_reason or other:
                reason = table.unsupported_reason or f"{table.mode} mode only"
                verdicts[table.name] = TableCheck("not loaded", reason, table.permission, cost(table))
        named = {name for name, verdict in verdicts.items() if verdict.status == "ok"}
        roots = [root for root in _lists(o, verdicts) if permissions_needed(root, named)]
        pages = await asyncio.gather(*(request_once(client, o, root, verdicts, named) for root in roots))
        requests = client.figures.requests
    samples = {root.table.name: page for root, page in zip(roots, pages, strict=True) if page}
    result = CheckResult(
        own.body.get("id") if own else None, o.credentials.livemode, verdicts, requests,
        _budget(o, verdicts, samples, own),
    )
    if any(verdict.status == "no permission" for verdict in verdicts.values()):
        result.key_link = key_link(o.tables, o.credentials.livemode)
        if any(table.permission is None for table in o.tables):
            result.notes.append("Some tables need permissions whose names are not documented; add those by hand.")
    return result


async def _own_account(client: Client) -> Answer | None:
    """The key's own account, where it may read it."""
    try:
        return await client.get("/v1/account")
    except StripeError as error:
        if error.status is None or isinstance(error, AuthenticationError):
            raise  # nobody there, or nobody that lets us in
        return None


def _lists(o: Options, verdicts: dict[str, TableCheck]) -> list[ListPlan]:
    """The lists that a run reads for the tables that can be read, as far as is known."""
    roots = plan_lists([table for table in o.tables if verdicts[table.name].status == "ok"])
    return [root for root in roots if not root.table.mode or o.credentials.livemode is not (root.table.mode == "test")]


def _budget(o: Options, verdicts: dict[str, TableCheck], samples: dict[str, Sample], own: Answer | None) -> Estimate:
    """What the first load takes: of each table, into its verdict, and of all."""
    begin = unix_second(own.body.get("created")) if own else None
    known = {"/v1/account": own.body} if own else {}
    budgets = RequestEstimate(_lists(o, verdicts), samples, begin, o.start, known)
    for name, verdict in verdicts.items():
        if verdict.status == "ok":
            budget = budgets.of(name)
            verdict.requests, verdict.estimated = budget.requests, budget.estimated
    feed = any(o.markers[name] == EVENTS_MARKER for name, verdict in verdicts.items() if verdict.status == "ok")
    return budgets.total(o.governor, feed=feed)


def key_link(tables: Sequence[Table], livemode: bool | None) -> str:
    """A page of Stripe's dashboard that makes a restricted key with exactly the permissions that tables need.

    The form of the link was seen in public code and not tried (checked 2026-11-23).
    """
    names = sorted({table.permission for table in tables if table.permission})
    wanted_ = "".join(f"&permissions[]={quote(name)}" for name in names)
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}apikeys/create?name=dlt{wanted_}"
