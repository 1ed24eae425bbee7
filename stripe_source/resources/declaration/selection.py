"""Which resources a run of dlt extracts: more than ours, or fewer."""
from __future__ import annotations

from typing import Any

import dlt


def extracted_names(source: Any = None) -> set[str]:
    """Names of the resources that are extracted: those that are selected, and the ones that feed their transformers.

    Args:
        source: a `DltSource`; None: the one that dlt is extracting.
    """
    source = dlt.current.source() if source is None else source
    return {pipe.name for pipe in source.resources.extracted_pipes}
