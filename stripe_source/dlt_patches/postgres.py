"""CSV that keeps null and '' apart."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def csv_for_our_tables(preferred: Any, supported: Sequence[Any], /, *, table_schema: Any) -> tuple[Any, Sequence[Any]]:
    return ("csv", ["csv"]) if not table_schema["name"].startswith("_dlt") else (preferred, supported)


def patch_postgres() -> None:
    from dlt.common.destination.configuration import CsvFormatConfiguration
    from dlt.destinations.impl.postgres.postgres import PostgresCsvCopyJob

    theirs = PostgresCsvCopyJob.run
    if theirs.__module__ == __name__:
        return

    def run(self: Any) -> None:
        csv = self._job_client.config.csv_format  # whoever chose another one wants dlt's way
        usual = csv is None or dict(csv) == dict(CsvFormatConfiguration())
        (_copy_csv if usual and self._job_client.schema.name == "stripe" else theirs)(self)

    PostgresCsvCopyJob.run = run  # type: ignore[method-assign]


def _copy_csv(job: Any) -> None:
    """Copy the CSV that pyarrow wrote: names in the first line, texts in quotes, nulls without."""
    from dlt.common.storages.file_storage import FileStorage

    client = job._job_client.sql_client
    with FileStorage.open_zipsafe_ro(job._file_path, "rb") as file:
        names = [name.strip('"') for name in file.readline().decode().strip().split(",")]
        columns = ", ".join(client.escape_column_name(name) for name in names)
        table = client.make_qualified_table_name(job.load_table_name)
        with client.begin_transaction(), client.native_connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv, ENCODING 'utf-8')", file)
