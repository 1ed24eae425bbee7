"""Before rows are flagged because a list no longer shows them: are their objects really gone?

A list may be wrong once: pages that came empty, and lists that hid objects for a while, were reported in public up to
2026-11. So each object is asked for by its id, or, where there are many, the list is read a second time.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from stripe_source.api.client import Client
from stripe_source.api.lists import OBJECTS_AT_ONCE, ListRequest, read_newest_first, read_object
from stripe_source.api.pages import Figures
from stripe_source.errors import AuthenticationError, InvalidRequest, NotEnabled, ResourceMissing, StripeError
from stripe_source.tables.table import Table

MOST_SINGLE_REQUESTS = 200  # objects that are asked for one by one; for more the list is read again
MANY_GONE, SHARE_GONE = 100, 0.05  # more rows than this, and a larger share of a table, are named where they are gone


@dataclass
class Confirmation:
    """What became of objects that a list no longer shows.

    Args:
        gone: ids of those that Stripe does not have any more.
        alive: ids of those that it still has.
        unknown: ids of those of which it did not say.
        error: why not.
        by: how it was found out: "asked for one by one", or "read a second time".
    """

    gone: set[str] = field(default_factory=set)
    alive: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    error: StripeError | None = None
    by: str = "asked for one by one"

    def notes(self, table: str, rows: int, asked: int) -> list[str]:
        """What a person should know: what is uncertain, and that very much is gone.

        Args:
            table: its name.
            rows: how many rows the destination held as not deleted.
            asked: how many of these the list no longer showed.
        """
        notes = []
        if self.unknown:
            notes.append(
                f"{table}: the list no longer shows {len(self.unknown):,} rows, and Stripe did not say whether they "
                f"are gone; they stay as they are. {self.error}"
            )
        if asked > MANY_GONE and asked > rows * SHARE_GONE:
            notes.append(
                f"{table}: the list no longer shows {asked:,} of {rows:,} rows; {self.by}, {len(self.gone):,} of them "
                "are gone."
            )
        return notes


def can_be_confirmed(table: Table) -> bool:
    """Whether objects of a table can be asked for by their ids alone."""
    return table.key == ("id",) and (table.path is not None or table.object_path is not None) and not table.singleton


async def confirm_gone(client: Client, table: Table, ids: Collection[str]) -> Confirmation:
    """Find out which objects are gone.

    Args:
        client: asks Stripe.
        table: theirs.
        ids: those that its list no longer shows.

    Raises:
        AuthenticationError: Stripe refuses the key.
    """
    found = Confirmation()
    if len(ids) <= MOST_SINGLE_REQUESTS:
        found = await ask_for_each(client, table, ids)
        if not found.unknown or not isinstance(found.error, (InvalidRequest, NotEnabled)):
            return found
        ids, found.unknown, found.error = found.unknown, set(), None  # there is no path for a single one
    found.by = "read a second time"
    try:
        shown = await _read_again(client, table)
    except AuthenticationError:
        raise
    except StripeError as error:
        found.unknown, found.error = set(ids), error
        return found
    found.gone |= set(ids) - shown
    found.alive |= set(ids) & shown
    return found


async def confirm_with(
    make_client: Callable[[], Client], table: Table, ids: Collection[str], figures: Figures | None
) -> Confirmation:
    """The same with a client of its own, whose figures are added to others."""
    async with make_client() as client:
        try:
            return await confirm_gone(client, table, ids)
        finally:
            if figures:
                figures.add(client.figures)


async def ask_for_each(client: Client, table: Table, ids: Iterable[str]) -> Confirmation:
    """Ask for objects one by one: which are gone, which are there, and of which Stripe does not say.

    Raises:
        AuthenticationError: Stripe refuses the key.
    """
    found, slots = Confirmation(), asyncio.Semaphore(OBJECTS_AT_ONCE)

    async def ask(id: str) -> None:
        async with slots:
            try:
                answer = await read_object(client, table, id)
            except AuthenticationError:
                raise
            except ResourceMissing:
                found.gone.add(id)
            except StripeError as error:
                found.unknown.add(id)
                found.error = found.error or error
            else:
                (found.gone if answer.body.get("deleted") is True else found.alive).add(id)

    await asyncio.gather(*map(ask, ids))
    return found


async def _read_again(client: Client, table: Table) -> set[str]:
    """The ids of all objects that the list shows, without anything expanded."""
    shown: set[str] = set()
    for path in table.extra_paths:
        try:
            shown.add(str((await client.get(path)).body.get("id")))
        except (NotEnabled, ResourceMissing, InvalidRequest):
            continue
    for variant in table.variants:
        request = ListRequest(table.path or "", {**table.params, **variant}, limit=table.limit)
        async for batch in read_newest_first(client, request):
            shown.update(str(thing.get("id")) for thing in batch.objects)
    return shown
