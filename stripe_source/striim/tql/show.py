"""What a program will do, table by table, and its flow as a picture (Mermaid)."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stripe_source.striim.tql.columns import match_striim
from stripe_source.striim.tql.model import DatabaseWriter, FileWriter, Flow, StripeReader, Target
from stripe_source.striim.tql.plan.planner import Plan
from stripe_source.striim.tql.plan.streams import stream_key


@dataclass(frozen=True)
class Way:
    """One way from a reader to a target: the queries between them."""

    target: Target
    queries: tuple[str, ...]


def ways(flow: Flow, streams: tuple[str, ...], passed: tuple[str, ...] = ()) -> Iterator[Way]:
    """Every way from some streams to a target."""
    keys = {stream_key(name) for name in streams}
    for target in flow.targets:
        if stream_key(target.stream) in keys:
            yield Way(target, passed)
    for query in flow.queries:
        if stream_key(query.source) in keys:
            yield from ways(flow, (query.into,), (*passed, query.name))


def describe(plan: Plan) -> dict[str, Any]:
    """What a program will do, as data; no secret is in it."""
    flow = plan.flow
    return {
        "application": flow.name, "recovery": flow.recovery,
        "tables": [table for reader in flow.readers for table in _tables(flow, reader)],
        "queries": [{"name": query.name, "reads": query.source, "writes": query.into,
                     "select": " ".join(query.select.split())} for query in flow.queries],
        "targets": [{"name": target.name, "reads": target.stream, "writes": _writes(target)}
                    for target in flow.targets],
        "unsupported": [problem.asdict() for problem in plan.problems.unsupported],
        "notes": [problem.asdict() for problem in plan.problems.notes],
    }


def _tables(flow: Flow, reader: StripeReader) -> Iterator[dict[str, Any]]:
    goes = [{"target": way.target.name, "through": list(way.queries), "writes": _writes(way.target)}
            for way in ways(flow, reader.streams)]
    for name in reader.tables:
        for table in match_striim(name)[0]:
            marker = reader.markers.get(table.name)
            yield {
                "table": table.name, "native": table.table.name, "columns": len(table.columns),
                "reader": reader.name, "mode": "incremental" if reader.incremental else "initial",
                "marker": marker if reader.incremental else None,
                "reads": _reads(reader, marker), "start": reader.start.get(table.name),
                "every": reader.polling_interval if reader.incremental else None, "goes_to": goes,
            }


def _reads(reader: StripeReader, marker: str | None) -> str:
    if not reader.incremental:
        return "all of it, once"
    return "what was created since the last poll" if marker else "all of it, in each poll"


def _writes(target: Target) -> str:
    """Where a target writes, without secrets."""
    if isinstance(target, DatabaseWriter):
        tables = ", ".join(
            f"{'.'.join(part for part in (mapping.dataset, mapping.target) if part)}" for mapping in target.tables)
        return f"{target.destination}: {tables}"
    if isinstance(target, FileWriter):
        return f"{target.directory}/{target.file} ({type(target.format).__name__.removesuffix('Format').upper()})"
    return "standard output"


def diagram(plan: Plan) -> str:
    """The flow of a program in Mermaid's words."""
    flow, ids, lines = plan.flow, dict[str, str](), ["flowchart LR"]

    def node(kind: str, name: str, label: str, shape: tuple[str, str]) -> str:
        key = f"{kind} {stream_key(name) if kind == 'stream' else name}"
        if key not in ids:
            ids[key] = f"n{len(ids)}"
            lines.append(f"    {ids[key]}{shape[0]}\"{_label(label)}\"{shape[1]}")
        return ids[key]

    def stream(name: str) -> str:
        return node("stream", name, name, ("(", ")"))

    for reader in flow.readers:
        begin = node("reader", reader.name, f"{reader.name}: {', '.join(reader.tables[:6])}"
                     f"{', …' if len(reader.tables) > 6 else ''}", ("[(", ")]"))
        lines += [f"    {begin} --> {stream(name)}" for name in reader.streams]
    for query in flow.queries:
        middle = node("query", query.name, query.name, ("{{", "}}"))
        lines += [f"    {stream(query.source)} --> {middle}", f"    {middle} --> {stream(query.into)}"]
    for target in flow.targets:
        end = node("target", target.name, f"{target.name}: {_writes(target)}", ("[", "]"))
        lines.append(f"    {stream(target.stream)} --> {end}")
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace("\n", " ")
