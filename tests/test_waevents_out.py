"""WAEvents out: what a load writes is what they say, once and in order, in tables and in files, killed or not."""
from __future__ import annotations

import contextlib
import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stripe_source import load_waevents, stripe_source, sync, write_waevents
from stripe_source.cli.main import main
from stripe_source.errors import InvalidOption
from stripe_source.striim import files

TABLES = "customers;invoices;invoice_line_items"
Rows = dict[str, list[dict[str, Any]]]


def live(stripe: Any, days: int = 3) -> None:
    """Some days pass in the business: things are new, changed and gone."""
    for _ in range(days):
        stripe.world.advance(timedelta(days=1))
        stripe.world.live(30)


def ask(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file)) as db:
        return db.execute(f"SET TimeZone = 'UTC'; USE stripe; {sql}").fetchall()


def of_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def counted(events: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        found[event["metadata"]["TableName"], event["metadata"]["OperationName"]] += 1
    return dict(found)


def stored(file: Path) -> dict[tuple[str, str], int]:
    """How many WAEvents the destination holds, by table and operation."""
    return {
        (table, operation): number for table in TABLES.split(";")
        for operation, number in ask(file, f"SELECT operation, count(*) FROM {table}_waevents GROUP BY 1")
    }


def test_what_is_loaded_is_what_waevents_say(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """Three runs: the operations are what the results count, and the WAEvents make the same tables elsewhere."""
    pipeline, out, given = new_pipeline(), tmp_path / "out.jsonl", {"api_base": small.url, "api_key": small.api_key}
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for run in range(3):
        result = sync(pipeline, tables=TABLES, emit="waevents", **given)
        for name, table in result.tables.items():
            for operation, number in (("INSERT" if run else "SELECT", table.new), ("UPDATE", table.changed),
                                      ("DELETE", table.gone)):
                expected[name, operation] += number
        written = write_waevents(pipeline, str(out))
        assert sum(written.waevents.values()) == sum(
            table.new + table.changed + table.gone for table in result.tables.values())
        live(small)
    assert write_waevents(pipeline, str(out)).waevents == {}
    events = of_lines(out.read_text())

    assert counted(events) == stored(tmp_path / "test.duckdb")
    assert counted(events) == {key: number for key, number in expected.items() if number}
    assert {operation for _, operation in expected} == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    changed = [event for event in events if event["metadata"]["TableName"] == "customers"
               and event["metadata"]["OperationName"] != "SELECT"]
    ids = {one.object["id"] for one in small.world.dump()["events"]}
    assert {event["metadata"]["TxnID"] for event in changed} <= ids and len(changed) > 10
    befores = [event for event in changed if event["before"]]
    assert befores and all(event["metadata"]["PK_UPDATE"] is False and event["before"] != event["data"]
                           and event["before"]["id"] == event["data"]["id"] for event in befores)

    copy = new_pipeline("copy", "copy.duckdb")
    load_waevents(copy, str(out))
    for name in TABLES.split(";"):
        columns = ", ".join(f'"{row[0]}"' for row in ask(tmp_path / "test.duckdb", f"DESCRIBE {name}")
                            if row[0] != "_dlt_load_id")
        rows = [ask(tmp_path / f"{file}.duckdb", f"SELECT {columns} FROM {name} ORDER BY ALL")
                for file in ("test", "copy")]
        assert rows[0] == rows[1] and rows[0]


def test_waevents_of_one_row_are_in_their_order(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """In a folder of small packed files as well; the last one has the row as it is."""
    pipeline, out = new_pipeline(), tmp_path / "out"
    for _ in range(3):
        sync(pipeline, tables="customers", emit="waevents", api_base=small.url, api_key=small.api_key)
        write_waevents(pipeline, f"{out}/", gzip=True, roll_size="20kb")
        live(small, 1)
    names = sorted(path.name for path in out.glob("waevents-*"))
    events = [event for name in names for event in of_lines(gzip.decompress((out / name).read_bytes()).decode())]
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_id[event["data"]["id"]].append(event)
    last = {id: some[-1]["data"]["_dlt_id"] for id, some in by_id.items()}

    assert len(names) > 1 and names[0] == "waevents-000001.jsonl.gz"
    assert last == dict(ask(tmp_path / "test.duckdb", "SELECT id, _dlt_id FROM customers"))
    assert all(some[0]["metadata"]["OperationName"] in ("SELECT", "INSERT") for some in by_id.values())
    assert max(map(len, by_id.values())) > 1
    for some in by_id.values():
        times = [event["metadata"]["TimeStamp"] for event in some]
        assert times == sorted(times)


@pytest.mark.parametrize("folder", [False, True])
def test_a_killed_writer_neither_loses_nor_doubles(
    folder: bool, small: Any, new_pipeline: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after any step on the way to the disk, and started again: the files are those of one quiet run."""
    pipeline = new_pipeline()
    sync(pipeline, tables="customers", emit="waevents", api_base=small.url, api_key=small.api_key)
    options: dict[str, Any] = {"roll_size": "100kb"} if folder else {}

    def written(name: str) -> bytes:
        place = tmp_path / name
        found = sorted(place.glob("waevents-*")) if folder else [place]
        return b"".join(path.read_bytes() for path in found if path.exists())

    def write(name: str) -> None:
        write_waevents(pipeline, f"{tmp_path / name}{'/' if folder else ''}", **options)

    monkeypatch.setattr(files, "EVENTS_PER_CHECK", 110)
    write("quiet")
    steps, append, note = 0, files.Files._append, files.write_position

    class Killed(BaseException):
        pass

    def killing(deadly: int) -> None:
        nonlocal steps
        steps = 0

        def step(before: bool) -> None:
            nonlocal steps
            steps += 1
            if steps == deadly:
                raise Killed

        def append_half(self: Any, some: Any) -> None:
            if steps + 1 == deadly:
                append(self, some[:len(some) // 2])
                with self._file().open("ab") as opened:
                    opened.write(b'{"metadata": {"Tab')
            step(True)
            append(self, some)

        def note_after(*given: Any) -> None:
            step(True)
            note(*given)
            step(False)

        monkeypatch.setattr(files.Files, "_append", append_half)
        monkeypatch.setattr(files, "write_position", note_after)

    killing(0)
    write("counted")
    total = steps
    assert total > 4
    for deadly in range(1, total + 1):
        killing(deadly)
        with contextlib.suppress(Killed):
            write(f"killed_{deadly}")
        killing(0)
        write(f"killed_{deadly}")

        assert written(f"killed_{deadly}") == written("quiet") != b""


def test_standard_output_has_waevents_and_nothing_else(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`run --emit waevents --out -`: results go to standard error; a second run prints what is new, also as SysOut."""
    monkeypatch.setenv("STRIPE_API_KEY", small.api_key)
    command = ["run", "--api-base", small.url, "--tables", "customers", "--emit", "waevents", "--out", "-"]
    assert main(command) == 0
    first = capsys.readouterr()
    live(small, 1)
    assert main([*command, "--out-format", "sysout", "--json"]) == 0
    second = capsys.readouterr()

    assert len(of_lines(first.out)) > 100 and "WAEvents written to -" in first.err
    assert second.out.startswith("WAEvent{\n  data: [") and second.out.endswith("typeUUID: null\n};\n") is False
    result = json.loads(second.err[second.err.index("{"):])["tables"]["customers"]
    assert second.out.count("WAEvent{\n") == result["new"] + result["changed"] + result["gone"] > 0


@pytest.mark.soak
def test_every_format_is_read_again(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """Named, positional, Avro: written to a folder and loaded from it, the rows are the same."""
    pipeline = new_pipeline()
    sync(pipeline, tables="customers", emit="waevents", api_base=small.url, api_key=small.api_key)
    truth = ask(tmp_path / "test.duckdb", "SELECT * EXCLUDE _dlt_load_id FROM customers ORDER BY ALL")
    for form in ("json", "positional", "avro"):
        if form == "avro":
            pytest.importorskip("fastavro")
        write_waevents(pipeline, f"{tmp_path / form}/", format=form)
        load_waevents(new_pipeline(form, f"{form}.duckdb"), str(tmp_path / form))

        assert ask(tmp_path / f"{form}.duckdb", "SELECT * EXCLUDE _dlt_load_id FROM customers ORDER BY ALL") == truth


def test_what_cannot_be_written_is_refused(new_pipeline: Callable[..., Any], tmp_path: Path) -> None:
    """Before anything is read: formats, places, files of somebody else, another pipeline's files."""
    pipeline = new_pipeline()
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("precious")
    for options, text in (
        ({"format": "xml"}, "xml"), ({"out": "-", "gzip": True}, "folder or a file"), ({"roll_size": "big"}, "64mb"),
        ({"out": str(tmp_path / "x"), "format": "avro"}, "cannot grow"), ({"out": str(foreign)}, "not written by"),
    ):
        with pytest.raises(InvalidOption, match=text):
            write_waevents(pipeline, **options)  # type: ignore[arg-type]
    files.write_position(tmp_path / ".mine.waevents.json", files.Position("other", "1.0"))
    with pytest.raises(InvalidOption, match="Pipeline `other`"):
        write_waevents(pipeline, str(tmp_path / "mine"))
    assert main(["run", "--out", "x"]) == 2

    assert foreign.read_text() == "precious"


def test_a_run_killed_in_its_load_emits_each_waevent_once(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The load that was left is loaded first by the next run, under the same keys."""
    import dlt

    pipeline, given = new_pipeline(), {"tables": "customers", "emit": "waevents", "api_base": small.url,
                                       "api_key": small.api_key}
    sync(pipeline, **given)
    live(small, 1)
    load, calls = dlt.Pipeline.load, 0

    def cut(self: Any, *args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        return load(self, *args, **more)

    monkeypatch.setattr(dlt.Pipeline, "load", cut)
    with pytest.raises(KeyboardInterrupt):
        sync(pipeline, **given)
    sync(pipeline, **given)
    held = ask(tmp_path / "test.duckdb", "SELECT data->>'id', data->>'_dlt_id', count(*) FROM customers_waevents "
                                         "GROUP BY ALL HAVING count(*) > 1")
    newest = dict(ask(tmp_path / "test.duckdb", "SELECT data->>'id', arg_max(data->>'_dlt_id', _dlt_load_id::DOUBLE) "
                                                "FROM customers_waevents GROUP BY 1"))

    assert held == []
    assert newest == dict(ask(tmp_path / "test.duckdb", "SELECT id, _dlt_id FROM customers"))


def test_plain_dlt_runs_emit_too_and_what_nobody_takes_is_not_kept(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """`pipeline.run(stripe_source(emit="waevents"))`; of resources that are not selected there are no WAEvents."""
    pipeline, given = new_pipeline(), {"emit": "waevents", "api_base": small.url, "api_key": small.api_key}
    source = stripe_source("customers;plans", **given)
    pipeline.run(source.with_resources("customers", "plans", "customers_waevents"))
    tables = {row[0] for row in ask(tmp_path / "test.duckdb", "SHOW TABLES") if not row[0].startswith("_")}

    assert tables == {"customers", "plans", "customers_waevents"}
    assert ask(tmp_path / "test.duckdb", "SELECT id, _dlt_id FROM customers ORDER BY 1") == ask(
        tmp_path / "test.duckdb", "SELECT data->>'id', data->>'_dlt_id' FROM customers_waevents ORDER BY 1")


@pytest.mark.parametrize("form", [None, "v1.0.0"])
def test_the_texts_are_stored_by_zstd_where_the_file_can(
    small: Any, new_pipeline: Callable[..., Any], tmp_path: Path, form: str | None
) -> None:
    """DuckDB would try what makes them ten times as large, for as long; a file of DuckDB 1.0 has no zstd."""
    if form:
        with duckdb.connect() as db:
            db.execute(f"ATTACH '{tmp_path / 'test.duckdb'}' AS made (STORAGE_VERSION '{form}')")
            db.execute("CREATE TABLE made.mine (id INTEGER)")
    pipeline = new_pipeline()
    sync(pipeline, tables="customers", emit="waevents", api_base=small.url, api_key=small.api_key)
    query = "SELECT sql FROM duckdb_tables() WHERE table_name = 'customers_waevents'"
    definition = ask(tmp_path / "test.duckdb", query)

    assert definition[0][0].count("USING COMPRESSION ZSTD") == (0 if form else 2)
    assert ask(tmp_path / "test.duckdb", "SELECT id, _dlt_id FROM customers ORDER BY 1") == ask(
        tmp_path / "test.duckdb", "SELECT data->>'id', data->>'_dlt_id' FROM customers_waevents ORDER BY 1")
