"""What an entry of the registry is made of: `Table`, where its objects are `Found`, its `Range`, what to `Watch`."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stripe_source.tables.placement import NO_PARAMS, Placement


@dataclass(frozen=True)
class Range:
    """How a list is asked for what was created in [low, high).

    Args:
        low: name of the query parameter for the first second that is wanted.
        high: name of the one for the first second that is not wanted.
        exclusive: `low` leaves out the second that it names, so that one less is sent.
        rfc3339: times travel as text, as they do on the objects.
    """

    low: str = "created[gte]"
    high: str = "created[lt]"
    exclusive: bool = False
    rfc3339: bool = False


CREATED = Range()
CREATED_V2 = Range(rfc3339=True)


@dataclass(frozen=True)
class Watch:
    """What a run reads of a table's own list beside the change feed, because it comes or changes without an event.

    Args:
        why: the reason, for people.
        params: narrows the list.
        back: only what was created since the last run or this long ago.
        column: rows that are held with `value` in this column and that the list shows no more are asked for one by one.
        value: see `column`.
        due: a column with a time. With it no list is read but for the rows held with `value` in `column` whose time has
            come: the span of `created` that they are in.
    """

    reason: str
    params: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMS, hash=False)
    lookback: timedelta | None = None
    column: str | None = None
    value: Any = None
    due: str | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """One Stripe table: where its objects are, what tells them apart, how their changes are seen.

    Args:
        name: the native name: Stripe's list path in snake case, plural.
        object: Stripe's names of the objects that belong here (their `object` field).
        about: one sentence for people.
        path: the list of all objects of the account, or the singleton; None where they are found with a parent only.
        created: the list can be asked for a span of creation times.
        time: the object's field that holds its creation; None where it has none.
        singleton: `path` answers one object, not a list; `at` is where the rows are in it ("" = the object itself).
        at: see `singleton`.
        also: paths of single objects that belong to the table but are not in its list.
        found: see `Found`.
        key: columns that tell two rows of one account apart; none where there is one row.
        params: sent with every page.
        passes: the list is read once for each of these, because no single call shows every object.
        expand: fields to ask for with every page.
        limit: page size; None where the list refuses `limit`.
        marker: what `marker="auto"` means: "events" (the change feed), "created", or None (a full pass).
        lookback: how far behind its cursor a table with marker `created` is read again: as long as its rows change.
        forgets: the list drops objects older than this; a row that left it is not deleted.
        may_refuse: the account may not have this list at all (a reason, for people); refusal is then an empty table.
        default: part of the default selection.
        fan_out: why it is not in the default selection: what its requests grow with.
        permission: the read permission of a restricted key, Stripe's own name.
        aliases: other names that are understood: Striim's.
        extra: further columns with the path of the value that they repeat.
        range: how the list spells a span of creation times.
        one: path of one object, with `{id}`.
        include: sections that the list leaves out: each object is asked for again by `one`, with `include` of these.
        mode: "test" or "live": keys of the other mode have no such list, and it is not asked with them.
        keeps: why a row that is found no more is not deleted (for people).
        never: why this table is never read (for people); it has its columns, no rows and this verdict.
        off: why it is not in the default selection, where that is not what its requests grow with.
        hidden: which of its rows no list of Stripe's shows, so that they cannot be loaded (for people).
        watch: what is read beside the change feed.
        silent: what of it may change without an event and is not watched (for people); see `resync`.
        resync: how long the change feed is enough, until the table is read whole again.
        stays: why an event `….deleted` about an object does not mean that it is gone (for people).
        copies: columns that hold copies (or ids) of whole objects of other tables, with those tables: when one of those
            changes, the rows that show it are asked for again.
    """

    name: str
    object: tuple[str, ...]
    about: str
    path: str | None = None
    created: bool = False
    time: str | None = "created"
    singleton: bool = False
    at: str = ""
    extra_paths: tuple[str, ...] = ()
    placements: tuple[Placement, ...] = ()
    key: tuple[str, ...] = ("id",)
    params: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMS)
    variants: tuple[Mapping[str, Any], ...] = (NO_PARAMS,)
    expand: tuple[str, ...] = ()
    limit: int | None = 100
    marker: str | None = None
    lookback: timedelta = timedelta(0)
    retention: timedelta | None = None
    refusal_expected: str | None = None
    default: bool = True
    fan_out: str | None = None
    permission: str | None = None
    aliases: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS)
    range: Range = CREATED
    object_path: str | None = None
    include: tuple[str, ...] = ()
    mode: str | None = None
    deletions_unknown: str | None = None
    unsupported_reason: str | None = None
    opt_in_reason: str | None = None
    invisible_rows: str | None = None
    watch: tuple[Watch, ...] = ()
    changes_without_event: str | None = None
    resync: timedelta | None = None
    survives_deleted_event: str | None = None
    copies: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS)
