"""Whether a list shows all that it should: other objects name what it lacks."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from stripe_source.api.client import Client
from stripe_source.api.lists import ListRequest, read_newest_first, read_object
from stripe_source.errors import AuthenticationError, StripeError
from stripe_source.extract.changes.listed import LIST_DELAY
from stripe_source.tables.objects import unix_second
from stripe_source.tables.placement import values_at
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

log = logging.getLogger("stripe_source")
MOST_ASKED = 10  # objects that are named and not shown, which are asked for
FEW_ASKED = 2  # likewise, where nobody has said that the list may not be whole


async def lacks_objects(client: Client, table: Table, shown: Collection[str], before: int) -> str | None:
    """Find out whether a list lacks objects that it should show.

    The newest page of each list that names such objects is read, and what it names and the list does not show is asked
    for by its id. It may rightly be in no list: `Table.listed_when` says what it has where it should be, and what is on
    a test clock is in the lists of that clock. Of a list with `created` the second is read in which it was created.

    Args:
        client: asks Stripe.
        table: the one whose list was read to its end.
        shown: ids of the objects that the list showed, as far as they are kept.
        before: unix second at Stripe: what was created later may have come after the list was read.

    Returns:
        The id of an object that it lacks; None where none was found.

    Raises:
        AuthenticationError: Stripe refuses the key.
    """
    named = await asyncio.gather(*(_named(client, name, path) for name, path in table.named_by))
    lacking = sorted(set().union(*named) - set(shown))
    for id in lacking[:MOST_ASKED if table.owners_list else FEW_ASKED]:
        try:
            thing = (await read_object(client, table, id)).body
            second = unix_second(thing.get(table.time or "created"))
            if second is None or second >= before - LIST_DELAY or thing.get("deleted") or thing.get("test_clock"):
                continue
            if not next(values_at(thing, table.listed_when or "id"), None):
                continue
            if not table.created or not await _shows(client, table, id, second):
                return id
        except AuthenticationError:
            raise
        except StripeError as error:
            log.info("%s: `%s` could not be looked for: %s", table.name, id, error)
    return None


async def _shows(client: Client, table: Table, id: str, second: int) -> bool:
    """Whether the list shows an object that was created in this second."""
    for variant in table.variants:
        request = ListRequest(
            table.path or "", {**table.params, **variant}, limit=table.limit, time=table.time or "created",
            range=table.range,
        )
        async for batch in read_newest_first(client, request, second, second + 1):
            if any(thing.get("id") == id for thing in batch.objects):
                return True
    return False


async def _named(client: Client, name: str, path: str) -> set[str]:
    """The ids that the newest page of a list names; none where the key may not read it."""
    table = BY_NAME[name]
    limit = {"limit": table.limit} if table.limit else {}
    try:
        page = await client.page(table.path or "", {**table.params, **limit})
    except AuthenticationError:
        raise
    except StripeError as error:
        log.info("%s could not be asked for what it names: %s", name, error)
        return set()
    values = [value for thing in page.objects for value in values_at(thing, path)]
    return {str(value.get("id") if isinstance(value, dict) else value) for value in values}
