"""What an entry of the registry is made of: `Table`, its `Range`, what to `Watch`; see also `Placement`."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from stripe_source.tables.placement import NO_PARAMS, Placement


@dataclass(frozen=True)
class Range:
    """How a list's parameters say: created in [low, high).

    Args:
        low: name of the query parameter for the first second that is wanted.
        high: name of the query parameter for the first second that is no longer wanted.
        exclusive: the list leaves out the second that `low` names, so that the second before it is sent.
        rfc3339: times are sent as RFC 3339 text, as the objects have them.
    """

    low: str = "created[gte]"
    high: str = "created[lt]"
    exclusive: bool = False
    rfc3339: bool = False


Role = Literal[
    "change feed", "ledger", "available funds", "payout", "payout member", "report run", "report type",
]

CREATED = Range()
CREATED_V2 = Range(rfc3339=True)


@dataclass(frozen=True)
class Watch:
    """What a run reads of a table's own list beside the change feed, because it comes or changes without an event.

    Args:
        reason: why it is read, for people.
        params: query parameters that narrow the list.
        lookback: read only what was created since the last run or this long ago.
        column: the run also reads, one by one, the objects whose stored row has `value` in this column and that the
            narrowed list no longer shows.
        value: see `column`.
        due: a column with a time. With it the run does not read the narrowed list, but the span of `created` that holds
            the stored rows which have `value` in `column` and whose time has come.
    """

    reason: str
    params: Mapping[str, Any] = field(default_factory=lambda: NO_PARAMS, hash=False)
    lookback: timedelta | None = None
    column: str | None = None
    value: Any = None
    due: str | None = None


@dataclass(frozen=True)
class Removal:
    """How Stripe removes objects of a table without an event.

    Args:
        reason: for people, with its source.
        column: the time from which on it counts.
        after: how long after that an object goes.
        mode: "test" or "live": only data of this mode goes.
        with_them: tables whose objects go with them, with the column of these that holds the id.
    """

    reason: str
    column: str
    after: timedelta
    mode: str
    with_them: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS, hash=False)


@dataclass(frozen=True)
class Report:
    """What the rows of a table come from, where it is a financial report: a CSV file that Stripe makes when asked.

    Args:
        type: Stripe's name of it, `family.shape.version`; None where it is looked up at Stripe by the table's name.
        takes: the parameters that it takes of those that narrow or shape it; None: any.
    """

    type: str | None
    takes: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """One Stripe table: where its objects are, what tells them apart, how their changes are seen.

    Args:
        name: the native name: Stripe's list path in snake case, plural.
        object: Stripe's names of the objects that belong here (their `object` field).
        about: one sentence for people.
        path: the list of all objects of the account, or the singleton; None where Stripe lists them by parent only.
        created: the list takes a span of creation times; `range` has the names of its parameters.
        time: the object's field that holds its creation; None where it has none.
        singleton: `path` answers one object, not a list; `at` is where the rows are in it ("" = the object itself).
        at: see `singleton`.
        extra_paths: paths of single objects that belong to the table but are not in its list.
        placements: where else its objects are found: see `Placement`.
        key: columns that tell two rows of one account apart; none where there is one row.
        params: query parameters of every page.
        variants: the list is read once with each of these parameters, because no single call shows every object.
        expand: fields that are absent unless expanded, and are asked for on every page.
        not_loaded: further fields that are absent unless expanded, each with the reason why they are not asked for (for
            people; it stands in the column's description).
        limit: page size; None where the list refuses `limit`.
        marker: what `marker="auto"` means: "events" (the change feed), "created", or None (a full pass).
        lookback: how far behind its cursor a table with marker `created` is read again: as long as its rows change.
        retention: the list drops objects older than this; a row that left the list for its age is not deleted.
        refusal_expected: why Stripe may refuse this list to an account (for people); the table is empty then.
        default: part of the default selection.
        fan_out: why it is not in the default selection: what its requests grow with.
        permission: the read permission of a restricted key, Stripe's own name.
        aliases: other names that users may write: Striim's.
        extra: further columns with the path of the value that they repeat.
        range: the names and form of the list's parameters for a span of creation times.
        object_path: path of one object, with `{id}`.
        include: sections that the list leaves out: each object is read again from `object_path` with these in its
            parameter `include`.
        mode: "test" or "live": keys of the other mode have no such list, and the source does not read it with them.
        deletions_unknown: why a row that is no longer found is not flagged as deleted (for people).
        unsupported_reason: why this table is never read (for people); it has its columns, no rows and this verdict.
        opt_in_reason: why it is not in the default selection, where the reason is not what its requests grow with.
        invisible_rows: which of its rows no list of Stripe's shows, so that nobody can load them (for people).
        watch: what a run reads beside the change feed: see `Watch`.
        changes_without_event: what may change without an event and is not watched (for people); see `resync`.
        resync: for how long the change feed is enough; after that a run reads the whole table again.
        survives_deleted_event: why an event `….deleted` about an object does not mean that it is gone (for people).
        copies: columns that hold copies (or ids) of whole objects of other tables, with those tables: when one of those
            objects changes, a run reads the objects again that show it.
        removal: how Stripe removes its objects without an event: see `Removal`.
        named_by: (table, dotted path in its objects): they name objects of this table. What they name and its list does
            not show says that the list is not whole, which nobody at Stripe says of it. Asked where the list is empty,
            and each time where it has an `owners_list`.
        listed_when: dotted path: objects that have something there should be in the list.
        owners_list: (table, path of a list of each of its objects, with `{id}`): read where the own list is not whole.
        refetched_ids: beginnings of ids: of such objects events do not say whether they are still there.
        other_kinds: where several tables take from one list, its members that none of them names are rows of this one.
        role: what the package itself uses the table for, beside loading it: `table_with_role` finds it.
        example_query: a query, for people, that shows something of the rows; `{table}` stands for the table's name.
        report: it is a financial report, which is no list of objects.
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
    not_loaded: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS)
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
    removal: Removal | None = None
    named_by: tuple[tuple[str, str], ...] = ()
    listed_when: str | None = None
    owners_list: tuple[str, str] | None = None
    refetched_ids: tuple[str, ...] = ()
    other_kinds: bool = False
    role: Role | None = None
    example_query: str | None = None
    report: Report | None = None
