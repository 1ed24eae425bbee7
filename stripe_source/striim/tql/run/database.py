"""The writers of databases and warehouses: rows merged into tables, through destinations of dlt."""
from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from stripe_source.configured import named_value
from stripe_source.destination.dlt_errors import our_error
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.errors import ConfigurationError
from stripe_source.striim.tql.columns import StriimColumn, StriimTable
from stripe_source.striim.tql.model import DatabaseWriter, TableMapping
from stripe_source.striim.tql.run.events import Event, RowEvent, TableEvent

if TYPE_CHECKING:
    import dlt

ROWS_PER_LOAD = 20_000
_TYPES = {"String": "text", "Integer": "bigint", "Datetime": "timestamp", "Boolean": "bool", "Decimal": "decimal",
          "Double": "double"}


class DatabaseSink:
    """Merges what a stream has into tables.

    Args:
        writer: where to.
        application: name of the program, for the names of pipelines.
        tables: what the readers of the program read; their tables are made also where they stay empty.
        migrate: whether the tables are made before the first row.
        destination: of the command line, in the place of the writer's; None: the writer's.
        dataset: for tables without a schema of their own.
        pipelines_dir: where dlt keeps its pipelines; None: where it does so anyway.
    """

    def __init__(
        self, writer: DatabaseWriter, application: str, tables: Sequence[StriimTable], *, destination: Any = None,
        dataset: str = "stripe_data", pipelines_dir: str | None = None, migrate: bool = False,
    ) -> None:
        self._migrate = migrate
        self._writer = writer
        self._application = application
        self._destination = destination
        self._dataset = dataset
        self._pipelines_dir = pipelines_dir
        self._waiting: dict[tuple[str, str], _Rows] = {}
        self._pipelines: dict[str, dlt.Pipeline] = {}
        self._number = 0
        self.written = 0
        self.files: list[str] = []
        for mapping in writer.tables:
            for table in tables:
                if mapping.source is not None and _means(mapping.source, table.name):
                    self._rows(mapping, table)

    def prepare(self) -> None:
        """Find out whether the destination is configured, and make the tables where the program says so.

        Raises:
            ConfigurationError: it is not.
            DestinationError: it cannot be reached.
        """
        for dataset in {dataset for dataset, _ in self._waiting} or {self._dataset}:
            self._pipeline(dataset)
        for (dataset, name), rows in self._waiting.items():
            rows.forget_new(self._pipeline(dataset), name)
        if self._migrate:
            self.flush()

    def write(self, events: Sequence[Event]) -> None:
        """Take a batch; it is loaded when there is enough.

        Raises:
            DestinationError: the destination does not take it.
        """
        for event in events:
            table = event.table if isinstance(event, TableEvent) else None
            for mapping in self._writer.tables:
                if mapping.source is None or (table and _means(mapping.source, table.name)):
                    self._rows(mapping, table).add(event)
                    self._number += 1
        if self._number >= ROWS_PER_LOAD:
            self.flush()

    def flush(self) -> None:
        """Load what waits.

        Raises:
            DestinationError: the destination does not take it.
        """
        by_dataset: defaultdict[str, list[_Rows]] = defaultdict(list)
        for (dataset, _), rows in self._waiting.items():
            if rows.waits:
                by_dataset[dataset].append(rows)
        for dataset, each in by_dataset.items():
            pipeline = self._pipeline(dataset)
            try:
                with dlt_patches(pipeline, to_the_end=False):
                    pipeline.run([rows.resource() for rows in each], loader_file_format=_file_format(pipeline))
            except Exception as error:  # dlt wraps whatever a driver raises
                raise our_error(pipeline, error) from None
            self.written += sum(rows.loaded() for rows in each)
        self._number = 0

    def _rows(self, mapping: TableMapping, table: StriimTable | None) -> _Rows:
        name = mapping.target.replace("%", table.name if table else "")
        key = (mapping.dataset or self._dataset, name)
        if key not in self._waiting:
            self._waiting[key] = _Rows(name, mapping, table, append=self._writer.append)
        return self._waiting[key]

    def _pipeline(self, dataset: str) -> dlt.Pipeline:
        if dataset not in self._pipelines:
            self._pipelines[dataset] = self._make_pipeline(dataset)
        return self._pipelines[dataset]

    def _make_pipeline(self, dataset: str) -> dlt.Pipeline:
        import dlt

        folder: dict[str, Any] = {"pipelines_dir": self._pipelines_dir} if self._pipelines_dir else {}
        words = "_".join(("tql", self._application, self._writer.name, dataset))
        try:
            pipeline: dlt.Pipeline = dlt.pipeline(
                re.sub(r"\W+", "_", words), destination=self._destination or _destination(self._writer),
                dataset_name=dataset, **folder,
            )
            pipeline.destination_client()  # finds its credentials, and connects to nothing
        except ConfigurationError:
            raise
        except Exception as error:  # a driver that is not installed, what is not configured: dlt says it
            password = (self._writer.password,) if self._writer.password else ()
            text = str(error).strip()
            for secret in password:
                text = text.replace(secret, "…")
            raise ConfigurationError(f"CREATE TARGET {self._writer.name}: {text}") from None
        return pipeline


class _Rows:
    """Rows of one table that wait; one for each key."""

    def __init__(self, name: str, mapping: TableMapping, table: StriimTable | None, *, append: bool) -> None:
        self._name = name
        self._mapping = mapping
        self._columns = _columns(mapping, table)
        renamed = {source.lower(): target for target, source in mapping.columns.items()}
        keys = mapping.keys or (table.key if table else ())
        self._keys = () if append else tuple(renamed.get(key.lower(), key) for key in keys)
        self._rows: dict[Any, dict[str, Any]] = {}
        self._new = table is not None

    @property
    def waits(self) -> bool:
        """Whether there are rows, or the table has to be made."""
        return bool(self._rows) or self._new

    def forget_new(self, pipeline: dlt.Pipeline, name: str) -> None:
        """Note that the table is there, where an earlier run has made it."""
        if pipeline.default_schema_name:
            schema = pipeline.default_schema
            self._new = self._new and schema.naming.normalize_table_identifier(name) not in schema.tables

    def add(self, event: Event) -> None:
        """Take an event."""
        fields = event.fields if isinstance(event, RowEvent) else event.named(event.data) or {}
        renamed: dict[str, list[str]] = defaultdict(list)
        for target, source in self._mapping.columns.items():
            renamed[source.lower()].append(target)
        row = {
            target: _value(self._columns.get(target), value)
            for name, value in fields.items() for target in renamed.get(name.lower(), [name])
        }
        lower = {name.lower(): value for name, value in row.items()}
        key: Any = tuple(lower.get(name.lower()) for name in self._keys) if self._keys else len(self._rows)
        self._rows[key] = row

    def resource(self) -> Any:
        """The rows as a resource of dlt."""
        import dlt

        def rows() -> Iterator[Any]:
            if self._new:
                yield dlt.mark.materialize_table_schema()
            yield from self._rows.values()

        hints = {name: {"name": name, "data_type": _TYPES[column.type]} for name, column in self._columns.items()}
        given: dict[str, Any] = {"columns": hints} if hints else {}
        if self._keys:
            given["primary_key"] = list(self._keys)
        return dlt.resource(
            rows, name=self._name, write_disposition="merge" if self._keys else "append", max_table_nesting=0, **given,
        )

    def loaded(self) -> int:
        """Forget the rows; how many they were."""
        number = len(self._rows)
        self._rows, self._new = {}, False
        return number


def _columns(mapping: TableMapping, table: StriimTable | None) -> dict[str, StriimColumn]:
    """The columns of a table of a database, by name: Striim's, renamed as the mapping says."""
    if table is None:
        return {}
    renamed: defaultdict[str, list[str]] = defaultdict(list)
    for target, source in mapping.columns.items():
        renamed[source.lower()].append(target)
    return {target: column for column in table.columns
            for target in renamed.get(column.name.lower(), [column.name])}


def _value(column: StriimColumn | None, value: Any) -> Any:
    if column is not None and column.type == "Datetime" and isinstance(value, str):
        try:
            return datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", value))
        except ValueError:
            return value
    return value


def _means(pattern: str, name: str) -> bool:
    """Whether a pattern of `Tables`, with or without a schema before it, means a table."""
    words = re.split("%+", pattern.rsplit(".", 1)[-1])
    return re.fullmatch(".*".join(map(re.escape, words)), name, re.IGNORECASE) is not None


def _file_format(pipeline: dlt.Pipeline) -> Any:
    """Parquet for DuckDB: dlt's own choice is slow there where a table has many columns. None: dlt's choice."""
    return "parquet" if pipeline.destination.destination_type.endswith(".duckdb") else None


def _destination(writer: DatabaseWriter) -> Any:
    """dlt's destination, with what the program says of the connection.

    Raises:
        ConfigurationError: a password is masked, and the configuration does not have it either.
    """
    import dlt.destinations

    parts = writer.connection
    factory = getattr(dlt.destinations, writer.destination)
    driver = parts.get("drivername", "")
    if driver == "duckdb":
        return factory(parts.get("database") or ":memory:")
    if driver == "sqlite":
        return factory(f"sqlite:///{parts.get('database', '')}")
    if not parts.get("host"):
        return factory()  # all of it comes from dlt's configuration
    sections = ("destination", writer.destination, "credentials")
    host = named_value("host", sections)
    if writer.password is None and host and host != parts["host"]:
        raise ConfigurationError(  # somebody else may have written the program
            f"CREATE TARGET {writer.name} names another host than `[{'.'.join(sections)}]`, whose password it would "
            "get."
        )
    password = writer.password or named_value("password", sections)
    user = parts.get("username") or named_value("username", sections)
    if not password or not user:
        missing = "password" if user else "username"
        raise ConfigurationError(
            f"CREATE TARGET {writer.name} needs `{missing}`: put it under `[{'.'.join(sections)}]` in "
            f"`.dlt/secrets.toml`, or in `{'__'.join(sections).upper()}__{missing.upper()}`."
        )
    port = f":{parts['port']}" if parts.get("port") else ""
    query = urlencode({name: parts[name] for name in ("sslmode", "warehouse", "role") if parts.get(name)})
    place = f"{parts['host']}{port}/{quote(parts.get('database', ''))}{'?' if query else ''}{query}"
    return factory(f"{driver}://{quote(user, safe='')}:{quote(password, safe='')}@{place}")
