"""Postgres: a file format that keeps null and '' apart; in a run of ours CSV, by a destination derived from dlt's."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlt.common.destination.configuration import CsvFormatConfiguration
from dlt.common.storages.file_storage import FileStorage
from dlt.destinations import postgres
from dlt.destinations.impl.postgres.postgres import PostgresClient, PostgresCsvCopyJob

from stripe_source.dlt_patches.scope import DLT_VERSIONS, WrittenFor
from stripe_source.dlt_patches.tables import is_ours

COPY_CSV = WrittenFor(
    "copy_csv", DLT_VERSIONS,
    {
        "dlt.destinations.impl.postgres.postgres:PostgresClient.create_load_job": "f0eeff2b7dc81c41",
        "dlt.destinations.impl.postgres.postgres:PostgresCsvCopyJob.run": "aeace48a45f80214",
    },
    "Postgres takes rows as INSERT statements, which takes longer",
)


def csv_for_our_tables(preferred: Any, supported: Sequence[Any], /, *, table_schema: Any) -> tuple[Any, Sequence[Any]]:
    """Select CSV for our tables."""
    return ("csv", ["csv"]) if is_ours(table_schema) else (preferred, supported)


def inserts_for_our_tables(
    preferred: Any, supported: Sequence[Any], /, *, table_schema: Any
) -> tuple[Any, Sequence[Any]]:
    """Select INSERT statements for our tables.

    Their files are right for dlt's own jobs too, in whichever process they are loaded. dlt's CSV job takes '' for
    null, and Parquet, which dlt prefers where the ADBC driver is installed, fails on a table without rows.
    """
    return ("insert_values", ["insert_values"]) if is_ours(table_schema) else (preferred, supported)


class CsvPostgres(postgres):
    """dlt's Postgres destination, which takes CSV of our tables as it was written.

    dlt takes rows there as CSV, in which a null is nothing and an empty text is `""`, and tells Postgres to take both
    for null.
    """

    @property
    def destination_type(self) -> str:
        """The type under which dlt keeps this destination in a pipeline's state."""
        return "dlt.destinations.postgres"

    @property
    def client_class(self) -> type[PostgresClient]:
        """The job client."""
        return CsvPostgresClient


class CsvPostgresClient(PostgresClient):
    """dlt's job client, with jobs of ours for CSV of our tables."""

    def create_load_job(self, table: Any, file_path: str, load_id: str, restore: bool = False) -> Any:
        """The job for a file."""
        job = super().create_load_job(table, file_path, load_id, restore)
        csv = self.config.csv_format  # whoever chose another one wants dlt's way
        usual = csv is None or dict(csv) == dict(CsvFormatConfiguration())
        return CopyJob(file_path) if usual and is_ours(table) and type(job) is PostgresCsvCopyJob else job


class CopyJob(PostgresCsvCopyJob):
    """Copies the CSV that pyarrow wrote: names in the first line, texts in quotes, nulls without."""

    def run(self) -> None:
        """Copy the file."""
        client = self._job_client.sql_client
        with FileStorage.open_zipsafe_ro(self._file_path, "rb") as file:
            names = [name.strip('"') for name in file.readline().decode().strip().split(",")]
            columns = ", ".join(client.escape_column_name(name) for name in names)
            table = client.make_qualified_table_name(self.load_table_name)
            with client.begin_transaction(), client.native_connection.cursor() as cursor:
                cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv, ENCODING 'utf-8')", file)
