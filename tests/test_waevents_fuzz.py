"""WAEvents that were altered at random: nothing crashes, all that is bad is named with its file and position."""
from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stripe_source import rows_from_waevents
from stripe_source.striim.inputs import entries
from stripe_source.striim.resource import WAEventCounts
from stripe_source.tables.schema_map import table_map
from stripe_source.tables.selection import select_tables
from stripe_source.waevent_forms.avro_form import write_avro
from stripe_source.waevent_forms.form import StriimWAEvent, bitmap, type_uuid
from stripe_source.waevent_forms.json_form import event_of_json, json_text, positional
from stripe_source.waevent_forms.rows import column_names

ODD: list[Any] = [
    None, True, -1, 2**63, -2**64, 1e308, "", "\0", "\ud800", "x" * 5000, [], {}, [[]], {"": {}}, "NaN", "true", "é😀",
    "2026-13-45T99:99:99Z", 253402300800000, {"uuidstring": 5}, "AAA=", "%", "customers", "%", "DELETE", [None] * 300,
]
PER_FILE = 20


def good(number: int) -> StriimWAEvent:
    table = ["customers", "charges", "invoice_line_items", "prices"][number % 4]
    names = column_names(table_map(select_tables(table)[0]))
    operation = ["SELECT", "INSERT", "UPDATE", "DELETE"][number // 4 % 4]
    data = {"_account_id": "acct_1", "id": f"x_{number}", "invoice_id": "in_1", "created": "2026-01-02T03:04:05Z",
            "amount": number, "metadata": '{"a":"b"}', "unit_amount_decimal": "12.5", "livemode": False}
    values = {name: data.get(name) for name in names}
    return StriimWAEvent(
        {"TableName": table, "OperationName": operation, "TimeStamp": 1_790_000_000_000 + number, "TxnID": "evt_1"},
        values, values if number % 3 == 0 else None, None, bitmap([number % 2 or name in data for name in names]), None,
        type_uuid(table, names),
    )


def altered(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """A JSON value in which one place is another."""
    if depth > 3 or not isinstance(value, (dict, list)) or not value or chance.random() < 0.15:
        return chance.choice(ODD)
    changed = dict(value) if isinstance(value, dict) else list(value)
    place: Any = chance.choice(list(changed) if isinstance(changed, dict) else range(len(changed)))
    kind = chance.random()
    if kind < 0.15:
        del changed[place]
    elif kind < 0.3 and isinstance(changed, dict):
        changed[str(chance.choice(ODD))] = chance.choice(ODD)
    else:
        changed[place] = altered(changed[place], chance, depth + 1)
    return changed


def cut(text: bytes, chance: random.Random) -> bytes:
    """A text with some bytes lost, doubled or changed."""
    begin = chance.randrange(len(text))
    end = min(len(text), begin + chance.choice([1, 1, 2, 20, 2000]))
    return text[:begin] + chance.choice([b"", text[begin:end] * 2, bytes([chance.randrange(256)]), b"\n", b"}", b'"']
                                        ) + text[end:]


def as_json(event: Any) -> bytes:
    return json.dumps(event).encode("utf-8", "surrogatepass")


def file_of(number: int, chance: random.Random, folder: Path) -> Path:
    """A file of some WAEvents, most of them altered, in one of the dialects."""
    events = [good(number * PER_FILE + place) for place in range(PER_FILE)]
    form = number % 5
    if form == 3:
        pytest.importorskip("fastavro")
        out = io.BytesIO()
        write_avro(out, events)
        content = cut(out.getvalue(), chance)
    else:
        if form == 1:
            events = [positional(event, list(event.data or ())) for event in events]
        texts = [as_json(altered(json.loads(json_text(event)), chance)) for event in events]
        texts = [cut(text, chance) if chance.random() < 0.3 else text for text in texts]
        content = b"[" + b",\n".join(texts) + b"]" if form == 2 else b"\n".join(texts)
        if form == 4:
            content = gzip.compress(content)
            content = cut(content, chance) if chance.random() < 0.5 else content
    path = folder / f"{number}.{'avro' if form == 3 else 'json'}"
    path.write_bytes(content)
    return path


def check(files: int, seed: int, folder: Path) -> tuple[int, int]:
    """Read altered files; answers with how many WAEvents were taken and how many were not."""
    chance = random.Random(seed)
    taken = bad = 0
    for number in range(files):
        path, counts = file_of(number, chance, folder), WAEventCounts()
        tables = list(rows_from_waevents(str(path), counts=counts))
        read = list(entries(str(path)))
        rejected = [row for table in tables if "reason" in table.column_names for row in table.to_pylist()]

        assert counts.read == len(read) and [entry.position for entry in read] == list(range(1, len(read) + 1))
        assert counts.rejected == len(rejected)
        assert {row["file"] for row in rejected} <= {str(path)} and all(row["reason"] for row in rejected)
        positions = [row["position"] for row in rejected]
        assert sorted(set(positions)) == sorted(positions) and set(positions) <= {entry.position for entry in read}
        assert {entry.position for entry in read if entry.reason} <= set(positions)
        made = sum(table.num_rows for table in tables if "reason" not in table.column_names)
        assert made == sum(table.rows for table in counts.tables.values()) <= counts.read - counts.rejected
        for table in tables:
            table.validate(full=True)
        taken, bad = taken + counts.read - counts.rejected, bad + counts.rejected
    return taken, bad


def test_altered_waevents_never_crash(tmp_path: Path) -> None:
    """Some hundred of them, in all dialects."""
    taken, bad = check(15, 1, tmp_path)

    assert taken > 50 and bad > 50


@pytest.mark.soak
def test_thousands_of_altered_waevents_never_crash(tmp_path: Path) -> None:
    """5,000 of them."""
    taken, bad = check(5_000 // PER_FILE, 2, tmp_path)

    assert taken + bad > 3_500 and bad > 500


@pytest.mark.soak
def test_ten_thousand_waevents_go_out_and_come_in(
    new_pipeline: Callable[..., Any], tmp_path: Path
) -> None:
    """Both dialects and Avro, all tables of a business: what comes in is what went out."""
    import duckdb

    from stripe_source import load_waevents, sandbox, sync, write_waevents

    with sandbox.serve(seed=3, scale=1.0) as stripe:
        names = [name for name, objects in stripe.world.counts().items() if objects]
        pipeline = new_pipeline()
        sync(pipeline, tables=names, emit="waevents", api_base=stripe.url, api_key=stripe.api_key)
    for form in ("json", "positional", "avro"):
        written = write_waevents(pipeline, f"{tmp_path / form}/", format=form, roll_size="4mb")
        result = load_waevents(new_pipeline(form, f"{form}.duckdb"), str(tmp_path / form))

        assert sum(written.waevents.values()) == result.counts.read > 10_000 and result.counts.rejected == 0
        with duckdb.connect() as db:
            db.execute(f"ATTACH '{tmp_path / 'test.duckdb'}' AS a; ATTACH '{tmp_path / f'{form}.duckdb'}' AS b")
            for name in written.waevents:
                sides = [f"SELECT * EXCLUDE _dlt_load_id FROM {side}.stripe.{name}" for side in "ab"]
                for one, other in (sides, sides[::-1]):
                    assert db.execute(f"SELECT count(*) FROM ({one} EXCEPT ALL {other})").fetchall() == [(0,)]


def test_what_is_altered_may_still_be_a_waevent() -> None:
    """The alterations above do not only make what no reader takes."""
    chance = random.Random(5)
    understood = 0
    for number in range(60):
        with contextlib.suppress(ValueError):
            event_of_json(altered(json.loads(json_text(good(number))), chance))
            understood += 1

    assert 10 < understood < 60
