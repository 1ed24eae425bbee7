"""Steps of dlt that cost too much in a run, and what does the same in less time."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import yaml
from dlt.common import json
from dlt.common.configuration.specs import BaseConfiguration

from stripe_source.dlt_patches.scope import patch, replaced

BYTES_PER_WRITE = 8_000_000  # bytes
HASHES_KEPT = 20  # schemas whose hash is remembered
TRACE_STEPS = 9  # of a run that its trace has: those of three loads
_NOT_HASHED = {"version", "version_hash", "imported_version_hash", "previous_hashes"}


@patch("the hints of resources are written by Python's own YAML", {
    "dlt.extract.extract:Extract._compute_metrics": "7ffa61ddbf69f32a",
})
def fast_hint_notes() -> Iterator[None]:
    """Let dlt note the hints of its resources in YAML by the C library.

    dlt 1.31 notes them for its trace at the end of every extraction, with Python's own YAML: 20 ms a table.
    """
    extract = import_module("dlt.extract.extract")
    dumper = getattr(yaml, "CDumper", None) or yaml.Dumper
    with replaced(extract, "yaml", SimpleNamespace(dump=partial(yaml.dump, Dumper=dumper))):
        yield


@patch("schemas are copied value by value", {
    "dlt.common.schema.utils:fill_hints_from_parent_and_clone_table": "1d5ddf7c29d7995c",
    "dlt.common.schema.utils:remove_defaults": "1ab47d2bb2e63d09",
    "dlt.common.schema.schema:Schema.clone": "9a73e0144bd501b6",
    "dlt.common.schema.schema:Schema.to_dict": "d92318c946ba8066",
})
def fast_schema_copies() -> Iterator[None]:
    """Let dlt copy schemas without the bookkeeping of `copy.deepcopy`: they are dictionaries of texts and numbers.

    dlt 1.31 copies a table for each of its jobs and whole schemas with each step: 2.7 of 15.9 s of CPU in a first load
    of 145 small tables (measured 2026-11-29).
    """
    utils, schema = import_module("dlt.common.schema.utils"), import_module("dlt.common.schema.schema")
    with replaced(utils, "deepcopy", _copied), replaced(schema, "deepcopy", _copied):
        yield


def _copied(value: Any) -> Any:
    """A deep copy, of what a schema is made of in less time."""
    kind = type(value)
    if kind is dict:
        return {name: _copied(part) for name, part in value.items()}
    if kind is str or kind is bool or kind is int or value is None:
        return value
    return [_copied(part) for part in value] if kind is list else deepcopy(value)


@patch("the hash of a schema is computed each time", {
    "dlt.common.schema.utils:generate_version_hash": "aff6a239d209419f",
})
def remember_schema_hashes() -> Iterator[None]:
    """Let dlt compute the hash of a schema once.

    dlt 1.31 computes it 200 times in a load, each time of all columns of all tables: 3 ms with 68 tables, in place of
    one (measured 2026-11-26).
    """
    from dlt.common.schema import utils

    theirs = utils.generate_version_hash
    known: dict[bytes, str] = {}

    def generate_version_hash(stored_schema: Any) -> str:
        plain = {name: value for name, value in stored_schema.items() if name not in _NOT_HASHED}
        key = json.dumpb(plain)  # columns in their order, which counts
        found = known.get(key)
        if found is None:
            if len(known) >= HASHES_KEPT:
                known.clear()
            found = known[key] = theirs(stored_schema)
        return found

    with replaced(utils, "generate_version_hash", generate_version_hash):
        yield


@patch("Parquet is written column by column", {
    "dlt.common.data_writers.writers:ParquetDataWriter._create_writer": "06a83d1550e816cb",
    "dlt.common.data_writers.writers:ParquetDataWriter.close": "1062ee29dde3aeb1",
    "dlt.common.data_writers.writers:ParquetDataWriter.write_data": "b21b839c2098c2c8",
})
def large_parquet_writes() -> Iterator[None]:
    """Let pyarrow write the Parquet files of dlt by 8 MB, or a table.

    pyarrow writes every column by itself, each time in Python, which has to wait for the lock that the other threads
    hold: 2.9 s for 16,000 rows of 216 columns beside a busy thread, in place of 0.1 (measured 2026-11-26).
    """
    import pyarrow as pa
    from dlt.common.data_writers.writers import ParquetDataWriter

    theirs = ParquetDataWriter._create_writer

    def create_writer(self: Any, schema: pa.Schema) -> Any:
        file = self._f
        self.sink = self._f = sink = pa.BufferedOutputStream(pa.PythonFile(file, mode="w"), BYTES_PER_WRITE)
        try:
            writer = theirs(self, schema)
        finally:
            self._f = file
        plain = type(writer).write_table

        def write_table(table: pa.Table, row_group_size: int | None = None) -> None:
            plain(writer, table, row_group_size)
            sink.flush()  # dlt asks for the length of the file

        writer.write_table = write_table
        writer.file_handle = SimpleNamespace(close=sink.flush)  # pyarrow closes it after the footer
        return writer

    with replaced(ParquetDataWriter, "_create_writer", create_writer):
        yield


@patch("annotations are worked out each time", {
    "dlt.common.validation:validate_dict": "7e0b389b42c1f659",
    "dlt.common.configuration.resolve:is_secret_hint": "e151b978aeacbe3d",
})
def remember_type_hints() -> Iterator[None]:
    """Let dlt work out once what the annotations of its classes mean.

    dlt 1.31 does it for each column of each table that it checks, and for each place where a value of its configuration
    may be. Checking a table of 216 columns takes 32 ms, in place of 6 (measured 2026-11-26).
    """
    from dlt.common import validation
    from dlt.common.configuration import resolve
    from dlt.common.configuration.providers import environ

    places: list[Any] = [(validation, "get_type_hints"), (resolve, "is_secret_hint"), (environ, "is_secret_hint")]
    with ExitStack() as stack:
        for module, name in places:
            stack.enter_context(replaced(module, name, _memoized(getattr(module, name))))
        yield


@patch("the configuration of a destination is resolved each time", {
    "dlt.common.destination.reference:Destination.capabilities": "2c45487b554979ca",
})
def remember_destination_settings() -> Iterator[None]:
    """Let dlt resolve once what its configuration says of a destination's capabilities, without its credentials.

    dlt 1.31 does it 43 times in a small run: 0.15 of 0.6 s of CPU (measured 2026-11-29). The capabilities themselves
    are worked out each time, as they are changed by who asks for them.
    """
    from dlt.common.destination.reference import Destination

    theirs = Destination.capabilities
    known: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def capabilities(self: Any, config: Any = None, naming: Any = None) -> Any:
        if config is None:
            if self not in known:
                known[self] = _partial_configuration(self)
            config = known[self]
        return theirs(self, config, naming)

    with replaced(Destination, "capabilities", capabilities):
        yield


def _partial_configuration(destination: Any) -> Any:
    """What dlt resolves where it is given no configuration: none of the credentials is looked up."""
    given = destination.spec()
    given.update(destination.config_params)
    credentials = given.credentials
    if not credentials:
        credentials = destination.spec.credentials_type(given)()
        credentials.__is_resolved__ = True
    elif isinstance(credentials, BaseConfiguration):
        credentials = credentials.copy()
    config = destination.spec(credentials=credentials)
    with suppress(Exception):  # as dlt has it: a value that is not valid is the trouble of who uses it
        config = destination.configuration(config, accept_partial=True)
    return config


@patch("a schema is read from its file each time", {
    "dlt.common.storages.live_schema_storage:LiveSchemaStorage.__getitem__": "fe2f7f7b77a09055",
    "dlt.common.storages.schema_storage:SchemaStorage.load_schema": "0d59eba387a02265",
})
def remember_schema_files() -> Iterator[None]:
    """Let dlt read the file of a schema again only where it is another file than before.

    dlt 1.31 reads, checks and takes over the file each time that the schema is asked for and has no changes of its own:
    24 times in a run of 68 tables that finds nothing new: 0.3 of 2.9 s of CPU (measured 2026-11-30).
    """
    from dlt.common.storages.live_schema_storage import LiveSchemaStorage

    theirs = LiveSchemaStorage.__getitem__
    known: WeakKeyDictionary[Any, tuple[int, ...]] = WeakKeyDictionary()  # by schema: the file that it was read from

    def getitem(self: Any, name: str) -> Any:
        schema = self.live_schemas.get(name)
        file = None if self.config.import_schema_path else _file_stamp(self, name)
        if schema is not None and file is not None and known.get(schema) == file and not schema.is_modified:
            return schema
        found = theirs(self, name)
        if file is None or found.is_modified:
            known.pop(found, None)
        else:
            known[found] = file
        return found

    with replaced(LiveSchemaStorage, "__getitem__", getitem):
        yield


def _file_stamp(storage: Any, name: str) -> tuple[int, ...] | None:
    """What tells the file of a schema from another one in its place; None where there is none."""
    try:
        found = os.stat(storage.storage.make_full_path(storage._file_name_in_store(name, "json")))
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _memoized(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of an annotation, which remembers its answers."""
    known: dict[Any, Any] = {}

    def remembered(hint: Any, **rest: Any) -> Any:
        try:
            if hint not in known:
                known[hint] = function(hint, **rest)
            return known[hint]
        except TypeError:  # not every annotation has a hash
            return function(hint, **rest)

    return remembered


@patch("100 steps are kept and written after each", {
    "dlt.pipeline.trace:merge_traces": "dbb2befa2cf72b69",
    "dlt.pipeline.trace:save_trace": "85896253fe7ba97a",
})
def short_traces() -> Iterator[None]:
    """Let dlt keep what it traces of the last steps of a run, and write it once, when the run is over.

    dlt 1.31 keeps 100 steps, each with a schema, and writes all of them after each: in the end of a load of 1.6 million
    rows into eight tables 18 MB, for 0.1 to 0.2 s in which no other thread runs, three times a load (2026-11-26).
    """
    pipeline: Any = import_module("dlt.pipeline.pipeline")  # its package has a function of that name
    merge, save = pipeline.merge_traces, pipeline.save_trace
    last: dict[str, Any] = {}

    def merge_traces(before: Any, new: Any) -> Any:
        merged = merge(before, new)
        return merged._replace(steps=merged.steps[-TRACE_STEPS:])

    with replaced(pipeline, "merge_traces", merge_traces), replaced(pipeline, "save_trace", last.__setitem__):
        yield
    for folder, trace in last.items():
        if Path(folder).exists():
            save(folder, trace)


PATCHES = (
    fast_hint_notes, fast_schema_copies, remember_schema_hashes, remember_type_hints,
    remember_destination_settings, remember_schema_files, short_traces, large_parquet_writes,
)
