"""A Stripe that has one report of many rows, and makes it at once: what the loader alone takes."""
from __future__ import annotations

import argparse
import io
import json
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stripe_source.tables.registry import REPORT_TABLES
from stripe_source.tables.schema_map import Column, table_map

START, END = 1_782_864_000, 1_785_542_400  # July 2026
KEY = "sk_live_51BenchmarkOfReports00"


def lines(type: str, rows: int) -> io.BufferedRandom:
    """The file of a report: all columns that are known of its type, half of the texts with something in them."""
    table = next(each for each in REPORT_TABLES if each.report and each.report.type == type)
    columns = [column for column in table_map(table).columns if column.path]
    file: io.BufferedRandom = tempfile.TemporaryFile()  # type: ignore[assignment]  # noqa: SIM115 - closed at the end
    file.write(",".join(column.name for column in columns).encode() + b"\n")
    for number in range(rows):
        file.write(",".join(_value(place, column, number) for place, column in enumerate(columns)).encode() + b"\n")
    file.flush()
    return file


def _value(place: int, column: Column, number: int) -> str:
    if column.data_type == "decimal":
        return f"{number % 100_000 / 100:.2f}"
    if column.data_type == "timestamp":
        return f"2026-07-{1 + number % 28:02} 12:{number % 60:02}:{number // 60 % 60:02}"
    if column.data_type != "text":
        return {"bool": "true", "date": "2026-07-01"}.get(column.data_type, "1")
    if column.name.endswith("_id") or place == 0:
        return f"{column.name[:2]}_1N{number:09}AbCdEfGh"
    if column.name == "description":
        return f'"Payment, for invoice {number}"'
    return column.name[:8] if place % 2 else ""


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one report."""

    file: io.BufferedRandom
    type: str
    size: int
    url: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Make a report run that is done."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({
            "id": "frr_1", "object": "reporting.report_run", "status": "succeeded", "created": END, "succeeded_at": END,
            "report_type": self.type, "parameters": {}, "error": None,
            "result": {"id": "file_1", "url": f"{self.url}/v1/files/file_1/contents", "size": self.size},
        })

    def do_GET(self) -> None:
        """Answer the account, the types, or the file."""
        if "/files/" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", str(self.size))
            self.end_headers()
            self.file.seek(0)
            while piece := self.file.read(1 << 20):
                self.wfile.write(piece)
        elif self.path.startswith("/v1/account"):
            self._answer({"id": "acct_1Benchmark0000000", "object": "account"})
        else:
            found = [{
                "id": self.type, "object": "reporting.report_type", "data_available_start": START,
                "data_available_end": END, "default_columns": None, "updated": END,
            }] if self.path.endswith("report_types") else []
            self._answer({"object": "list", "data": found, "has_more": False, "url": self.path.partition("?")[0]})

    def _answer(self, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", required=True)
    parser.add_argument("--rows", type=int, required=True)
    args = parser.parse_args()
    Handler.file, Handler.type = lines(args.type, args.rows), args.type
    Handler.size = Handler.file.seek(0, io.SEEK_END)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.url = f"http://127.0.0.1:{server.server_port}"
    print(json.dumps({"url": Handler.url, "api_key": KEY}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
