"""Objects become WAEvents, each once, and go on their way to rows."""
from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from stripe_source.arrow_rows.fingerprint import fingerprint
from stripe_source.arrow_rows.masking.masks import NO_MASKS, Masks
from stripe_source.arrow_rows.waevent import SELECT, UPDATE, WAEvent
from stripe_source.errors import StripeError
from stripe_source.extract.channel import Channel
from stripe_source.extract.verdicts import Verdicts, verdict_for
from stripe_source.tables.objects import Object
from stripe_source.tables.registry import parent_column
from stripe_source.tables.table import Table
from stripe_source.workers.batches import RowBatcher
from stripe_source.workers.process import WorkerProcess
from stripe_source.workers.protocol import PLACE, PageHandle

log = logging.getLogger("stripe_source")
ObjectKey = str | tuple[str, str | None]  # the id of an object, with that of its parent where that is part of the key


class Emitter:
    """Takes the objects that all sources of a run bring, and knows what was brought.

    Args:
        channel: takes the WAEvents of tables that nobody builds rows of, and answers questions to the destination.
        batcher: builds rows of the others.
        worker: the process that keeps pages.
        account: value of `_account_id`, until the owner of the key is known.
        on_page: called with (table, number of objects).
        with_history: tables of which versions between two runs are wanted as well.
        masks: what is left out and hashed of rows.
    """

    def __init__(
        self, channel: Channel, batcher: RowBatcher, worker: WorkerProcess, account: str,
        on_page: Callable[[str, int], None], with_history: Iterable[str] = (), masks: Masks = NO_MASKS,
    ) -> None:
        self.channel, self.account, self.masks = channel, account, masks
        self._batcher, self._worker, self._on_page = batcher, worker, on_page
        self.owner: str | None = None  # id of the account whose data it is, as far as it is known
        self.now: int | None = None  # unix second at Stripe, when the run began
        self.verdicts = Verdicts()
        self.by_change_feed: set[str] = set()  # tables that need not be read whole, because the feed tells what changed
        self.touched_ids: dict[str, set[str]] = defaultdict(set)  # by table: ids of objects that were read
        self.parents_read: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        # ^ by table and column: ids of the owners whose objects were read
        self.earlier_versions: dict[str, list[WAEvent]] = {name: [] for name in with_history}
        self.readers: dict[str, Callable[[], int]] = {}  # by table: how many readers bring pages of it side by side
        self.before: dict[tuple[str, str], Object] = {}  # by table and id: the object as it was before its only event
        self.event_ids: dict[tuple[str, str], str] = {}  # by table and id: the event that told of a change
        self._emitted: dict[str, set[ObjectKey]] = {}  # of tables that are reached in several ways
        self.other_kinds: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
        # ^ by place and the table whose rows they are: kinds of objects that no table is for
        self.unreadable_events: dict[str, StripeError] = {}  # by id: events that the feed stepped over
        self.lost_fields: dict[str, set[str]] = defaultdict(set)  # by table: what the key may not expand

    def emit_once(self, table: str) -> None:
        """Objects of a table are reached in several ways: only the first time counts."""
        self._emitted[table] = set()

    def emitted(self, table: str) -> set[ObjectKey]:
        """What was emitted of a table that is reached in several ways."""
        return self._emitted.get(table, set())

    def note_other_kind(self, place: str, kind: object, table: str | None) -> None:
        """An object is of a kind that no table is for.

        Args:
            place: where it was found, for people.
            kind: Stripe's name of the object, or whatever stands there.
            table: the table whose row it is all the same; None: one that nobody wants.
        """
        name = kind if isinstance(kind, str) and re.fullmatch(r"[\w.]{1,60}", kind) else ascii(kind)[:60]
        kinds = self.other_kinds[place, table]
        if name not in kinds:
            log.warning("%s: an object of the unknown kind `%s`; %s", place, name, _becomes(table))
        kinds[name] += 1

    def note_lost_fields(self, table: Table, paths: Iterable[str]) -> None:
        """The key may not read what these fields of a table's objects hold, so that they are not expanded."""
        new = set(paths) - self.lost_fields[table.name]
        if new:
            log.warning("%s: the key may not expand %s", table.name, ", ".join(sorted(new)))
        self.lost_fields[table.name] |= new

    def kinds_of(self, table: str) -> dict[str, int]:
        """How many rows of a table are of kinds that no table is for, by Stripe's name of the object."""
        return dict(sum((kinds for (_, name), kinds in self.other_kinds.items() if name == table), Counter()))

    def data_notes(self) -> list[str]:
        """What a person should know of objects of unknown kinds, and of fields that stay empty."""
        return [
            *(f"{name}: {', '.join(f'`{path}`' for path in sorted(paths))} stay empty: the key lacks the permission "
              "to expand them." for name, paths in self.lost_fields.items() if paths),
            *self._kind_notes(),
            *(f"The event `{id}` cannot be read ({error}). What it alone tells of is found when its rows are compared "
              "again (`resync`)." for id, error in self.unreadable_events.items()),
        ]

    def _kind_notes(self) -> list[str]:
        return [
            f"{place}: objects of kinds that no table is for, "
            f"{', '.join(f'`{kind}` ({number})' for kind, number in sorted(kinds.items()))}; {_becomes(table)}."
            for (place, table), kinds in self.other_kinds.items()
        ]

    def fail(self, table: Table, error: StripeError) -> None:
        """A table could not be read."""
        self.verdicts.set_failure(table.name, verdict_for(error))

    def event(
        self, table: Table, thing: Object, read_at: int, parent: str | None = None, position: int | None = None,
        pair: str | None = None,
    ) -> WAEvent:
        """The WAEvent of an object: read by a first or full load, or changed as far as the change feed tells.

        Whether the object is new is known when it is compared with what the destination holds.

        Args:
            table: where the object belongs.
            thing: the object.
            read_at: unix second from which on this version is known.
            parent: id of the object that it was found with.
            position: its place in the list of that object.
            pair: id of the second object that it was found with.
        """
        if parent_column(table) is None:
            parent = position = None  # found in several ways, which must not make its row differ
        operation, before, event_id = SELECT, None, None
        if table.name in self.by_change_feed:
            key = table.name, str(thing.get("id"))
            operation, before, event_id = UPDATE, self.before.pop(key, None), self.event_ids.get(key)
        return WAEvent(table.name, operation, read_at, thing, self.account, parent, position, pair, before, event_id)

    async def put(self, table: Table, events: list[WAEvent], handle: PageHandle | None = None) -> None:
        """Hand WAEvents over.

        Args:
            table: theirs.
            events: of one page.
            handle: of the objects, if these are digests.
        """
        name = table.name
        if name in self._emitted:
            events = self._not_emitted_yet(table, events, handle)
        if events:
            self._on_page(name, len(events))
        build = await self.channel.wait_for_builder(name) if events else None
        if build is None and handle:
            self._worker.forget(handle)  # nobody takes them
            return
        if not events:
            return
        if build is None:
            self.channel.put(name, events)
        else:
            build.note(events)
            some = handle and handle.select([event.data for event in events])
            readers = self.readers[name]() if name in self.readers else None
            await self._batcher.add(table, build, events, some, readers)
        await self.channel.wait_for_room()

    async def flush(self, tables: Iterable[str]) -> None:
        """Have rows built of what still waits for company."""
        for name in tables:
            await self._batcher.flush(name)

    def _not_emitted_yet(
        self, table: Table, events: Iterable[WAEvent], handle: PageHandle | None
    ) -> list[WAEvent]:
        emitted, fresh = self._emitted[table.name], []
        for event in events:
            id = event.data.get("id")
            if id is None:  # old discounts have none: the row is keyed by its content, which a digest does not show
                id = fingerprint(event, False) if handle is None else f"{handle.number} {event.data.get(PLACE)}"
            key = str(id) if table.key == ("id",) else (str(id), event.parent)
            if key not in emitted:
                emitted.add(key)
                fresh.append(event)
        return fresh


def _becomes(table: str | None) -> str:
    """What becomes of an object of a kind that no table is for."""
    return f"they are rows of {table}" if table else "they are not loaded, as the table for them is not"
