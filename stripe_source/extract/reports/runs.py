"""Report runs at Stripe: found or created, waited for, and their files downloaded."""
from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stripe_source.api.client import Client
from stripe_source.api.credentials import pause
from stripe_source.api.query import fill
from stripe_source.errors import ApiError, BrokenAnswer, StripeError
from stripe_source.tables.registry import table_with_role

RUNS, TYPES = str(table_with_role("report run").path), str(table_with_role("report type").path)
FIRST_POLL, LONGEST_POLL = 0.5, 60.0  # seconds; a run takes "a few minutes" (Stripe's page on its API, 2026-11-30)
LONGEST_RUN = 6 * 3600  # seconds after which a run that is still pending is given up
AGE_OF_RUNS = 86_400  # seconds; older ones are not looked at: Stripe prepares data twice a day
ATTEMPTS = 3  # to get a file before it has expired
Run = dict[str, Any]


class ReportRuns:
    """The report runs of an account, of which none is made twice.

    Args:
        client: open.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, list[Run]] | None = None
        self._lock = asyncio.Lock()

    async def types(self) -> dict[str, dict[str, Any]]:
        """The report types that Stripe has for the account, by id."""
        answer = await self._client.get(TYPES)
        found = answer.body.get("data")
        if not isinstance(found, list):
            raise BrokenAnswer("no list of report types", path=TYPES)
        return {str(each["id"]): each for each in found if isinstance(each, dict) and each.get("id")}

    async def fetch(self, type: Mapping[str, Any], parameters: Mapping[str, Any], file: Path) -> Run:
        """Get the file of a report: of a run that there is already, else of a new one.

        Args:
            type: the report type, as Stripe has it.
            parameters: of the run.
            file: where to; it must not be there yet.

        Returns:
            The run.

        Raises:
            ApiError: Stripe could not make the report, and says why.
            StripeError: one of its kinds.
        """
        spent: list[str] = []
        while True:
            run = await self._wait(await self._find_or_create(type, parameters, spent))
            try:
                await self._download(run, file)
            except StripeError as error:
                spent.append(str(run["id"]))
                if error.status not in (404, 410) or len(spent) >= ATTEMPTS:
                    raise
                continue  # its file has expired
            return run

    async def _find_or_create(self, type: Mapping[str, Any], parameters: Mapping[str, Any], spent: list[str]) -> Run:
        key = run_key(str(type["id"]), parameters)
        async with self._lock:
            if self._known is None:
                self._known = await self._list()
        known = self._known.get(key, [])
        for run in known:
            if run["id"] not in spent and is_usable(run, type, self._client.clock):
                return run
        # Stripe answers the same to the same key: after a failed or expired run it has to be another one
        words = json.dumps([key, type.get("data_available_end"), *sorted({run["id"] for run in known} | {*spent})])
        idempotency_key = hashlib.sha256(words.encode()).hexdigest()
        form = {"report_type": type["id"], "parameters": parameters}
        return (await self._client.create(RUNS, form, idempotency_key)).body

    async def _list(self) -> dict[str, list[Run]]:
        """The runs of the last day, by what they are about, the newest first."""
        found: dict[str, list[Run]] = {}
        newer = {"created": {"gte": self._client.clock - AGE_OF_RUNS}}
        async for page in self._client.pages(RUNS, newer):
            for run in page.objects:
                found.setdefault(run_key(str(run.get("report_type")), run.get("parameters") or {}), []).append(run)
        return found

    async def _wait(self, run: Run) -> Run:
        """Ask again and again until Stripe has made the report."""
        wait = FIRST_POLL
        while run.get("status") == "pending":
            if self._client.clock - int(run.get("created") or 0) > LONGEST_RUN:
                raise ApiError(f"report run `{run.get('id')}` is pending for {LONGEST_RUN // 3600} hours", path=RUNS)
            await pause(wait)
            wait = min(LONGEST_POLL, wait * 1.5)
            run = (await self._client.get(fill(RUNS + "/{id}", id=str(run["id"])), kind=None)).body
        if run.get("status") != "succeeded" or not isinstance(run.get("result"), dict):
            reason = run.get("error") or f"its status is `{run.get('status')}`, and no reason is given"
            raise ApiError(f"report run `{run.get('id')}` did not succeed: {reason}", path=RUNS)
        return run

    async def _download(self, run: Run, file: Path) -> None:
        result = run["result"]
        size = result.get("size")
        with open(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b") as open_file:
            await self._client.download(
                str(result.get("url")), open_file, size if isinstance(size, int) else None)


def run_key(type: str, parameters: Mapping[str, Any]) -> str:
    """What a run is about, as text: Stripe answers numbers and lists as they were sent."""
    words = {name: value for name, value in parameters.items() if value not in (None, "", [])}
    return json.dumps([type, words], sort_keys=True, default=str)


def is_usable(run: Run, type: Mapping[str, Any], now: int) -> bool:
    """Whether the file of a run will do: it is about the data as they are now, and did not expire.

    Args:
        run: as Stripe shows it.
        type: its report type.
        now: unix second.
    """
    if run.get("status") == "pending":
        return int(run.get("created") or 0) >= now - LONGEST_RUN
    updated = type.get("updated")
    if run.get("status") != "succeeded" or (isinstance(updated, int) and int(run.get("created") or 0) < updated):
        return False
    expires = (run.get("result") or {}).get("expires_at")
    return not isinstance(expires, int) or expires > now
