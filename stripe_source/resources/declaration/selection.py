"""What a user has told dlt about the resources of a run: which are extracted, how far, by which cursor, contract."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dlt

from stripe_source.arrow_rows.contract import EVOLVE, Contract, contract_of
from stripe_source.errors import InvalidOption
from stripe_source.tables.schema_map import TableMap


def extracted_names(source: Any = None) -> set[str]:
    """Names of the resources that are extracted: those that are selected, and the ones that feed their transformers.

    Args:
        source: a `DltSource`; None: the one that dlt is extracting.
    """
    source = dlt.current.source() if source is None else source
    return {pipe.name for pipe in source.resources.extracted_pipes}


def is_limited(name: str) -> bool:
    """Whether a user has limited the number of items of a resource that is extracted."""
    resource = dlt.current.source().resources.get(name)
    return resource is not None and resource.limit is not None and resource.limit.limit(1) is not None


def refuse_cursor(name: str, marker: str | None) -> None:
    """Refuse a cursor of dlt's on a table that goes by something else: it would leave changed rows out.

    Raises:
        InvalidOption: a user has given the resource an `incremental`.
    """
    resource = dlt.current.source().resources.get(name)
    cursor = getattr(resource.incremental, "incremental", resource.incremental) if resource else None
    if cursor is not None:
        raise InvalidOption("incremental", getattr(cursor, "cursor_path", cursor), reason=(
            f"Table `{name}` goes by marker `{marker or 'none'}`; a cursor of dlt's besides would leave out rows that "
            f"have changed. Give `marker={{\"{name}\": \"created\"}}` to go by that cursor alone, or no `incremental`."
        ))


def contract_of_table(shape: TableMap, default: Contract, known: Mapping[str, Any], *, new: bool) -> Contract:
    """The contract of a table: what was said to dlt of its resource or the source, or the option.

    It is kept here, table by table, so that dlt is told that all may evolve: dlt would end the run at the first table
    that is frozen, and does not count what it discards.

    Args:
        shape: the map of the table.
        default: the option.
        known: the columns that the destination has.
        new: the table was made just now.
    """
    name = shape.table.name
    resource = dlt.current.source().resources.get(name)  # None: a transformer alone takes it, and it is no table
    said: Any = (resource and resource.schema_contract) or dlt.current.source_schema().settings.get("schema_contract")
    contract = contract_of(said) if said else default
    declared = any(column.description for column in shape.columns if column.path)
    if not declared and (new or not known):
        contract = replace(contract, columns=EVOLVE, data_type=EVOLVE)  # a private table, of which nothing is declared
    if resource is None:
        return contract
    resource.apply_hints(schema_contract="evolve")
    if known and contract.columns != EVOLVE:
        kept: Any = {column: words for column, words in shape.hints().items() if column in known}
        resource.apply_hints(columns=[])
        resource.apply_hints(columns=kept)
    return contract
