"""What loads of ours need in some destinations so that every value arrives: all of it is here, and none elsewhere.

Each of these takes the place of a step of dlt 1.31, for tables of ours only, once `suit` has been called:

- Postgres: dlt takes our rows there as CSV, in which a null is nothing and an empty text is `""`, and tells Postgres to
  take both for null. With the ADBC driver installed it takes Parquet, and fails on a table without rows.
- SQLAlchemy: JSON comes from Parquet as text, and is written as JSON that is a text.
- MySQL and MariaDB: text is `TEXT`, which holds 64 KB (dlt's own schema is longer) and takes `cus_A` and `cus_a` for
  the same key.
- DuckDB: dlt copies Parquet into a staging table, deletes what has the same keys, and copies again. Here the rows go
  from the file to the table, in one transaction. Measured 2026-11-26, 200,000 charges in loads of 16,000: 11 s of
  DuckDB's work in place of 18.
- Iceberg: pyiceberg's upsert fails where a load has not the columns of the table in their order, compares every value
  in Python, commits every 1,000 rows, and removes nothing.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from stripe_source.dlt_patches.duckdb import patch_duckdb
from stripe_source.dlt_patches.iceberg import patch_iceberg
from stripe_source.dlt_patches.postgres import csv_for_our_tables, patch_postgres
from stripe_source.dlt_patches.sqlalchemy import patch_mysql, patch_sqlalchemy

if TYPE_CHECKING:
    import dlt

def apply_patches(pipeline: dlt.Pipeline) -> None:
    """See to it that the loads of a pipeline arrive as they are. Again, it does nothing."""
    destination = pipeline.destination
    kind = destination.destination_type.rpartition(".")[2] if destination else ""
    if destination and kind == "postgres":
        destination.caps_params.setdefault("loader_file_format_selector", csv_for_our_tables)
        patch_postgres()
    elif kind == "duckdb":
        patch_duckdb()
    elif kind == "sqlalchemy":
        patch_sqlalchemy()
        patch_mysql()
    elif destination and kind == "filesystem" and destination.caps_params.get("preferred_table_format") == "iceberg":
        patch_iceberg()
