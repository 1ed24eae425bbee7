"""The fingerprints of a row, by one recipe: of a whole row, a partial, a flagged, a repaired and a masked one.

`_dlt_id` holds one of them. They are stored in destinations, so that the recipe and its marks must stay as they are:
with others every row would count as changed. What the schema map declares otherwise than the first release did is in
the fingerprint of the rows that it concerns, and of no others.
"""
from __future__ import annotations

import hmac
from binascii import b2a_base64
from functools import lru_cache
from hashlib import blake2b

import orjson

from stripe_source.arrow_rows.json_text import pieces
from stripe_source.arrow_rows.waevent import WAEvent
from stripe_source.tables.map_changes import mapping_mark

_PARTIAL, _FLAGGED, _REPAIRED = "lacking", "gone", "mended"  # what a row is, in the text that is hashed


def fingerprint(event: WAEvent, deleted: bool) -> str:
    """The fingerprint of a whole row: 20 characters that change when its key, content or columns do, and not otherwise.

    The time of reading is left out, so that an object read again unchanged has the fingerprint it had.
    """
    try:
        content = orjson.dumps(event.data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        content = "".join(pieces(event.data, ordered=True)).encode("utf-8", "surrogatepass")
    key = _key(event.table, event.account, event.parent, event.position, event.pair, deleted)
    whole = b2a_base64(blake2b(content + key, digest_size=15).digest(), newline=False).decode()  # a call less
    mark = mapping_mark(event.table, event.data)
    return _marked(whole, mark) if mark else whole


@lru_cache(maxsize=1_000, typed=True)
def _key(table: str, account: str, parent: str | None, position: int | None, pair: object, deleted: bool) -> bytes:
    """What tells rows apart besides their object, as it is hashed; of most lists the same for all rows."""
    return f"\0{table}\0{account}\0{parent}\0{position}\0{pair}\0{deleted}".encode("utf-8", "surrogatepass")


def partial_fingerprint(whole: str) -> str:
    """The fingerprint of a row some of whose values the contract kept out: once they are wanted, the row differs."""
    return _marked(whole, _PARTIAL)


def flagged_fingerprint(before: str) -> str:
    """The fingerprint of a row that is flagged as deleted now, from the one that it had."""
    return _marked(before, _FLAGGED)


def keyed_fingerprint(before: str, secret: str) -> str:
    """The fingerprint of a row with masks: without the secret nobody can test against it what was masked."""
    return _encoded(hmac.digest(secret.encode(), before.encode(), "sha256")[:15])


def repair_fingerprint(before: str) -> str:
    """The fingerprint of a row that a repair flags as deleted: no object of Stripe has it."""
    return _marked(before, _REPAIRED)


def _marked(print_: str, mark: str) -> str:
    return _digest(f"{print_}\0{mark}".encode())


def _digest(content: bytes) -> str:
    return _encoded(blake2b(content, digest_size=15).digest())


def _encoded(digest: bytes) -> str:
    return b2a_base64(digest, newline=False).decode()
