"""One page of each list."""
from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest
from stripe_source.api.query import fill
from stripe_source.errors import AuthenticationError, PermissionDenied, ResourceMissing, StripeError
from stripe_source.extract.plan import ListPlan, drop_forbidden_expansions, expansions, placements_of
from stripe_source.extract.verdicts import verdict_for
from stripe_source.options import Options
from stripe_source.preflight.estimate import Sample
from stripe_source.tables.catalog import cost
from stripe_source.tables.placement import Placement, may_have_children, values_at
from stripe_source.tables.table import Table


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


def permissions_needed(root: ListPlan, named: set[str]) -> bool:
    """Whether a list decides about a table: its own one does, and any that is the way to a table without one.

    Lists of one mode are never the only way.
    """
    ways_to = () if root.table.mode else placements_of(root)
    return root.wanted or any(found and not table.path and table.name in named for table, found in ways_to)


async def request_once(
    client: Client, o: Options, root: ListPlan, verdicts: dict[str, TableCheck], named: set[str]
) -> Sample | None:
    """The first page of a list, with what a run expands on its objects; None where there is none to be had."""
    table = root.table
    try:
        if table.singleton:
            await client.get(table.path or "")
            return None
        expand = {"expand": [f"data.{path}" for path in paths]} if (paths := expansions(root)) else {}
        what = ListRequest(table.path or "", {**table.params, **table.variants[0], **expand}, range=table.range)
        start, end = (o.start, o.end) if table.created else (None, None)
        page = await client.page(what.path, what.between(start, end, table.limit))
    except AuthenticationError:
        raise
    except StripeError as error:
        left, lost = root, list[Table]()
        if isinstance(error, PermissionDenied):
            with contextlib.suppress(PermissionDenied):  # it is raised again where it is about the list itself
                left, lost = drop_forbidden_expansions(root, error)
        if lost:
            set_reason([child for child in lost if not child.path], error, verdicts)
            return await request_once(client, o, left, verdicts, named) if permissions_needed(left, named) else None
        if table.refusal_expected and error.status != 403:
            return Sample([], False, 0)
        set_reason([child for child, found in placements_of(root) if found is None or not child.path], error, verdicts)
        return None
    below: dict[Placement, Sample] = {}
    for found, kinds in root.children.items():
        children = [kind.table for kind in kinds if kind.table.name in named and not kind.table.path]
        parent = next((thing for thing in page.objects if may_have_children(thing, found)), None)
        if children and parent and requests_worth(found, root, children[0], parent):
            try:
                below[found] = await first_page(client, found, children[0], str(parent.get("id")))
            except (AuthenticationError, ResourceMissing):
                continue
            except StripeError as error:
                if not found.refusal_expected:
                    set_reason(children, error, verdicts)
    return Sample(page.objects, page.has_more, page.date, below)


def requests_worth(found: Placement, root: ListPlan, child: Table, parent: dict[str, Any]) -> bool:
    """Whether the list of one parent's objects is asked for: it may be refused where that of the parents was not."""
    plain = found.child_path and not (found.params or found.second_parent or found.window or found.via_path or found.single_object)
    if not plain or found.id != "id":
        return False
    if found.at is None:
        return root.wanted or child.permission is None or child.permission != root.table.permission
    return found.expand and next(values_at(parent, found.at), None) is None  # it was expanded, and did not come


async def first_page(client: Client, found: Placement, child: Table, parent: str) -> Sample:
    """The first page of one parent's objects."""
    params = {**({"limit": child.limit} if child.limit else {}), **({found.param: parent} if found.param else {})}
    page = await client.page(fill(found.child_path or "", id=parent), params)
    return Sample(page.objects, page.has_more, page.date)


def set_reason(tables: Iterable[Table], error: StripeError, verdicts: dict[str, TableCheck]) -> None:
    verdict = verdict_for(error)
    for table in tables:
        if verdicts[table.name].status == "ok":
            named = getattr(error, "permission", None)
            verdicts[table.name] = TableCheck(
                verdict.status, verdict.reason, table.permission or named, cost(table)
            )
