"""All that we keep in dlt's state, typed and versioned: of the source, of a table, of a load that is under way.

dlt stores plain JSON. What stands there is read into these classes and written from them, and nowhere else. `version`
says how it was written; what an older release wrote is migrated when it is read.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

import dlt

from stripe_source.errors import NewerState
from stripe_source.extract.changes.seen import FeedMemory, FeedPass, needed_passes
from stripe_source.extract.checkpoint import BackfillCheckpoint

VERSION = 1  # of what is written; 0 is that of release 0.1.0, which wrote no version
_PENDING_LOADS, _DOUBTED = "stripe_loads", "stripe_doubted"  # in dlt's local state

Raw = MutableMapping[str, Any]
S = TypeVar("S", bound="_State")


@dataclass
class _State:
    """What the kinds of state have in common."""

    @classmethod
    def _renamed(cls) -> Mapping[str, str]:
        """Names of version 0, with those of today where they differ."""
        return {}

    @classmethod
    def load(cls: type[S], raw: Mapping[str, Any]) -> S:
        """Read what dlt's state holds.

        Raises:
            NewerState: a later release wrote it, in a way that this one does not know.
        """
        version = raw.get("version", 0)
        if version > VERSION:
            raise NewerState(version, VERSION)
        words = {cls._renamed().get(name, name): value for name, value in raw.items()} if version == 0 else raw
        return cls(**{each.name: words[each.name] for each in fields(cls) if each.name in words})

    def save(self, raw: Raw) -> None:
        """Write it into dlt's state, and leave what dlt itself keeps there. What has its default is left out."""
        for name in (*self._renamed(), *(each.name for each in fields(self))):
            raw.pop(name, None)
        unset = type(self)()
        words = asdict(self)
        raw.update({name: value for name, value in words.items() if value != getattr(unset, name)}, version=VERSION)


@dataclass
class FeedState:
    """Which passes over the change feed were made, and which events they saw.

    Args:
        number: of the last pass.
        passes: those that tell some table which events of its overlap it has met, the oldest first.
        at: unix second of the last run, as earlier versions kept it, which knew one pass for all tables.
        seen: the events that it had seen; a list of marks before 0.2.
    """

    number: int = 0
    passes: list[dict[str, Any]] = field(default_factory=list)
    at: int | None = None
    seen: str | list[str] = ""

    @property
    def memory(self) -> FeedMemory:
        """What is known of the passes; what an earlier version kept is number 0."""
        before = [] if self.at is None else [FeedPass(0, self.at, self.seen)]
        return FeedMemory(self.number, [*before, *(FeedPass(**each) for each in self.passes)])

    def last_pass(self, table: TableState) -> int | None:
        """The number of the last pass that a table was part of; None: that is not known."""
        by_time = {each.at: each.number for each in self.memory.passes if each.number == 0}
        return table.feed_pass if table.position is None or table.feed_pass is not None else by_time.get(table.position)


@dataclass
class SourceState(_State):
    """What is kept of the source.

    Args:
        account_id: value of `_account_id` in all rows.
        owner: id of the account whose data it is, as far as it is known; where `account_id` is "self", it may be.
        livemode: whether the data is live; None where that is not known.
        feed: which passes over the change feed were made, as `FeedState`.
        backfill: by list, how far its first reading came, as `BackfillCheckpoint`.
        last_load: the dlt load that rows travelled in last. It makes dlt store the state with every load, which tells
            other machines that there was one.
    """

    account_id: str | None = None
    owner: str | None = None
    livemode: bool | None = None
    feed: dict[str, Any] = field(default_factory=dict)
    backfill: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_load: str | None = None

    @classmethod
    def _renamed(cls) -> Mapping[str, str]:
        return {"loaded": "last_load"}

    @classmethod
    def load(cls, raw: Mapping[str, Any]) -> SourceState:
        """Read what dlt's state holds.

        Raises:
            NewerState: a later release wrote it, in a way that this one does not know.
        """
        if not raw.get("version") and "backfill" in raw:
            backfill = {
                name: {"reread" if word == "again" else word: value for word, value in each.items()}
                for name, each in raw["backfill"].items()
            }
            raw = {**raw, "backfill": backfill}
        return super().load(raw)

    @property
    def feed_state(self) -> FeedState:
        """Which passes over the change feed were made."""
        return FeedState(**self.feed)

    def keep_pass(self, made: FeedPass, tables: Mapping[str, Mapping[str, Any]], lookback: int) -> None:
        """Note what a pass over the change feed saw.

        Args:
            made: the pass.
            tables: dlt's state of all resources, of which each says which pass was the last one that it was part of.
            lookback: seconds of the feed that are read again.
        """
        feed, passes = self.feed_state, [*self.feed_state.memory.passes, *([made] if made.seen else [])]
        states = [TableState.load(own) for own in tables.values()]
        last = [(feed.last_pass(each), each.position) for each in states]
        known = [(number, at) for number, at in last if number is not None and at is not None]
        self.feed = {"number": made.number, "passes": [asdict(each) for each in needed_passes(passes, known, lookback)]}

    @staticmethod
    def note_pass(raw: Raw, number: int) -> None:
        """Note that a pass over the change feed was made, before any table says that it was part of it."""
        state = SourceState.load(raw)
        state.feed = {**state.feed, "number": number}
        state.save(raw)

    @property
    def checkpoints(self) -> dict[str, BackfillCheckpoint]:
        """How far first readings came, by list."""
        return {name: BackfillCheckpoint.load(words) for name, words in self.backfill.items()}

    @staticmethod
    def note_load(raw: Raw, load_id: str) -> None:
        """Note the load that rows travel in, in dlt's state of the source."""
        state = SourceState.load(raw)
        state.last_load = load_id
        state.save(raw)

    def keep_checkpoints(self, checkpoints: Mapping[str, BackfillCheckpoint]) -> None:
        """Note how far first readings came; those that are not named are over."""
        self.backfill = {name: each.asdict() for name, each in checkpoints.items()}


@dataclass
class TableState(_State):
    """What is kept of one table, beside the cursor that dlt keeps itself.

    Args:
        position: unix second up to which the change feed was applied to the table.
        feed_pass: number of the pass over the feed that began then; None: there was none.
        read_whole: the last run read it whole.
        last_full_read: unix second of its last full reading.
        start: the option `start` of that reading.
        refused: the last run was not allowed to read it.
        complete: its objects were read to the end with those of their parents.
        history: its history holds a version of every row.
        last_id: id of the newest object that is older than the lookback.
        last_id_created: unix second in which that was created.
        resynced_at: unix second in which a part of it was last compared again, beside the change feed.
        resync_next: the second of `created` where the next such part begins; None: at the oldest row.
        failed_parents: by the parents' table, ids of those whose objects could not be read.
        held: the destination held rows of it after the last run; None: that was not noted.
        api_version: Stripe's, with which its rows were made; None: that was not noted.
        map_hash: of the schema map with which they were made; likewise.
        rewrite: columns were lost, and made again, since it was loaded.
        unfinished: the second of `created` from which on a reading went that is not over, beside dlt's cursor.
        masks: what was left out or hashed of its rows, by column, as `TableMask.applied` says it.
        history_masks: likewise, of its history.
        functions: its rows went through functions that a user gave to the resource.
    """

    position: int | None = None
    feed_pass: int | None = None
    read_whole: bool = False
    last_full_read: int | None = None
    start: int | None = None
    refused: bool = False
    complete: bool = False
    history: bool = False
    last_id: str | None = None
    last_id_created: int | None = None
    resynced_at: int | None = None
    resync_next: int | None = None
    failed_parents: dict[str, list[str]] = field(default_factory=dict)
    held: bool | None = None
    api_version: str | None = None
    map_hash: str | None = None
    rewrite: bool = False
    unfinished: int | None = None
    masks: dict[str, str] = field(default_factory=dict)
    history_masks: dict[str, str] = field(default_factory=dict)
    functions: bool = False

    def void(self, *, fresh: bool, rewrite: bool, history_lost: bool) -> TableState:
        """What is left of it where the destination does not bear it out.

        Args:
            fresh: the destination holds no rows of it.
            rewrite: its rows have to be written again, whatever their fingerprints.
            history_lost: the destination does not hold the versions of its rows.
        """
        left = TableState(refused=self.refused, history=self.history and not history_lost, held=False)
        left.history_masks = {} if history_lost else self.history_masks
        if not fresh:
            left.held, left.rewrite = self.held, rewrite or self.rewrite
            left.api_version, left.map_hash, left.masks = self.api_version, self.map_hash, self.masks
            left.functions = self.functions
        return left

    @classmethod
    def _renamed(cls) -> Mapping[str, str]:
        return {
            "whole": "read_whole", "whole_at": "last_full_read", "loaded": "complete", "id": "last_id",
            "id_created": "last_id_created",
        }


def sources_of(pipeline: dlt.Pipeline) -> dict[str, Any]:
    """The state of all sources of a pipeline, as dlt keeps it."""
    return dict(pipeline.state.get("sources", {}))


def put_back(state: Any, sources: Mapping[str, Any]) -> None:
    """Put the state of all sources back to what it was, but for whose data the dataset holds.

    Args:
        state: of the pipeline.
        sources: what `sources_of` said before.
    """
    name = "stripe"
    here = state.get("sources", {}).get(name, {})
    owner: dict[str, Any] = {
        word: here[word] for word in ("account_id", "owner", "livemode", "version") if word in here
    }
    state["sources"] = {**sources, name: {**sources.get(name, {}), **owner}}


def note_lost_columns(pipeline: dlt.Pipeline, tables: Iterable[str]) -> None:
    """Note that columns of these tables were lost, and made again: the next run writes all rows of theirs again."""
    with pipeline.managed_state() as state:
        resources = state.get("sources", {}).get("stripe", {}).get("resources", {})
        for name in tables:
            if name in resources:
                table = TableState.load(resources[name])
                table.rewrite = True
                table.save(resources[name])


def stored_state(pipeline: dlt.Pipeline, source: str) -> tuple[SourceState, dict[str, TableState]]:
    """What a pipeline keeps of a source and, by name, of its tables."""
    raw: dict[str, Any] = sources_of(pipeline).get(source, {})
    return SourceState.load(raw), {name: TableState.load(each) for name, each in raw.get("resources", {}).items()}


def loaded_from_start(pipeline: dlt.Pipeline, source: str, table: str) -> bool:
    """Whether rows of a table that were created before some time were left out of it, by our `start` or dlt's."""
    raw: dict[str, Any] = sources_of(pipeline).get(source, {}).get("resources", {}).get(table, {})
    cursors = raw.get("incremental", {}).values()
    return TableState.load(raw).start is not None or any(each.get("initial_value") is not None for each in cursors)


def pending_loads(pipeline: dlt.Pipeline) -> int | None:
    """How many loads the destination had when the load that is under way was begun; None where none is."""
    try:
        return int(pipeline.get_local_state_val(_PENDING_LOADS))
    except (KeyError, TypeError):
        return None


def keep_pending_loads(pipeline: dlt.Pipeline, loads: int | None) -> None:
    """Note how many loads the destination had when a load was begun; None: it is over."""
    pipeline.set_local_state_val(_PENDING_LOADS, loads)


def doubted_tables(pipeline: dlt.Pipeline) -> list[str]:
    """The tables of which the state was not believed when the load that is under way was begun."""
    try:
        return list(pipeline.get_local_state_val(_DOUBTED) or ())
    except KeyError:
        return []


def keep_doubted_tables(pipeline: dlt.Pipeline, tables: Iterable[str]) -> None:
    """Note the tables of which the state is not believed, until the load is over that says so in the state."""
    names = sorted(tables) or None
    if names != (doubted_tables(pipeline) or None):
        pipeline.set_local_state_val(_DOUBTED, names)


def forget_tables(pipeline: dlt.Pipeline, tables: Iterable[str]) -> None:
    """Let the state say nothing of these tables: the next run compares all that it reads with what is there."""
    with pipeline.managed_state() as state:
        resources = state.get("sources", {}).get("stripe", {}).get("resources", {})
        for name in tables:
            if name in resources:
                TableState(rewrite=True).save(resources[name])
                resources[name].pop("incremental", None)


def current_load_id() -> str | None:
    """The load that this extraction belongs to; None outside a pipeline, where a resource is only iterated."""
    from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

    try:
        return str(dlt.current.load_package_state()["load_id"])
    except CurrentLoadPackageStateNotAvailable:
        return None
