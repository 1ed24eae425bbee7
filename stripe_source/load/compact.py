"""The newest rows of plain Parquet files: read as views, and the files rewritten to hold nothing else."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlt.common.destination.exceptions import DestinationUndefinedEntity

from stripe_source.destination.connection import sql_client
from stripe_source.destination.filesystem import Files
from stripe_source.destination.pipelines import restore_pipeline
from stripe_source.destination.sql import engines
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.errors import InvalidOption
from stripe_source.resources.lock import pipeline_lock

if TYPE_CHECKING:
    import dlt
    import duckdb


def latest(pipeline: dlt.Pipeline) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory that has a view with one row for each key, for each table of a pipeline's files.

    Plain Parquet files hold a changed row in all its versions; Delta and Iceberg tables can be read so too. The views
    show the files that exist now. Close the connection when you are done with it.

    Args:
        pipeline: loads into the filesystem destination.

    Returns:
        A connection whose schema is the dataset.

    Raises:
        InvalidOption: the destination is another one.
    """
    client = _client(pipeline)
    client.open_connection()
    client.create_views_for_all_tables()
    connection = client.memory_db
    client.memory_db = None  # type: ignore[assignment]  # so that it is not closed with the client
    connection.execute(engines.use(client.fully_qualified_dataset_name()))
    return connection


def _client(pipeline: dlt.Pipeline) -> Files:
    client = sql_client(restore_pipeline(pipeline))
    if not isinstance(client, Files):
        name = pipeline.destination.destination_name if pipeline.destination else None
        raise InvalidOption("destination", name, ["filesystem"], "Other destinations keep one row for each key.")
    return client


@dataclass(frozen=True)
class Compacted:
    """What `compact` did to a table.

    Args:
        files: how many files it had.
        versions: how many rows they had.
        rows: how many rows it has now, one for each key.
    """

    files: int
    versions: int
    rows: int


def compact(pipeline: dlt.Pipeline) -> dict[str, Compacted]:
    """Make the Parquet files of a pipeline hold the newest version of each row, and nothing else.

    A load of plain Parquet appends; after this, each table is one file, and whatever reads it sees what Stripe has.
    Tables in another format, or with nothing to compact, stay as they are. No run of the pipeline can start meanwhile.
    If it is killed half-way, a table has rows twice at worst, which the next run, or `compact`, corrects.

    Args:
        pipeline: loads into the filesystem destination.

    Returns:
        The tables that were rewritten.

    Raises:
        InvalidOption: the destination is another one.
        Busy: the pipeline runs.
    """
    with pipeline_lock(pipeline), dlt_patches(pipeline):
        client, compacted = _client(pipeline), {}
        with client:
            for table in pipeline.default_schema.data_table_names(seen_data_only=True):
                if result := _compact_table(client, table):
                    compacted[table] = result
        return compacted


def _compact_table(client: Files, table: str) -> Compacted | None:
    """Rewrite one table; None where it stays as it is."""
    import pyarrow.parquet as pq

    schema = client.remote_client.prepare_load_table(table)
    if schema.get("table_format"):
        return None
    try:
        file_format, files, _ = client.get_file_format_and_files(schema)
    except DestinationUndefinedEntity:
        return None
    if file_format != "parquet" or len(files) < 2:
        return None
    fs = client.remote_client.fs_client
    versions, rows = 0, 0
    for file in files:
        with fs.open(file, "rb") as opened:
            versions += pq.read_metadata(opened).num_rows
    target = max(files).removesuffix(".parquet") + "c.parquet"
    client.create_views_for_tables({table: table})
    query = engines.newest_rows(client.make_qualified_table_name(table))
    reader = client.native_connection.sql(query).to_arrow_reader(50_000)
    with fs.open(f"{target}.part", "wb") as opened, pq.ParquetWriter(opened, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    fs.mv(f"{target}.part", target)
    for file in files:
        fs.rm_file(file)
    return Compacted(len(files), versions, rows)
