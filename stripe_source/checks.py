"""What a key may read: one cheap request for each list that the wanted tables need, and a verdict for each table."""
from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from stripe_source.catalogue import cost
from stripe_source.client import Client, fill
from stripe_source.errors import AuthenticationError, ResourceMissing, StripeError
from stripe_source.options import Options
from stripe_source.plan import Wanted, asked, wanted, ways
from stripe_source.reader import identify, judge, wait_for
from stripe_source.table import Table


@dataclass
class TableCheck:
    """Whether a table can be read: "ok", "no permission", "not enabled", "not loaded" or "failed"; why; its cost."""

    status: str = "ok"
    reason: str = ""
    permission: str | None = None
    cost: str = ""


@dataclass
class CheckResult:
    """What a key may read.

    Args:
        account: id of the account, or None where the key may not read it.
        livemode: whether the key reads live data; None where that is not known.
        tables: a verdict for each wanted table.
        requests: how many requests this took.
        key_link: a page of Stripe's dashboard that makes a restricted key with the permissions that are needed; None
            where nothing is missing.
    """

    account: str | None
    livemode: bool | None
    tables: dict[str, TableCheck]
    requests: int
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
    """Find out which of the wanted tables a key may read. At most one request per table, none for others.

    Args:
        options: those of `stripe_source`.

    Raises:
        ConfigurationError: an option has a value that it cannot have.
        AuthenticationError: Stripe refused the key.
        Unreachable: nothing answers at `api_base`.
    """
    from stripe_source.source import options as check_options

    return wait_for(_check(check_options(**options)))


async def _check(o: Options) -> CheckResult:
    async with o.client() as client:
        account = (await identify(client)).account
        verdicts: dict[str, TableCheck] = {
            table.name: TableCheck(permission=table.permission, cost=cost(table)) for table in o.tables
        }
        for table in o.tables:
            other = table.mode and o.credentials.livemode is (table.mode == "test")
            if table.never or other:
                reason = table.never or f"{table.mode} mode only"
                verdicts[table.name] = TableCheck("not loaded", reason, table.permission, cost(table))
        named = {table.name for table in o.tables if verdicts[table.name].status == "ok"}
        roots = [root for root in wanted([t for t in o.tables if t.name in named]) if _needed(root, named)]
        await asyncio.gather(*(_ask(client, root, verdicts, named) for root in roots))
        result = CheckResult(account, o.credentials.livemode, verdicts, client.figures.requests)
    if any(verdict.status == "no permission" for verdict in verdicts.values()):
        result.key_link = key_link(o.tables, o.credentials.livemode)
        if any(table.permission is None for table in o.tables):
            result.notes.append("Some tables need permissions whose names are not documented; add those by hand.")
    return result


def _needed(root: Wanted, named: set[str]) -> bool:
    """Whether a list decides about a table: its own one does, and any that is the way to a table without one."""
    return root.taken or any(found and not table.path and table.name in named for table, found in ways(root))


async def _ask(client: Client, root: Wanted, verdicts: dict[str, TableCheck], named: set[str]) -> None:
    """One object of a list is enough to know whether the list may be read."""
    table = root.table
    things: list[dict[str, Any]] = []
    try:
        if table.singleton:
            await client.get(table.path or "")
        else:
            page = await client.page(table.path or "", {**table.params, **({"limit": 1} if table.limit else {})})
            things = page.objects
    except AuthenticationError:
        raise
    except StripeError as error:
        if not table.may_refuse or error.status == 403:
            _blame([t for t, found in ways(root) if found is None or not t.path], error, verdicts)
        return
    for found, kinds in root.children.items():
        tables = [kind.table for kind in kinds if kind.table.name in named and not kind.table.path]
        plain = found.rest and not (found.params or found.pair or found.window or found.through or found.one)
        if found.at is None and plain and tables and things and asked(things[0], found) and found.id == "id":
            parent = str(things[0].get("id"))
            params = {**({"limit": 1} if tables[0].limit else {}), **({found.param: parent} if found.param else {})}
            try:
                await client.page(fill(found.rest or "", id=parent), params)
            except (AuthenticationError, ResourceMissing):
                continue
            except StripeError as error:
                if not found.may_refuse:
                    _blame(tables, error, verdicts)


def _blame(tables: Iterable[Table], error: StripeError, verdicts: dict[str, TableCheck]) -> None:
    verdict = judge(error)
    for table in tables:
        if verdicts[table.name].status == "ok":
            named = getattr(error, "permission", None)
            verdicts[table.name] = TableCheck(
                verdict.status, verdict.reason, table.permission or named, cost(table)
            )


def key_link(tables: Sequence[Table], livemode: bool | None) -> str:
    """A page of Stripe's dashboard that makes a restricted key with exactly the permissions that tables need.

    The form of the link was seen in public code and not tried (checked 2026-11-23).
    """
    names = sorted({table.permission for table in tables if table.permission})
    wanted_ = "".join(f"&permissions[]={quote(name)}" for name in names)
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}apikeys/create?name=dlt{wanted_}"
