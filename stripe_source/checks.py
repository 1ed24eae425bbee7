"""What a key may read: one cheap request for each list that the wanted tables need, and a verdict for each table."""
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from stripe_source.client import Client, fill
from stripe_source.errors import AuthenticationError, ResourceMissing, StripeError
from stripe_source.options import Options
from stripe_source.reader import Wanted, identify, judge, wait_for, wanted
from stripe_source.tables import Table


@dataclass
class TableCheck:
    """Whether a table can be read: "ok", "no permission", "not enabled" or "failed", and why."""

    status: str = "ok"
    reason: str = ""
    permission: str | None = None


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
        bad = [check for check in self.tables.values() if check.status != "ok"]
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
        verdicts: dict[str, TableCheck] = {table.name: TableCheck(permission=table.permission) for table in o.tables}
        await asyncio.gather(*(_ask(client, root, verdicts) for root in wanted(o.tables)))
        result = CheckResult(account, o.credentials.livemode, verdicts, client.figures.requests)
    if any(verdict.status == "no permission" for verdict in verdicts.values()):
        result.key_link = key_link(o.tables, o.credentials.livemode)
    return result


async def _ask(client: Client, root: Wanted, verdicts: dict[str, TableCheck]) -> None:
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
            _blame(root.tables(), error, verdicts)
        return
    for found, kinds in root.children.items():
        if found.at is None and found.rest and things and all(things[0].get(k) == v for k, v in found.where):
            parent = str(things[0].get("id"))
            params = {"limit": 1, **({found.param: parent} if found.param else {})}
            try:
                await client.page(fill(found.rest, id=parent), params)
            except (AuthenticationError, ResourceMissing):
                continue
            except StripeError as error:
                _blame([t for kind in kinds for t in kind.tables()], error, verdicts)


def _blame(tables: Any, error: StripeError, verdicts: dict[str, TableCheck]) -> None:
    verdict = judge(error)
    for table in tables:
        named = getattr(error, "permission", None)
        verdicts[table.name] = TableCheck(verdict.status, verdict.reason, named or table.permission)


def key_link(tables: Sequence[Table], livemode: bool | None) -> str:
    """A page of Stripe's dashboard that makes a restricted key with exactly the permissions that tables need.

    The form of the link was seen in public code and not tried (checked 2026-11-23).
    """
    names = sorted({table.permission for table in tables if table.permission})
    wanted_ = "".join(f"&permissions[]={quote(name)}" for name in names)
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}apikeys/create?name=dlt{wanted_}"
