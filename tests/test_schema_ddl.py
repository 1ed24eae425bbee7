"""Statements that make the tables: what they say in each dialect, as sqlglot reads them."""
from __future__ import annotations

from functools import cache
from pathlib import Path

import dlt
import pytest
import sqlglot
from later import some_later
from schema_family import run
from sqlglot import exp

import stripe_source
from stripe_source.schema.ddl import schema_ddl
from stripe_source.schema.inspect import schema_show
from stripe_source.schema.sql.dialects import DIALECTS
from stripe_source.schema.sql.statements import column_type

KINDS = "text", "bigint", "double", "bool", "json", "timestamp", "decimal"
TYPES = {  # what dlt 1.31 makes of these kinds, written by hand
    "athena": ("string", "bigint", "double", "boolean", "string", "timestamp", "decimal(38,12)"),
    "bigquery": ("STRING", "INT64", "FLOAT64", "BOOL", "JSON", "TIMESTAMP", "BIGNUMERIC(38,12)"),
    "clickhouse": ("String", "Int64", "Float64", "Boolean", "String", "DateTime64(6,'UTC')", "Decimal(38,12)"),
    "databricks": ("STRING", "BIGINT", "DOUBLE", "BOOLEAN", "STRING", "TIMESTAMP", "DECIMAL(38,12)"),
    "dremio": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "TIMESTAMP", "DECIMAL(38,12)"),
    "duckdb": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "JSON", "TIMESTAMP WITH TIME ZONE", "DECIMAL(38,12)"),
    "fabric": ("varchar(max)", "bigint", "float", "bit", "varchar(max)", "datetime2(6)", "decimal(38,12)"),
    "mysql": ("TEXT", "BIGINT", "DOUBLE", "BOOL", "JSON", "DATETIME(6)", "NUMERIC(38,12)"),
    "oracle": ("CLOB", "NUMBER(19)", "DOUBLE PRECISION", "BOOLEAN", "JSON", "DATE", "NUMERIC(38,12)"),
    "postgres": ("varchar", "bigint", "double precision", "boolean", "json", "timestamptz", "numeric(38,12)"),
    "redshift": ("varchar(max)", "bigint", "double precision", "boolean", "super", "timestamp with time zone",
                 "numeric(38,12)"),
    "snowflake": ("VARCHAR", "NUMBER(19,0)", "FLOAT", "BOOLEAN", "VARIANT", "TIMESTAMP_LTZ", "NUMBER(38,12)"),
    "spark": ("STRING", "BIGINT", "DOUBLE", "BOOLEAN", "STRING", "TIMESTAMP", "DECIMAL(38,12)"),
    "sqlite": ("TEXT", "BIGINT", "DOUBLE", "BOOLEAN", "JSON", "DATETIME", "NUMERIC(38,12)"),
    "trino": ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "VARCHAR", "TIMESTAMP WITH TIME ZONE", "DECIMAL(38,12)"),
    "tsql": ("nvarchar(max)", "bigint", "float", "bit", "json", "datetimeoffset", "decimal(38,12)"),
}
KEYED = {"bigquery", "clickhouse", "databricks", "duckdb", "postgres", "redshift", "snowflake", "sqlite"}
SILENT = {"dremio", "fabric", "sqlite", "tsql"}  # nothing carries a description there


@cache
def expected_type(dialect: str, kind: str) -> exp.DataType:
    """The type of a kind of column, as sqlglot understands what we wrote down."""
    text = TYPES[dialect][KINDS.index(kind.partition("(")[0])]
    return exp.DataType.build(text, dialect="hive" if dialect == "athena" else dialect)


@pytest.mark.parametrize("dialect", some_later(sorted(DIALECTS), ("bigquery", "duckdb", "postgres", "snowflake")))
def test_statements_of_all_tables_parse_back(dialect: str) -> None:
    """In each dialect: names, types, nullability, keys and descriptions are what the maps declare."""
    grammar = "hive" if dialect == "athena" else dialect
    made = schema_ddl(dialect, "%", dataset="stripe_data")

    assert [table["table"] for table in made] == [table["name"] for table in stripe_source.list_tables()]
    for table in made:
        shape = schema_show(table["table"])
        parsed = sqlglot.parse_one(table["sql"][0], dialect=grammar)
        assert isinstance(parsed, exp.Create)
        again = sqlglot.parse_one(parsed.sql(grammar), dialect=grammar)
        assert [each.name for each in again.this.expressions if isinstance(each, exp.ColumnDef)] == [
            column["name"].upper() if dialect == "snowflake" else column["name"] for column in shape["columns"]]
        found, expected = {}, {}
        for definition in (each for each in parsed.this.expressions if isinstance(each, exp.ColumnDef)):
            kinds = {type(each.kind) for each in definition.constraints}
            nullable = definition.kind.args.get("nullable") if dialect == "clickhouse" else None
            found[definition.name.lower()] = (
                definition.kind.copy() if not nullable else _bare(definition.kind),
                bool(nullable) if dialect == "clickhouse" else exp.NotNullColumnConstraint not in kinds,
            )
        for column in shape["columns"]:
            says_null = dialect not in ("athena", "dremio")
            expected[column["name"]] = (
                expected_type(dialect, column["type"]), column["nullable"] if says_null else True)
        assert found == expected, table["table"]
        assert table["key"] == shape["key"]
        name = parsed.find(exp.Table)
        spelled = [part for part in (name.db, name.name) if part]
        assert spelled == ([f"stripe_data___{table['table']}"] if dialect == "clickhouse" else
                           ["STRIPE_DATA", table["table"].upper()] if dialect == "snowflake" else
                           ["stripe_data", table["table"]])
        key = parsed.find(exp.PrimaryKey)
        held = [each.name.lower() for each in key.find_all(exp.Identifier)] if key else []
        assert held == (table["key"] if dialect in KEYED else [])
        text = "\n".join(table["sql"]).replace("\\'", "'").replace("''", "'")
        described_ = [column["description"] for column in shape["columns"] if column["description"]]
        assert [each for each in described_ if (each in text) is (dialect in SILENT)] == []


def _bare(kind: exp.DataType) -> exp.DataType:
    bare = kind.copy()
    bare.set("nullable", None)
    return bare


@pytest.mark.parametrize(("dialect", "mapper"), [
    ("mysql", "MysqlVariantTypeMapper"), ("oracle", "SqlalchemyTypeMapper"), ("sqlite", "SqlalchemyTypeMapper"),
])
def test_types_that_are_written_down_are_dlt_s(dialect: str, mapper: str) -> None:
    """Where dlt goes through SQLAlchemy, which a user need not have: every data type of dlt's."""
    from dlt.common.data_types.typing import DATA_TYPES
    from dlt.destinations.impl.sqlalchemy import type_mapper
    from sqlalchemy.dialects import registry

    capabilities = dlt.destinations.sqlalchemy()._raw_capabilities()
    grammar = registry.load(dialect)()
    theirs = getattr(type_mapper, mapper)(capabilities, grammar)
    words = [{"name": "x", "data_type": kind, "precision": 38, "scale": 12} if kind == "decimal" else
             {"name": "x", "data_type": kind} for kind in DATA_TYPES]

    assert {each["data_type"]: theirs.to_destination_type(each, None).compile(dialect=grammar) for each in words} == {
        each["data_type"]: column_type(DIALECTS[dialect], each, {}) for each in words}


def test_statements_need_no_package_of_the_database() -> None:
    """Nothing of Snowflake, BigQuery, Databricks or ClickHouse is installed where this runs."""
    for name in ("snowflake", "google.cloud.bigquery", "databricks", "clickhouse_driver"):
        with pytest.raises(ModuleNotFoundError):
            __import__(name)

    assert len(schema_ddl("snowflake", "refunds")[0]["sql"]) == 1


def test_the_command_prints_a_script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Statements with a `;`, the key in a line above; with `--output` they are in a file."""
    code, out, err = run(capsys, "schema", "ddl", "--dialect", "sqlserver", "--tables", "tax_codes", "--dataset", "dbo")
    filed = run(capsys, "schema", "ddl", "--dialect", "tsql", "--tables", "tax_codes", "--dataset", "dbo",
                "--output", "ddl.sql")

    assert (code, err) == (0, "")
    assert out == """\
-- tax_codes; key: _account_id, id
CREATE TABLE [dbo].[tax_codes] (
  [_account_id] nvarchar(max) NOT NULL,
  [id] nvarchar(max) NOT NULL,
  [description] nvarchar(max),
  [name] nvarchar(max),
  [object] nvarchar(max),
  [requirements__performance_location] nvarchar(max),
  [_deleted] bit NOT NULL,
  [_deleted_at] datetimeoffset,
  [_changed_at] datetimeoffset NOT NULL,
  [_dlt_load_id] nvarchar(max) NOT NULL,
  [_dlt_id] nvarchar(max) NOT NULL
);
"""
    assert filed == (0, "1 table written to ddl.sql\n", "")
    assert (tmp_path / "ddl.sql").read_text() == out
