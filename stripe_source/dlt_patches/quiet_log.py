"""Dlt warnings that we mean."""
from __future__ import annotations

import logging


def is_unexpected(record: logging.LogRecord) -> bool:
    """False for what dlt warns of and we mean: JSON as Arrow text, appended files (`files.py`), CSV for Postgres."""
    return not any(
        record.funcName == place and part in record.getMessage()
        for place, part in (
            ("_compute_tables", "when merging arrow schema"), ("prepare_load_table", "Falling back to `append`"),
            ("_loader_file_format_selector", "ADBC driver for postgres"), ("_get_items_normalizer", "`parquet`"),
        )
    )
