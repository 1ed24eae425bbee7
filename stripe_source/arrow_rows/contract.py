"""The option `schema_contract`, dlt's schema contract: what happens when Stripe sends something new."""
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from stripe_source.errors import InvalidOption

EVOLVE, FREEZE, DISCARD_ROW, DISCARD_VALUE = MODES = ("evolve", "freeze", "discard_row", "discard_value")


@dataclass(frozen=True)
class Contract:
    """The mode for each kind of novelty: `evolve`, `freeze`, `discard_row` or `discard_value`.

    Args:
        tables: a table that the destination does not have.
        columns: a column that the table does not have there.
        data_type: a value that its column cannot hold, and that needs a new `<column>__v_json`.
    """

    tables: str = EVOLVE
    columns: str = EVOLVE
    data_type: str = EVOLVE

    @property
    def frozen(self) -> bool:
        """Whether something new makes the table fail."""
        return FREEZE in (self.columns, self.data_type)

    @property
    def lacks(self) -> bool:
        """Whether rows may be loaded without some of their values."""
        return DISCARD_VALUE in (self.columns, self.data_type)

    @property
    def evolves(self) -> bool:
        """Whether columns are added as they are needed."""
        return self.columns == self.data_type == EVOLVE


ANYTHING = Contract()
_WORDS = tuple(field.name for field in fields(Contract))


def contract_of(value: Any) -> Contract:
    """Read the contract from a mode, a mapping, or text like `columns=freeze;data_type=discard_value`.

    What the text or mapping does not name evolves.

    Raises:
        InvalidOption: a word or a mode is not known.

    >>> contract_of("columns=freeze")
    Contract(tables='evolve', columns='freeze', data_type='evolve')
    """
    if value is None or value == "":
        return ANYTHING
    if isinstance(value, Contract):
        return value
    if isinstance(value, str) and "=" in value:
        pairs = [part.split("=", 1) for part in re.split(r"[;,]", value) if part.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise InvalidOption("schema_contract", value, reason="Write it like `columns=freeze;data_type=evolve`.")
        value = {word.strip(): mode.strip() for word, mode in pairs}
    if not isinstance(value, Mapping):
        value = dict.fromkeys(_WORDS, value)
    for word, mode in value.items():
        if word not in _WORDS:
            raise InvalidOption("schema_contract", word, _WORDS)
        if mode not in MODES:
            raise InvalidOption("schema_contract", mode, MODES)
    return Contract(**value)
