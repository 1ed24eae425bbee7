"""dlt's clients of a destination, opened without a trace, and the translation of their errors into ours."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.destination.dlt_errors import cause_to_raise, our_error
from stripe_source.redaction import redact

if TYPE_CHECKING:
    import dlt
    from dlt import Schema


@contextmanager
def without_config_trace() -> Iterator[None]:
    """Ask dlt for a client without leaving a trace.

    dlt 1.31 notes every configuration value that it finds, and keeps the note until its next step has ended: outside of
    a step for good, with the credentials and all that hangs on them, of which DuckDB 2.0 complains when Python ends. So
    it notes nothing here.
    """
    from dlt.common.configuration.utils import get_resolved_traces

    notes = get_resolved_traces()
    noting, notes.logging_enabled = notes.logging_enabled, False
    try:
        yield
    finally:
        notes.logging_enabled = noting


def sql_client(pipeline: dlt.Pipeline) -> Any:
    """What reads a pipeline's dataset, not opened yet."""
    with without_config_trace():
        client: Any = pipeline.sql_client()
    if type(client).__module__ == "dlt.destinations.impl.filesystem.sql_client":
        from stripe_source.destination.filesystem import files_client

        return files_client(client)
    return client


def client_of_schema(pipeline: dlt.Pipeline, schema: Schema) -> Any:
    """What reads the tables of a schema in a pipeline's dataset, not opened yet."""
    client = sql_client(pipeline)
    if hasattr(client, "set_schemas"):  # files: it is dlt's schema that says what is in them
        client.set_schemas([schema])
    return client


def location_of(pipeline: dlt.Pipeline) -> str:
    """Where a pipeline's data is, without secrets."""
    with destination_errors(pipeline), without_config_trace():
        return redact(str(pipeline.destination_client().config)).removeprefix("duckdb:///")


def missing_file(client: Any) -> bool:
    """Whether a destination is a DuckDB file that does not exist: to connect would make it."""
    is_file = client.config.destination_type.rpartition(".")[2] == "duckdb"
    file = getattr(client.config.credentials, "database", None) if is_file else None
    return isinstance(file, str) and file != ":memory:" and not Path(file).exists()


@contextmanager
def destination_errors(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Raise errors of the destination as ours."""
    from dlt.common.destination.exceptions import DestinationException
    from dlt.pipeline.exceptions import PipelineStepFailed

    try:
        yield
    except (DestinationException, PipelineStepFailed, OSError) as failure:
        error = our_error(pipeline, failure)
        cause = cause_to_raise(error, failure)
    else:
        return
    raise error from cause


@contextmanager
def open_client(pipeline: dlt.Pipeline) -> Iterator[Any]:
    """dlt's client of a pipeline's destination, connected; None where there is nothing yet: no file, no dataset."""
    with destination_errors(pipeline):
        with without_config_trace():
            client: Any = pipeline.destination_client()
        if missing_file(client):
            yield None
            return
        with client:
            yield client if client.is_storage_initialized() else None
