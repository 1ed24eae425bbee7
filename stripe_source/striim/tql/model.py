"""What a TQL program becomes: readers, queries and targets, and the streams between them. Plain values, to be run."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stripe_source.api.credentials import Secret


@dataclass(frozen=True)
class StripeReader:
    """Reads Stripe, and emits WAEvents.

    Args:
        name: of the source.
        streams: where they go.
        tables: Striim's names, and native ones where Striim has no such table.
        incremental: whether it goes on from a position, by markers; otherwise all is read, once.
        markers: by table, "created" or None (everything, each time); for incremental loads.
        start: by table, the first `created` that is read, in unix seconds; for incremental loads.
        polling_interval: seconds between two polls.
        migrate_schema: whether targets make their tables before the first row.
        api_key: None: from the configuration.
        account_id: a connected account.
        api_base: where Stripe is; None: from the command line or the configuration.
        client_id: for OAuth.
        client_secret: likewise.
        refresh_token: likewise.
    """

    name: str
    streams: tuple[str, ...]
    tables: tuple[str, ...]
    incremental: bool = False
    markers: Mapping[str, str | None] = field(default_factory=dict)
    start: Mapping[str, int] = field(default_factory=dict)
    polling_interval: int = 300
    migrate_schema: bool = False
    api_key: Secret | None = field(default=None, repr=False)
    account_id: str | None = None
    api_base: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = field(default=None, repr=False)
    refresh_token: Secret | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Query:
    """A continuous query: every event of a stream that WHERE takes, as SELECT makes it, goes to another stream.

    Args:
        name: of the query.
        source: the stream that it reads.
        into: the stream that it writes.
        select: `SELECT … FROM … WHERE …` in Striim's words.
        type_name: of the stream's type, which SysOut prints; empty: made from the stream's name.
        columns: names of the columns where the stream's type has others than SELECT.
    """

    name: str
    source: str
    into: str
    select: str
    type_name: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class SysOut:
    """Prints each event.

    Args:
        name: of the target.
        stream: that it reads.
        label: stands before each event where a program has several.
    """

    name: str
    stream: str
    label: str = ""


@dataclass(frozen=True)
class JsonFormat:
    """JSONFormatter.

    Args:
        array: whether a file is one array; otherwise objects stand one after another.
        member_delimiter: stands between the members of an object.
        object_delimiter: stands between objects.
        members: those that are written; none: all.
    """

    array: bool = True
    member_delimiter: str = "\n"
    object_delimiter: str = "\n"
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class DsvFormat:
    """DSVFormatter: values with a delimiter between them.

    Args:
        column_delimiter: between values.
        row_delimiter: after each row.
        quote: around a value.
        use_quotes: whether every value has quotes; otherwise only one that needs them.
        null: stands for no value.
        header: whether a file begins with the names of the columns.
        members: those that are written; none: all.
    """

    column_delimiter: str = ","
    row_delimiter: str = "\n"
    quote: str = '"'
    use_quotes: bool = False
    null: str = "NULL"
    header: bool = False
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class AvroFormat:
    """AvroFormatter: an Avro file.

    Args:
        schema_file: where the schema is written beside it; None: nowhere.
    """

    schema_file: str | None = None


@dataclass(frozen=True)
class FileWriter:
    """Writes events to files, `name.00.ext` and so on.

    Args:
        name: of the target.
        stream: that it reads.
        file: name of the files, to which a number is added.
        directory: where they are made.
        format: how an event is written.
        events: a new file begins after so many; None: at any number.
        seconds: likewise, after so much time.
        bytes: likewise, after so many bytes.
        gzip: whether files are compressed.
    """

    name: str
    stream: str
    file: str
    directory: str = "."
    format: JsonFormat | DsvFormat | AvroFormat = field(default_factory=JsonFormat)
    events: int | None = None
    seconds: int | None = None
    bytes: int | None = None
    gzip: bool = False


@dataclass(frozen=True)
class TableMapping:
    """A pair of `Tables: 'source,target ColumnMap(…) KeyColumns(…)'`.

    Args:
        source: a table of Striim's, or a pattern with `%`; None: whatever the stream has.
        target: name of the table; `%` stands for the source's.
        dataset: dataset or schema; None: that of the command line.
        columns: by column of the target, that of the source.
        keys: columns that identify a row; none: those of the source.
    """

    source: str | None
    target: str
    dataset: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatabaseWriter:
    """Merges rows into tables, through a destination of dlt.

    Args:
        name: of the target.
        stream: that it reads.
        destination: dlt's name of it.
        tables: which event goes where.
        connection: parts of a connection, such as host and database; what is not there comes from dlt's configuration.
        password: None: from dlt's configuration.
        append: whether rows are added, where they could be merged by a key.
    """

    name: str
    stream: str
    destination: str
    tables: tuple[TableMapping, ...]
    connection: Mapping[str, str] = field(default_factory=dict)
    password: Secret | None = field(default=None, repr=False)
    append: bool = False


Target = SysOut | FileWriter | DatabaseWriter


@dataclass(frozen=True)
class Flow:
    """A program that can be run.

    Args:
        name: of the application.
        readers: its sources.
        queries: its continuous queries; one that reads another's stream stands after it.
        targets: its targets.
        recovery: whether positions are kept from run to run.
    """

    name: str
    readers: tuple[StripeReader, ...] = ()
    queries: tuple[Query, ...] = ()
    targets: tuple[Target, ...] = ()
    recovery: bool = False
