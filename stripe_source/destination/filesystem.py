"""Reads back what the filesystem destination holds, and mends what dlt's loads leave there.

Plain Parquet has no merge: each load appends its rows, so that a changed row is there in all its versions. What is read
here are the newest versions, and `compact` makes the files hold nothing else. Delta and Iceberg tables are read through
their own libraries, which say what files they are made of; dlt would let DuckDB fetch extensions for it.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlt.destinations.impl.filesystem.sql_client import FilesystemSqlClient

from stripe_source.destination.sql.engines import files_view

if TYPE_CHECKING:
    import duckdb
    from dlt import Schema

_STORED_AS = {"json": "VARCHAR"}  # as it is in the files


class Files(FilesystemSqlClient):
    """The files of a dataset as SQL: a view for each table, with one row for each key.

    Made as dlt makes its own; the views stay as they are while the connection is open.
    """

    def open_connection(self) -> duckdb.DuckDBPyConnection:
        """Connect, and look at the files anew."""
        connection = super().open_connection()
        self._seen: set[str] = set()
        return connection

    def should_replace_view(self, view_name: str, table_schema: Mapping[str, Any]) -> bool:
        """Whether the files have not been looked at since the connection was opened."""
        stale = view_name not in self._seen
        self._seen.add(view_name)
        return stale

    def create_view_select(self, table_schema: Any, schema: Schema | None = None) -> tuple[str, str] | None:
        """Where the data of a table is, and the query for its rows."""
        schema = schema or self.schema
        name = table_schema["name"]
        if name in schema.dlt_table_names():
            return super().create_view_select(table_schema, schema)
        table_format, columns = table_schema.get("table_format"), table_schema["columns"]
        location = self.remote_client.get_open_table_location(table_format, name, schema_name=schema.name)
        if table_format == "delta":
            files = self.remote_client.load_open_table("delta", name).file_uris()
        elif table_format == "iceberg":
            plan = self.remote_client.load_open_table("iceberg", name).scan().plan_files()
            files = [task.file.file_path for task in plan]
        else:
            kind, files, _ = self.get_file_format_and_files(table_schema, schema_name=schema.name)
            if kind != "parquet":
                return super().create_view_select(table_schema, schema)
            protocol = self.remote_client.config.protocol
            files = files if protocol == "file" else [f"{protocol}://{file}" for file in files]
        mapper = self.capabilities.get_type_mapper()
        types = {
            column: _STORED_AS.get(hint["data_type"]) or mapper.to_destination_type(hint, table_schema)
            for column, hint in columns.items()
        }
        keys = [column for column, hint in columns.items() if hint.get("primary_key")]
        return location, files_view(
            types, [file.removeprefix("file://") for file in files], [] if table_format else keys,
            [name for name in ("_dlt_load_id", "_changed_at") if name in columns],
            [column for column, hint in columns.items() if hint.get("hard_delete")],
        )


def files_client(client: Any) -> Any:
    """Ours in place of dlt's client for files, and any other as it is."""
    if not isinstance(client, FilesystemSqlClient):
        return client
    ours = Files(client.remote_client, client.dataset_name)
    ours.set_schemas(list(client.schemas.values()))
    return ours
