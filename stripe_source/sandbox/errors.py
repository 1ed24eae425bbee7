"""The error for settings with which the sandbox cannot be set up."""
from __future__ import annotations

import difflib
from collections.abc import Iterable


class InvalidSetting(ValueError):
    """A setting of a world has a value that it cannot have.

    Args:
        setting: its name, as in the signature.
        value: what was given.
        known: the values that it can have, where they can be listed.
        reason: why not, or what to do, where they cannot.
    """

    def __init__(self, setting: str, value: object, known: Iterable[str] = (), reason: str | None = None) -> None:
        self.setting, self.value = setting, value
        choices = tuple(known)
        nearest = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.6)
        parts = [f"`{value}` is no value for option `{setting}`."]
        if nearest:
            parts.append(f"Did you mean `{nearest[0]}`?")
        if choices:
            parts.append(f"Known: {', '.join(f'`{each}`' for each in choices)}.")
        if reason:
            parts.append(reason)
        super().__init__(" ".join(parts))
