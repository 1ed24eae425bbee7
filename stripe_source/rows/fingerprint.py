"""The four fingerprints of a row, one recipe."""
from __future__ import annotations

import base64
import hashlib
from binascii import b2a_base64

import orjson

from stripe_source.rows.json_text import pieces
from stripe_source.rows.waevent import WAEvent


def flagged_fingerprint(print_: str) -> str:
    """The fingerprint of a row that is flagged now, from the one that it had."""
    return base64.b64encode(hashlib.blake2b(f"{print_}\0gone".encode(), digest_size=15).digest()).decode()


def repair_fingerprint(print_: str) -> str:
    """A fingerprint that no object of Stripe has."""
    return base64.b64encode(hashlib.blake2b(f"{print_}\0mended".encode(), digest_size=15).digest()).decode()


def fingerprint(event: WAEvent, deleted: bool) -> str:
    """What `_dlt_id` holds: 20 characters that change when the row's key or content does, and not otherwise.

    The time of reading is left out, so that an object read again unchanged has the fingerprint it had.
    """
    try:
        content = orjson.dumps(event.data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        content = "".join(pieces(event.data, ordered=True)).encode("utf-8", "surrogatepass")
    whose = f"\0{event.table}\0{event.account}\0{event.parent}\0{event.position}\0{event.pair}\0{deleted}"
    content += whose.encode("utf-8", "surrogatepass")
    return b2a_base64(hashlib.blake2b(content, digest_size=15).digest(), newline=False).decode()


def partial_fingerprint(print_: str) -> str:
    """The fingerprint of a row some of whose values the contract kept out: once they are wanted, the row differs."""
    return b2a_base64(hashlib.blake2b(f"{print_}\0lacking".encode(), digest_size=15).digest(), newline=False).decode()
