"""Lists and objects under `/v2/`: pages by URL, times as text, sections that `include` names."""
from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from stripe_source.sandbox.endpoints import filters, list_parameters
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import V2_SECTIONS
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.state.requests import Answer, Refusal

_BOUNDS = ("gt", "gte", "lt", "lte")


def moment(value: Any, param: str) -> float:
    """Return the seconds of an RFC 3339 parameter, or refuse it."""
    try:
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise Refusal(400, f"Invalid timestamp: {value}. Timestamps are RFC 3339.", code="invalid_timestamp",
                      param=param) from None
    if found.tzinfo is None:
        raise Refusal(400, f"Invalid timestamp: {value}. Timestamps are RFC 3339.", code="invalid_timestamp",
                      param=param)
    return found.timestamp()


def shown(object: str, data: Data, include: list[str]) -> Data:
    """Return the object; sections that `include` does not name are null."""
    sections = V2_SECTIONS.get(object, ())
    unknown = [name for name in include if name not in sections]
    if unknown:
        raise Refusal(400, f"Invalid include: {unknown[0]}", code="parameter_unknown", param="include")
    data = orjson.loads(orjson.dumps(data))
    for section in sections:
        if section not in include:
            *path, last = section.split(".")
            node: Any = data
            for part in path:
                node = node.get(part) if isinstance(node, dict) else None
            if isinstance(node, dict) and last in node:
                node[last] = None
    # `configuration` holds nothing but sections, so it is null if all of them are
    if object == "v2.core.account" and not any((data.get("configuration") or {}).values()):
        data["configuration"] = None
    return data


def _bytes(record: Record, books: Books, include: list[str]) -> bytes:
    if record.object not in V2_SECTIONS:
        return books.to_json(record)
    return orjson.dumps(shown(record.object, record.data, include))


def one(books: Books, record: Record, params: dict[str, Any]) -> Answer:
    """Answer the GET of one object."""
    sections = record.object in V2_SECTIONS
    list_parameters.check(params, {"include": "list"} if sections else {}, ())
    return Answer(200, _bytes(record, books, params.get("include", [])), {})


def page(books: Books, path: str, object: str, parent: str | None, params: dict[str, Any], known: Data) -> Answer:
    """Answer one page of a list, with the URLs of the next and of the previous page."""
    limit = int(params["limit"]) if "limit" in params and str(params["limit"]).isdigit() else 20
    token = params.pop("page", None)
    start = 0
    if token is not None:
        try:
            start, limit, params = orjson.loads(base64.urlsafe_b64decode(str(token).encode()))
        except (binascii.Error, orjson.JSONDecodeError, ValueError, TypeError):
            raise Refusal(400, "The page token is invalid.", code="invalid_page_token", param="page") from None
    list_parameters.check(params, {**known, "limit": "int"}, ())
    if "limit" in params:
        limit = list_parameters.limit_of(params)
    include = params.get("include", [])
    wanted = _tests(object, {name: each for name, each in params.items() if name not in ("limit", "include")})
    everything = books.listed_children((object,), parent) if parent is not None else books.listed(object)[::-1]
    found = [record for record in everything if not record.hidden and all(test(record) for test in wanted)]

    def url(at: int) -> str:
        place = base64.urlsafe_b64encode(orjson.dumps([at, limit, params])).decode()
        return f"{path}?{urlencode({'page': place})}"

    shown = [_bytes(record, books, include) for record in found[start:start + limit]]
    following = orjson.dumps(url(start + limit) if len(found) > start + limit else None)
    before = orjson.dumps(url(max(0, start - limit)) if start else None)
    return Answer(200, b'{"data":[%b],"next_page_url":%b,"previous_page_url":%b}' % (
        b",".join(shown), following, before), {}, len(shown))


def _tests(object: str, params: dict[str, Any]) -> list[filters.Filter]:
    found: list[filters.Filter] = []
    if object == "v2.core.account":
        # `closed=true` lists closed accounts, otherwise open ones are listed
        closed = params.pop("closed", "false") == "true"
        found.append(lambda record: bool(record.data.get("closed")) == closed)
        applied = params.pop("applied_configurations", None)
        if applied is not None:
            found.append(lambda record: bool({*applied} & {*(record.data.get("applied_configurations") or ())}))
    if object == "v2.money_management.financial_account":
        statuses = params.pop("statuses", None) or ["open", "pending"]
        found.append(lambda record: record.data.get("status") in statuses)
    bounds: dict[str, Any] = {}
    if "created" in params:
        value = params.pop("created")
        if not isinstance(value, dict) or any(name not in _BOUNDS for name in value):
            raise Refusal(400, "Invalid hash: created", code="parameter_invalid_hash", param="created")
        bounds.update(value)
    for name in _BOUNDS:
        if f"created_{name}" in params:
            bounds[name] = params.pop(f"created_{name}")
    for name, value in bounds.items():
        found.append(_bound(name, moment(value, f"created[{name}]")))
    for name, value in params.items():
        if isinstance(value, list):
            field = {"types": "type", "status": "status"}.get(name, name)
            found.append(lambda record, field=field, value=value: record.data.get(field) in value)  # type: ignore[misc]
        elif name == "object_id":
            found.append(lambda record, value=value: (  # type: ignore[misc]  # the default binds the loop's value
                record.data.get("related_object") or {}).get("id") == value)
        elif isinstance(value, dict):
            found += [filters.equal(f"{name}.{part}", each) for part, each in value.items()]
        else:
            found.append(filters.equal(name, value))
    return found


def _bound(name: str, at: float) -> filters.Filter:
    def test(record: Record) -> bool:
        created = moment(record.data["created"], "created")
        return {"gt": created > at, "gte": created >= at, "lt": created < at, "lte": created <= at}[name]

    return test
