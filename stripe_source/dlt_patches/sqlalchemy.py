"""JSON and long text in SQLAlchemy, MySQL."""
from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any


def patch_sqlalchemy() -> None:
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


def patch_mysql() -> None:
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
