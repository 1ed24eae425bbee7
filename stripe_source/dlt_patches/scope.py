"""What a patch of dlt is: the functions that it was written against, and for how long it is in place."""
from __future__ import annotations

import hashlib
import inspect
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

log = logging.getLogger("stripe_source")
Change = Callable[[], Iterator[None]]
SWITCH = "STRIPE_SOURCE_PATCHES"  # environment variable; `off` leaves dlt as it is
DLT_VERSIONS = ("1.30", "1.31")  # without their last number: all that was written here is the same for them


def patches_enabled() -> bool:
    """Whether the environment allows patches."""
    return os.environ.get(SWITCH, "").strip().lower() not in {"off", "0", "false", "no"}


def fingerprint(target: str) -> str:
    """The SHA-256 of a function's source text; empty where the function or its text is missing.

    Args:
        target: `module:name`, or `module:Class.method`.
    """
    module, _, path = target.partition(":")
    try:
        found: Any = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        return _source_digest(found)
    except (ImportError, AttributeError, OSError, TypeError):
        return ""


@cache
def _source_digest(function: Callable[..., Any]) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()


@dataclass
class WrittenFor:
    """The dlt that something of ours was written against. It is used with that dlt only.

    Args:
        name: of what was written.
        dlt: its versions, without their last number.
        functions: the functions that it replaces or depends on (`module:Class.method`), with the first 16 digits of
            their fingerprints.
        without: what happens where it is not used.
    """

    name: str
    dlt: Sequence[str]
    functions: Mapping[str, str]
    without: str
    _reported: bool = field(default=False, repr=False)

    def usable(self) -> bool:
        """Whether it may be used. Where this dlt is another one, say so in the log, once."""
        if not patches_enabled():
            return False
        reason = self.difference()
        if reason and not self._reported:
            self._reported = True
            log.warning("the patch `%s` of dlt is not used, as %s: %s", self.name, reason, self.without)
        return not reason

    def difference(self) -> str:
        """What is different in the dlt that is installed; empty where nothing is."""
        from dlt.version import __version__

        if not any(f"{__version__}.".startswith(f"{version}.") for version in self.dlt):
            return f"it was written for dlt {' and '.join(self.dlt)}, and dlt {__version__} is installed"
        changed = [target for target, known in self.functions.items() if fingerprint(target)[:16] != known]
        return f"dlt {__version__} has another {', '.join(changed)}" if changed else ""


class SharedChange:
    """A change of the whole process that is made once, and holds as long as one of the runs in its threads needs it.

    Args:
        change: makes the change, yields once, and takes the change back.
    """

    def __init__(self, change: Change) -> None:
        self.__doc__ = change.__doc__
        self._change = contextmanager(change)
        self._lock, self._users = threading.Lock(), 0
        self._made: AbstractContextManager[None] | None = None

    def usable(self) -> bool:
        """Whether the change may be made."""
        return True

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the change."""
        with self._lock:
            if not self._users and self.usable():
                made = self._change()
                made.__enter__()
                self._made = made
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._made and not self._users:
                    ending, self._made = self._made, None
                    ending.__exit__(None, None, None)


class Patch(SharedChange):
    """A shared change that puts something of ours in the place of a step of dlt."""

    def __init__(self, change: Change, written_for: WrittenFor) -> None:
        super().__init__(change)
        self.written_for = written_for

    def usable(self) -> bool:
        """Whether this dlt is the one that the patch was written against, and patches are not turned off."""
        return self.written_for.usable()


def patch(without: str, functions: Mapping[str, str]) -> Callable[[Change], Patch]:
    """Make a patch of a generator function, whose name becomes the name of the patch; see `WrittenFor`."""
    return lambda change: Patch(change, WrittenFor(change.__name__, DLT_VERSIONS, functions, without))


@contextmanager
def replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    """Put something in the place of an attribute of a module or class, and the same object back afterwards."""
    original = vars(owner)[name]
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        setattr(owner, name, original)
