"""What the client makes of answers: times, pages, secrets, too much of it, and what is no JSON."""
from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from scripted_server import FINE, KEY, NOON_SECONDS, Reply, asked, client_of, failure, listing, refused, run, serving

from stripe_source.api.client import Client
from stripe_source.api.credentials import ApiKey
from stripe_source.api.pages import Answer, Page
from stripe_source.errors import AnswerTooLarge, BrokenAnswer, InvalidRequest

pytestmark = pytest.mark.filterwarnings("error")


# What comes back


def test_an_answer_tells_stripes_time_and_version() -> None:
    """Bounds go by Stripe's clock, not by ours."""
    answer, _, _, _ = run(asked(Reply(json={"id": "x"}, headers={"Stripe-Version": "2026-10-28.endive"})))

    assert Answer({"id": "x"}, NOON_SECONDS, "2026-10-28.endive", "req_1") == answer


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_readable_date_has_ours(date: str) -> None:
    """Something is better than nothing; a sandbox or proxy may send none."""
    answer, _, _, _ = run(asked(Reply(json={}, headers={"Date": date}), now=lambda: 5.7))

    assert 5 == answer.date


def test_a_clock_that_was_told_once_is_kept() -> None:
    """An answer without a date does not turn Stripe's clock back to ours; a later one moves it on."""
    later = "Mon, 23 Nov 2026 12:00:05 GMT"
    script = Reply(json={}), Reply(json={}, headers={"Date": ""}), failure(404, headers={"Date": later})

    async def story() -> list[int]:
        told = []
        async with serving(*script) as server, client_of(server, now=lambda: 5.0) as client:
            told.append(client.clock)
            for _ in range(2):
                await client.get("/v1/balance")
                told.append(client.clock)
            with pytest.raises(InvalidRequest):
                await client.get("/v1/balance")
            return [*told, client.clock]

    assert [5, NOON_SECONDS, NOON_SECONDS, NOON_SECONDS + 5] == run(story())


def test_a_page_is_what_stripe_sent() -> None:
    """Objects untouched, in order."""

    async def story() -> Page:
        reply = Reply(json=listing("ch_2", "ch_1", more=True, total_count=7))
        async with serving(reply) as server, client_of(server) as client:
            page = await client.page("/v1/charges", {"limit": 2})
            assert (1, 2) == (client.figures.pages, client.figures.objects)
            return page

    expected = Page(
        objects=[{"id": "ch_2"}, {"id": "ch_1"}], has_more=True, date=NOON_SECONDS, url="/v1/charges", total_count=7,
        request_id="req_1",
    )
    assert expected == run(story())


def test_compressed_answers_are_read() -> None:
    """Stripe compresses when it may."""
    answer, _, _, _ = run(asked(Reply(raw=gzip.compress(b'{"a":1}'), headers={"Content-Encoding": "gzip"})))

    assert {"a": 1} == answer.body


# How much is taken


class Endless:
    """A server whose answers have no end; it counts what it could send."""

    def __init__(self, packed: bool) -> None:
        self.packed, self.sent = packed, 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        packer, piece = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16), b"0" * 1_000_000
        pieces = [packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if self.packed else {})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for number in range(3_000):  # 3 GB; what was flushed wholly may be repeated
                await response.write(pieces[min(number, 1)] if self.packed else piece)
                await asyncio.sleep(0)
                self.sent += len(piece)
        return response


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_an_end_is_given_up(packed: bool, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three gigabytes, or three megabytes that unpack to them: once, and after the limit nothing more is taken."""
    monkeypatch.setattr("stripe_source.api.http.body.LARGEST_ANSWER", 5_000_000)

    async def story() -> tuple[int, AnswerTooLarge, int]:
        endless = Endless(packed)
        app = web.Application()
        app.router.add_get("/{path:.*}", endless.answer)
        async with TestServer(app) as http:
            url = str(http.make_url("")).rstrip("/")
            async with Client(ApiKey(KEY), api_base=url) as client:
                with pytest.raises(AnswerTooLarge) as caught:
                    await client.page("/v1/charges")
                return client.figures.requests, caught.value, endless.sent

    requests, error, sent = run(story())
    assert (1, "/v1/charges") == (requests, error.path)
    assert "More than 5 MB in one answer" in str(error)
    assert sent < 3_000_000_000 / 2  # what the kernel buffers comes on top


@pytest.mark.parametrize("packing", ["gzip", "deflate", "raw deflate"])
def test_an_answer_as_large_as_the_limit_is_taken(packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the byte, in each packing that we ask for; one byte more is too many."""
    text = orjson.dumps({"ok": "x" * 1_000_000})
    bits = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS, "raw deflate": -zlib.MAX_WBITS}[packing]
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    reply = Reply(raw=packer.compress(text) + packer.flush(), headers={"Content-Encoding": packing.split()[-1]})
    monkeypatch.setattr("stripe_source.api.http.body.LARGEST_ANSWER", len(text))
    answer, _, _, _ = run(asked(reply))
    monkeypatch.setattr("stripe_source.api.http.body.LARGEST_ANSWER", len(text) - 1)
    run(refused(AnswerTooLarge, reply))

    assert {"ok": "x" * 1_000_000} == answer.body


@pytest.mark.parametrize(
    "raw", [gzip.compress(b'{"a":1}')[:-9], gzip.compress(b'{"a":1}') + b"more"], ids=["cut", "goes on"])
def test_a_packed_answer_that_is_cut_or_goes_on_is_asked_for_again(raw: bytes) -> None:
    """Half of it may be whole JSON."""
    broken = Reply(raw=raw, headers={"Content-Encoding": "gzip"})
    answer, server, _, _ = run(asked(broken, FINE))

    assert ({"ok": True}, 2) == (answer.body, len(server.requests))


# One object that is no JSON

DEEP = b'{"id": "ch_2", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.mark.parametrize(("thing", "reason"), [
    (b'{"id": "ch_2", "amount": NaN}', "it has the number `NaN`, which is no JSON"),
    (b'{"text": "}],{", "id": "ch_2", "amount": -Infinity}', "it has the number `-Infinity`, which is no JSON"),
    (b'{"inner": {"id": "no"}, "id": "ch_2", "name": "\xff"}', "it is not UTF-8"),
    (DEEP, "its values are nested 10,000 levels deep"),
])
def test_one_object_that_is_no_json_does_not_cost_the_others(thing: bytes, reason: str) -> None:
    """It is named, with what is wrong; where nobody takes that, the page is broken, and the error names it."""
    page = b'{"object": "list", "data": [{"id": "ch_1"}, ' + thing + b', {"id": "ch_3"}], "has_more": false}'

    async def story() -> tuple[list[Any], dict[str, str], int]:
        skipped: dict[str, str] = {}
        async with serving(Reply(raw=page)) as server, client_of(server) as client:
            found = await client.page("/v1/charges", on_skip=lambda id, error: skipped.update({id: str(error)}))
            return [each["id"] for each in found.objects], skipped, len(server.requests)

    ids, skipped, requests = run(story())
    error, _, _, _ = run(refused(BrokenAnswer, Reply(raw=page), page=True))
    assert (["ch_1", "ch_3"], ["ch_2"], 2) == (ids, list(skipped), requests)
    assert f"the object `ch_2` cannot be read: {reason}" in skipped["ch_2"]
    assert f"the object `ch_2` cannot be read: {reason}" in str(error)


@pytest.mark.parametrize("page", [
    b'{"object": "list", "data": [{"id": "ch_1"}, {"id": "ch_', b'{"object": "list", "data": [NaN], "has_more": true}',
    b'{"object": "list", "data": [{"id": "ch_1", "a": NaN}], "has_more": true}', b"<html>",
    b'{"object": "list", "data": 1',
    b'{"object": "list", "data": [{"a": NaN}, {"id": "ch_1"}], "has_more": false}',
])
def test_a_page_that_says_too_little_is_broken(page: bytes) -> None:
    """Cut off; without one object that can be read, from which the list could go on; an object without an id."""

    async def story() -> None:
        async with serving(Reply(raw=page)) as server, client_of(server, attempts=3) as client:
            with pytest.raises(BrokenAnswer):
                await client.page("/v1/charges", on_skip=lambda id, error: None)

    run(story())


# Secrets among the data


def test_secrets_among_the_data_stay_at_stripe_unless_they_are_asked_for() -> None:
    """Also those inside, and in copies; what only looks like one, and text about them, stays as it is."""
    body = {
        "client_secret": "pi_1_secret_2", "payment": {"client_secret": 'quo"te'}, "list": [{"signing_secret": "s"}],
        "secret": "whsec_abc", "metadata": {"secret": "of the user", "my_secret": "x"}, "none": {"client_secret": None},
        "text": '{"client_secret": "pi_3_secret_4"}', "xclient_secret": "y",
    }
    expected = {
        **body, "client_secret": None, "payment": {"client_secret": None}, "list": [{"signing_secret": None}],
        "secret": None,
    }
    without, _, _, _ = run(asked(Reply(json=body), include_secrets=False))
    with_them, _, _, _ = run(asked(Reply(json=body)))

    assert (expected, body) == (without.body, with_them.body)
