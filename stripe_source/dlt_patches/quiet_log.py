"""dlt warnings about what this source does on purpose."""
from __future__ import annotations

import logging
from collections.abc import Iterator

from stripe_source.dlt_patches.scope import SharedChange

EXPECTED = (  # the function of dlt that warns, and a part of its message
    ("_compute_tables", "when merging arrow schema"),  # JSON comes as Arrow text
    ("prepare_load_table", "Falling back to `append`"),  # plain Parquet files have no merge
    ("_loader_file_format_selector", "ADBC driver for postgres"),
    ("_get_items_normalizer", "`parquet`"),  # Postgres takes another format
    ("_get_items_normalizer", "ArrowToInsertValuesWriter"),
)


def is_unexpected(record: logging.LogRecord) -> bool:
    """Whether a record says something else than what is meant."""
    return not any(record.funcName == place and part in record.getMessage() for place, part in EXPECTED)


def _hide_expected_warnings() -> Iterator[None]:
    """Keep warnings about what is meant out of dlt's log."""
    logger = logging.getLogger("dlt")
    logger.addFilter(is_unexpected)
    try:
        yield
    finally:
        logger.removeFilter(is_unexpected)


hide_expected_warnings = SharedChange(_hide_expected_warnings)
