"""What the last run did, kept in a file of the pipeline's working folder: `status` shows it."""
from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.errors import Busy, ConfigurationError
from stripe_source.load.extras.striim_metrics import iso_time
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import dlt

    from stripe_source.load.sync_result import SyncResult

log = logging.getLogger("stripe_source")
FILE = "stripe_last_run.json"
_KEPT = "status", "reason", "marker", "read", "new", "changed", "unchanged", "gone"  # of a table's result


@dataclass
class LastRun:
    """What the last run did, and of each table the last run that it was part of.

    Args:
        ended_at: ISO text in UTC, as all times here.
        seconds: wall time.
        error: why it ended early; None: it did not.
        exit_code: 0 where all that should be read was read and loaded.
        requests: to Stripe.
        notes: what it had to say.
        metrics: of the run as a whole, under Striim's names.
        tables: by name: when that run ended (`at`), how its reading ended (`status`, `reason`), its `marker`, numbers
            of rows, and Striim's metrics (`metrics`).
    """

    ended_at: str | None = None
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0
    requests: int = 0
    notes: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)


def last_run(pipeline: dlt.Pipeline) -> LastRun:
    """What the last run of a pipeline in this working folder did; empty where none is known."""
    try:
        words = json.loads(_file(pipeline).read_text(encoding="utf-8"))
        return LastRun(**words)
    except (OSError, ValueError, TypeError):  # there was none, or another release wrote it
        return LastRun()


def keep_result(pipeline: dlt.Pipeline, result: SyncResult) -> None:
    """Keep what a run did."""
    now, metrics = iso_time(int(time.time())), result.striim_metrics
    made = {
        name: {"at": now, **{word: getattr(table, word) for word in _KEPT}, "metrics": asdict(metrics.tables[name])}
        for name, table in result.tables.items() if name in metrics.tables
    }
    _keep(pipeline, LastRun(
        now, round(result.seconds, 3), None, result.exit_code, result.figures.requests, result.notes,
        asdict(metrics.total), {**last_run(pipeline).tables, **made},
    ))


@contextmanager
def failures_kept(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keep that a run ended early, and why; one that was refused before it began is none."""
    began = time.monotonic()
    try:
        yield
    except (Busy, ConfigurationError):
        raise
    except Exception as error:
        text = redact(str(error)) or type(error).__name__
        code = int(getattr(error, "exit_code", 1))
        ended = iso_time(int(time.time()))
        _keep(pipeline, LastRun(
            ended, round(time.monotonic() - began, 3), text, code, tables=last_run(pipeline).tables))
        raise


def _keep(pipeline: dlt.Pipeline, run: LastRun) -> None:
    """Write the file anew, readable by its owner alone; a run does not fail because of it."""
    file = _file(pipeline)
    draft = file.with_name(f"{FILE}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            json.dump(_plain(asdict(run)), opened)
        os.replace(draft, file)
    except OSError as error:
        log.debug("what the run did could not be kept for `status`: %s", error)
        with suppress(OSError):
            draft.unlink()


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if part not in (None, "", [], {})}


def _file(pipeline: dlt.Pipeline) -> Path:
    return Path(pipeline.working_dir) / FILE
