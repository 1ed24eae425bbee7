"""What a run may believe of a table, from what the destination holds and what the state says; no I/O.

The state says how far a table was read. It is believed only where the destination bears it out: where the table is
there with all its columns, holds rows if it held any, and has the last load that the state knows of, and where its rows
were made as this run would make them. Otherwise the table is read whole and compared with what is there.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stripe_source.arrow_rows.masking.masks import TableMask
from stripe_source.resources.history import SUFFIX
from stripe_source.resources.state import TableState
from stripe_source.tables.map_changes import first_hash, mapping_hash
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.table import Table

FIRST_API_VERSION = "2026-10-28.endive"  # that of release 0.1.0, whose state has no record of it


@dataclass(frozen=True)
class Held:
    """What the destination holds, as it says itself.

    Args:
        rows: tables that hold rows of the account.
        lost_tables: tables that were made once, and are not there.
        lost_columns: by table, columns that were made once, and are not there.
        last_load: the last load that the state knows of is there, or none is known.
    """

    rows: Collection[str] = frozenset()
    lost_tables: Collection[str] = frozenset()
    lost_columns: Mapping[str, Collection[str]] = field(default_factory=dict)
    last_load: bool = True


@dataclass(frozen=True)
class Making:
    """How the rows of a table are made.

    Args:
        api_version: Stripe's, in which its objects are asked for.
        map_hash: of its schema map.
        mask: what is left out and hashed of them.
        columns: data types by name, of those that are declared or that the destination has.
    """

    api_version: str
    map_hash: str
    mask: TableMask
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table, api_version: str, mask: TableMask, known: Mapping[str, Any]) -> Making:
        """How this run makes them; `known` has the columns of the destination, in dlt's words."""
        shape = table_map(table)
        there = {name: words["data_type"] for name, words in known.items() if words.get("data_type")}
        columns = {**there, **{column.name: column.data_type for column in shape.columns}}
        return cls(api_version, mapping_hash(shape), mask, columns)

    def masks_differ(self, applied: Mapping[str, str]) -> bool:
        """Whether rows to which masks were applied then have other masks now."""
        return self.mask.differs(applied, self.columns)

    def difference(self, name: str, state: TableState) -> str:
        """Why rows that the state knows of have to be made again; "" where they need not.

        A state without a record is of a release that kept none, with the maps and the API version of that time.
        """
        made_with = state.api_version or FIRST_API_VERSION
        if made_with != self.api_version:
            return f"its rows were made with API version `{made_with}`, and `{self.api_version}` is asked for now"
        if (state.map_hash or first_hash(name) or self.map_hash) != self.map_hash:
            return "its rows were made with another version of its schema map"
        return ""


@dataclass(frozen=True)
class TableGround:
    """What a run may believe of one table.

    Args:
        fresh: the destination holds no rows of it, so that there is nothing to compare with.
        void: why its positions and checkpoints do not count; "" where they do.
        told: `void` is something that a person should know.
        rewrite: its rows are written again, whatever their fingerprints.
        history_lost: the destination does not hold the versions of its rows any more.
        has_history: it holds versions of its rows.
        masked: what is left out or hashed of its rows has changed, so that all rows are written again, also those that
            Stripe does not show.
        history_masked: likewise, of its history.
    """

    fresh: bool = True
    void: str = ""
    told: bool = True
    rewrite: bool = False
    history_lost: bool = False
    has_history: bool = False
    masked: bool = False
    history_masked: bool = False


EMPTIED = "dlt empties it in this load"
LOST_LOAD = ("the last load that this pipeline knows of is not in the destination, as when a backup was restored")
LOST_TABLE = "its table was gone from the destination, and was made again"
LOST_ROWS = "the destination holds no rows of it any more"
LOST_COLUMNS = "columns were gone from its table, and were made again"
LACKING = "its rows may lack values, since columns were made again or a load was dropped"
LOST_HISTORY = "the destination holds no versions of its rows any more"
MASKED = "other columns are left out or hashed than before, or with another salt"
UNKNOWN = "the destination holds rows that this pipeline knows nothing of"


def decide(
    name: str, held: Held, own: Mapping[str, Any], making: Making, *, marker: str | None, emptied: Collection[str],
    begun: bool, history: bool = False,
) -> TableGround:
    """What a run may believe of a table.

    Args:
        name: of the table.
        held: what the destination says.
        own: dlt's state of the resource.
        making: how its rows are made now.
        marker: of the table.
        emptied: tables that dlt empties or drops in the load that begins.
        begun: a first reading of it has begun, and was cut short.
        history: every version of its rows is kept.
    """
    state = TableState.load(own)
    known = begun or _is_known(state, own)
    rows = name in held.rows
    if name in emptied:
        return TableGround(void=EMPTIED, told=False, history_lost=True)
    has_history = name + SUFFIX in held.rows
    history_lost = history and state.history and not has_history
    lost = {
        LOST_LOAD: known and not held.last_load,
        LOST_TABLE: known and name in held.lost_tables,
        LOST_ROWS: not rows and bool(state.held),
    }
    reason = next((reason for reason, true in lost.items() if true), "")
    restored = known and not held.last_load  # the rows may be older than what the state says of them
    history_masked = has_history and (
        making.masks_differ(state.history_masks) or (restored and bool(making.mask or state.history_masks)))
    history_ground = TableGround(
        history_lost=history_lost, has_history=has_history, history_masked=history_masked)
    if not rows:
        return replace(history_ground, void=reason)
    masked = making.masks_differ(state.masks) or (restored and bool(making.mask or state.masks))
    ground = replace(history_ground, fresh=False, masked=masked)
    if state.rewrite or name in held.lost_columns:
        why = LOST_COLUMNS if name in held.lost_columns else LACKING
        return replace(ground, void=why, rewrite=True)
    if not reason and not known and marker is not None:
        reason = UNKNOWN
    reason = reason or making.difference(name, state) or (MASKED if masked else "")
    return replace(ground, void=reason or (LOST_HISTORY if history_lost else ""), rewrite=masked)


def _is_known(state: TableState, own: Mapping[str, Any]) -> bool:
    """Whether the state says anything of what was loaded of a table."""
    cursors = own.get("incremental", {}).values()
    return (
        state.position is not None or state.last_id is not None or state.complete or state.held is not None
        or any(each.get("last_value") is not None for each in cursors)
    )


def notes_of(grounds: Mapping[str, TableGround]) -> list[str]:
    """What a person should know, reason by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, ground in grounds.items():
        if ground.void and ground.told:
            by_reason.setdefault(ground.void, []).append(name)
    return [f"Read whole and compared, as {reason}: {', '.join(names)}." for reason, names in by_reason.items()]
