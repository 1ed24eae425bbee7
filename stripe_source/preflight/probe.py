"""One page of each list that is needed: whether the key may read it, and what the estimate is made from."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest
from stripe_source.api.pages import Page
from stripe_source.api.query import fill
from stripe_source.errors import AuthenticationError, ResourceMissing, StripeError
from stripe_source.extract.plan import ListPlan, expansions, placements_of, read_with_allowed_expansions
from stripe_source.extract.verdicts import verdict_for
from stripe_source.options import Options
from stripe_source.preflight.estimate import Sample
from stripe_source.tables.catalog import cost
from stripe_source.tables.objects import Object
from stripe_source.tables.placement import Placement, may_have_children, values_at
from stripe_source.tables.table import Table


@dataclass
class TableCheck:
    """Whether a table can be read, and how many requests that takes.

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
    """Whether it depends on a list that a table can be read: on its own list, or on any on which it is found.

    A list of one mode is never the only one on which a table is found.

    Args:
        root: the list.
        named: the tables that the check is about.
    """
    tables = () if root.table.mode else placements_of(root)
    return root.wanted or any(found and not table.path and table.name in named for table, found in tables)


async def request_once(
    client: Client, options: Options, root: ListPlan, verdicts: dict[str, TableCheck], named: set[str]
) -> Sample | None:
    """Read the first page of a list, with what a run expands on its objects.

    Args:
        client: sends the requests.
        options: those of the check.
        root: the list.
        verdicts: gets the reason of each table that cannot be read.
        named: the tables that the check is about.

    Returns:
        The page; None where there is none, and for an object that is not in a list.
    """
    table = root.table
    start, end = (options.start, options.end) if table.created else (None, None)
    left = root

    async def read(allowed: ListPlan) -> Page:
        nonlocal left
        left = allowed
        expand = {"expand": [f"data.{path}" for path in paths]} if (paths := expansions(allowed)) else {}
        request = ListRequest(table.path or "", {**table.params, **table.variants[0], **expand}, range=table.range)
        return await client.page(request.path, request.between(start, end, table.limit))

    def lose(child: Table, error: StripeError) -> None:
        if not child.path:
            set_reason([child], error, verdicts)

    try:
        if table.singleton:
            await client.get(table.path or "")
            return None
        page = await read_with_allowed_expansions(root, read, lose)
    except AuthenticationError:
        raise
    except StripeError as error:
        if table.refusal_expected and error.status != 403:
            return Sample([], False, 0)
        set_reason([child for child, found in placements_of(root) if found is None or not child.path], error, verdicts)
        return None
    below = await _pages_of_child_lists(client, left, page.objects, verdicts, named)
    return Sample(page.objects, page.has_more, page.date, below)


async def _pages_of_child_lists(
    client: Client, root: ListPlan, objects: list[Object], verdicts: dict[str, TableCheck], named: set[str]
) -> dict[Placement, Sample]:
    """Read the first page of the first parent's list, for each kind of children whose list may be refused."""
    pages: dict[Placement, Sample] = {}
    for found, plans in root.children.items():
        children = [plan.table for plan in plans if plan.table.name in named and not plan.table.path]
        parent = next((each for each in objects if may_have_children(each, found)), None)
        if children and parent and is_worth_a_request(found, root, children[0], parent):
            try:
                pages[found] = await first_page(client, found, children[0], str(parent.get("id")))
            except (AuthenticationError, ResourceMissing):
                continue
            except StripeError as error:
                if not found.refusal_expected:
                    set_reason(children, error, verdicts)
    return pages


def is_worth_a_request(found: Placement, root: ListPlan, child: Table, parent: Object) -> bool:
    """Whether one parent's list of children is read: it may be refused where the list of the parents was not."""
    special = found.params or found.second_parent or found.window or found.via_path or found.single_object
    if not found.child_path or special or found.id != "id":
        return False
    if found.at is None:
        return root.wanted or child.permission is None or child.permission != root.table.permission
    return found.expand and next(values_at(parent, found.at), None) is None  # it was expanded, and did not come


async def first_page(client: Client, found: Placement, child: Table, parent: str) -> Sample:
    """Read the first page of one parent's list of children."""
    params = {**({"limit": child.limit} if child.limit else {}), **({found.param: parent} if found.param else {})}
    page = await client.page(fill(found.child_path or "", id=parent), params)
    return Sample(page.objects, page.has_more, page.date)


def set_reason(tables: Iterable[Table], error: StripeError, verdicts: dict[str, TableCheck]) -> None:
    """Set the verdict of tables that an error is about; the first error of a table counts."""
    verdict = verdict_for(error)
    for table in tables:
        if verdicts[table.name].status == "ok":
            permission = table.permission or getattr(error, "permission", None)
            verdicts[table.name] = TableCheck(verdict.status, verdict.reason, permission, cost(table))
