"""Where a run saves time and memory in what surrounds it: Python, and the steps of dlt."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from dlt.common import json

from stripe_source.dlt_patches.scope import shared_change

BYTES_PER_WRITE = 8_000_000  # bytes
HASHES_KEPT = 20  # schemas whose hash is remembered
TRACE_STEPS = 9  # of a run that its trace has: those of three loads
_NOT_HASHED = {"version", "version_hash", "imported_version_hash", "previous_hashes"}


@shared_change
def fast_hint_notes() -> Iterator[None]:
    """Let dlt note the hints of its resources in YAML by the C library.

    dlt 1.31 notes them for its trace at the end of every extraction, with Python's own YAML: 20 ms a table.
    """
    from dlt.extract import extract as module

    extract: Any = module
    dumper, theirs = getattr(yaml, "CDumper", None), extract.yaml
    if dumper is not None:
        extract.yaml = SimpleNamespace(dump=partial(yaml.dump, Dumper=dumper))
    yield
    extract.yaml = theirs


@shared_change
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

    utils.generate_version_hash = generate_version_hash
    yield
    utils.generate_version_hash = theirs


@shared_change
def large_parquet_writes() -> Iterator[None]:
    """Let pyarrow write the Parquet files of dlt by 8 MB, or a table.

    It writes every column by itself, each time in Python, which has to wait for the lock that the other threads hold:
    2.9 s for 16,000 rows of 216 columns beside a busy thread, in place of 0.1 (measured 2026-11-26).
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
            sink.flush()  # dlt looks at how long the file is

        writer.write_table = write_table
        writer.file_handle = SimpleNamespace(close=sink.flush)  # pyarrow closes it after the footer
        return writer

    ParquetDataWriter._create_writer = create_writer  # type: ignore[method-assign]
    yield
    ParquetDataWriter._create_writer = theirs  # type: ignore[method-assign]


@shared_change
def remember_type_hints() -> Iterator[None]:
    """Let dlt work out once what the annotations of its classes mean.

    dlt 1.31 does it for each column of each table that it checks, and for each place where a value of its configuration
    may be. To check a table of 216 columns takes it 32 ms, in place of 6 (measured 2026-11-26).
    """
    from dlt.common import validation
    from dlt.common.configuration import resolve
    from dlt.common.configuration.providers import environ

    places: list[Any] = [(validation, "get_type_hints"), (resolve, "is_secret_hint"), (environ, "is_secret_hint")]
    theirs = [getattr(module, name) for module, name in places]
    for (module, name), each in zip(places, theirs, strict=True):
        setattr(module, name, _memoized(each))
    yield
    for (module, name), each in zip(places, theirs, strict=True):
        setattr(module, name, each)


def _memoized(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of an annotation, which remembers what it has answered."""
    known: dict[Any, Any] = {}

    def remembered(hint: Any, **rest: Any) -> Any:
        try:
            if hint not in known:
                known[hint] = function(hint, **rest)
            return known[hint]
        except TypeError:  # not every annotation has a hash
            return function(hint, **rest)

    return remembered


@shared_change
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

    pipeline.merge_traces, pipeline.save_trace = merge_traces, last.__setitem__
    yield
    pipeline.merge_traces, pipeline.save_trace = merge, save
    for folder, trace in last.items():
        if Path(folder).exists():
            save(folder, trace)
