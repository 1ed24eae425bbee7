"""A patch shared by runs of one process."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps

Change = Callable[[], Iterator[None]]


def shared_change(change: Change) -> Callable[[], AbstractContextManager[None]]:
    """A change of the process that is made once, and holds as long as one of the runs in its threads needs it."""
    lock, under_way = threading.Lock(), 0
    made: AbstractContextManager[None] | None = None

    @wraps(change)
    @contextmanager
    def hold() -> Iterator[None]:
        nonlocal under_way, made
        with lock:
            if not under_way:
                made = contextmanager(change)()
                made.__enter__()
            under_way += 1
        try:
            yield
        finally:
            with lock:
                under_way -= 1
                if made and not under_way:
                    made.__exit__(None, None, None)

    return hold
