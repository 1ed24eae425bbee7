"""A process whose imports are done: it forks a child for each run, and keeps what kill -9 would leave at each step.

An order is a line of JSON on its input, an answer one on its output. In a run whose operations are to be kept, the
child stops before each of them: this process halts all of its threads with SIGSTOP, copies its folder, and lets it go
on. The copy is what a kill at this moment leaves, as what a process has given to the system outlives it, and nothing
else does.

Operations are what Python reports to audit hooks, from all threads: files that are opened for writing, linked, renamed,
removed, cut; folders that are made and removed. A file that is opened counts twice, the second time when it is there
and nothing has been written into it. DuckDB writes its files without Python; so connections that are opened and closed,
begin, commit, and statements that write count as well.
"""
from __future__ import annotations

import filecmp
import gc
import json
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate", "os.utime",
}
READS = re.compile(r"\s*(SELECT|WITH|DESCRIBE|SET|RESET|PRAGMA)\b", re.IGNORECASE)
IMPORTED = ("dlt", "stripe_source", "pyarrow", "duckdb", "aiohttp")


class Operations:
    """Stops before each operation of this process, until the other one says that it may go on.

    Args:
        stops: where each is told, a line for each.
        goes_on: where a byte for each is answered.
    """

    def __init__(self, stops: int, goes_on: int) -> None:
        self._stops, self._goes_on = stops, goes_on
        self._one_by_one, self._own = threading.Lock(), threading.local()

    def stop(self, what: str) -> None:
        with self._one_by_one:
            os.write(self._stops, f"{what}\n".encode())
            os.read(self._goes_on, 1)

    def hook(self, event: str, values: tuple[Any, ...]) -> None:
        """An audit hook."""
        if getattr(self._own, "busy", False):
            return
        self._own.busy = True
        try:
            if event == "open":
                path, _, flags = values
                if isinstance(path, (str, bytes)) and flags & WRITING and os.fsdecode(path) != os.devnull:
                    self._opened(os.fsdecode(path), flags)
            elif event in CHANGES:
                self.stop(" ".join([event, *(str(each) for each in values[:2] if isinstance(each, (str, bytes)))]))
        finally:
            self._own.busy = False

    def _opened(self, path: str, flags: int) -> None:
        self.stop(f"open {path}")
        was_there = os.path.exists(path)
        with suppress(OSError):
            os.close(os.open(path, flags, 0o600))
            self.stop(f"open {path}: nothing is written")
            if not was_there and flags & os.O_EXCL:  # it is made again
                os.unlink(path)


class Connection:
    """A connection of DuckDB that stops before what writes."""

    def __init__(self, native: Any, operations: Operations) -> None:
        self._native, self._operations = native, operations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    def execute(self, query: str, *values: Any) -> Any:
        if not READS.match(query):
            self._operations.stop(f"DuckDB: {' '.join(query.split())[:60]}")
        self._native.execute(query, *values)
        return self

    def begin(self) -> Any:
        self._operations.stop("DuckDB: begin")
        return self._native.begin()

    def commit(self) -> Any:
        self._operations.stop("DuckDB: commit")
        return self._native.commit()

    def cursor(self) -> Connection:
        return Connection(self._native.cursor(), self._operations)

    duplicate = cursor

    def close(self) -> None:
        self._operations.stop("DuckDB: close")
        self._native.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def live(order: dict[str, Any], operations: Operations | None) -> dict[str, Any]:
    """One run, in this process."""
    import dlt
    import duckdb

    from stripe_source.load import sync

    folder = Path(order["folder"])
    os.chdir(folder)
    if "rows_per_load" in order:
        sync.ROWS_PER_LOAD, sync.ROWS_PER_FURTHER_TABLE = order["rows_per_load"], 0
    if operations:
        connect = duckdb.connect

        def connected(*values: Any, **options: Any) -> Any:
            operations.stop("DuckDB: connect")
            return Connection(connect(*values, **options), operations)

        duckdb.connect = connected
        sys.addaudithook(operations.hook)
    pipeline = dlt.pipeline(
        "killed", destination=dlt.destinations.duckdb(str(folder / "killed.duckdb")), dataset_name="stripe",
        pipelines_dir=str(folder / "pipelines"),
    )
    result = sync.sync(pipeline, **order["options"])
    return {"exit_code": result.exit_code, "loads": len(result.load_ids), "pending": bool(pipeline.has_pending_data)}


def child(order: dict[str, Any], answers: int, operations: Operations | None) -> None:
    """The life of a child."""
    try:
        answer = live(order, operations)
    except BaseException:
        answer = {"error": traceback.format_exc()}
    answer["modules"] = list(sys.modules)
    sys.stderr.flush()
    with os.fdopen(answers, "w") as pipe:
        json.dump(answer, pipe)
    os._exit(0)


@contextmanager
def halted(process: int) -> Any:
    """No thread of a child does anything meanwhile."""
    os.kill(process, signal.SIGSTOP)
    os.waitpid(process, os.WUNTRACED)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def kept(folder: Path, place: Path, before: Path | None) -> bool:
    """Copy a folder; a file that is as it was in the copy before is the same file, and is only linked.

    Returns:
        Whether anything differs from the copy before: a name, or a byte of a file.
    """
    changed = False

    def copy(source: str, target: str) -> None:
        nonlocal changed
        earlier = before / Path(source).relative_to(folder) if before else None
        if earlier and earlier.is_file() and filecmp.cmp(source, earlier, shallow=False):
            os.link(earlier, target)
        else:
            changed = True
            shutil.copy2(source, target)

    shutil.copytree(folder, place, copy_function=copy)
    return changed or before is None or names(place) != names(before)


def names(folder: Path) -> set[str]:
    """Files and folders in a folder, at any depth."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def watch(order: dict[str, Any], process: int, stops: int, goes_on: int) -> list[tuple[str, bool]]:
    """Copy the folder of a child at each operation, into folders `1`, `2`, ...

    Returns:
        The operations in their order, and whether the folder differed from that before the operation before.
    """
    copies, done, before = Path(order.get("copies", "")), list[tuple[str, bool]](), None
    with os.fdopen(stops) as lines:
        for line in lines:
            place = copies / str(len(done) + 1)
            with halted(process):
                done.append((line.rstrip(), kept(Path(order["folder"]), place, before)))
            before = place
            os.write(goes_on, b"x")
    return done


def serve() -> None:
    """Fork a child for each order."""
    import_module("pyarrow.parquet"), import_module("stripe_source.load.sync")
    registry, maps = import_module("stripe_source.tables.registry"), import_module("stripe_source.tables.schema_map")
    for line in sys.stdin:
        order = json.loads(line)
        for table in registry.TABLES:
            if table.name in order["options"]["tables"]:
                maps.table_map(table)  # read once for all
        gc.freeze()
        told, answers = os.pipe()
        stopped, stops = os.pipe()
        may_go_on, goes_on = os.pipe()
        process = os.fork()
        if not process:
            for end in (told, stopped, goes_on):
                os.close(end)
            child(order, answers, Operations(stops, may_go_on) if "copies" in order else None)
        for end in (answers, stops, may_go_on):
            os.close(end)
        operations = watch(order, process, stopped, goes_on)
        with os.fdopen(told) as pipe:
            answered = pipe.read()
        os.close(goes_on)
        _, status = os.waitpid(process, 0)
        answer = json.loads(answered) if answered else {"error": f"it ended with status {status}"}
        for module in answer.pop("modules", ()):  # what a run imports late, the next ones need not
            if module.split(".")[0] in IMPORTED:
                with suppress(ImportError):
                    import_module(module)
        print(json.dumps({"operations": operations, **answer}), flush=True)


if __name__ == "__main__":
    serve()
