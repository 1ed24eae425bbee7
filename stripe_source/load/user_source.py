"""A source object that a user gives to `sync` or `verify` in place of options, and what of it a load extracts."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlt.extract import DltSource

from stripe_source.errors import InvalidOption
from stripe_source.options import Options
from stripe_source.resources.declaration.row_functions import CurrentRun, StripeResource, row_steps
from stripe_source.resources.declaration.selection import extracted_names
from stripe_source.resources.history import SUFFIX
from stripe_source.resources.outbox import SUFFIX as WAEVENTS
from stripe_source.resources.run import Extraction
from stripe_source.resources.state import stored_state
from stripe_source.resources.table_result import CHANGES
from stripe_source.tables.selection import select_tables

if TYPE_CHECKING:
    import dlt


def refuse_without_functions(pipeline: dlt.Pipeline, tables: Collection[str]) -> None:
    """Refuse to write whole rows of tables whose rows went through functions of a user.

    Raises:
        InvalidOption: there is such a table.
    """
    states = stored_state(pipeline, "stripe")[1]
    made = sorted(name for name in tables if name in states and states[name].functions)
    if made:
        raise InvalidOption("source", None, reason=(
            f"Rows of {', '.join(f'`{name}`' for name in made)} went through functions of yours (`add_map`, "
            "`add_filter`), which whole rows would undo. Give the source that has them: `sync(pipeline, "
            "source=source)`, `verify(pipeline, source=source)`. One without functions loads whole rows from then on."))


class UserSource:
    """A source with the hints, functions, limits and selected resources that its user has given it.

    Args:
        source: of `stripe_source`, with other resources beside ours or without.
        given: options that were given besides.

    Raises:
        InvalidOption: it is no source of `stripe_source`, or options were given besides.
    """

    def __init__(self, source: Any, given: Mapping[str, Any]) -> None:
        if more := [name for name, value in given.items() if value is not None]:
            raise InvalidOption("source", "…", reason=(
                f"`{more[0]}` was given besides, and the source has its options already: give it to `stripe_source`."))
        resources = source.resources.values() if isinstance(source, DltSource) else ()
        runs = {id(each.run): each.run for each in resources if isinstance(each, StripeResource) and each.run}
        if len(runs) != 1:
            raise InvalidOption("source", type(source).__name__, reason=(
                "It has to be what `stripe_source(...)` answers, with all that you did to it."))
        self._source: DltSource = source
        (self._run,) = runs.values()
        self._options: Options = self._run.extraction.options
        self.with_others = True  # the resources that are not ours are extracted in the next load

    def options(self, refresh: Any = None) -> Options:
        """The options of the source, for the tables that are extracted.

        Raises:
            InvalidOption: there is none.
        """
        extracted = extracted_names(self._source)
        tables = [table for table in self._options.tables if table.name in extracted]
        reports = [table for table in self._options.reports if table.name in extracted]
        if not tables and not reports:
            raise InvalidOption("source", "…", reason="None of its tables is selected: nothing of Stripe is wanted.")
        known = [*tables, *reports]
        again = frozenset(table.name for table in select_tables(refresh, known=known)) if refresh else frozenset()
        return replace(
            self._options, tables=tables, reports=reports,
            markers={table.name: self._options.markers[table.name] for table in tables},
            history=self._options.history & extracted, refresh=again,
            row_steps={table.name: row_steps(self._source.resources[table.name]) for table in tables},
        )

    def extracted(self, extraction: Extraction) -> DltSource:
        """The source for the next load of a reading: of further loads only the tables that are not done.

        Args:
            extraction: in which the resources take part from now on.
        """
        run: CurrentRun[Extraction] = self._run
        run.extraction = extraction
        feeds = {child: parent for parent, child in self._source.resources.selected_dag}
        tables = [*self._options.tables, *self._options.reports]
        ours = {CHANGES, *(name for table in tables for name in _resources_of(table.name))}
        left = {CHANGES, *(name for table in extraction.unfinished for name in _resources_of(table))}
        names = []
        for name in self._source.selected_resources:
            root = name
            while root not in ours and feeds.get(root, root) != root:
                root = feeds[root]
            if root in (left if extraction.unfinished else ours) or (root not in ours and self.with_others):
                names.append(name)
        self.with_others = False
        return self._source.with_resources(*names)


def _resources_of(table: str) -> tuple[str, ...]:
    return table, table + SUFFIX, table + WAEVENTS
