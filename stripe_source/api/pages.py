"""Answer, Page, Figures: what comes back."""
from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stripe_source.errors import EndlessPaging, redact

if TYPE_CHECKING:
    from stripe_source.workers.protocol import PageHandle

PageDecoder = Callable[[bytes], Awaitable["PageHandle | None"]]


@dataclass(frozen=True)
class Answer:
    """One JSON object that Stripe answered with. `date` is Stripe's clock, or ours where it told no time."""

    body: dict[str, Any]
    date: int
    version: str | None = None
    request_id: str | None = None
    handle: PageHandle | None = None


@dataclass
class Page:
    """One page of a list: the objects as they came, newest first in v1; digests of them where they are `kept`."""

    objects: list[dict[str, Any]]
    has_more: bool
    date: int
    url: str | None = None
    total_count: int | None = None
    version: str | None = None
    request_id: str | None = None
    next_page_url: str | None = None
    handle: PageHandle | None = None

    def leave_out(self, ids: Collection[str]) -> None:
        """Take objects out of it."""
        self.objects = [item for item in self.objects if item.get("id") not in ids]
        self.handle = self.handle and self.handle.select(self.objects)


@dataclass
class Figures:
    """What a client did. Seconds are summed over requests side by side, so they may exceed the time of the run.

    Args:
        requests: sent, retries included.
        retries: requests that repeated another.
        rate_limited: answers 429.
        pages: pages read.
        objects: objects on them.
        bytes: of JSON, after decompression.
        seconds_answering: between a request and the end of its answer.
        seconds_waiting: for our own limits.
        seconds_retrying: before retries.
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


def not_a_v1_page(body: Mapping[str, Any]) -> str | None:
    if body.get("object") != "list":
        return f"a list was asked for, and its `object` is `{redact(body.get('object'))}`"
    if not isinstance(body.get("has_more"), bool):
        return "a list without `has_more`"
    return _not_objects(body.get("data"))


def not_a_v2_page(body: Mapping[str, Any]) -> str | None:
    following = body.get("next_page_url")
    if "next_page_url" not in body or not (following is None or isinstance(following, str)):
        return "a list without `next_page_url`"
    return _not_objects(body.get("data"))


def _not_objects(data: object) -> str | None:
    if not isinstance(data, list):
        return "a list without `data`"
    return None if all(isinstance(item, dict) for item in data) else "a list that holds something else than objects"


def endless_paging(path: str, page: Page, account: str | None) -> EndlessPaging:
    return EndlessPaging(
        "The list says that it has more, and its next page brings nothing new",
        path=path, account=account, request_id=page.request_id,
    )
