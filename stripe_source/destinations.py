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

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dlt
    import pyarrow as pa

AT_ONCE = 500  # keys in one filter of Iceberg, where no part of the key is the same in all of them


def suit(pipeline: dlt.Pipeline) -> None:
    """See to it that the loads of a pipeline arrive as they are. Again, it does nothing."""
    destination = pipeline.destination
    kind = destination.destination_type.rpartition(".")[2] if destination else ""
    if destination and kind == "postgres":
        destination.caps_params.setdefault("loader_file_format_selector", _csv)
        _suit_postgres()
    elif kind == "duckdb":
        _suit_duckdb()
    elif kind == "sqlalchemy":
        _suit_sqlalchemy()
        _suit_mysql()
    elif destination and kind == "filesystem" and destination.caps_params.get("preferred_table_format") == "iceberg":
        _suit_iceberg()


def _csv(preferred: Any, supported: Sequence[Any], /, *, table_schema: Any) -> tuple[Any, Sequence[Any]]:
    return ("csv", ["csv"]) if not table_schema["name"].startswith("_dlt") else (preferred, supported)


def _suit_postgres() -> None:
    from dlt.common.destination.configuration import CsvFormatConfiguration
    from dlt.destinations.impl.postgres.postgres import PostgresCsvCopyJob

    theirs = PostgresCsvCopyJob.run
    if theirs.__module__ == __name__:
        return

    def run(self: Any) -> None:
        csv = self._job_client.config.csv_format  # whoever chose another one wants dlt's way
        usual = csv is None or dict(csv) == dict(CsvFormatConfiguration())
        (_copy if usual and self._job_client.schema.name == "stripe" else theirs)(self)

    PostgresCsvCopyJob.run = run  # type: ignore[method-assign]


def _copy(job: Any) -> None:
    """Copy the CSV that pyarrow wrote: names in the first line, texts in quotes, nulls without."""
    from dlt.common.storages.file_storage import FileStorage

    client = job._job_client.sql_client
    with FileStorage.open_zipsafe_ro(job._file_path, "rb") as file:
        names = [name.strip('"') for name in file.readline().decode().strip().split(",")]
        columns = ", ".join(client.escape_column_name(name) for name in names)
        table = client.make_qualified_table_name(job.load_table_name)
        with client.begin_transaction(), client.native_connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN WITH (FORMAT csv, ENCODING 'utf-8')", file)


def _suit_duckdb() -> None:
    from dlt.destinations.impl.duckdb.duck import DuckDbClient, DuckDbCopyJob

    theirs, follow = DuckDbClient.create_load_job, DuckDbClient.create_table_chain_completed_followup_jobs
    if theirs.__module__ == __name__:
        return

    merged: set[str] = set()  # jobs of this process: those of another one may have gone to the staging table
    one_by_one: dict[str, threading.Lock] = defaultdict(threading.Lock)

    class Merge(DuckDbCopyJob):
        def run(self) -> None:
            with one_by_one[self.load_table_name]:  # two files of a load that have one key would be in each other's way
                _merge_file(self._job_client, self._load_table, self._file_path)
            merged.add(self.job_file_info().job_id())

    def create_load_job(self: Any, table: Any, file_path: str, load_id: str, restore: bool = False) -> Any:
        job = theirs(self, table, file_path, load_id, restore)
        merges = table["write_disposition"] == "merge" and table.get("x-merge-strategy", "delete-insert") == (
            "delete-insert")
        ours = type(self) is DuckDbClient and self.schema.name == "stripe" and merges and _keys(table)
        return Merge(file_path) if ours and type(job) is DuckDbCopyJob and file_path.endswith(".parquet") else job

    def follow_up(self: Any, table_chain: Any, completed_table_chain_jobs: Any = None) -> Any:
        jobs = {job.job_file_info.job_id() for job in completed_table_chain_jobs or ()}
        done = bool(jobs) and jobs <= merged
        merged.difference_update(jobs)
        return [] if done else follow(self, table_chain, completed_table_chain_jobs)

    DuckDbClient.create_load_job = create_load_job  # type: ignore[method-assign]
    DuckDbClient.create_table_chain_completed_followup_jobs = follow_up  # type: ignore[method-assign]


def _keys(table: Any) -> list[str]:
    return [name for name, hint in table["columns"].items() if hint.get("primary_key")]


def _merge_file(job_client: Any, table: Any, file: str) -> None:
    """Put the rows of a Parquet file in the place of those with their keys, but for flagged ones that are to go.

    Of rows of one key in the file, one is taken.
    """
    client = job_client.sql_client
    escape = client.escape_column_name
    dataset, _ = job_client.create_dataset_names(job_client.schema, job_client.config)
    with client.with_alternative_dataset_name(dataset):  # dlt means to load into the staging dataset
        name = client.make_qualified_table_name(table["name"])
    rows = "read_parquet('" + file.replace("'", "''") + "')"
    keys = [escape(key) for key in _keys(table)]
    same = " AND ".join(f"gone.{key} = come.{key}" for key in keys)
    several = client.execute_sql(f"SELECT count(*) - count(DISTINCT ({', '.join(keys)},)) FROM {rows}")[0][0]
    flags = [escape(column) for column, hint in table["columns"].items() if hint.get("hard_delete")]
    alive = " AND ".join(f"{flag} IS NOT TRUE" for flag in flags) or "TRUE"
    once = f" QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)}) = 1" if several else ""
    with client.begin_transaction():
        client.execute_sql(f"DELETE FROM {name} AS gone WHERE EXISTS (SELECT 1 FROM {rows} AS come WHERE {same})")
        client.execute_sql(f"INSERT INTO {name} BY NAME SELECT * FROM (SELECT * FROM {rows}{once}) WHERE {alive}")


def _suit_sqlalchemy() -> None:
    from dlt.destinations.impl.sqlalchemy.load_jobs import SqlalchemyParquetInsertJob
    from sqlalchemy import JSON

    theirs = SqlalchemyParquetInsertJob._iter_data_item_chunks
    if theirs.__module__ == __name__:
        return

    def chunks(self: Any) -> Iterator[Sequence[dict[str, Any]]]:
        ours = self._job_client.schema.name == "stripe"
        names = [column.name for column in self.table.columns if ours and isinstance(column.type, JSON)]
        for chunk in theirs(self):
            for row in chunk:
                for name in names:
                    if isinstance(row.get(name), str):
                        row[name] = json.loads(row[name])
            yield chunk

    SqlalchemyParquetInsertJob._iter_data_item_chunks = chunks  # type: ignore[method-assign]


def _suit_mysql() -> None:
    from dlt.destinations.impl.sqlalchemy import dialect, type_mapper
    from sqlalchemy.dialects.mysql import LONGTEXT

    if getattr(dialect.get_dialect_capabilities("mysql"), "long", False):
        return

    long_text: Any = LONGTEXT  # its arguments have no types

    class Mapper(type_mapper.MysqlVariantTypeMapper):
        def db_type_from_text_type(self, column: Any, table: Any = None) -> Any:
            bounded = column.get("precision") is not None or column.get("unique")
            return super().db_type_from_text_type(column, table) if bounded else long_text(
                charset="utf8mb4", collation="utf8mb4_bin")

    class Capabilities(dialect.MysqlDialectCapabilities):
        long = True

        def type_mapper_class(self) -> Any:
            return Mapper

    for name in ("mysql", "mariadb"):
        dialect.register_dialect_capabilities(name, Capabilities)


def _suit_iceberg() -> None:
    from dlt.common.libs import pyiceberg

    theirs = pyiceberg.merge_iceberg_table
    if theirs.__module__ == __name__:
        return

    def merge(table: Any, data: pa.Table, schema: Any, load_table_name: str) -> None:
        ours = {"_account_id", "_changed_at", "_dlt_id"} <= schema["columns"].keys()
        (_merge if ours else theirs)(table, data, schema, load_table_name)

    pyiceberg.merge_iceberg_table = merge


def _merge(table: Any, data: pa.Table, schema: Any, load_table_name: str) -> None:
    """Put rows in the place of those with their keys, in one commit; where flagged rows are to go, leave them out."""
    import pyarrow.compute as pc
    from dlt.common.libs.pyiceberg import ensure_iceberg_compatible_arrow_data

    data = ensure_iceberg_compatible_arrow_data(data)
    if not data.num_rows:
        return
    with table.update_schema() as update:
        update.union_by_name(data.schema)
    columns = schema["columns"]
    keys = [name for name, hint in columns.items() if hint.get("primary_key")]
    alive = data
    for flag in (name for name, hint in columns.items() if hint.get("hard_delete")):
        alive = alive.filter(pc.invert(alive[flag]))
    with table.transaction() as transaction:
        for test in _tests(data.select(keys)) if table.current_snapshot() else ():
            if table.scan(row_filter=test, selected_fields=(keys[-1],), limit=1).to_arrow().num_rows:
                transaction.delete(test)
        if alive.num_rows:
            transaction.append(alive)


def _tests(keys: pa.Table) -> Iterator[Any]:
    """Filters that find the rows with these keys."""
    from pyiceberg import expressions
    from pyiceberg.table.upsert_util import create_match_filter

    make: Any = expressions  # its classes take arguments by place, which mypy does not see

    values = {name: keys[name].unique().to_pylist() for name in keys.column_names}
    several = [name for name, found in values.items() if len(found) > 1]
    if len(several) < 2:
        last = several[0] if several else keys.column_names[-1]
        test: Any = make.In(last, values[last])
        for name in keys.column_names:
            if name != last:
                test = make.And(make.EqualTo(name, values[name][0]), test)
        yield test
        return
    for first in range(0, keys.num_rows, AT_ONCE):
        yield create_match_filter(keys.slice(first, AT_ONCE), keys.column_names)
