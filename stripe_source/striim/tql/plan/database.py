"""The writers of databases and warehouses: which destination of dlt each one is, and what its `Tables` says."""
from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from stripe_source.api.credentials import Secret
from stripe_source.redaction import redact
from stripe_source.striim.tql.columns import match_striim
from stripe_source.striim.tql.model import DatabaseWriter, TableMapping
from stripe_source.striim.tql.parse.syntax import TargetStatement
from stripe_source.striim.tql.plan.properties import Properties, plain

# By the writer's name without case: as Striim writes it, and dlt's destination; None: the connection URL says which
DATABASE_WRITERS: dict[str, tuple[str, str | None]] = {
    "databasewriter": ("DatabaseWriter", None),
    "bigquerywriter": ("BigQueryWriter", "bigquery"),
    "snowflakewriter": ("SnowflakeWriter", "snowflake"),
    "redshiftwriter": ("RedshiftWriter", "redshift"),
    "databrickswriter": ("DatabricksWriter", "databricks"),
    "deltalakewriter": ("DeltaLakeWriter", "databricks"),
    "azuresynapsewriter": ("AzureSynapseWriter", "synapse"),
    "azuresqldwhwriter": ("AzureSQLDWHWriter", "synapse"),
    "fabricdatawarehousewriter": ("FabricDataWarehouseWriter", "fabric"),
    "clickhousewriter": ("ClickHouseWriter", "clickhouse"),
}
_URLS = {  # of a JDBC URL: dlt's destination, and the name of the driver for SQLAlchemy
    "postgresql": ("postgres", "postgresql"), "redshift": ("redshift", "redshift"), "sqlserver": ("mssql", "mssql"),
    "mysql": ("sqlalchemy", "mysql+pymysql"), "mariadb": ("sqlalchemy", "mysql+pymysql"),
    "duckdb": ("duckdb", "duckdb"), "sqlite": ("sqlalchemy", "sqlite"), "snowflake": ("snowflake", "snowflake"),
}
_TUNING = (
    "BatchPolicy", "CommitPolicy", "CDDLAction", "CDDLOptions", "IgnorableExceptionCode", "ParallelThreads",
    "PreserveSourceTransactionBoundary", "StatementCacheSize", "ConnectionRetryPolicy", "ConnectionRetry",
    "BatchUploadPolicy", "UploadPolicy", "StreamingUpload", "StreamingConfiguration", "OptimizedMerge", "NullMarker",
    "ColumnDelimiter", "QuoteCharacter", "AllowQuotedNewlines", "Encoding", "IncludeInsertId", "ExternalStageType",
    "StandardSQL", "VendorConfiguration", "FileFormatOptions", "DataLocation", "TransportOptions", "HikariPool",
    "ApplicationName", "DatabaseProviderType", "CheckPointTable", "CheckpointTable",
)
_ELSEWHERE = (
    "ServiceAccountKey", "ProjectId", "S3IAMRole", "AccessKeyID", "SecretAccessKey", "BucketName",
    "PersonalAccessToken", "AccountName", "AccountAccessKey", "StageLocation", "AuthenticationType", "Hostname",
    "HttpPath", "Warehouse", "Role", "AccessToken", "StorageAccessDriverType", "TargetTablePrefix",
)
_CLAUSE = re.compile(r"\b(ColumnMap|KeyColumns)\s*\(([^()]*)\)", re.IGNORECASE)


def make_database_writer(statement: TargetStatement, given: Properties) -> DatabaseWriter:
    """The writer that a target makes."""
    destination = DATABASE_WRITERS[plain(statement.writer.name)][1]
    url = given.raw("ConnectionURL") or ""
    found, connection = _connection(given, url)
    destination = destination or found
    if destination is None:
        given.problems.add(
            given.statement, "ConnectionURL",
            f"Known are URLs that begin with {', '.join(f'`jdbc:{kind}:`' for kind in _URLS)}."
            if url else "It is missing.", given.place("ConnectionURL"))
        destination = "duckdb"
    user, password = given.text("Username", "User"), given.secret("Password")
    in_url = connection.pop("password", "")
    password = password or (Secret(in_url) if in_url else None)
    if user and set(user) != {"*"}:
        connection["username"] = user
    for name in _ELSEWHERE:
        given.note(name, f"It comes from dlt's configuration, `[destination.{destination}.credentials]`.")
    for name in _TUNING:
        given.note(name, "dlt loads a batch at the end of each poll; this has no meaning here.")
    mode = plain(given.text("Mode"))
    if mode not in ("", "merge", "appendonly", "append"):
        given.refuse_named("Mode", "It is `MERGE` or `APPENDONLY`.")
    given.refuse_named("ExcludedTables", "Leave them out of `Tables`.")
    writer = DatabaseWriter(
        name=statement.name, stream=statement.input, destination=destination, tables=_mappings(given),
        connection=connection, password=password, append=mode.startswith("append"),
    )
    given.refuse_rest()
    return writer


def _connection(given: Properties, url: str) -> tuple[str | None, dict[str, str]]:
    """Destination and parts of the connection that a JDBC URL names."""
    match = re.match(r"jdbc:(\w+):", url.strip())
    if not match or match[1] not in _URLS:
        return None, {}
    destination, driver = _URLS[match[1]]
    rest = url.strip()[match.end():]
    if destination == "duckdb" or driver == "sqlite":
        path = rest.removeprefix("//").split("?")[0]
        return destination, {"drivername": driver, "database": path}
    try:
        parts = urlsplit(f"x:{rest.replace(';', '?', 1).replace(';', '&')}")
        host, port = parts.hostname, parts.port
        query = {key.lower(): values[0] for key, values in parse_qs(parts.query).items()}
    except ValueError:
        given.refuse_named("ConnectionURL", "It cannot be read: write `jdbc:postgresql://host:5432/database`.")
        return destination, {}
    connection = {"drivername": driver, "host": host or "", "port": str(port or "")}
    connection["database"] = parts.path.strip("/") or query.get("databasename", "") or query.get("db", "")
    connection["host"] = connection["host"].removesuffix(".snowflakecomputing.com")
    connection |= {name: query.get(name, "") for name in ("sslmode", "warehouse", "role")}
    connection["username"], connection["password"] = query.get("user", ""), query.get("password", "")
    return destination, {key: value for key, value in connection.items() if value}


def _mappings(given: Properties) -> tuple[TableMapping, ...]:
    """The pairs of `Tables`; for BigQuery and others a name may have three parts, of which the last two count."""
    found: list[TableMapping] = []
    for said in re.split(r";(?![^()]*\))", given.text("Tables")):
        if not said.strip():
            continue
        names, whole = _names(said)
        if not whole or not 1 <= len(names) <= 2 or not all(names):
            given.refuse_named("Tables", "It is `source,target ColumnMap(target=source,…) KeyColumns(column,…)`, with "
                                         "`;` between tables.")
            continue
        columns, keys = _clauses(given, said)
        source = names[0] if len(names) == 2 else None
        *dataset, table = [part.strip('"`[] ') for part in names[-1].split(".")]
        if source and "%" not in source and match_striim(source.rsplit(".", 1)[-1]) == ([], []):
            given.note("Tables", f"`{redact(source)}` is no table of Stripe's; events of that name are written.")
        if not table or not re.fullmatch(r"[\w%-]+", table) or ("%" in table and not (source and "%" in source)):
            given.refuse_named("Tables", "The name of a target is letters, digits and `_`; `%` stands for the name of "
                                         "the source, where that has one too.")
            continue
        found.append(TableMapping(source, table, dataset[-1] if dataset else None, columns, keys))
    if not found and not given.text("Tables"):
        given.problems.add(given.statement, "Tables", "It is missing: say where events go, such as "
                           "`Tables: 'Charges,public.charges'`.", given.place("Tables"))
    return tuple(found)


def _names(said: str) -> tuple[list[str], bool]:
    """The names before the clauses of a pair, and whether nothing but clauses follows."""
    first = _CLAUSE.search(said)
    begin = first.start() if first else len(said)
    rest = _CLAUSE.sub("", said[begin:])
    return [name.strip() for name in said[:begin].split(",")], not rest.strip() and "(" not in said[:begin]


def _clauses(given: Properties, text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """What ColumnMap and KeyColumns say."""
    columns: dict[str, str] = {}
    keys: tuple[str, ...] = ()
    for clause, inside in _CLAUSE.findall(text):
        words = [word.strip() for word in inside.split(",") if word.strip()]
        if clause.lower() == "keycolumns":
            keys = tuple(words)
            continue
        for word in words:
            target, equals, source = (part.strip() for part in word.partition("="))
            if not equals or not target or not re.fullmatch(r"\w+", source):
                given.refuse_named("Tables", "In ColumnMap only `target=source` with the name of a column can be "
                                             "carried over.")
                continue
            columns[target] = source
    return columns, keys
