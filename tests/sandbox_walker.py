"""Reads the sandbox's lists by plain HTTP, whichever of Stripe's two APIs they are of."""
from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from stripe_source import sandbox
from stripe_source.sandbox.state.catalog import LISTS

Data = dict[str, Any]


class Walker:
    """Reads lists by plain HTTP, as the API's description has them."""

    def __init__(self, box: sandbox.Sandbox) -> None:
        self.box = box

    def ask(self, path: str, params: Data | None = None, **more: Any) -> tuple[int, Data]:
        """Status and body of one answer."""
        pairs: list[tuple[str, Any]] = []
        for name, value in (params or {}).items():
            pairs += [(f"{name}[{at}]", each) for at, each in enumerate(value)] if isinstance(value, list) else [
                (name, value)]
        url = self.box.url + path + ("?" + urlencode(pairs) if pairs else "")
        request = Request(url, headers={"Authorization": f"Bearer {more.get('key', self.box.api_key)}"})
        try:
            with urlopen(request) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def get(self, path: str, params: Data | None = None) -> Data:
        """One answer that must be there."""
        status, body = self.ask(path, params)
        assert status == 200, (path, params, body)
        return body

    def read(
        self, path: str, params: Data | None = None, limit: int | None = 2, pattern: str | None = None
    ) -> list[Data]:
        """All objects of a list, in pages of two."""
        entry = LISTS[pattern or path]
        params = dict(params or {})
        found: list[Data]
        if path.startswith("/v2/"):
            page = self.get(path, {**params, "limit": limit})
            found = page["data"]
            while page["next_page_url"]:
                page = self.get(page["next_page_url"])
                found += page["data"]
            return found
        if limit and "limit" in entry["params"]:
            params["limit"] = limit
        found = []
        while True:
            page = self.get(path, params)
            found += page["data"]
            if not page["has_more"]:
                return found
            params["starting_after"] = found[-1]["id"]


def lists_of(table: str) -> list[str]:
    """Paths of the lists that show a table."""
    special = {"customer_bank_accounts": "/v1/customers/{id}/sources", "customer_cards": "/v1/customers/{id}/sources",
               "customer_sources": "/v1/customers/{id}/sources"}
    return [special[table]] if table in special else [
        path for path, entry in LISTS.items() if entry["table"] == table]


def value_at(data: Any, path: str) -> Any:
    """The value at a dotted path."""
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data
