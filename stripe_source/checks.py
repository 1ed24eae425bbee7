"""What a key may read and how many requests that takes, as one page of each list that is needed tells."""
from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from stripe_source.budget import Budget, Budgets, Sample
from stripe_source.catalogue import cost
from stripe_source.client import Answer, Client, fill
from stripe_source.errors import AuthenticationError, PermissionDenied, ResourceMissing, StripeError
from stripe_source.listing import List, unix_second
from stripe_source.options import Options
from stripe_source.plan import Wanted, asked, at, expansions, refused, wanted, ways
from stripe_source.reader import wait_for
from stripe_source.table import Found, Table
from stripe_source.verdict import judge


@dataclass
class TableCheck:
    """Whether a table can be read, and what that takes.

    Args:
        status: "ok", "no permission", "not enabled", "not loaded" or "failed".
        reason: why, where it is not "ok".
        permission: what a restricted key needs.
        cost: what the requests grow with.
        requests: how many the first load of this table alone takes; None where one page of each list does not tell.
        estimated: a list goes on behind that page, and how far is worked out.
        hidden: which of its rows no list of Stripe's shows.
    """

    status: str = "ok"
    reason: str = ""
    permission: str | None = None
    cost: str = ""
    requests: int | None = None
    estimated: bool = False
    hidden: str | None = None


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
    budget: Budget
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
    from stripe_source.source import options as check_options

    return wait_for(_check(check_options(**options)))


async def _check(o: Options) -> CheckResult:
    async with o.client() as client:
        own = await _own(client)
        verdicts: dict[str, TableCheck] = {
            table.name: TableCheck(permission=table.permission, cost=cost(table), hidden=table.hidden)
            for table in o.tables
        }
        for table in o.tables:
            other = table.mode and o.credentials.livemode is (table.mode == "test")
            if table.never or other:
                reason = table.never or f"{table.mode} mode only"
                verdicts[table.name] = TableCheck("not loaded", reason, table.permission, cost(table))
        named = {name for name, verdict in verdicts.items() if verdict.status == "ok"}
        roots = [root for root in _roots(o, verdicts) if _needed(root, named)]
        pages = await asyncio.gather(*(_ask(client, o, root, verdicts, named) for root in roots))
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


async def _own(client: Client) -> Answer | None:
    """The key's own account, where it may read it."""
    try:
        return await client.get("/v1/account")
    except StripeError as error:
        if error.status is None or isinstance(error, AuthenticationError):
            raise  # nobody there, or nobody that lets us in
        return None


def _roots(o: Options, verdicts: dict[str, TableCheck]) -> list[Wanted]:
    """The lists that a run reads for the tables that can be read, as far as is known."""
    roots = wanted([table for table in o.tables if verdicts[table.name].status == "ok"])
    return [root for root in roots if not root.table.mode or o.credentials.livemode is not (root.table.mode == "test")]


def _needed(root: Wanted, named: set[str]) -> bool:
    """Whether a list decides about a table: its own one does, and any that is the way to a table without one.

    Lists of one mode are never the only way.
    """
    ways_to = () if root.table.mode else ways(root)
    return root.taken or any(found and not table.path and table.name in named for table, found in ways_to)


def _budget(o: Options, verdicts: dict[str, TableCheck], samples: dict[str, Sample], own: Answer | None) -> Budget:
    """What the first load takes: of each table, into its verdict, and of all."""
    begin = unix_second(own.body.get("created")) if own else None
    known = {"/v1/account": own.body} if own else {}
    budgets = Budgets(_roots(o, verdicts), samples, begin, o.start, known)
    for name, verdict in verdicts.items():
        if verdict.status == "ok":
            budget = budgets.of(name)
            verdict.requests, verdict.estimated = budget.requests, budget.estimated
    feed = any(o.markers[name] == "events" for name, verdict in verdicts.items() if verdict.status == "ok")
    return budgets.total(o.governor, feed=feed)


async def _ask(
    client: Client, o: Options, root: Wanted, verdicts: dict[str, TableCheck], named: set[str]
) -> Sample | None:
    """The first page of a list, with what a run expands on its objects; None where there is none to be had."""
    table = root.table
    try:
        if table.singleton:
            await client.get(table.path or "")
            return None
        expand = {"expand": [f"data.{path}" for path in paths]} if (paths := expansions(root)) else {}
        what = List(table.path or "", {**table.params, **table.passes[0], **expand}, range=table.range)
        start, end = (o.start, o.end) if table.created else (None, None)
        page = await client.page(what.path, what.between(start, end, table.limit))
    except AuthenticationError:
        raise
    except StripeError as error:
        left, lost = root, list[Table]()
        if isinstance(error, PermissionDenied):
            with contextlib.suppress(PermissionDenied):  # it is raised again where it is about the list itself
                left, lost = refused(root, error)
        if lost:
            _blame([child for child in lost if not child.path], error, verdicts)
            return await _ask(client, o, left, verdicts, named) if _needed(left, named) else None
        if table.may_refuse and error.status != 403:
            return Sample([], False, 0)
        _blame([child for child, found in ways(root) if found is None or not child.path], error, verdicts)
        return None
    below: dict[Found, Sample] = {}
    for found, kinds in root.children.items():
        children = [kind.table for kind in kinds if kind.table.name in named and not kind.table.path]
        parent = next((thing for thing in page.objects if asked(thing, found)), None)
        if children and parent and _worth(found, root, children[0], parent):
            try:
                below[found] = await _first(client, found, children[0], str(parent.get("id")))
            except (AuthenticationError, ResourceMissing):
                continue
            except StripeError as error:
                if not found.may_refuse:
                    _blame(children, error, verdicts)
    return Sample(page.objects, page.has_more, page.date, below)


def _worth(found: Found, root: Wanted, child: Table, parent: dict[str, Any]) -> bool:
    """Whether the list of one parent's objects is asked for: it may be refused where that of the parents was not."""
    plain = found.rest and not (found.params or found.pair or found.window or found.through or found.one)
    if not plain or found.id != "id":
        return False
    if found.at is None:
        return root.taken or child.permission is None or child.permission != root.table.permission
    return found.expand and next(at(parent, found.at), None) is None  # it was expanded, and did not come


async def _first(client: Client, found: Found, child: Table, parent: str) -> Sample:
    """The first page of one parent's objects."""
    params = {**({"limit": child.limit} if child.limit else {}), **({found.param: parent} if found.param else {})}
    page = await client.page(fill(found.rest or "", id=parent), params)
    return Sample(page.objects, page.has_more, page.date)


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
