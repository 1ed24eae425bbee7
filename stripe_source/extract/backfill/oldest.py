"""Finds out how far back a list goes, by requests for one object each."""
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from stripe_source.api.client import Client
from stripe_source.api.lists import ALL_TIME, ListRequest

PROBES = 5  # requests side by side that look for the oldest object


class OldestObject(NamedTuple):
    """When the oldest object of a list was created, as far as is known: nothing is older than `earliest`.

    An object was created at `latest`.
    """

    earliest: int
    latest: int


async def find_oldest(
    client: Client, request: ListRequest, low: int, edge: int, scale: int, within: float
) -> OldestObject | None:
    """Find out when the oldest object of a list was created, more or less.

    Args:
        client: reads pages.
        request: the list.
        low: nothing older is wanted.
        edge: an object was created at or before this second, or was a moment ago.
        scale: seconds that the pages read so far go back.
        within: share of the time line up to `edge` by which the oldest object may be missed.

    Returns:
        None where the server does not filter by `created`.
    """
    oldest, reach = OldestObject(low, edge), scale
    for _ in range(0 if low > ALL_TIME else 2 * PROBES):  # a bound that the user gave is near enough
        earliest, latest = oldest
        if latest - earliest <= within * (edge - earliest) or latest - earliest <= PROBES:
            break
        if earliest == low and latest - reach > low:
            moments = [latest - reach * 4**power for power in range(1, PROBES + 1)]
            reach *= 4**PROBES
        else:
            moments = _evenly_between(earliest, latest)
        moments = [moment for moment in moments if earliest < moment < latest]
        if not moments:
            reach = latest - earliest  # the scale was too coarse: evenly from here
            continue
        narrower = await _probe(client, request, moments, oldest)
        if narrower is None:
            return None
        oldest = narrower
    return oldest


async def narrow_oldest(client: Client, request: ListRequest, oldest: OldestObject) -> OldestObject | None:
    """Find out more closely when the oldest object was created; None where the server does not filter."""
    return await _probe(client, request, _evenly_between(*oldest), oldest)


async def _probe(
    client: Client, request: ListRequest, moments: Sequence[int], oldest: OldestObject
) -> OldestObject | None:
    """Narrow `oldest` by what is older than some moments between; None where the server does not filter."""
    earliest, latest = oldest
    seconds = await asyncio.gather(*(_newest_before(client, request, moment) for moment in moments))
    for moment, second in zip(moments, seconds, strict=True):
        if second is None:
            earliest = max(earliest, moment)
        elif second >= moment:
            return None
        else:
            latest = min(latest, second)
    return OldestObject(earliest, latest)


async def _newest_before(client: Client, request: ListRequest, moment: int) -> int | None:
    """When the newest object that is older than a second was created; None where there is none."""
    page = await client.page(request.path, request.between(None, moment, 1), account=request.account)
    times = request.times(page.objects)
    return times[0] if times else None


def _evenly_between(earliest: int, latest: int) -> list[int]:
    """Seconds that cut the time between two seconds evenly."""
    return [earliest + (latest - earliest) * part // (PROBES + 1) for part in range(1, PROBES + 1)]
