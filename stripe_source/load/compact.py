"""Files rewritten to the newest rows."""
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlt.common.destination.exceptions import DestinationUndefinedEntity

from stripe_source.destination.filesystem import Files
from stripe_source.dlt_patches.apply import dlt_patches

if TYPE_CHECKING:
    import dlt
    import duckdb

def latest(pipeline: dlt.Pipeline) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory with a view for each table of a pipeline's files, which has one row for each key.

    For plain Parquet, where a changed row is there in all its versions; Delta and Iceberg tables can be read so too.
    The views are those of the files that are there now; close the connection when it is done with.

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
    connection.execute(f"USE {client.fully_qualified_dataset_name()}")
    return connection


def _client(pipeline: dlt.Pipeline) -> Files:
    from stripe_source.destination.connection import sql_client
    from stripe_source.destination.pipelines import restore_pipeline
    from stripe_source.errors import InvalidOption

    client = sql_client(restore_pipeline(pipeline))
    if not isinstance(client, Files):
        name = pipeline.destination.destination_name if pipeline.destination else None
        raise InvalidOption("destination", name, ["filesystem"], "Other destinations keep one row for each key.")
    return client


@dataclass(frozen=True)
class Compacted:
    """What `compact` did to a table.

    Args:
        files: how many it was made of.
        versions: rows that were there.
        rows: rows that are there now, one for each key.
    """

    files: int
    versions: int
    rows: int


def compact(pipeline: dlt.Pipeline) -> dict[str, Compacted]:
    """Make the Parquet files of a pipeline hold the newest version of each row, and nothing else.

    A load of plain Parquet appends; after this, one file a table is left, and whatever reads Parquet sees what Stripe
    has. Tables in another format, or with nothing to compact, stay as they are. Runs of the pipeline wait meanwhile.
    Killed half-way, a table has rows twice at worst, which the next run, or `compact`, puts right.

    Args:
        pipeline: loads into the filesystem destination.

    Returns:
        The tables that were rewritten.

    Raises:
        InvalidOption: the destination is another one.
        Busy: the pipeline runs.
    """
    from stripe_source.resources.lock import pipeline_lock

    with pipeline_lock(pipeline), dlt_patches(pipeline):
        client, done = _client(pipeline), {}
        with client:
            for table in pipeline.default_schema.data_table_names(seen_data_only=True):
                if found := _compacted(client, table):
                    done[table] = found
        return done


def _compacted(client: Files, table: str) -> Compacted | None:
    """Rewrite one table."""
    import pyarrow.parquet as pq

    words = client.remote_client.prepare_load_table(table)
    if words.get("table_format"):
        return None
    try:
        kind, files, _ = client.get_file_format_and_files(words)
    except DestinationUndefinedEntity:
        return None
    if kind != "parquet" or len(files) < 2:
        return None
    fs = client.remote_client.fs_client
    versions = 0
    for file in files:
        with fs.open(file, "rb") as opened:
            versions += pq.read_metadata(opened).num_rows
    newest = max(files)
    target = newest.removesuffix(".parquet") + "c.parquet"
    rows = 0
    client.create_views_for_tables({table: table})
    reader = client.native_connection.sql(f"FROM {client.make_qualified_table_name(table)}").to_arrow_reader(50_000)
    with fs.open(f"{target}.part", "wb") as opened, pq.ParquetWriter(opened, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    fs.mv(f"{target}.part", target)
    for file in files:
        fs.rm_file(file)
    return Compacted(len(files), versions, rows)
