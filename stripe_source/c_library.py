"""The C library of this process, for what Python has no word for: its memory, and its fast search."""
from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Any


def c_library() -> Any | None:
    """The C library; None elsewhere than on Linux: Windows cannot even be asked, `CDLL(None)` is a TypeError there."""
    if sys.platform != "linux":
        return None
    with suppress(OSError):
        return ctypes.CDLL(None)
    return None


def use_few_malloc_arenas() -> None:
    """Let glibc keep the memory of all threads in two heaps: 35 MB less of a run's 320.

    Otherwise it makes a heap for each new thread, and gives little of it back.
    """
    with suppress(AttributeError):  # another C library
        if library := c_library():
            library.mallopt(-8, 2)  # M_ARENA_MAX; answers 0 where it is refused


def give_memory_back(with_arrow: bool = True) -> None:
    """Let glibc, and Arrow where it is there, give what they hold and nobody uses back to the system.

    Args:
        with_arrow: Arrow too. What it needs again, the system has to hand out anew: 45 ms for a load of 32,000 rows.
    """
    if with_arrow and (arrow := sys.modules.get("pyarrow")):
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError):
        if library := c_library():
            library.malloc_trim(0)
