"""The ground check: at the start of a run, is what the state says of each table true of the destination?

It also finds out whose data the destination holds, and refuses to mix it with the data of another account or mode.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from stripe_source.api.query import fill
from stripe_source.destination.sql.dialect import StatementCounter
from stripe_source.errors import InvalidOption, MixedData, ResourceMissing, StripeError
from stripe_source.extract.account import AccountIdentity, run_async
from stripe_source.options import Options
from stripe_source.resources.ground.decide import Held, Making, TableGround, decide, notes_of
from stripe_source.resources.ground.look import Owner, look
from stripe_source.resources.history import SUFFIX, versions_map
from stripe_source.resources.state import SourceState, TableState
from stripe_source.tables.schema_map import TableMap, table_map

if TYPE_CHECKING:
    import dlt
    from dlt import Schema
    from dlt.extract import DltSource

SELF = "self"  # `_account_id` where the key could not read its account
WITNESSES = 5  # objects that are asked for to know whose data a dataset holds
ID = re.compile(r"[a-z]+_(test_|live_)?[A-Za-z0-9]{14,}")  # one that Stripe made, and that no other account has


@dataclass
class Ground:
    """What a run may believe.

    Args:
        account: value of `_account_id` in the rows that are there; None where there are none.
        owner: id of the account whose data it is, as far as it is known.
        tables: what may be believed of each table.
        making: how the rows of each table are made.
        lost_load: the destination is older than the state.
        notes: what a person should know.
        key_account: id of the key's account; None where it may not read it.
        emptied_reports: those that the destination holds no rows of.
    """

    account: str | None = None
    owner: str | None = None
    tables: dict[str, TableGround] = field(default_factory=dict)
    making: dict[str, Making] = field(default_factory=dict)
    lost_load: bool = False
    notes: list[str] = field(default_factory=list)
    key_account: str | None = None
    emptied_reports: set[str] = field(default_factory=set)

    @property
    def doubted(self) -> list[str]:
        """The tables of which the state is not believed."""
        return [name for name, ground in self.tables.items() if ground.void]

    def of(self, table: str) -> TableGround:
        """What may be believed of a table."""
        return self.tables.get(table, TableGround())


def check_ground(
    pipeline: dlt.Pipeline, schema: Schema, shapes: Sequence[TableMap], options: Options, identity: AccountIdentity,
    raw: Mapping[str, Any], emptied: Collection[str], counter: StatementCounter | None = None,
) -> Ground:
    """Ask the destination what it holds, make again what it has lost, and decide what the state is worth.

    Args:
        pipeline: whose run it is.
        schema: dlt's, of the source; columns are added to it that the destination has and it does not know.
        shapes: the maps of the tables of the run.
        options: of the source.
        identity: whose data the key reads.
        raw: dlt's state of the source.
        emptied: tables that dlt empties or drops in the load that begins.
        counter: counts the statements.

    Raises:
        MixedData: the destination holds the data of another account, or of the other mode.
    """
    state, resources = SourceState.load(raw), raw.get("resources", {})
    mode = options.credentials.livemode
    if None not in (mode, state.livemode) and mode != state.livemode:
        raise _mixed_modes(state.livemode, pipeline.dataset_name)
    now = identity.account or options.account_id or identity.named
    ground = Ground(state.account_id, state.owner or now)
    before = state.owner or (state.account_id if state.account_id != SELF else None)
    if before and now and before != now:
        raise MixedData("account", before, now, pipeline.dataset_name)
    histories = [versions_map(shape) for shape in shapes if shape.table.name in options.history]
    reports = [table_map(table) for table in options.reports]
    held = Held()
    with look(pipeline, schema, [*shapes, *histories, *reports], counter) as destination:
        if destination is not None:
            if state.account_id is None:
                ground.account = _account_there(destination.owners(), options, now, pipeline.dataset_name)
            elif before is None or now is None:
                _see_witnesses(destination.owners(), state.account_id, options, now, pipeline.dataset_name)
            if ground.account is not None:
                held = destination.held(ground.account, state.last_load)
            if schema.name in pipeline.schemas:  # else dlt looks itself
                destination.make_again({*held.lost_tables, *held.lost_columns} - {*emptied})
            first = schema.naming.normalize_table_identifier([*shapes, *reports][0].table.name)
            _learn_columns(pipeline, schema, destination.unknown_columns(), first)
    ground.key_account = identity.account
    ground.emptied_reports = {each.table.name for each in reports if each.table.name not in held.rows}
    ground.emptied_reports |= {*emptied}
    begun = {name for each in state.checkpoints.values() for name in each.tables}
    for shape in shapes:
        name = shape.table.name
        known = schema.tables.get(schema.naming.normalize_table_identifier(name), {}).get("columns", {})
        making = ground.making[name] = Making.of(
            shape.table, options.api_version, options.masks.of(shape.table), known)
        ground.tables[name] = decide(
            name, held, resources.get(name, {}), making, marker=options.markers[name], emptied=emptied,
            begun=name in begun, history=name in options.history,
        )
    ground.lost_load, ground.notes = not held.last_load, notes_of(ground.tables)
    ground.notes += _notes_on_histories(schema, ground, resources, options)
    return ground


def _notes_on_histories(
    schema: Schema, ground: Ground, resources: Mapping[str, Any], options: Options
) -> list[str]:
    """Which histories keep what is left out or hashed now, because nobody adds to them in this run."""
    made = set(schema.data_table_names(seen_data_only=True))
    stale = [
        name for name, making in ground.making.items()
        if name not in options.history and schema.naming.normalize_table_identifier(name + SUFFIX) in made
        and making.masks_differ(TableState.load(resources.get(name, {})).history_masks)
    ]
    return [
        f"{', '.join(name + SUFFIX for name in stale)}: other columns were left out or hashed there, which stays so "
        f"until a run with `history={stale}`."
    ] if stale else []


def _learn_columns(
    pipeline: dlt.Pipeline, schema: Schema, columns: Mapping[str, dict[str, Any]], first: str
) -> None:
    """Add columns to dlt's schema that the destination has and it does not know.

    dlt looks whether its tables are there only where the destination has not seen the same schema before. A pipeline
    that has none yet may make the same as an earlier one did, of which something is lost: so its own is marked.
    """
    for name, words in columns.items():
        schema.update_table({"name": name, "columns": words}, normalize_identifiers=False)
    if schema.name not in pipeline.schemas:
        mark = f"{pipeline.pipeline_name} {uuid4().hex}"
        marked: Any = {"name": next(iter(columns), first), "columns": {}, "x-stripe-pipeline": mark}
        schema.update_table(marked, normalize_identifiers=False)


def void_state(own: Any, cursor: Any, ground: TableGround) -> None:
    """Put dlt's state of a resource back, where what it says of the table does not count.

    Args:
        own: the state.
        cursor: dlt's cursor, where there is one.
        ground: what may be believed of the table.
    """
    if not ground.void:
        return
    left = TableState.load(own).void(
        fresh=ground.fresh, rewrite=ground.rewrite, history_lost=ground.history_lost
    )
    left.save(own)
    for each in own.get("incremental", {}).values():
        each.update(last_value=each.get("initial_value"), start_value=each.get("initial_value"), unique_hashes=[])
    if cursor is not None:
        cursor.start_value = cursor.initial_value


def emptied_tables(source: DltSource, names: Collection[str], package: Mapping[str, Any]) -> set[str]:
    """The tables that dlt empties or drops in the load that begins, as it was told by `refresh` or a disposition.

    Args:
        source: that is extracted.
        names: of our tables in it.
        package: dlt's state of the load package.

    Raises:
        InvalidOption: dlt was told to write rows in a way that would double, lose or retire some, or fail.
    """
    _refuse_second_ids()
    dropped = {table["name"] for word in ("dropped_tables", "truncated_tables") for table in package.get(word) or ()}
    if package.get("refresh") == "drop_sources":
        dropped |= set(names)
    return dropped | set(_replaced(source, names))


def _refuse_second_ids() -> None:
    """Refuse a setting by which dlt 1.31 adds a second `_dlt_id` to Arrow tables, which no load job then finds."""
    from dlt.common.configuration import resolve_configuration
    from dlt.normalize.configuration import ItemsNormalizerConfiguration

    said = resolve_configuration(ItemsNormalizerConfiguration(), sections=("normalize", "parquet_normalizer"))
    if said.add_dlt_id:
        raise InvalidOption("normalize.parquet_normalizer.add_dlt_id", True, [False], (
            "Our rows have a `_dlt_id`, by which they are compared. Take the setting out, or out of "
            "`NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID`."
        ))


def _replaced(source: DltSource, names: Collection[str]) -> Iterator[str]:
    for name in names:
        said: Any = source.resources[name].write_disposition
        words = said if isinstance(said, dict) else {"disposition": said}
        kind, strategy = words.get("disposition", "merge"), words.get("strategy")
        if kind == "replace":
            yield name
        elif kind != "merge":
            raise InvalidOption("write_disposition", kind, ["merge", "replace"], _DOUBLES)
        elif strategy not in (None, "delete-insert", "upsert"):
            raise InvalidOption("write_disposition", strategy, ["delete-insert", "upsert"], _PARTIAL)


_DOUBLES = "A row that changes is handed over again, and would be there twice."
_PARTIAL = "A load has the rows that are new or changed, and that strategy takes them for all, or for new ones only."


def _account_there(owners: Sequence[Owner], options: Options, now: str | None, dataset: str | None) -> str | None:
    """The account whose rows a dataset holds of which the pipeline has no state; None where it holds none.

    Raises:
        MixedData: they are of another account, or of the other mode.
    """
    mode = options.credentials.livemode
    if mode is not None and any(owner.live is (not mode) for owner in owners):
        raise _mixed_modes(not mode, dataset)
    accounts = sorted({owner.account for owner in owners})
    if not accounts:
        return None
    if now in accounts:
        return now
    if options.account_id and SELF not in accounts:
        return None  # the account is named: it is asked for, beside the others, by a pipeline of its own
    candidates = [each for each in accounts if each == SELF or now is None]
    for account in candidates:
        if len(accounts) == 1 or account == SELF:
            _see_witnesses(owners, account, options, now, dataset)
            return account
    raise MixedData("account", accounts[0], now or "unknown", dataset)


def _see_witnesses(
    owners: Sequence[Owner], account: str, options: Options, now: str | None, dataset: str | None
) -> None:
    """See whether the key finds objects that the dataset holds, where ids of accounts do not tell whose they are.

    Raises:
        MixedData: it finds none of them.
    """
    things = []
    for table in options.tables:
        for owner in owners:
            listed = (owner.table, owner.account) == (table.name, account) and table.path and not table.singleton
            if listed and owner.id and ID.fullmatch(owner.id):
                things.append((fill(table.object_path or f"{table.path}/{{id}}", id=owner.id), owner.id))
    seen = run_async(_ask_for(options, things[:WITNESSES]))
    if False in seen and True not in seen:
        raise MixedData("account", account, now or "unknown", dataset)


async def _ask_for(options: Options, things: Sequence[tuple[str, str]]) -> list[bool | None]:
    """Whether objects, by path and id, are there for the key, up to the first that is; None: that cannot be told."""
    seen: list[bool | None] = []
    async with options.client() as client:
        for path, id in things:
            try:
                seen.append((await client.get(path)).body.get("id") == id or None)
                if seen[-1]:
                    break
            except ResourceMissing:
                seen.append(False)
            except StripeError:
                seen.append(None)
    return seen


def _mixed_modes(live: bool | None, dataset: str | None) -> MixedData:
    modes = ("test", "live")
    return MixedData("mode", modes[bool(live)], modes[not live], dataset)
