"""What is there: the pipelines of this machine, the columns and the schema versions that a destination really has."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.errors import DestinationError, InvalidOption, StripeSourceError, redact
from stripe_source.held import unnoted
from stripe_source.outline import Outline, as_dlt, of_tables, type_text
from stripe_source.schema_map import table_map
from stripe_source.tables import TABLES

if TYPE_CHECKING:
    import dlt
    from dlt import Schema

TableWords = Mapping[str, Mapping[str, Any]]  # tables in dlt's words, by name


def attached(name: str) -> dlt.Pipeline:
    """A pipeline that was run on this machine, by its name.

    Raises:
        InvalidOption: there is none of that name.
    """
    import dlt
    from dlt.common.pipeline import get_dlt_pipelines_dir

    folder = Path(get_dlt_pipelines_dir())
    known = sorted(each.name for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    if name not in known:
        raise InvalidOption("pipeline", name, known, None if known else "No pipeline was run on this machine yet.")
    with unnoted():
        pipeline = dlt.attach(name)
    if not pipeline.default_schema_name:
        raise InvalidOption("pipeline", name, reason="It has no schema yet: nothing was loaded by it.")
    return pipeline


def restored(pipeline: dlt.Pipeline) -> dlt.Pipeline:
    """The same pipeline; where it was never run on this machine, with the schema that its destination keeps."""
    if not pipeline.default_schema_name:
        with destination_errors(pipeline):
            with unnoted():
                client: Any = pipeline.destination_client()
            if not _no_file(client):
                pipeline.sync_destination()
    return pipeline


def location_of(pipeline: dlt.Pipeline) -> str:
    """Where a pipeline's data is, without secrets."""
    with destination_errors(pipeline), unnoted():
        return redact(str(pipeline.destination_client().config)).removeprefix("duckdb:///")


def _no_file(client: Any) -> bool:
    """Whether a destination is a DuckDB file that does not exist: to connect would make it."""
    is_file = client.config.destination_type.rpartition(".")[2] == "duckdb"
    file = getattr(client.config.credentials, "database", None) if is_file else None
    return isinstance(file, str) and file != ":memory:" and not Path(file).exists()


@contextmanager
def destination_errors(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Raise the destination's trouble as ours."""
    from dlt.common.destination.exceptions import DestinationException
    from dlt.pipeline.exceptions import PipelineStepFailed

    try:
        yield
    except (DestinationException, PipelineStepFailed, OSError) as error:
        cause: BaseException = error
        for _ in range(10):  # dlt wraps what happened in its steps several times
            inner = getattr(cause, "exception", None) or cause.__cause__
            cause = inner if isinstance(inner, BaseException) else cause
        if isinstance(cause, StripeSourceError):
            raise cause from error
        name = pipeline.destination.destination_name if pipeline.destination else None
        raise DestinationError(redact(str(cause).strip() or repr(cause)), destination=name) from error


@contextmanager
def connected(pipeline: dlt.Pipeline) -> Iterator[Any]:
    """dlt's client of a pipeline's destination, connected; None where there is nothing yet: no file, no dataset."""
    with destination_errors(pipeline):
        with unnoted():
            client: Any = pipeline.destination_client()
        if _no_file(client):
            yield None
            return
        with client:
            yield client if client.is_storage_initialized() else None


def columns_there(client: Any, wanted: TableWords) -> Outline:
    """The outline of these tables as the destination has them; without those that it has not.

    A type is shown as it is wanted where the destination has no better one for it (JSON that is kept as text), and
    whether a column may be null is taken as wanted, since not every destination can say it.

    Args:
        client: dlt's, connected.
        wanted: the tables that are asked for.
    """
    if not hasattr(client, "type_mapper"):  # files: the schema that was stored beside them says what is in them
        stored = client.get_stored_schema(client.schema.name)
        tables = _schema(stored.schema).tables if stored else {}
        return {name: columns for name, columns in of_tables(tables).items() if name in wanted}
    fold = client.capabilities.casefold_identifier
    outline = {}
    for table, storage in client.get_storage_tables(list(wanted)):
        if storage:
            words = wanted[table]["columns"]
            folded = {fold(name): name for name in words}
            named = {folded.get(name, name): each for name, each in storage.items()}
            outline[table] = {
                name: _type(client.type_mapper, each, words.get(name), wanted[table]) for name, each in named.items()
            }
    return outline


def _type(mapper: Any, there: Mapping[str, Any], wanted: Mapping[str, Any] | None, table: Mapping[str, Any]) -> str:
    found = type_text(there["data_type"], there.get("precision"), there.get("scale"))
    if wanted is None:
        return found
    asked = type_text(wanted["data_type"], wanted.get("precision"), wanted.get("scale"))
    kept = [str(mapper.to_destination_type({**each, "name": wanted["name"]}, table)) for each in (there, wanted)]
    same = found == asked or kept[0] == kept[1]
    return (asked if same else found) + ("" if wanted.get("nullable", True) else " not null")


def in_destination(pipeline: dlt.Pipeline) -> Outline:
    """The outline of all our tables that a pipeline's destination has."""
    wanted = {table.name: as_dlt(table_map(table)) for table in TABLES}
    if pipeline.default_schema_name:
        grown: Any = pipeline.default_schema.tables
        for name, words in grown.items():
            if not name.startswith("_dlt"):
                columns = {each: hint for each, hint in words["columns"].items() if "data_type" in hint}
                declared = wanted.get(name, {}).get("columns", {})
                wanted[name] = {**words, "name": name, "columns": {**columns, **declared}}
    with connected(pipeline) as client:
        return columns_there(client, wanted) if client else {}


def stored_schemas(pipeline: dlt.Pipeline) -> Iterator[tuple[Schema, datetime | None]]:
    """The schemas that a destination keeps, with the time when each was stored, the oldest first."""
    with connected(pipeline) as client:
        if client is None:
            return
        if not hasattr(client, "type_mapper"):  # files
            stored = client.get_stored_schema(client.schema.name)
            if stored:
                yield _schema(stored.schema), stored.inserted_at
            return
        naming, sql = client.schema.naming, client.sql_client
        columns = [sql.escape_column_name(naming.normalize_path(name)) for name in ("version_hash", "inserted_at")]
        table = sql.make_qualified_table_name(client.schema.version_table_name)
        rows = sql.execute_sql(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[1]}")
        for version_hash, _ in rows:
            stored = client.get_stored_schema_by_hash(version_hash)
            yield _schema(stored.schema), stored.inserted_at


def _schema(text: str) -> Schema:
    """A schema from how a destination keeps it."""
    import json

    from dlt import Schema

    return Schema.from_stored_schema(json.loads(text))
