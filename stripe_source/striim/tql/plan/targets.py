"""`CREATE TARGET`: SysOut, FileWriter with its formatters, and the writers of databases."""
from __future__ import annotations

import re
from collections.abc import Callable

from stripe_source.striim.tql.model import (
    AvroFormat,
    DsvFormat,
    FileWriter,
    JsonFormat,
    SysOut,
    Target,
)
from stripe_source.striim.tql.parse.syntax import TargetStatement
from stripe_source.striim.tql.plan.database import DATABASE_WRITERS, make_database_writer
from stripe_source.striim.tql.plan.problems import Lookup, Problems
from stripe_source.striim.tql.plan.properties import Properties, plain

_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def make_target(statement: TargetStatement, problems: Problems, lookup: Lookup) -> Target | None:
    """The target that a statement makes; None where there is none of its kind here."""
    name = f"CREATE TARGET {statement.name}"
    given = Properties(name, statement.writer, problems, lookup)
    kind = plain(statement.writer.name)
    formatted = Properties(name, statement.formatter, problems, lookup) if statement.formatter else None
    if kind == "sysout":
        label = given.text("Name")
        given.refuse_rest()
        if formatted and statement.formatter:
            problems.add(name, "FORMAT USING", "SysOut prints Striim's text form; JSON by `--json`.",
                         statement.formatter.place)
        return SysOut(statement.name, statement.input, label or statement.name)
    if kind == "filewriter":
        return _file_writer(statement, given, formatted)
    if kind in DATABASE_WRITERS:
        if statement.formatter:
            problems.add(name, "FORMAT USING", "A database has no formatter.", statement.formatter.place)
        return make_database_writer(statement, given)
    known = ", ".join(("SysOut", "FileWriter", *(writer for writer, _ in DATABASE_WRITERS.values())))
    problems.add(name, statement.writer.name, f"This writer cannot be carried over. Known: {known}.",
                 statement.writer.place)
    return None


def _file_writer(statement: TargetStatement, given: Properties, formatted: Properties | None) -> FileWriter:
    file = given.text("FileName")
    if not file:
        given.problems.add(given.statement, "FileName", "It is missing.", given.place("FileName"))
    for named in ("FileName", "Directory"):
        if re.search(r"%.+%", given.text(named)):
            given.refuse_named(named, "Names that are made from fields of the events cannot be carried over.")
    compression = given.text("CompressionType").lower()
    if compression not in ("", "none", "gzip"):
        given.refuse_named("CompressionType", "It is `gzip` or empty.")
    given.refuse_named("EncryptionPolicy", "Files are not encrypted here.")
    given.refuse_named("DataEncryptionKeyPassphrase", "Files are not encrypted here.")
    given.note("FlushPolicy", "Files are complete when a poll ends.")
    given.ignore("RolloverOnDDL")
    rolling = _rolling(given)
    folder, _, file = file.replace("\\", "/").rpartition("/")
    directory = "/".join(part for part in (given.text("Directory"), folder) if part)
    writer = FileWriter(
        name=statement.name, stream=statement.input, file=file or "events", directory=directory or ".",
        format=_format(statement, given, formatted),
        events=rolling.get("events"), seconds=rolling.get("seconds"), bytes=rolling.get("bytes"),
        gzip=compression == "gzip",
    )
    given.refuse_rest()
    return writer


def _rolling(given: Properties) -> dict[str, int]:
    """`EventCount:10000,Interval:30s`, `FileSize:10M`, or one of the named policies with such words after it."""
    rolling: dict[str, int] = {}
    for word in re.split(r"[,\s]+", given.text("RolloverPolicy")):
        key, _, value = word.partition(":")
        key = plain(key)
        size = re.fullmatch(r"(\d{1,12})([bkmg]?)b?", value.lower())
        period = re.fullmatch(r"(\d{1,9})([smhd]?)", value.lower())
        if key == "eventcount" and size and not size[2]:
            rolling["events"] = max(int(size[1]), 1)
        elif key == "filesize" and size:
            rolling["bytes"] = max(int(size[1]) * _SIZES[size[2]], 1)
        elif key in ("interval", "rotationinterval") and period:
            rolling["seconds"] = max(int(period[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[period[2]], 1)
        elif key not in ("", "none", "sequence", "defaultrollingpolicy", "eventcountrollingpolicy",
                         "filesizerollingpolicy", "timeintervalrollingpolicy"):
            given.refuse_named("RolloverPolicy", "Known: `EventCount:10000`, `Interval:30s` and `FileSize:10M`, with "
                                                 "`,` between them.")
            break
    return rolling


def _format(
    statement: TargetStatement, given: Properties, formatted: Properties | None
) -> JsonFormat | DsvFormat | AvroFormat:
    if formatted is None or statement.formatter is None:
        given.problems.add(given.statement, "FORMAT USING", "FileWriter needs a formatter: JSONFormatter, DSVFormatter "
                           "or AvroFormatter.", statement.writer.place)
        return JsonFormat()
    makers: dict[str, Callable[[Properties], JsonFormat | DsvFormat | AvroFormat]] = {
        "jsonformatter": _json, "dsvformatter": _dsv, "avroformatter": _avro}
    maker = makers.get(plain(statement.formatter.name))
    if maker is None:
        formatted.problems.add(formatted.statement, statement.formatter.name, "This formatter cannot be carried over. "
                               "Known: JSONFormatter, DSVFormatter, AvroFormatter.", statement.formatter.place)
        return JsonFormat()
    charset = formatted.text("Charset")
    if plain(charset) not in ("", "utf8"):
        formatted.refuse_named("Charset", "Files are UTF-8.")
    made = maker(formatted)
    formatted.refuse_rest()
    return made


def _members(given: Properties) -> tuple[str, ...]:
    return tuple(word.strip() for word in re.split(r"[,;]", given.text("Members")) if word.strip())


def _delimiter(given: Properties, name: str, default: str) -> str:
    """A delimiter, which may be written as `\\n` or `\\t` in two characters."""
    said = given.raw(name)
    if said is None or said == "":
        return default
    return said.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r")


def _json(given: Properties) -> JsonFormat:
    return JsonFormat(
        array=given.flag("EventsAsArrayOfJsonObjects", "JSONArray", default=True),
        member_delimiter=_delimiter(given, "JSONMemberDelimiter", "\n"),
        object_delimiter=_delimiter(given, "JSONObjectDelimiter", "\n"), members=_members(given),
    )


def _dsv(given: Properties) -> DsvFormat:
    standard = plain(given.text("Standard"))
    if standard not in ("", "none", "rfc4180"):
        given.refuse_named("Standard", "It is `none` or `RFC4180`.")
    quote = given.raw("QuoteCharacter") or '"'
    if len(quote) != 1:
        given.refuse_named("QuoteCharacter", "It is one character.")
        quote = '"'
    rfc = standard == "rfc4180"
    return DsvFormat(
        column_delimiter=_delimiter(given, "ColumnDelimiter", ","),
        row_delimiter=_delimiter(given, "RowDelimiter", "\r\n" if rfc else "\n"), quote=quote,
        use_quotes=given.flag("UseQuotes"), null=given.raw("NullValue") or ("" if rfc else "NULL"),
        header=given.flag("Header"), members=_members(given),
    )


def _avro(given: Properties) -> AvroFormat:
    kind = plain(given.text("FormatAs"))
    if kind not in ("", "default", "native"):
        given.refuse_named("FormatAs", "It is `default`.")
    given.refuse_named("SchemaRegistryURL", "Schemas go to a file, not to a registry.")
    given.refuse_named("SchemaRegistryConfiguration", "Schemas go to a file, not to a registry.")
    return AvroFormat(schema_file=given.text("SchemaFileName") or None)
