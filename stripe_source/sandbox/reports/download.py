"""Downloads of the files of reports: whole, in part (`Range`), or compressed."""
from __future__ import annotations

import gzip
import re
from typing import Any

from stripe_source.sandbox.state.books import Books
from stripe_source.sandbox.state.requests import Answer, Refusal, missing

PATTERN = "/v1/files/{id}/contents"
PERMISSION = "rak_file_read"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


def contents(books: Books, id: str, headers: Any) -> Answer:
    """Answer a GET of the contents of a file; raise the refusal of one that does not exist, or has expired."""
    record, content = books.find("file", id), books.world.reports.contents.get(id)
    if record is None or content is None:
        raise missing("file", id, "file")
    if record.data["expires_at"] is not None and books.now >= record.data["expires_at"]:
        books.world.reports.contents.pop(id)
        raise missing("file", id, "file")
    tag = f'"{id}"'
    about = {"Content-Type": "text/csv; charset=utf-8", "Accept-Ranges": "bytes", "ETag": tag,
             "Content-Disposition": f'attachment; filename="{record.data["filename"]}"'}
    wanted = headers.get("Range")
    if wanted and headers.get("If-Range", tag) == tag and (found := _RANGE.match(wanted)) and any(found.groups()):
        return _part(content, found[1], found[2], about)
    if "gzip" in headers.get("Accept-Encoding", ""):
        return Answer(200, gzip.compress(content, 1, mtime=0), {
            **about, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    return Answer(200, content, about)


def _part(content: bytes, first: str, last: str, about: dict[str, str]) -> Answer:
    """Answer a part of a file: from the first byte to the last one (inclusive), or the last so many bytes."""
    size = len(content)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        raise Refusal(416, "The requested range is not in the file.", headers={"Content-Range": f"bytes */{size}"})
    return Answer(206, content[start:end + 1], {**about, "Content-Range": f"bytes {start}-{end}/{size}"})
