"""What a user has told dlt about the resources of a run: which are extracted, how far, by which cursor."""
from __future__ import annotations

from typing import Any

import dlt

from stripe_source.errors import InvalidOption


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
