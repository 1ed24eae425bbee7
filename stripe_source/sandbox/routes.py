"""From request to answer: who asks, for which account, for what. No sockets here."""
from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from . import expand, lists, writes
from .catalog import API_VERSION, LISTS, SINGLETONS
from .dump import own
from .keys import Key, OAuthRefusal
from .ledger import balance
from .requests import Answer, Refusal, Request, missing, unknown_path
from .store import Books, Data, Record

if TYPE_CHECKING:
    from .world import World

_VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?$")
_PARENTS = lists.embedded_paths()
_REFUSED_AREAS = ("/v1/issuing/", "/v1/treasury/", "/v1/climate/", "/v1/terminal/", "/v1/identity/",
                  "/v1/financial_connections/", "/v1/forwarding/", "/v1/sigma/", "/v1/apps/", "/v2/")
_EXPAND = {"expand": "list"}
_CHARGE_REFUNDS = {"limit": "int", "starting_after": "str", "ending_before": "str", "expand": "list"}


def _routes() -> dict[str, tuple[str, dict[str, Any]]]:
    """Path patterns -> what is there: a list, an object, something below an object."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path, entry in LISTS.items():
        found[path] = ("list", entry)
        if entry["retrieve"]:
            found[entry["retrieve"]] = ("object", entry)
    for path, entry in SINGLETONS.items():
        found[path] = ("single", entry)
    for path, kinds, permission in (
        ("/v1/customers/{customer}/sources/{id}", ["card", "bank_account"], "rak_source_read"),
        ("/v1/transfers/{transfer}/reversals/{id}", ["transfer_reversal"], "rak_transfer_read"),
        ("/v1/accounts/{account}/external_accounts/{id}", ["bank_account"], "rak_connected_account_read"),
        ("/v1/customers/{customer}/subscriptions/{id}", ["subscription"], "rak_subscription_read"),
        ("/v1/charges/{charge}/refunds/{id}", ["refund"], "rak_charge_read"),
    ):
        found[path] = ("object", {"objects": kinds, "permission": permission})
    found["/v1/charges/{id}/refunds"] = ("list", {
        "table": "refunds", "objects": ["refund"], "params": _CHARGE_REFUNDS, "required": [],
        "permission": "rak_charge_read", "retrieve": None})
    found["/v1/customers/{id}/subscriptions"] = ("list", {**LISTS["/v1/subscriptions"], "retrieve": None})
    return found


_ROUTES = _routes()
_EXACT = {path: route for path, route in _ROUTES.items() if "{" not in path}
# Patterns by their number of segments, those with fewer placeholders first.
_PATTERNS: dict[int, list[tuple[tuple[str, ...], str]]] = {}
for _path in sorted(_ROUTES, key=lambda path: path.count("{")):
    if "{" in _path:
        _parts = tuple(_path.split("/"))
        _PATTERNS.setdefault(len(_parts), []).append((_parts, _path))


@lru_cache(maxsize=65536)
def find(path: str) -> tuple[str, tuple[str, ...]] | None:
    """The pattern that a path follows, and the ids in it."""
    if path in _EXACT:
        return path, ()
    parts = path.split("/")
    for pattern, name in _PATTERNS.get(len(parts), ()):
        if all(want == part or (want[:1] == "{" and part) for want, part in zip(pattern, parts, strict=True)):
            return name, tuple(part for want, part in zip(pattern, parts, strict=True) if want[:1] == "{")
    return None


class Router:
    """Answers the requests of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._replies: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._number = 0

    def answer(self, method: str, path: str, query: str, headers: Any, body: bytes = b"") -> Answer:
        """One answer, with Stripe's headers; every request is noted, without its key."""
        world = self.world
        self._number += 1
        request_id = f"req_{self._number:014d}"
        account = headers.get("Stripe-Account") or headers.get("Stripe-Context")
        version = headers.get("Stripe-Version")
        prefix = ""
        with world.lock:
            world.catch_up()
            try:
                if path in ("/v1/oauth/token", "/oauth/token"):
                    answer = self._token(headers, body)
                else:
                    key = world.keys.identify(headers.get("Authorization"))
                    prefix = key.prefix
                    answer = self._guarded(method, path, query, headers, body, key, account, version, request_id)
            except Refusal as refusal:
                answer = refusal.answer(request_id)
            except OAuthRefusal as refusal:
                answer = Answer(refusal.status, orjson.dumps(refusal.body), {})
            world.requests.append(Request(method, path, query, account, version, answer.status, prefix))
            answer.headers = {
                "Content-Type": "application/json", "Date": formatdate(world.clock, usegmt=True),
                "Request-Id": request_id, "Stripe-Version": version or world.event_version, "Server": "nginx",
                "Cache-Control": "no-cache, no-store", **({"Stripe-Account": account} if account else {}),
                **answer.headers}
        return answer

    def _token(self, headers: Any, body: bytes) -> Answer:
        grant = dict(lists.parse(body.decode(errors="replace")))
        secret = grant.get("client_secret")
        if secret is None and headers.get("Authorization"):
            secret = self.world.keys.identify(headers.get("Authorization")).text
        return Answer(200, orjson.dumps(self.world.keys.exchange(grant, secret)), {"Cache-Control": "no-store"})

    def _guarded(
        self, method: str, path: str, query: str, headers: Any, body: bytes, key: Key, account: str | None,
        version: str | None, request_id: str,
    ) -> Answer:
        world = self.world
        if version and not _VERSION.match(version):
            raise Refusal(400, f"Invalid Stripe API version: {version}. You do not have permission to pass this "
                               f"Stripe-Version header; the latest version is {API_VERSION}.")
        books = world.books
        if account:
            account = account.rsplit("/", 1)[-1]
            if account not in world.accounts:
                raise Refusal(403, f"The provided key '{key.prefix}{'*' * 20}{key.text[-4:]}' does not have access to "
                                   f"account '{account}' (or that account does not exist). Application access may have "
                                   "been revoked.", code="account_invalid")
            books = world.accounts[account]
        route = find(path)
        if world.faults.limits:
            endpoint = f"{method} {route[0] if route else path}"
            reason = world.faults.limited(books.account, endpoint, world.livemode)
            if reason is not None:
                raise Refusal(429, "Request rate limit exceeded. You can learn more about rate limits here "
                                   "https://stripe.com/docs/rate-limits.", code="rate_limit",
                              headers={"Stripe-Rate-Limited-Reason": reason})
        if method == "GET":
            if route is None:
                raise unknown_path(method, path)
            return self._get(books, key, path, *route, lists.parse(query))
        if method not in ("POST", "DELETE"):
            raise unknown_path(method, path)
        idempotency = headers.get("Idempotency-Key")
        asked = f"{method} {path} {body!r}"
        if idempotency:
            held = self._replies.get((books.account, idempotency))
            if held is not None:
                if held[0] != asked:
                    raise Refusal(400, "Keys for idempotent requests can only be used with the same parameters they "
                                       "were first used with.", type="idempotency_error")
                return Answer(held[1].status, held[1].body, {"Idempotent-Replayed": "true"})
        world.request_id, world.idempotency_key = request_id, idempotency
        try:
            answer = self._write(books, key, method, path, body)
        except Refusal as refusal:
            answer = refusal.answer(request_id)
        finally:
            world.request_id = world.idempotency_key = None
        if idempotency:
            self._replies[books.account, idempotency] = (asked, answer)
            answer.headers["Idempotency-Key"] = idempotency
        return answer

    # --- reading

    def _get(
        self, books: Books, key: Key, path: str, pattern: str, ids: tuple[str, ...], params: dict[str, Any]
    ) -> Answer:
        kind, entry = _ROUTES[pattern]
        self.world.keys.demand(key, entry.get("permission"), books.account)
        if kind == "single":
            return self._single(books, path, params, entry)
        if kind == "object":
            lists.check(params, _EXPAND, ())
            return self._object(books, entry, ids, params)
        if pattern.startswith("/v2/"):
            return self._list_v2(books, path, pattern, entry, params)
        self._enabled(path, entry)
        lists.check(params, entry["params"], entry["required"])
        objects = tuple(entry["objects"])
        paths = expand.check(objects, params.get("expand", []), of_list=True)
        if pattern in _PARENTS:
            owner, kinds = _PARENTS[pattern]
            self._owner(books, owner, ids[0])
            records, more = lists.members(books, kinds, ids[0], params, entry["params"])
        elif path == "/v1/subscription_items":
            subscription = self._owner(books, "subscription", params.pop("subscription"))
            records, more = lists.members(books, objects, subscription.id, params, entry["params"])
        elif ids:
            records, more = self._below(books, pattern, objects[0], ids[0], params, entry)
        elif objects[0] == "account" and books is not self.world.books:
            records, more = [], False
        else:
            records, more = lists.page(books, objects[0], params, entry["params"])
        body = b",".join([expand.expanded(books, record, paths) for record in records] if paths
                         else [record.cache or books.json(record) for record in records])
        return Answer(200, b'{"object":"list","data":[%b],"has_more":%b,"url":"%b"}' % (
            body, b"true" if more else b"false", path.encode()), {})

    def _owner(self, books: Books, object: str, id: str) -> Record:
        record = books.find(object, id)
        if record is None:
            raise missing(object, id, object)
        return record

    def _below(
        self, books: Books, pattern: str, object: str, id: str, params: dict[str, Any], entry: Data
    ) -> tuple[list[Record], bool]:
        """Lists below one object that are not embedded in it."""
        parent_path = pattern.split("/{", 1)[0]
        owner = LISTS[parent_path]["objects"][0] if parent_path in LISTS else None
        if owner is not None:
            self._owner(books, owner, id)
        if object in ("payment_method", "subscription") and owner == "customer":
            return lists.page(books, object, {**params, "customer": id}, entry["params"])
        return lists.members(books, (object,), id, params, entry["params"])

    def _enabled(self, path: str, entry: Data) -> None:
        closed = self.world.unpopulated == "refuse" and entry["table"] not in self.world.populated
        if closed and path.startswith(_REFUSED_AREAS):
            name = path.split("/")[2].replace("_", " ").title()
            raise Refusal(400, f"Your account is not set up to use {name}. Please visit "
                               f"https://dashboard.stripe.com/{path.split('/')[2]}/overview to get started.")

    def _single(self, books: Books, path: str, params: dict[str, Any], entry: Data) -> Answer:
        lists.check(params, entry["params"], ())
        if path == "/v1/account":
            return Answer(200, orjson.dumps(own(books)), {})
        if path == "/v1/balance":
            return Answer(200, orjson.dumps(balance(books)), {})
        if path == "/v1/balance_settings":
            return Answer(200, orjson.dumps(_BALANCE_SETTINGS), {})
        if path == "/v1/tax/settings":
            return Answer(200, orjson.dumps({**_TAX_SETTINGS, "livemode": self.world.livemode}), {})
        raise unknown_path("GET", path)

    def _object(self, books: Books, entry: Data, ids: tuple[str, ...], params: dict[str, Any]) -> Answer:
        objects = tuple(entry["objects"])
        paths = expand.check(objects, params.get("expand", []), of_list=False)
        id = ids[-1]
        if objects[0] == "account" and id == books.account:
            return Answer(200, orjson.dumps(own(books)), {})
        for object in objects:
            record = books.find(object, id)
            if record is not None and (len(ids) < 2 or record.parent in (ids[0], None)):
                return Answer(200, expand.expanded(books, record, paths), {})
        if objects[0] == "customer" and id in books.shelf("customer").gone:
            return Answer(200, orjson.dumps(books.stub("customer", id)), {})
        raise missing(objects[0], id)

    def _list_v2(self, books: Books, path: str, pattern: str, entry: Data, params: dict[str, Any]) -> Answer:
        self._enabled(path, entry)
        lists.check({name: value for name, value in params.items() if name != "page"},
                    {**entry["params"], "limit": "int"}, entry["required"])
        limit = lists.limit_of(params)
        found = [record for record in reversed(books.all(entry["objects"][0])) if not record.hidden]
        try:
            start = int(params.get("page", "page_0").removeprefix("page_"))
        except ValueError:
            raise Refusal(400, "The page token is invalid.", param="page") from None

        def url(at: int) -> str:
            return f"{path}?limit={limit}&page={quote(f'page_{at}')}"

        body = b",".join(books.json(record) for record in found[start:start + limit])
        following = orjson.dumps(url(start + limit) if len(found) > start + limit else None)
        before = orjson.dumps(url(max(0, start - limit)) if start else None)
        return Answer(200, b'{"data":[%b],"next_page_url":%b,"previous_page_url":%b}' % (body, following, before), {})

    # --- writing

    def _write(self, books: Books, key: Key, method: str, path: str, body: bytes) -> Answer:
        params = lists.parse(body.decode(errors="replace"))
        wanted = params.pop("expand", [])
        route = find(path)
        entry = _ROUTES[route[0]][1] if route else {}
        permission = entry.get("permission")
        self.world.keys.demand(key, permission and permission.replace("_read", "_write"), books.account)
        record: Record | None = None
        if route is not None and _ROUTES[route[0]][0] == "object":
            record = next((found for object in entry["objects"] if (found := books.find(object, route[1][-1]))), None)
            if record is None:
                raise missing(entry["objects"][0], route[1][-1])
            if method == "DELETE":
                return Answer(200, orjson.dumps(writes.remove(books, record)), {})
            record = writes.update(books, record, params)
        elif method == "POST" and route is not None and not route[1]:
            record = writes.create(books, path, params)
        elif method == "DELETE" and path.endswith("/discount"):
            return self._undiscount(books, path)
        elif method == "POST":
            head, _, action = path.rpartition("/")
            above = find(head)
            if above is not None and _ROUTES[above[0]][0] == "object":
                target = self._owner(books, _ROUTES[above[0]][1]["objects"][0], above[1][-1])
                record = writes.act(books, target, action, params)
        if record is None:
            raise unknown_path(method, path)
        paths = expand.check((record.object,), wanted, of_list=False)
        return Answer(200, expand.expanded(books, record, paths), {})

    def _undiscount(self, books: Books, path: str) -> Answer:
        from .people import undiscount

        record = self._owner(books, "customer", path.split("/")[3])
        if record.data["discount"] is None:
            raise missing("discount", record.id)
        id = record.data["discount"]["id"]
        undiscount(books, record)
        return Answer(200, orjson.dumps(books.stub("discount", id)), {})


_BALANCE_SETTINGS = {
    "object": "balance_settings", "payments": {
        "debit_negative_balances": True, "payouts": {
            "automatic_transfer_rules_by_currency": None, "minimum_balance_by_currency": None,
            "schedule": {"interval": "weekly", "weekly_payout_days": ["monday"]}, "statement_descriptor": None,
            "status": "enabled"},
        "settlement_timing": {"delay_days": 2}}}
_TAX_SETTINGS = {
    "object": "tax.settings", "defaults": {"provider": "stripe", "tax_behavior": "exclusive",
                                           "tax_code": "txcd_10000000"},
    "head_office": {"address": {"city": "San Francisco", "country": "US", "line1": "510 Townsend Street",
                                "line2": None, "postal_code": "94103", "state": "CA"}},
    "livemode": False, "status": "active", "status_details": {"active": {}}}
