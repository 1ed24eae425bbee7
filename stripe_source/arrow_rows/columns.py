"""The columns of one table: the declared ones, and the names and types that were decided so far for others."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from stripe_source.arrow_rows.contract import Contract
from stripe_source.arrow_rows.undeclared_values import Path
from stripe_source.arrow_rows.values import COLUMN_TYPES
from stripe_source.tables.schema_map import Column

MAX_COLUMNS = 250  # of a table: undeclared objects stay JSON where flattening them would exceed it
MAX_NAME = 63  # bytes; Postgres cuts longer identifiers
UNMAPPED = "_unmapped"
FIELD = "x-stripe-field"  # dlt's hint of an inferred column: the path of the values that it holds, as JSON


class Columns:
    """The columns of one table: the declared ones, and those that were inferred so far and keep their types.

    Args:
        declared: names of the declared columns.
        objects: paths of the objects that have declared columns inside.
        known: the columns that the destination has already, as dlt column schemas by name.
        normalize: dlt's naming convention, without a limit on the length: a path of names -> a column name.
        contract: the schema contract for new columns.
    """

    def __init__(
        self, declared: Iterable[str], objects: Iterable[Path], known: Mapping[str, Mapping[str, Any]],
        normalize: Callable[[Sequence[str]], str], contract: Contract,
    ) -> None:
        self.declared, self.objects = set(declared), set(objects)
        self.normalize, self.contract = normalize, contract
        self.origin: dict[str, Path] = {}  # by name of an undeclared column: the path of its values
        self.inferred: dict[str, Column] = {}
        self.foreign: set[str] = set()  # names of columns that somebody else added to the table
        for name, hint in known.items():
            if name not in self.declared and "data_type" in hint:
                self._add_known(name, hint)
        self.names = self.declared | self.inferred.keys()

    def _add_known(self, name: str, hint: Mapping[str, Any]) -> None:
        column = Column(
            name, hint["data_type"], None, precision=hint.get("precision"), scale=hint.get("scale"),
            hints={FIELD: hint[FIELD]} if FIELD in hint else {},
        )
        if name != UNMAPPED and column.data_type not in COLUMN_TYPES:
            self.foreign.add(name)
            return
        self.inferred[name] = column
        if FIELD in hint:
            self.origin[name] = tuple(json.loads(hint[FIELD]))
