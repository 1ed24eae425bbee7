"""Whether a list shows all that it should: other objects name what it lacks."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from stripe_source.api.client import Client
from stripe_source.api.lists import read_object
from stripe_source.errors import AuthenticationError, ResourceMissing, StripeError
from stripe_source.tables.placement import values_at
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.table import Table

log = logging.getLogger("stripe_source")
MOST_ASKED = 10  # objects that are named and not shown, which are asked for


async def lacks_objects(client: Client, table: Table, shown: Collection[str]) -> str | None:
    """Find out whether a list lacks objects that it should show.

    The newest page of each list that names such objects is read, and what it names and the list does not show is asked
    for by its id. It may rightly be in no list; `Table.listed_when` says what it has where it should be.

    Args:
        client: asks Stripe.
        table: the one whose list was read to its end.
        shown: ids of the objects that the list showed.

    Returns:
        The id of an object that it lacks; None where none was found.

    Raises:
        AuthenticationError: Stripe refuses the key.
    """
    named = await asyncio.gather(*(_named(client, name, path) for name, path in table.named_by))
    lacking = sorted(set().union(*named) - set(shown))
    for id in lacking[:MOST_ASKED]:
        try:
            answer = await read_object(client, table, id)
        except AuthenticationError:
            raise
        except (ResourceMissing, StripeError):
            continue
        if next(values_at(answer.body, table.listed_when or "id"), None) and not answer.body.get("deleted"):
            return id
    return None


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
