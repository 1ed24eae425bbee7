"""Stripe's Reporting API on loopback: types, runs and files that a test writes by hand, and what may go wrong."""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import orjson

BODY = "51AbCdEfGhIjKlMnOpQrStUv"  # the part of a key that must never be seen
KEY = f"sk_live_{BODY}"
NOW = 1_798_761_600  # 2027-01-01
JULY, AUGUST, SEPTEMBER = 1_782_864_000, 1_785_542_400, 1_788_220_800  # first seconds of these months of 2026, UTC

Form = dict[str, Any]


@dataclass
class Reports:
    """What the server knows, and what was asked of it.

    Args:
        types: by id, `data_available_start` and `_end`, `updated`, and what else a type says.
        csv: makes the file of a run from its type and its parameters.
        polls: how often a run is shown as pending.
        payouts: objects of the list of payouts.
    """

    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    csv: Callable[[str, Form], bytes] = lambda type, form: b"a\n"
    polls: int = 1
    payouts: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # method, path, headers
    url: str = ""
    fail: Callable[[dict[str, Any]], str | None] = lambda run: None  # why a run fails
    refuse: Callable[[str, str], tuple[int, dict[str, Any]] | None] = lambda method, path: None
    expired: set[str] = field(default_factory=set)  # ids of files
    cuts: list[int] = field(default_factory=list)  # after so many bytes the next downloads end
    ranges: bool = True
    file_url: Callable[[str], str] | None = None
    file_headers: dict[str, str] = field(default_factory=dict)
    file_status: int = 200
    before_run: Callable[[int], None] = lambda number: None
    busy: int = 0
    most_busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _by_key: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_type(self, id: str, start: int, end: int, **words: Any) -> None:
        self.types[id] = {
            "id": id, "object": "reporting.report_type", "data_available_start": start, "data_available_end": end,
            "default_columns": None, "livemode": True, "name": id, "updated": NOW - 3600, "version": 1, **words,
        }

    @property
    def created(self) -> list[tuple[str, Form]]:
        """Type and parameters of all runs, in their order."""
        return [(run["report_type"], run["parameters"]) for run in self.runs]

    def file(self, run: dict[str, Any]) -> bytes:
        return self.csv(run["report_type"], run["parameters"])

    def create(self, form: Form, key: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            if key in self._by_key:
                return 200, self.shown(self._by_key[key])
            number = len(self.runs) + 1
            self.before_run(number)
            words = form["parameters"]
            type = self.types.get(form["report_type"])
            if type is None:
                return 400, _error("No such report type")
            for bound in ("interval_start", "interval_end"):
                if bound in words and not (
                    type["data_available_start"] <= words[bound] <= type["data_available_end"]
                ):
                    return 400, _error(f"{bound}: data is available until {type['data_available_end']}")
            run = {
                "id": f"frr_{number:04}", "object": "reporting.report_run", "created": NOW, "livemode": True,
                "report_type": form["report_type"], "parameters": words, "status": "pending", "error": None,
                "result": None, "succeeded_at": None, "_polls": self.polls,
            }
            self.runs.append(run)
            self._by_key[key] = run
            self.busy += 1
            self.most_busy = max(self.busy, self.most_busy)
            return 200, self.shown(run)

    def poll(self, run: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            run["_polls"] -= 1
            if run["_polls"] <= 0 and run["status"] == "pending":
                self.busy -= 1
                if (reason := self.fail(run)) is not None:
                    run.update(status="failed", error=reason)
                else:
                    id = f"file_{run['id']}"
                    url = self.file_url(id) if self.file_url else f"{self.url}/v1/files/{id}/contents"
                    run.update(status="succeeded", succeeded_at=NOW + 60, result={
                        "id": id, "object": "file", "type": "csv", "url": url, "size": len(self.file(run)),
                        "expires_at": NOW + 86_400 * 30,
                    })
            return self.shown(run)

    @staticmethod
    def shown(run: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in run.items() if not name.startswith("_")}


def _error(message: str, **words: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", **words}}


def _form(text: str) -> Form:
    words: Form = {"parameters": {}}
    for name, value in parse_qsl(text):
        if name.startswith("parameters[columns]"):
            words["parameters"].setdefault("columns", []).append(value)
        elif name.startswith("parameters["):
            inner = name[len("parameters["):-1]
            words["parameters"][inner] = int(value) if inner.startswith("interval") else value
        else:
            words[name] = value
    return words


class Handler(BaseHTTPRequestHandler):
    reports: Reports
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        text = body if isinstance(body, bytes) else orjson.dumps(body)
        self.send_response_only(status)
        self.send_header("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(NOW)))
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text if cut is None else text[:cut])
        if cut is not None:
            self.close_connection = True

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        text = self.rfile.read(size).decode()
        self.note()
        if (refused := self.reports.refuse("POST", self.path)) is not None:
            self.answer(*refused)
            return
        self.answer(*self.reports.create(_form(text), self.headers["Idempotency-Key"]))

    def note(self) -> None:
        self.reports.requests.append((self.command, self.path, dict(self.headers)))

    def do_GET(self) -> None:
        self.note()
        reports, parts = self.reports, urlsplit(self.path)
        query, path = parse_qs(parts.query), parts.path
        if (refused := reports.refuse("GET", path)) is not None:
            self.answer(*refused)
        elif path == "/v1/account":
            self.answer(200, {"id": "acct_1Reports00000000", "object": "account"})
        elif path == "/v1/reporting/report_types":
            self.answer(200, listing(list(reports.types.values()), path))
        elif path == "/v1/reporting/report_runs":
            low = int(query.get("created[gte]", ["0"])[0])
            found = [reports.shown(run) for run in reversed(reports.runs) if run["created"] >= low]
            self.answer(200, listing(found, path))
        elif path.startswith("/v1/reporting/report_runs/"):
            run = next(each for each in reports.runs if each["id"] == path.rpartition("/")[2])
            self.answer(200, reports.poll(run))
        elif path == "/v1/payouts":
            low, high = int(query["created[gte]"][0]), int(query["created[lt]"][0])
            found = [each for each in reversed(reports.payouts) if low <= each["created"] < high]
            self.answer(200, listing(found, path))
        elif path.startswith("/v1/files/"):
            self.contents(path.split("/")[3])
        else:
            self.answer(200, listing([], path))

    def contents(self, id: str) -> None:
        reports = self.reports
        if id in reports.expired:
            self.answer(404, _error("This file has expired", code="resource_missing"))
            return
        if reports.file_status != 200:
            self.answer(reports.file_status, b"", reports.file_headers)
            return
        run = next(each for each in reports.runs if f"file_{each['id']}" == id)
        text, headers, status = reports.file(run), dict(reports.file_headers), 200
        if (asked := self.headers.get("Range")) and reports.ranges:
            offset = int(asked.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {offset}-{len(text) - 1}/{len(text)}"
            text, status = text[offset:], 206
        self.answer(status, text, headers, reports.cuts.pop(0) if reports.cuts else None)


def listing(objects: list[Any], path: str) -> dict[str, Any]:
    return {"object": "list", "data": objects, "has_more": False, "url": path}


@contextmanager
def serving(reports: Reports) -> Iterator[Reports]:
    """Serve it until the block ends."""
    handler = type("_Handler", (Handler,), {"reports": reports})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    reports.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield reports
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
