"""Further cases of a story, which the soak runs: the quick suite has one of each kind."""
from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def later(*values: Any, id: str | None = None) -> Any:
    """A case that only the soak runs."""
    return pytest.param(*values, marks=pytest.mark.soak, id=id)


def some_later(values: Iterable[Any], soon: Collection[Any]) -> list[Any]:
    """Cases, of which the quick suite runs those in `soon`: of one value each, or a tuple with those of several."""
    cases = [(value, value if isinstance(value, tuple) else (value,)) for value in values]
    return [value if value in soon else later(*each) for value, each in cases]
