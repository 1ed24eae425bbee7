"""What comes back from Stripe: one answer, one page of a list, and the figures of a client."""
from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from stripe_source.errors import EndlessPaging
from stripe_source.redaction import redact
from stripe_source.tables.registry import TABLES

TIMED_OUT = "timed_out"  # our own code of an answer that did not come in time
MOST_DIGITS = 20  # with its sign, of a whole number of 64 bits
# Decodes the text of a page elsewhere, with its secrets or without. It returns the body and a handle, which the client
# passes on and never looks into; None leaves the page to the client.
PageDecoder = Callable[[bytes, bool], Awaitable["tuple[dict[str, Any], object] | None"]]


@dataclass(frozen=True)
class Answer:
    """One JSON object that Stripe answered with.

    Args:
        body: the object.
        date: unix second by Stripe's clock, or by ours where Stripe sent no date.
        version: the API version that Stripe answered in.
        request_id: Stripe's `Request-Id`.
        handle: what a `PageDecoder` returned with the body.
        unreadable: of a page, the objects that are no JSON by themselves: why, by id.
    """

    body: dict[str, Any]
    date: int
    version: str | None = None
    request_id: str | None = None
    handle: object | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Page:
    """One page of a list: the objects as Stripe sent them, newest first in v1.

    With a `handle`, the objects are those that the `PageDecoder` returned, and `leave_out` does not change the handle.
    Those of a `skipped` page only say where the list goes on.
    """

    objects: list[dict[str, Any]]
    has_more: bool
    date: int
    url: str | None = None
    total_count: int | None = None
    version: str | None = None
    request_id: str | None = None
    next_page_url: str | None = None
    handle: object | None = None
    skipped: bool = False

    def leave_out(self, ids: Collection[str]) -> None:
        """Remove the objects with these ids from the page."""
        self.objects = [item for item in self.objects if item.get("id") not in ids]


@dataclass
class Figures:
    """What a client did. Seconds are summed over requests side by side, so they may exceed the time of the run.

    Args:
        requests: requests sent, retries included.
        retries: requests that repeated another one.
        rate_limited: answers with status 429.
        pages: pages read.
        objects: objects on these pages.
        bytes: bytes of JSON, after decompression.
        seconds_answering: time between a request and the end of its answer.
        seconds_waiting: time that requests waited for our own limits.
        seconds_retrying: time that passed before retries.
    """

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    pages: int = 0
    objects: int = 0
    bytes: int = 0
    seconds_answering: float = 0.0
    seconds_waiting: float = 0.0
    seconds_retrying: float = 0.0

    def add(self, other: Figures) -> None:
        """Add what another client did."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def parse_json(text: bytes) -> Any:
    """JSON as Python values; None if the text is no JSON."""
    import orjson

    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_lenient_json(text)


def _parse_lenient_json(text: bytes) -> Any:
    """JSON that orjson refuses, such as half a surrogate pair in a name; None if the text is no JSON."""
    def refuse(constant: str) -> Any:
        raise ValueError(constant)  # NaN and Infinity are no JSON

    try:
        return json.loads(text, parse_constant=refuse, parse_int=_whole_number, parse_float=_number)
    except (ValueError, RecursionError):
        return None


def _whole_number(digits: str) -> int | float | str:
    """A whole number as orjson reads it: the nearest double where it has more than 64 bits."""
    number = int(digits) if len(digits) <= MOST_DIGITS else None
    return number if number is not None and -(2**63) <= number < 2**64 else _number(digits)


def _number(digits: str) -> float | str:
    """The nearest double; its digits as text where it is too large for one, which orjson refuses."""
    number = float(digits)
    return number if math.isfinite(number) else digits


def http_date_second(date: str | None) -> int | None:
    """The unix second of an HTTP date; None if it is none."""
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(date).timestamp()) if date else None
    except (TypeError, ValueError):
        return None


def not_the_object(id: str, kinds: Collection[str]) -> Callable[[Mapping[str, Any]], str | None]:
    """A check of an answer to a request for one object: says why it is another one; None if it is the right one.

    Misrouted answers with status 200 were seen in public reports up to 2026-11.

    Args:
        id: that was asked for.
        kinds: Stripe's names of the objects that it may be.
    """
    def check(body: Mapping[str, Any]) -> str | None:
        kind, found = body.get("object"), body.get("id")
        if found == id and kind not in _kinds_of_other_tables(frozenset(kinds)):
            return None
        return f"`{redact(id)}` was asked for, and the answer is a `{redact(kind)}` with the id `{redact(found)}`"

    return check


def not_of_kind(kind: str) -> Callable[[Mapping[str, Any]], str | None]:
    """A check of an answer to a request for one object of a kind: says why it is another one."""
    def check(body: Mapping[str, Any]) -> str | None:
        found = body.get("object", kind)
        return None if found == kind else f"a `{kind}` was asked for, and a `{redact(found)}` came"

    return check


def check_of_list(path: str) -> Callable[[Mapping[str, Any]], str | None]:
    """What says why a body is no page of the list at a path; None if it is one.

    A page that holds nothing but objects of other tables is an answer to somebody else's request.
    """
    check = not_a_v2_page if path.startswith("/v2/") else not_a_v1_page
    own = _kinds_by_list().get(path.partition("?")[0])

    def check_both(body: Mapping[str, Any]) -> str | None:
        fault = check(body)
        if fault is None and own and body["data"]:
            others = _kinds_of_other_tables(own)
            if all(str(item.get("object")) in others for item in body["data"]):
                kinds = {redact(item["object"]) for item in body["data"]}
                fault = f"objects of other lists: {', '.join(sorted(kinds))}"
        return fault

    return check_both


@cache
def _kinds_by_list() -> Mapping[str, frozenset[str]]:
    """By path of a list, Stripe's names of the objects that it holds."""
    found: dict[str, frozenset[str]] = {}
    for table in TABLES:
        if table.path and not table.singleton:
            found[table.path] = found.get(table.path, frozenset()) | frozenset(table.object)
    return found


@cache
def _kinds_of_other_tables(own: frozenset[str]) -> frozenset[str]:
    return frozenset(kind for table in TABLES for kind in table.object) - own


def not_a_v1_page(body: Mapping[str, Any]) -> str | None:
    """Why a body is no page of a v1 list; None if it is one."""
    if body.get("object") != "list":
        return f"a list was asked for, and its `object` is `{redact(body.get('object'))}`"
    if not isinstance(body.get("has_more"), bool):
        return "a list without `has_more`"
    if body["has_more"] and body.get("data") == []:  # seen at Stripe: github.com/stripe/stripe-ruby, issue 507
        return "a page without objects says that there is more"
    return _not_objects(body.get("data"))


def is_empty_list_of_another(body: Mapping[str, Any], path: str) -> bool:
    """Whether a body is an empty list that says that it is another one than was asked for: a list names its own URL."""
    url = body.get("url")
    return body.get("data") == [] and not body.get("has_more") and isinstance(url, str) and urlsplit(url).path != path


def not_a_v2_page(body: Mapping[str, Any]) -> str | None:
    """Why a body is no page of a v2 list; None if it is one."""
    next_url = body.get("next_page_url")
    if "next_page_url" not in body or not (next_url is None or isinstance(next_url, str)):
        return "a list without `next_page_url`"
    return _not_objects(body.get("data"))


def _not_objects(data: object) -> str | None:
    if not isinstance(data, list):
        return "a list without `data`"
    return None if all(isinstance(item, dict) for item in data) else "a list that holds something else than objects"


def endless_paging(path: str, page: Page, account: str | None) -> EndlessPaging:
    """The error of a list that never ends."""
    return EndlessPaging(
        "The list says that it has more, and its next page brings nothing new",
        path=path, account=account, request_id=page.request_id,
    )
