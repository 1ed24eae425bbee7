"""The router: it finds the key, the account and the endpoint of a request, and answers it. It opens no sockets."""
from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import orjson

from stripe_source.sandbox.business import singletons
from stripe_source.sandbox.business.customers import remove_discount
from stripe_source.sandbox.business.ledger import balance
from stripe_source.sandbox.dump import own
from stripe_source.sandbox.endpoints import expand, list_parameters, lists, product_access, v2, writes
from stripe_source.sandbox.reports import download, report_runs
from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.catalog import API_VERSION, BY_PARAMETER, CHILDREN, LISTS, SINGLETONS, V2_SECTIONS
from stripe_source.sandbox.state.keys import Key, OAuthRefusal
from stripe_source.sandbox.state.records import Data, Record
from stripe_source.sandbox.state.requests import Answer, Refusal, Request, missing, unknown_path
from stripe_source.sandbox.world import World

_VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?$")
_PARENTS = lists.embedded_paths()
_SUMMARIES = "/v1/billing/meters/{id}/event_summaries"
_OF_OTHERS = ("/v1/accounts/{id}/persons", "/v1/accounts/{id}/external_accounts")
_EXPAND = {"expand": "list"}
_CHARGE_REFUNDS = {"limit": "int", "starting_after": "str", "ending_before": "str", "expand": "list"}


def _routes() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the endpoints: path pattern -> (kind of endpoint, its entry)."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path, entry in LISTS.items():
        found[path] = ("list", entry)
        if entry["retrieve"]:
            found[entry["retrieve"]] = ("object", entry)
    for path, entry in SINGLETONS.items():
        found[path] = ("single", entry)
    for path, kinds, permission in (
        ("/v1/customers/{customer}/sources/{id}", list(CHILDREN["customer_sources"][1]), "rak_source_read"),
        ("/v1/transfers/{transfer}/reversals/{id}", ["transfer_reversal"], "rak_transfer_read"),
        ("/v1/accounts/{account}/external_accounts/{id}", ["bank_account", "card"], "rak_connected_account_read"),
        ("/v1/customers/{customer}/subscriptions/{id}", ["subscription"], "rak_subscription_read"),
        ("/v1/charges/{charge}/refunds/{id}", ["refund"], "rak_charge_read"),
    ):
        found[path] = ("object", {"objects": kinds, "permission": permission})
    found["/v1/charges/{id}/refunds"] = ("list", {
        "table": "refunds", "objects": ["refund"], "params": _CHARGE_REFUNDS, "required": [],
        "permission": "rak_charge_read", "retrieve": None})
    found[download.PATTERN] = ("contents", {"permission": download.PERMISSION})
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
    """Return the pattern that a path matches and the ids in it, or None."""
    if path in _EXACT:
        return path, ()
    parts = path.split("/")
    for pattern, name in _PATTERNS.get(len(parts), ()):
        if all(want == part or (want[:1] == "{" and part) for want, part in zip(pattern, parts, strict=True)):
            return name, tuple(part for want, part in zip(pattern, parts, strict=True) if want[:1] == "{")
    return None


class Router:
    """Answers the requests to a world.

    Attributes:
        aside: paths that Stripe does not have: they are answered without delay or fault, and not counted.
    """

    internal_paths: frozenset[str] = frozenset()

    def __init__(self, world: World, life_every: int | None = None) -> None:
        self.world = world
        self.life_every = life_every
        self._replies: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._number = self._gets = 0

    def answer(self, method: str, path: str, query: str, headers: Any, body: bytes = b"") -> Answer:
        """Answer a request, with Stripe's headers; every request is logged, without its key."""
        world = self.world
        account = headers.get("Stripe-Account") or headers.get("Stripe-Context")
        version = headers.get("Stripe-Version")
        prefix = ""
        with world.lock:
            self._number += 1
            request_id = f"req_{self._number:014d}"
            world.catch_up()
            self._before_request(method)
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

    def on_sent(self, path: str, query: str, status: int, objects: int | None) -> None:
        """Called for each answer that was sent; `objects` is the number of objects of a list."""

    def _before_request(self, method: str) -> None:
        """Run what tests want to happen before a request is answered."""
        if self.world.on_request is not None:
            self.world.on_request(self._number)
        if self.life_every and method == "GET":
            self._gets += 1
            if self._gets % self.life_every == 0:
                self.world.live()

    def _token(self, headers: Any, body: bytes) -> Answer:
        grant = dict(list_parameters.parse(body.decode(errors="replace")))
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
            if route[0] == download.PATTERN:
                self.world.keys.require(key, download.PERMISSION, books.account)
                return download.contents(books, route[1][0], headers)
            report_runs.before_read(books, path)
            return self._get(books, key, path, *route, list_parameters.parse(query))
        if method not in ("POST", "DELETE"):
            raise unknown_path(method, path)
        idempotency = headers.get("Idempotency-Key")
        fingerprint = f"{method} {path} {body!r}"
        if idempotency:
            first_reply = self._replies.get((books.account, idempotency))
            if first_reply is not None:
                if first_reply[0] != fingerprint:
                    raise Refusal(400, "Keys for idempotent requests can only be used with the same parameters they "
                                       "were first used with.", type="idempotency_error")
                return Answer(first_reply[1].status, first_reply[1].body, {"Idempotent-Replayed": "true"})
        world.request_id, world.idempotency_key = request_id, idempotency
        try:
            answer = self._write(books, key, method, path, body, headers)
        except Refusal as refusal:
            answer = refusal.answer(request_id)
        finally:
            world.request_id = world.idempotency_key = None
        if idempotency:
            self._replies[books.account, idempotency] = (fingerprint, answer)
            answer.headers["Idempotency-Key"] = idempotency
        return answer

    # --- reading

    def _get(
        self, books: Books, key: Key, path: str, pattern: str, ids: tuple[str, ...], params: dict[str, Any]
    ) -> Answer:
        kind, entry = _ROUTES[pattern]
        self.world.keys.require(key, entry.get("permission"), books.account)
        if self.world.unpopulated == "refuse":
            product_access.require(path, self.world.populated)
        if self.world.livemode and path.startswith("/v1/test_helpers/"):
            raise Refusal(400, "Test clocks can be used in test mode only; you used a live mode key.",
                          code="testmode_only")
        if kind == "single":
            return self._single(books, path, params, entry)
        if kind == "object":
            if not path.startswith("/v2/"):
                list_parameters.check(params, _EXPAND, ())
            return self._object(books, key, entry, ids, params)
        if pattern.startswith("/v2/"):
            if ids:
                self._owner(books, CHILDREN[entry["table"]][2], ids[0])
            params.pop("expand", None)
            object = entry["objects"][0]
            known = {**entry["params"], "include": "list"} if "include" in entry["params"] else entry["params"]
            if object in V2_SECTIONS and "include" in params and "include" not in known:
                raise Refusal(400, "Received unknown parameter: include", code="parameter_unknown", param="include")
            return v2.page(books, path, object, ids[0] if ids else None, params, known)
        list_parameters.check(params, entry["params"], entry["required"])
        objects = tuple(entry["objects"])
        paths = self._permitted(books, key, objects, expand.check(objects, params.get("expand", []), of_list=True))
        if pattern == _SUMMARIES:
            self._owner(books, "billing.meter", ids[0])
            records, more = lists.page_of_found(singletons.usage(books, ids[0], params), params, entry["params"])
        elif pattern in _PARENTS:
            owner, kinds = _PARENTS[pattern]
            self._account_below(books, owner, pattern, ids[0])
            params.pop("ownership", None)
            records, more = lists.children_page(books, kinds, ids[0], params, entry["params"])
        elif path in BY_PARAMETER:
            owner = self._owner(books, CHILDREN[entry["table"]][2], params.pop(BY_PARAMETER[path])).id
            records, more = lists.children_page(books, objects, owner, params, entry["params"])
        elif ids:
            records, more = self._below(books, pattern, objects[0], ids[0], params, entry)
        elif objects[0] == "account" and books is not self.world.books:
            records, more = [], False
        else:
            records, more = lists.page(books, objects[0], params, entry["params"])
        books.answering_list = True
        try:
            bodies = self.bodies_of(books, records, paths)
        finally:
            books.answering_list = False
        return Answer(200, self.list_body(bodies, more, path), {}, len(bodies))

    def bodies_of(self, books: Books, records: Sequence[Record], paths: tuple[str, ...]) -> list[bytes]:
        """Return the bodies of a list's objects, with `paths` expanded."""
        if paths:
            return [expand.expanded(books, record, paths) for record in records]
        return [record.cache or books.to_json(record) for record in records]

    def list_body(self, bodies: list[bytes], more: bool, path: str) -> bytes:
        """Return the body of a list."""
        return b'{"object":"list","data":[%b],"has_more":%b,"url":"%b"}' % (
            b",".join(bodies), b"true" if more else b"false", path.encode())

    def _permitted(
        self, books: Books, key: Key, objects: tuple[str, ...], paths: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the paths that a key may expand; `World.expand_forbidden` says what happens to the others."""
        if key.permissions is None:
            return paths
        lacking = {
            path: min(one_of) for path in paths for one_of in expand.permissions(objects, path)
            if not one_of & key.permissions
        }
        if lacking and self.world.expand_forbidden == "refuse":
            self.world.keys.require(key, lacking[min(lacking)], books.account)
        return tuple(path for path in paths if path not in lacking)

    def _owner(self, books: Books, object: str, id: str) -> Record:
        record = books.find(object, id)
        if record is None:
            raise missing(object, id, object)
        return record

    def _below(
        self, books: Books, pattern: str, object: str, id: str, params: dict[str, Any], entry: Data
    ) -> tuple[list[Record], bool]:
        """Return one page of a list below one object that does not embed it."""
        parent_path = pattern.split("/{", 1)[0]
        owner = LISTS[parent_path]["objects"][0] if parent_path in LISTS else None
        if owner is not None:
            self._owner(books, owner, id)
        if object in ("payment_method", "subscription") and owner == "customer":
            return lists.page(books, object, {**params, "customer": id}, entry["params"])
        return lists.children_page(books, (object,), id, params, entry["params"])

    def _account_below(self, books: Books, owner: str, pattern: str, id: str) -> None:
        """Refuse lists below a missing parent, and below accounts for which the platform collects no requirements."""
        if owner != "account":
            self._owner(books, owner, id)
            return
        record = self.world.books.find("account", id)
        if record is None and id != books.account:
            raise missing("account", id)
        if pattern in _OF_OTHERS and (record is None or record.data["type"] == "standard"):
            raise Refusal(403, "This application does not have the required permissions for this endpoint on account "
                               f"'{id}'.", code="oauth_not_supported")

    def _single(self, books: Books, path: str, params: dict[str, Any], entry: Data) -> Answer:
        list_parameters.check(params, entry["params"], ())
        if path == "/v1/account":
            return Answer(200, orjson.dumps(own(books)), {})
        if path == "/v1/balance":
            return Answer(200, orjson.dumps(balance(books)), {})
        if path in ("/v1/balance_settings", "/v1/tax/settings"):
            return Answer(200, orjson.dumps(singletons.settings(books, entry["object"])), {})
        if path == "/v1/billing/credit_balance_summary":
            return Answer(200, orjson.dumps(singletons.credit_balance(books, params)), {})
        if path == "/v1/tax/associations/find":
            return Answer(200, orjson.dumps(singletons.association(books, params)), {})
        raise unknown_path("GET", path)

    def _object(self, books: Books, key: Key, entry: Data, ids: tuple[str, ...], params: dict[str, Any]) -> Answer:
        objects = tuple(entry["objects"])
        id = ids[-1]
        if objects[0].startswith("v2."):
            record = books.find(objects[0], id)
            if record is None or (len(ids) > 1 and record.parent != ids[0]):
                raise missing(objects[0], id)
            return v2.one(books, record, params)
        paths = self._permitted(books, key, objects, expand.check(objects, params.get("expand", []), of_list=False))
        if len(ids) > 1 and objects[0] == "capability":
            id = f"{ids[0]}/{id}"
        if objects[0] == "account" and id == books.account:
            return Answer(200, orjson.dumps(own(books)), {})
        for object in objects:
            record = books.find(object, id)
            if record is not None and (len(ids) < 2 or record.parent in (ids[0], None)):
                return Answer(200, expand.expanded(books, record, paths), {})
        if objects[0] == "customer" and id in books.collection("customer").deleted:
            return Answer(200, orjson.dumps(books.stub("customer", id)), {})
        raise missing(objects[0], id)

    # --- writing

    def _write(self, books: Books, key: Key, method: str, path: str, body: bytes, headers: Any) -> Answer:
        params = list_parameters.parse(body.decode(errors="replace"))
        wanted = params.pop("expand", [])
        route = find(path)
        entry = _ROUTES[route[0]][1] if route else {}
        permission = entry.get("permission")
        runs_report = (method, path) == ("POST", report_runs.PATH)  # the one POST that a key with read access may send
        if permission and not runs_report:
            permission = permission.replace("_read", "_write")
        self.world.keys.require(key, permission, books.account)
        record: Record | None = None
        if route is not None and _ROUTES[route[0]][0] == "object":
            record = next((found for object in entry["objects"] if (found := books.find(object, route[1][-1]))), None)
            if record is None:
                raise missing(entry["objects"][0], route[1][-1])
            if method == "DELETE":
                return Answer(200, orjson.dumps(writes.remove(books, record)), {})
            record = writes.update(books, record, params)
        elif runs_report:
            record = report_runs.create(books, params, headers.get("Host"))
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
        paths = self._permitted(books, key, (record.object,), expand.check((record.object,), wanted, of_list=False))
        return Answer(200, expand.expanded(books, record, paths), {})

    def _undiscount(self, books: Books, path: str) -> Answer:
        record = self._owner(books, "customer", path.split("/")[3])
        if record.data["discount"] is None:
            raise missing("discount", record.id)
        id = record.data["discount"]["id"]
        remove_discount(books, record)
        return Answer(200, orjson.dumps(books.stub("discount", id)), {})
