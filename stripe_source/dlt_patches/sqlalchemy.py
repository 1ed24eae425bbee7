"""SQLAlchemy: the column types of our tables, by the destination's own capabilities."""
from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from dlt.destinations.impl.sqlalchemy.type_mapper import MysqlVariantTypeMapper, SqlalchemyTypeMapper
from sqlalchemy.dialects.mysql import LONGTEXT

from stripe_source.dlt_patches.tables import is_ours


def type_mapper(capabilities: Any, *args: Any, **kwargs: Any) -> Any:
    """What maps dlt's types to those of SQLAlchemy: the mapper of the database's dialect, but for some of our columns.

    It is the capability `type_mapper` of a destination. A function is enough, as dlt calls it like a class, and only
    then knows the dialect.
    """
    dialect = capabilities.dialect_capabilities
    return _mapper_class(dialect.type_mapper_class() if dialect else SqlalchemyTypeMapper)(
        capabilities, *args, **kwargs)


class JsonFromText(sa.TypeDecorator[Any]):
    """A column of JSON that takes text for JSON, not for a value: dlt reads JSON from Parquet as text."""

    impl = sa.JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        """The value that the JSON stands for."""
        return json.loads(value) if isinstance(value, str) else value


@lru_cache
def _mapper_class(dialects_own: Any) -> Any:
    long_text: Any = LONGTEXT  # its arguments have no types

    class Mapper(dialects_own):  # type: ignore[misc]
        """The mapper of a dialect, with other types for some columns."""

        def db_type_from_json_type(self, column: Any, table: Any = None) -> Any:
            """JSON."""
            made = super().db_type_from_json_type(column, table)
            return JsonFromText(none_as_null=True) if is_ours(table) and type(made) is sa.JSON else made

        def db_type_from_text_type(self, column: Any, table: Any = None) -> Any:
            """Text: on MySQL and MariaDB without a limit, and compared byte by byte.

            dlt's `TEXT` holds 64 KB there (its own schema is longer), and takes `cus_A` and `cus_a` for one key.
            """
            bounded = column.get("precision") is not None or column.get("unique")
            known = is_ours(table) or str((table or {}).get("name")).startswith("_dlt")
            if bounded or not known or not issubclass(dialects_own, MysqlVariantTypeMapper):
                return super().db_type_from_text_type(column, table)
            return long_text(charset="utf8mb4", collation="utf8mb4_bin")

    return Mapper
