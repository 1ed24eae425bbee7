"""The difference of two snapshots of a schema: `SchemaDiff`."""
from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from stripe_source.schema.snapshot import SchemaSnapshot


@dataclass(frozen=True)
class SchemaDiff:
    """What one schema has and the other does not.

    Args:
        a: the one before.
        b: the one after.
        tables_added: tables that only `b` has, with their columns and types.
        tables_removed: tables that only `a` has, likewise.
        columns_added: of tables that both have: the columns that only `b` has, with their types.
        columns_removed: the columns that only `a` has, likewise.
        columns_changed: the columns whose type or nullability differs: [in `a`, in `b`].
    """

    a: str
    b: str
    tables_added: SchemaSnapshot = field(default_factory=dict)
    tables_removed: SchemaSnapshot = field(default_factory=dict)
    columns_added: SchemaSnapshot = field(default_factory=dict)
    columns_removed: SchemaSnapshot = field(default_factory=dict)
    columns_changed: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether there is no difference."""
        return not any(value for name, value in asdict(self).items() if name not in ("a", "b"))

    @property
    def exit_code(self) -> int:
        """0: equal. 4: there is a difference."""
        return 0 if self.equal else 4

    def asdict(self) -> dict[str, Any]:
        """The difference as JSON takes it."""
        return {**asdict(self), "equal": self.equal, "exit_code": self.exit_code}


def compared(a: SchemaSnapshot, b: SchemaSnapshot, name_a: str = "a", name_b: str = "b") -> SchemaDiff:
    """Compare two snapshots.

    >>> compared({"t": {"x": "text"}}, {"t": {"x": "bigint", "y": "text"}}).columns_changed
    {'t': {'x': ['text', 'bigint']}}
    """
    in_both = [table for table in a if table in b]

    def columns_only_in(snapshot: SchemaSnapshot, other: SchemaSnapshot) -> SchemaSnapshot:
        columns = {
            table: {name: type_ for name, type_ in snapshot[table].items() if name not in other[table]}
            for table in in_both
        }
        return {table: only for table, only in columns.items() if only}

    changed = {
        table: {name: [type_, b[table][name]] for name, type_ in a[table].items()
                if name in b[table] and b[table][name] != type_}
        for table in in_both
    }
    return SchemaDiff(
        name_a, name_b,
        tables_added={table: columns for table, columns in b.items() if table not in a},
        tables_removed={table: columns for table, columns in a.items() if table not in b},
        columns_added=columns_only_in(b, a), columns_removed=columns_only_in(a, b),
        columns_changed={table: columns for table, columns in changed.items() if columns},
    )
