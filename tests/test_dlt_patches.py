"""What takes the place of steps of dlt does what they do, in less time."""
from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import dlt
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from destinations import DATASET, PLACES, differences
from dlt.common.schema import utils
from dlt.pipeline.exceptions import PipelineStepFailed
from later import some_later

from stripe_source import sandbox
from stripe_source.api.client import Client
from stripe_source.destination.duckdb_session import DuckDBSession
from stripe_source.dlt_patches.apply import dlt_patches
from stripe_source.dlt_patches.duckdb import MERGE_FROM_PARQUET
from stripe_source.dlt_patches.performance import (
    PATCHES,
    TRACE_STEPS,
    fast_schema_copies,
    large_parquet_writes,
    remember_destination_settings,
    remember_schema_files,
    remember_schema_hashes,
    remember_type_hints,
    short_traces,
)
from stripe_source.dlt_patches.postgres import COPY_CSV
from stripe_source.dlt_patches.scope import DLT_VERSIONS, Patch, WrittenFor, fingerprint
from stripe_source.load.process import collect_rarely
from stripe_source.load.sync import sync
from stripe_source.source import stripe_source

Row = dict[str, Any]


def pipeline_into(folder: Path) -> dlt.Pipeline:
    return dlt.pipeline("pace", destination=dlt.destinations.duckdb(str(folder / "pace.duckdb")), dataset_name="data",
                        pipelines_dir=str(folder / "dlt"))


def load(pipeline: dlt.Pipeline, rows: list[Row], *, hard: bool = False, format: Any = "parquet") -> None:
    """A load as ours are: Arrow, merged by a key, into a table with our hint."""

    @dlt.source(name="stripe", section="stripe")
    def source() -> Any:
        hints: Any = {"gone": {"data_type": "bool", **({"hard_delete": True} if hard else {})}}

        @dlt.resource(name="things", write_disposition="merge", primary_key=["account", "id"], columns=hints)
        def things() -> Iterator[Any]:
            schema = pa.schema([("account", pa.string()), ("id", pa.string()), ("n", pa.int64()), ("gone", pa.bool_())])
            yield pa.Table.from_pylist(rows, schema)

        ours: Any = {"x-stripe-object": "thing"}
        return things.apply_hints(additional_table_hints=ours)

    with dlt_patches(pipeline):
        pipeline.run(source(), loader_file_format=format)


def held(pipeline: dlt.Pipeline) -> list[tuple[Any, ...]]:
    with pipeline.sql_client() as client:
        return client.execute_sql("SELECT id, n FROM things ORDER BY ALL") or []


def jobs(pipeline: dlt.Pipeline) -> list[str]:
    """The kinds of jobs of the last load."""
    folder = Path(pipeline.working_dir) / "load" / "loaded" / pipeline.list_completed_load_packages()[-1]
    files = (folder / "completed_jobs").iterdir()
    return sorted(file.name.split(".")[3] for file in files if file.name.startswith("things"))


def thing(id: str, n: int, gone: bool | None = False) -> Row:
    return {"account": "acct_1", "id": id, "n": n, "gone": gone}


def test_rows_go_from_the_file_into_the_place_of_those_with_their_keys(tmp_path: Path) -> None:
    """New ones are added, changed ones replaced, the others stay; no copy in a staging table, no second job."""
    pipeline = pipeline_into(tmp_path)
    load(pipeline, [thing("a", 1), thing("b", 1)])
    load(pipeline, [thing("b", 2), thing("c", 2)])

    assert held(pipeline) == [("a", 1), ("b", 2), ("c", 2)]
    assert jobs(pipeline) == ["parquet"]
    with duckdb.connect(str(tmp_path / "pace.duckdb")) as file:
        assert file.execute("SELECT count(*) FROM data_staging.things").fetchone() == (0,)


def test_of_rows_with_one_key_in_a_load_one_is_taken(tmp_path: Path) -> None:
    """As dlt does where no order is given."""
    pipeline = pipeline_into(tmp_path)
    load(pipeline, [thing("a", 1), thing("b", 1), thing("a", 2)])

    assert [id for id, _ in held(pipeline)] == ["a", "b"]


def test_flagged_rows_go_where_they_are_to(tmp_path: Path) -> None:
    """`deletes="hard"`: a flagged row removes the one that is there, and is not added itself."""
    pipeline = pipeline_into(tmp_path)
    load(pipeline, [thing("a", 1), thing("b", 1, None)], hard=True)
    load(pipeline, [thing("a", 1, True), thing("z", 1, True)], hard=True)

    assert held(pipeline) == [("b", 1)]


def test_other_file_formats_go_dlts_way(tmp_path: Path) -> None:
    """A run that asks for INSERT statements merges through the staging table."""
    pipeline = pipeline_into(tmp_path)
    load(pipeline, [thing("a", 1), thing("b", 1)])
    load(pipeline, [thing("b", 2)], format="insert_values")

    assert held(pipeline) == [("a", 1), ("b", 2)]
    assert "sql" in jobs(pipeline)


def test_the_hash_of_a_schema_is_the_one_that_dlt_computes(tmp_path: Path) -> None:
    """The same, computed once; another one as soon as a column comes, or the order of columns is another."""
    pipeline = pipeline_into(tmp_path)
    load(pipeline, [thing("a", 1)])
    schema: Any = pipeline.default_schema.to_dict()
    columns = schema["tables"]["things"]["columns"]
    turned = json.loads(json.dumps(schema))
    turned["tables"]["things"]["columns"] = dict(reversed(columns.items()))
    wider = json.loads(json.dumps(schema))
    wider["tables"]["things"]["columns"]["more"] = {"name": "more", "data_type": "text"}
    expected = [utils.generate_version_hash(each) for each in (schema, turned, wider)]

    with remember_schema_hashes():
        found = [utils.generate_version_hash(each) for each in (schema, turned, wider, schema)]

    assert found == [*expected, expected[0]]
    assert len(set(expected)) == 3


def test_copies_of_a_schema_are_equal_and_its_own(tmp_path: Path) -> None:
    """Whatever a schema holds; what is changed in the copy is not changed in the original."""
    from dlt.common.schema import schema as module

    made = {"tables": {"a": {"columns": {"b": {"precision": 3, "x": [Decimal(1), {"c"}, None, True, (1, [2])]}}}}}
    with fast_schema_copies():
        copy = module.deepcopy(made)  # type: ignore[attr-defined]
        column = copy["tables"]["a"]["columns"]["b"]
        assert copy == made
        column["precision"] = 4
        column["x"][1].add("d")
        column["x"][4][1].append(3)
        column["x"].append("e")

    assert made["tables"]["a"]["columns"]["b"] == {"precision": 3, "x": [Decimal(1), {"c"}, None, True, (1, [2])]}


def test_capabilities_of_a_destination_are_those_that_dlt_works_out(tmp_path: Path) -> None:
    """With what its configuration says, and each time another object, which may be changed."""
    def said(capabilities: Any) -> dict[str, str]:
        return {name: str(value).split(" at 0x")[0] for name, value in capabilities.items()}

    for made in (dlt.destinations.duckdb(str(tmp_path / "a.duckdb")), dlt.destinations.postgres("postgres://a:b@c/d"),
                 dlt.destinations.filesystem(str(tmp_path)), dlt.destinations.sqlalchemy("sqlite:///a.db")):
        expected = made.capabilities()
        with remember_destination_settings():
            first = made.capabilities()
            first.preferred_loader_file_format = "jsonl"
            second = made.capabilities()

        assert said(second) == said(expected)
        assert second is not first


def test_a_schema_whose_file_is_another_one_is_read_again(tmp_path: Path) -> None:
    """It is the same object as before, with what the file says; changes that were not saved are kept."""
    from dlt.common.schema import Schema
    from dlt.common.storages import LiveSchemaStorage, SchemaStorage, SchemaStorageConfiguration

    place = SchemaStorageConfiguration(str(tmp_path))
    live, elsewhere = LiveSchemaStorage(place, makedirs=True), SchemaStorage(place)
    live.save_schema(Schema("stripe"))
    with remember_schema_files():
        schema = live["stripe"]
        file = next(tmp_path.glob("*.json"))
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        content = file.read_bytes()
        with file.open("r+b") as opened:  # the same file by all that tells it from another one
            opened.write(b"?")
        os.utime(file, ns=times)
        assert live["stripe"] is schema
        file.write_bytes(content)

        other = elsewhere.load_schema("stripe")
        other.update_table({"name": "loaded_elsewhere", "columns": {"a": {"name": "a", "data_type": "text"}}})
        elsewhere.save_schema(other)
        assert live["stripe"] is schema
        assert "loaded_elsewhere" in schema.tables

        schema.update_table({"name": "not_saved", "columns": {"a": {"name": "a", "data_type": "text"}}})
        assert "not_saved" in live["stripe"].tables
        live.commit_live_schema("stripe")
        assert "not_saved" in live["stripe"].tables
        file.unlink()
        assert live["stripe"] is schema


def test_files_are_whole_when_dlt_closes_them(tmp_path: Path) -> None:
    """Several tables in one file, larger than what is written at once."""
    from dlt.common.data_writers.writers import ArrowToParquetWriter
    from dlt.common.destination import DestinationCapabilitiesContext
    from dlt.common.destination.configuration import ParquetFormatConfiguration

    table = pa.table({"text": [f"{n:0100}" for n in range(60_000)]})
    plain: Any = {"compression": "none", "row_group_size": None}
    with large_parquet_writes(), (tmp_path / "arrow_rows.parquet").open("wb") as file:
        writer = ArrowToParquetWriter(
            file, DestinationCapabilitiesContext.generic_capabilities("parquet"),
            _format=ParquetFormatConfiguration(**plain),
        )
        lengths = []
        for _ in range(3):
            writer.write_data([table])
            lengths.append(file.tell())
        writer.write_footer()
        writer.close()
        file.flush()

        assert lengths[0] > 6_000_000
        assert lengths == sorted(set(lengths))
        assert pq.read_table(tmp_path / "arrow_rows.parquet").equals(pa.concat_tables([table] * 3))


@pytest.mark.parametrize("fails", some_later([False, True], [False]))
def test_the_trace_of_a_run_has_its_last_steps_and_is_written_when_it_is_over(fails: bool, tmp_path: Path) -> None:
    """After several loads, and after one that failed: what `dlt pipeline trace` shows, and what is in memory."""
    from dlt.pipeline.trace import load_trace

    pipeline = pipeline_into(tmp_path)
    file = Path(pipeline.working_dir) / "trace.pickle"

    def steps() -> None:
        pipeline.extract([{"id": 1}], table_name="things", loader_file_format="parquet")
        pipeline.normalize()
        pipeline.load()

    def run() -> None:
        with short_traces():
            for _ in range(TRACE_STEPS):
                steps()
            assert not file.exists()
            if fails:
                pipeline.extract(iter(lambda: 1 // 0, 1), table_name="things")

    if fails:
        with pytest.raises(PipelineStepFailed):
            run()
    else:
        run()
    written, here = load_trace(pipeline.working_dir, ignore_errors=False), pipeline.last_trace
    assert written and here
    spans = [step.span_id for step in here.steps]
    steps()
    later = pipeline.last_trace

    assert [step.step for step in written.steps[-2:]] == (["load", "extract"] if fails else ["normalize", "load"])
    assert [step.span_id for step in written.steps] == spans
    assert len(spans) == TRACE_STEPS
    assert bool(written.steps[-1].step_exception) == fails
    assert later and len(later.steps) == TRACE_STEPS + 3  # dlt is as it was


def test_several_runs_of_a_process_share_what_is_changed(tmp_path: Path) -> None:
    """Files of a run that began first are whole when it ends last or first, and dlt is as it was in the end."""
    from dlt.common.data_writers.writers import ParquetDataWriter

    before = (ParquetDataWriter._create_writer, utils.generate_version_hash, gc.get_threshold())
    first, second = ExitStack(), ExitStack()
    for several in (first, second):
        for change in (large_parquet_writes, remember_schema_hashes, collect_rarely):
            several.enter_context(change())
    first.close()
    pipeline = pipeline_into(tmp_path)
    load(pipeline, [thing("a", 1)])
    during = (ParquetDataWriter._create_writer, utils.generate_version_hash, gc.get_threshold())
    second.close()

    assert held(pipeline) == [("a", 1)]
    assert all(one != other for one, other in zip(before, during, strict=True))
    assert (ParquetDataWriter._create_writer, utils.generate_version_hash, gc.get_threshold()) == before


@pytest.mark.parametrize("at_last", [False, True])
def test_what_waits_in_the_log_is_written_between_loads(
    at_last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is kept open has its log written while nothing is loaded, and is as it was when it is closed.

    Much is written at any time, and little when few loads are to come.
    """
    if not at_last:
        monkeypatch.setattr("stripe_source.destination.duckdb_session.DuckDBSession.LOG", 1)
    pipeline, log = pipeline_into(tmp_path), tmp_path / "pace.duckdb.wal"
    load(pipeline, [thing("a", 1)])
    with DuckDBSession(pipeline) as database:
        database.keep_open()
        load(pipeline, [thing("b", 2)])
        waited = log.stat().st_size
        database.write_in_background(at_last)
        database.wait_for_writing()
        written = log.stat().st_size if log.exists() else 0
        load(pipeline, [thing("c", 3)])

    assert written < waited
    assert held(pipeline) == [("a", 1), ("b", 2), ("c", 3)]
    assert not log.exists()


def test_what_dlt_knows_of_its_annotations_is_what_it_works_out(tmp_path: Path) -> None:
    """What is wrong with a table is found with the same words, and a secret stays one, however often it is asked."""
    from dlt.common.configuration import resolve
    from dlt.common.exceptions import DictValidationException
    from dlt.common.schema.typing import TTableSchema
    from dlt.common.typing import TSecretStrValue
    from dlt.common.validation import validate_dict

    good = {"name": "things", "columns": {"id": {"name": "id", "data_type": "text"}}}
    bad = {"name": "things", "columns": {"id": {"name": "id", "data_type": "texts"}}}

    def outcome(table: Row) -> str | None:
        try:
            validate_dict(TTableSchema, table, ".")
        except DictValidationException as error:
            return str(error)
        return None

    def told() -> list[object]:
        hints: list[Any] = [TSecretStrValue, str, str | None, Annotated[str, ["no hash"]]]
        return [outcome(good), outcome(bad), outcome(good), *map(resolve.is_secret_hint, hints)]

    expected = told()
    with remember_type_hints():
        assert [told(), told()] == [expected, expected]

    assert expected[0] is None and "texts" in str(expected[1]) and expected[3:5] == [True, False]


def test_groups_of_rows_are_left_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB does not write old rows again for each load; afterwards it may, as it does by itself."""
    monkeypatch.setattr("stripe_source.destination.duckdb_session.DuckDBSession.LOG", 1)
    pipeline = pipeline_into(tmp_path)
    query = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('data.things')"
    usual = "SELECT value FROM duckdb_settings() WHERE name = 'max_vacuum_tasks'"
    load(pipeline, [thing("0", 0)])
    with DuckDBSession(pipeline) as database:
        database.keep_open()
        for n in range(1, 6):
            load(pipeline, [thing(str(n), n)])
            database.write_in_background()
            database.wait_for_writing()
    with duckdb.connect(str(tmp_path / "pace.duckdb")) as connection:
        groups, setting = connection.execute(query).fetchone(), connection.execute(usual).fetchone()

    assert held(pipeline) == [(str(n), n) for n in range(6)]
    assert groups == (6,) and setting != ("0",)


def state_of_dlt() -> list[Any]:
    """All that a run changes for a while, and the logger's filters."""
    from dlt.common import validation
    from dlt.common.configuration import resolve
    from dlt.common.configuration.providers import environ
    from dlt.common.data_writers.writers import ParquetDataWriter
    from dlt.pipeline import trace

    extract, pipeline = import_module("dlt.extract.extract"), import_module("dlt.pipeline.pipeline")
    return [
        vars(ParquetDataWriter)["_create_writer"], utils.generate_version_hash, vars(validation)["get_type_hints"],
        resolve.is_secret_hint, vars(environ)["is_secret_hint"], vars(extract)["yaml"], pipeline.merge_traces,
        pipeline.save_trace, list(trace.TRACKING_MODULES), list(logging.getLogger("dlt").filters),
    ]


def test_a_patch_stays_out_where_dlt_has_another_function(caplog: pytest.LogCaptureFixture) -> None:
    """It says so once, with what that means; where the functions are those that it was written for, it is used."""
    target = "dlt.common.schema.utils:generate_version_hash"
    entered: list[str] = []

    def change() -> Iterator[None]:
        """A change."""
        entered.append("")
        yield

    same, other, gone, older = (
        Patch(change, WrittenFor(name, versions, {function: digest}, "it takes longer"))
        for name, versions, function, digest in (
            ("same", DLT_VERSIONS, target, fingerprint(target)[:16]), ("other", DLT_VERSIONS, target, "0" * 16),
            ("gone", DLT_VERSIONS, target + "s", "0" * 16), ("older", ["1.3"], target, fingerprint(target)[:16]),
        )
    )
    with same():
        pass
    assert (len(entered), caplog.messages) == (1, [])
    for _ in range(2):
        with other(), gone(), older():
            pass

    assert len(entered) == 1
    assert [message.split(" of dlt")[0] for message in caplog.messages] == [
        "the patch `other`", "the patch `gone`", "the patch `older`"]
    assert all(message.endswith("it takes longer") for message in caplog.messages)


def test_every_patch_is_used_with_the_dlt_that_is_installed() -> None:
    """The fingerprints are those of this dlt."""
    every = [*(each.written_for for each in PATCHES), MERGE_FROM_PARQUET, COPY_CSV]

    assert [each.difference() for each in every] == [""] * len(every) == [""] * 10


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_leaves_dlt_as_it_was(fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain `pipeline.run`, and one whose extraction fails: patched meanwhile, and the very same afterwards."""
    before, during = state_of_dlt(), []
    client = Client.get

    async def get(self: Client, *args: Any, **kwargs: Any) -> Any:
        during.append(state_of_dlt())
        if fails:
            raise ZeroDivisionError
        return await client(self, *args, **kwargs)

    monkeypatch.setattr(Client, "get", get)
    with sandbox.serve(seed=3, scale=0.01) as stripe, suppress(PipelineStepFailed):
        pipeline_into(tmp_path).run(stripe_source(tables="customers", api_base=stripe.url, api_key=stripe.api_key))

    assert during and all(one != other for one, other in zip(before, during[0], strict=True))
    assert state_of_dlt() == before


def test_two_threads_share_a_patch_until_the_last_has_left_it(tmp_path: Path) -> None:
    """One leaves by an error while the other is in it."""
    before, inside, left = state_of_dlt(), threading.Barrier(2), threading.Event()
    seen: dict[str, list[Any]] = {}

    def first() -> None:
        with suppress(ZeroDivisionError), dlt_patches(pipeline_into(tmp_path / "first")):
            inside.wait(60)
            raise ZeroDivisionError
        seen["between"] = state_of_dlt()
        left.set()

    def second() -> None:
        with dlt_patches(pipeline_into(tmp_path / "second")):
            inside.wait(60)
            left.wait(60)
            seen["last"] = state_of_dlt()

    threads = [threading.Thread(target=each) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen["between"] == seen["last"]
    assert [one == other for one, other in zip(before, seen["last"], strict=True)].count(False) == 9
    assert state_of_dlt() == before


@pytest.mark.filterwarnings("ignore:implicitly coercing SELECT")  # of dlt's merge on SQLAlchemy
@pytest.mark.parametrize("name", ["DuckDB", "Postgres", "SQLite"])
def test_loads_without_patches_bring_the_same_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`STRIPE_SOURCE_PATCHES=off`: the first load, and one with changes, empty texts and JSON, equal the dump."""
    monkeypatch.setenv("STRIPE_SOURCE_PATCHES", "off")
    monkeypatch.setattr(utils, "generate_version_hash", original := utils.generate_version_hash)
    tables = "customers;products"
    with PLACES[name](tmp_path) as place, sandbox.serve(seed=7, scale=0.02) as stripe:
        pipeline = dlt.pipeline("off", destination=place.make(), dataset_name=DATASET,
                                pipelines_dir=str(tmp_path / "dlt"))

        def difference() -> list[str]:
            sync(pipeline, tables=tables, api_base=stripe.url, api_key=stripe.api_key)
            dump = stripe.world.dump()
            account = dump["accounts"][0].object["id"]
            return [line for each in tables.split(";")
                    for line in differences(place.rows(each), each, dump[each], account)]

        assert difference() == []
        customer = next(truth.object["id"] for truth in stripe.world.dump()["customers"] if not truth.deleted)
        stripe.world.update("customer", customer, description="", metadata={"a": '"'})
        stripe.world.live(10)
        assert difference() == []
        assert next(row["description"] for row in place.rows("customers") if row["id"] == customer) == ""
    with dlt_patches(pipeline):
        assert utils.generate_version_hash is original


def test_importing_the_package_changes_nothing_of_dlt() -> None:
    """Neither its functions nor its trackers nor the log."""
    program = """
import gc, sys, json, logging
import dlt, dlt.pipeline.trace, dlt.pipeline.pipeline, dlt.extract.extract, dlt.common.data_writers.writers
import dlt.destinations.impl.duckdb.duck, dlt.destinations.impl.filesystem.filesystem

def state():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "dlt" and module:
            for key, value in list(vars(module).items()):
                found[name, key] = id(value)
                if isinstance(value, type) and value.__module__ == name:
                    found.update({(name, key, each): id(attribute) for each, attribute in list(vars(value).items())
                                  if callable(attribute)})
    return found

def rest():
    return [list(sys.modules["dlt.pipeline.trace"].TRACKING_MODULES), gc.get_threshold(),
            logging.getLogger("dlt").filters[:], logging.getLogger().handlers[:]]

before, others = state(), rest()
import stripe_source, stripe_source.source, stripe_source.load.sync, stripe_source.verification.verify
after = state()
print(json.dumps([[str(k) for k in before if after.get(k) != before[k]], rest() == others]))
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert json.loads(said) == [[], True]
