"""Statements that only one kind of database takes: DuckDB's settings, its views of files, comments that are stored."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlglot import exp, parse_one, select

DUCKDB, POSTGRES = "duckdb", "postgres"
ROWS_OF_CURSOR = "stripe_source_rows"  # the name of a cursor
RESET = ("threads", "memory_limit", "checkpoint_threshold", "max_vacuum_tasks")  # what `settings` changes
CHECKPOINT = "CHECKPOINT"
DATABASE_FILE = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"

# table, column ("" for the table itself), comment: of the dataset `:dataset`
_STORED_COMMENTS = {
    DUCKDB: """
        SELECT table_name, column_name, comment FROM duckdb_columns()
        WHERE schema_name = :dataset AND database_name = current_database() AND NOT comment IS NULL
        UNION ALL SELECT table_name, '', comment FROM duckdb_tables()
        WHERE schema_name = :dataset AND database_name = current_database() AND NOT comment IS NULL
    """,
    POSTGRES: """
        SELECT c.relname, COALESCE(a.attname, ''), d.description FROM pg_description d
        JOIN pg_class c ON c.oid = d.objoid AND d.classoid = CAST('pg_class' AS regclass)
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
        WHERE n.nspname = :dataset
    """,
}
_FILES = "SELECT * FROM read_parquet(:files, union_by_name = TRUE)"


def stored_comments(engine: str, dataset: str) -> str | None:
    """The comments of the tables and columns of a dataset; None where they cannot be read."""
    if engine not in _STORED_COMMENTS:
        return None
    query = parse_one(_STORED_COMMENTS[engine], dialect=engine)
    return exp.replace_placeholders(query, dataset=dataset).sql(dialect=engine)


def settings(memory: str, log: int) -> list[str]:
    """Settings of a DuckDB that loads in little memory.

    Args:
        memory: that it may use.
        log: megabytes of its log, after which it writes that into the tables.
    """
    values = {
        "threads": exp.Literal.number(1), "memory_limit": exp.Literal.string(memory),
        "checkpoint_threshold": exp.Literal.string(f"{log}MB"), "max_vacuum_tasks": exp.Literal.number(0),
    }
    return [_set_to(name, value) for name, value in values.items()]


def memory_limit(memory: str) -> str:
    """Let DuckDB use so much memory."""
    return _set_to("memory_limit", exp.Literal.string(memory))


def _set_to(name: str, value: exp.Expression) -> str:
    return exp.Set(expressions=[exp.SetItem(this=exp.EQ(this=exp.var(name), expression=value))]).sql(dialect=DUCKDB)


def reset(name: str) -> str:
    """Give a setting of DuckDB its own value back."""
    return exp.Command(this="RESET", expression=name).sql(dialect=DUCKDB)


def cursor_for(query: str) -> str:
    """Have Postgres keep the rows of a query until the end of the transaction."""
    return f"DECLARE {ROWS_OF_CURSOR} NO SCROLL CURSOR FOR {query}"


def rows_of_cursor(number: int) -> str:
    """The next rows that Postgres keeps."""
    return f"FETCH FORWARD {number} FROM {ROWS_OF_CURSOR}"


def use(dataset: str) -> str:
    """Make a dataset of DuckDB the one whose tables need no name before theirs.

    Args:
        dataset: as dlt qualifies and quotes it.
    """
    return exp.Use(this=exp.to_table(dataset, dialect=DUCKDB)).sql(dialect=DUCKDB)


def files_view(
    types: Mapping[str, str], files: Sequence[str], keys: Sequence[str], order: Iterable[str], hard: Iterable[str]
) -> str:
    """The rows of some Parquet files, with every column that the schema has.

    Args:
        types: name -> DuckDB's type of every column.
        files: where they are.
        keys: columns of the key; with them only the newest version of a row is left.
        order: columns that tell which version is newer.
        hard: columns that say that a row is gone.
    """
    empty: exp.Query = select(*(
        exp.alias_(exp.cast(exp.null(), exp.DataType.build(kind, dialect=DUCKDB)), name, quoted=True)
        for name, kind in types.items()
    )).where(exp.false())
    if files:
        list_ = exp.Array(expressions=[exp.Literal.string(file) for file in files])
        there = exp.replace_placeholders(parse_one(_FILES, dialect=DUCKDB), files=list_)
        empty = exp.Union(this=empty, expression=there, distinct=False, by_name=True)
    rows = select("*").from_(empty.subquery())
    newest = [exp.Ordered(this=_name(name), desc=True, nulls_first=False) for name in order]
    if keys and newest:
        number = exp.Window(this=exp.RowNumber(), partition_by=[_name(name) for name in keys],
                            order=exp.Order(expressions=newest))
        rows.set("qualify", exp.Qualify(this=number.eq(exp.Literal.number(1))))
    alive = [exp.NullSafeNEQ(this=_name(name), expression=exp.true()) for name in hard]
    return select(*map(_name, types)).from_(rows.subquery()).where(*alive).sql(dialect=DUCKDB)


def newest_rows(table: str) -> str:
    """All rows of a view.

    Args:
        table: as dlt qualifies and quotes it.
    """
    return select("*").from_(exp.to_table(table, dialect=DUCKDB)).sql(dialect=DUCKDB)


def _name(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))
