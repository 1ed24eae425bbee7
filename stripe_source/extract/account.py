"""Whose key it is; async work from sync code."""
from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from stripe_source.api.client import Client
from stripe_source.errors import AuthenticationError, InvalidOption, NotEnabled, StripeError
from stripe_source.tables.registry import table_with_role

T = TypeVar("T")


@dataclass(frozen=True)
class AccountIdentity:
    """Whose data a key reads, as far as it may know, and what time it is at Stripe.

    Args:
        account: id of the account; None where the key may not read it.
        now: unix second.
        named: id of the account that the refusal names, where the key may not read it.
    """

    account: str | None
    now: int
    named: str | None = None


async def identify_by(make_client: Callable[[], Client]) -> AccountIdentity:
    """The same with a client of its own."""
    async with make_client() as client:
        return await identify(client)


async def identify(client: Client) -> AccountIdentity:
    """Ask who the key belongs to.

    Raises:
        AuthenticationError: the key was refused.
        Unreachable: nobody answers.
        InvalidOption: what answers is not Stripe.
    """
    try:
        answer = await client.get("/v1/account", kind="account")
    except StripeError as error:
        if error.status is None or isinstance(error, AuthenticationError) or error.code == "account_invalid":
            raise  # nobody there, or nobody that lets us in: no other request will do better
        if isinstance(error, NotEnabled):
            await _check_that_it_is_stripe(client)
        named = re.search(r"\bon account '(acct_\w+)'", error.message)  # (2026-11-24: threads that cite the message)
        return AccountIdentity(None, client.clock, named and named[1])  # the key may not read its own account
    known = answer.body.get("id")
    return AccountIdentity(known if isinstance(known, str) else None, answer.date)


async def _check_that_it_is_stripe(client: Client) -> None:
    """What knows neither the account nor its events is not Stripe.

    Raises:
        InvalidOption: so it is.
    """
    try:
        await client.page(table_with_role("change feed").path or "", {"limit": 1})
    except NotEnabled:
        raise InvalidOption("api_base", client.api_base, reason="What answers there is not Stripe's API.") from None
    except StripeError:
        return  # it knows the list, at least


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Do asynchronous work and wait for it, also where an event loop runs already, as in a notebook."""
    with run_async_beside(work) as result:
        return result()


@contextmanager
def run_async_beside(work: Coroutine[Any, Any, T]) -> Iterator[Callable[[], T]]:
    """Begin asynchronous work; what waits for its result is yielded."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(asyncio.run, work).result
