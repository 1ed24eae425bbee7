"""Columns that are left out or hashed before a row leaves the process: options `exclude_columns` and `hash_columns`."""
from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stripe_source.arrow_rows.columns import UNMAPPED
from stripe_source.arrow_rows.fingerprint import keyed_fingerprint
from stripe_source.arrow_rows.json_text import dumps
from stripe_source.arrow_rows.values import arrow_type
from stripe_source.tables.registry import BY_NAME
from stripe_source.tables.schema_map import Column, TableMap, table_map
from stripe_source.tables.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

EXCLUDED, HASHED = "excluded", "hashed"
_HASH = re.compile(r"[0-9a-f]{64}")
_BESIDE = re.compile(r"(.+)__(v_json|expanded)")  # a column that keeps values beside another one
_SALT_MARK = "hash_salt"  # of its hash the state has a part, which tells that the salt is another one
_HASH_NOTE = "Hashed: HMAC-SHA-256 of the text with the option `hash_salt`, in hexadecimal digits."


@dataclass(frozen=True)
class Pattern:
    """One word of an option: which columns it means.

    Args:
        text: as it was given.
        tables: names of the tables that it is about; None: any.
        column: matches the names of columns.
    """

    text: str
    tables: frozenset[str] | None
    column: re.Pattern[str]

    def concerns(self, table: str) -> bool:
        """Whether it is about a table."""
        return self.tables is None or table in self.tables

    def matches(self, table: str, column: str) -> bool:
        """Whether it means a column of a table."""
        return self.concerns(table) and self.column.fullmatch(column) is not None


@dataclass(frozen=True, eq=False)
class Masks:
    """What is left out, and what is hashed, of all tables.

    Args:
        excluded: the words of `exclude_columns`; they count first.
        hashed: the words of `hash_columns`.
        salt: with which is hashed.
    """

    excluded: tuple[Pattern, ...] = ()
    hashed: tuple[Pattern, ...] = ()
    salt: str = field(default="", repr=False)
    _tables: dict[Table, TableMask] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self.excluded or self.hashed)

    def of(self, table: Table) -> TableMask:
        """What is left out and hashed of one table."""
        if table not in self._tables:
            self._tables[table] = TableMask(self, table)
        return self._tables[table]

    def how(self, table: str, column: str) -> str:
        """`EXCLUDED`, `HASHED` or "", by the words alone."""
        if any(word.matches(table, column) for word in self.excluded):
            return EXCLUDED
        return HASHED if any(word.matches(table, column) for word in self.hashed) else ""

    def digest(self, text: str) -> str:
        """The hash of a text."""
        return hmac.digest(self.salt.encode(), text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def mark(self, table: str) -> str:
        """What tells these words and this salt from others, for one table; the salt cannot be found from it."""
        words = [[word.text for word in words if word.concerns(table)] for words in (self.excluded, self.hashed)]
        return self.digest(f"words\0{dumps(words)}")[:8] if any(words) else ""


class TableMask:
    """What is left out and hashed of one table. Its rows are built from Stripe's objects, or read back.

    A column that keeps values beside another one (`email__v_json`, `customer__expanded`) is left out where that one is
    left out or hashed, where a column inside of the object is, and where it shows objects of a table with masks. What
    is hashed and no text is left out.

    Args:
        masks: of all tables.
        table: which.
    """

    def __init__(self, masks: Masks, table: Table) -> None:
        self._masks, self._table, self._name = masks, table, table.name
        self._how: dict[str, str] = {}
        self._native = table_map(table)
        self._by_name = {column.name: column for column in self._native.columns}
        self.shape = self._masked_shape()
        self._keys = bool(masks.salt) and self.shape is not self._native

    def _masked_shape(self) -> TableMap:
        columns = []
        for column in self._native.columns:
            how = self.how(column.name, column.data_type)
            if how == HASHED:
                columns.append(replace(
                    column, description=f"{column.description} {_HASH_NOTE}".strip(), references=None))
            elif not how:
                columns.append(column)
        unchanged = len(columns) == len(self._native.columns) and not any(map(self.how, self._by_name))
        return self._native if unchanged else replace(self._native, columns=tuple(columns))

    def __bool__(self) -> bool:
        """Whether a column of the table can be left out or hashed."""
        return any(word.concerns(self._name) for word in (*self._masks.excluded, *self._masks.hashed))

    def how(self, column: str, data_type: str = "text") -> str:
        """What becomes of a column: `EXCLUDED`, `HASHED` or ""."""
        if column not in self._how:
            self._how[column] = self._decided(column)
        how = self._how[column]
        return EXCLUDED if how == HASHED and data_type != "text" else how

    def _decided(self, column: str) -> str:
        if column.startswith("_"):
            return ""
        if how := self._masks.how(self._name, column):
            return how
        beside = _BESIDE.fullmatch(column)
        if beside is None or column in self._by_name:
            return ""
        base, kind = beside[1], beside[2]
        if self.how(base):
            return EXCLUDED
        known = self._by_name.get(base)
        shown = BY_NAME.get(known.references or "") if known and kind == "expanded" else None
        inside = any(name.startswith(f"{base}__") and self.how(name) for name in self._by_name)
        return EXCLUDED if inside or (shown is not None and shown is not self._table and self._hides(shown)) else ""

    def _hides(self, other: Table) -> bool:
        """Whether a column of another table is left out or hashed."""
        return any(self._masks.how(other.name, column.name) for column in table_map(other).columns)

    # ---- what was applied, for the state

    def applied(self, columns: Mapping[str, str]) -> dict[str, str]:
        """What is done to columns: by name, "excluded" or "hashed" and a mark of the salt.

        Args:
            columns: data types by name.
        """
        found = {name: self._said(name, kind) for name, kind in columns.items()}
        return {name: said for name, said in found.items() if said}

    def differs(self, applied: Mapping[str, str], columns: Mapping[str, str]) -> bool:
        """Whether rows to which something was applied have to be written again.

        Args:
            applied: what `applied` said then.
            columns: data types by name, of those that are declared or there.
        """
        if not self and not applied:
            return False
        return any(self._said(name, kind) != applied.get(name, "") for name, kind in columns.items()) or any(
            not self.how(name) for name in applied.keys() - columns.keys() if name != UNMAPPED
        )

    def _said(self, name: str, data_type: str) -> str:
        if name == UNMAPPED:
            return self._masks.mark(self._name)
        if name == "_dlt_id":
            return f"keyed {self._masks.digest(_SALT_MARK)[:8]}" if self._keys else ""
        how = self.how(name, data_type)
        return f"{how} {self._masks.digest(_SALT_MARK)[:8]}" if how == HASHED else how

    # ---- rows

    def built(self, rows: pa.Table, inferred: Mapping[str, Column]) -> pa.Table:
        """Rows that were built from objects, without what is left out, and with hashes.

        Args:
            rows: their columns are decided.
            inferred: the undeclared ones.
        """
        columns = {**inferred, **self._by_name}
        types = {name: columns[name].data_type for name in rows.column_names if name in columns}
        rows = rows.drop_columns([name for name, kind in types.items() if self.how(name, kind) == EXCLUDED])
        return self.with_keyed_prints(self._masked(rows, types, read_back=False))

    def keyed(self, print_: str) -> str:
        """The fingerprint of a row as it is stored: with the salt, where a declared column is left out or hashed.

        Else whoever knows all other values of an object could test guesses at what is masked against it.
        """
        return keyed_fingerprint(print_, self._masks.salt) if self._keys else print_

    def with_keyed_prints(self, rows: pa.Table) -> pa.Table:
        """Rows with keyed fingerprints in place of others."""
        import pyarrow as pa

        if not self._keys:
            return rows
        place = rows.schema.get_field_index("_dlt_id")
        prints = [self.keyed(print_) for print_ in rows.column(place).to_pylist()]
        return rows.set_column(place, rows.schema.field(place), pa.array(prints, pa.string()))

    def with_nulls(self, rows: pa.Table, known: Mapping[str, Mapping[str, Any]]) -> pa.Table:
        """Rows with NULL in the columns that are left out and that the destination has.

        Args:
            rows: of the table.
            known: the columns of the destination, in dlt's words.
        """
        import pyarrow as pa

        for name, words in known.items():
            kind = words.get("data_type", "")
            if kind and name not in rows.column_names and self.how(name, kind) == EXCLUDED:
                column = Column(name, kind, None, precision=words.get("precision"), scale=words.get("scale"))
                held_as = arrow_type(column)
                rows = rows.append_column(pa.field(name, held_as), pa.nulls(rows.num_rows, held_as))
        return rows

    def read_back(self, rows: pa.Table, types: Mapping[str, str]) -> pa.Table:
        """Rows of the destination, with NULL and hashes. What is a hash already stays, so that none is hashed twice.

        Args:
            rows: all their columns.
            types: data types by name.
        """
        import pyarrow as pa

        for name in rows.column_names:
            if self.how(name, types.get(name, "")) == EXCLUDED:
                place, at = rows.schema.get_field_index(name), rows.schema.field(name)
                rows = rows.set_column(place, at.with_nullable(True), pa.nulls(rows.num_rows, at.type))
        return self._masked(rows, types, read_back=True)

    def _masked(self, rows: pa.Table, types: Mapping[str, str], *, read_back: bool) -> pa.Table:
        import pyarrow as pa

        for name in rows.column_names:
            hashed = self.how(name, types.get(name, "")) == HASHED
            if not (hashed or (name == UNMAPPED and self)):
                continue
            place, at = rows.schema.get_field_index(name), rows.schema.field(name)
            encoded = pa.concat_arrays([pa.array([], at.type), *rows.column(place).chunks]).dictionary_encode()
            texts = encoded.dictionary.to_pylist()
            made = [self._hash(text, read_back) if hashed else self._unmapped(text, read_back) for text in texts]
            rows = rows.set_column(place, at, pa.array(made, at.type).take(encoded.indices))
        return rows

    def _hash(self, text: str, read_back: bool) -> str:
        return text if read_back and _HASH.fullmatch(text) else self._masks.digest(text)

    def _unmapped(self, text: str, read_back: bool) -> str | None:
        """The JSON of `_unmapped`, by dotted path, without what is left out."""
        left = {}
        for key, value in json.loads(text).items():
            path = key
            while path.startswith('["'):  # one of several fields with the same name
                (path,) = json.loads(path)
            if (value := self._member(path.replace(".", "__"), value, read_back)) is not None:
                left[key] = value
        return dumps(left) if left else None

    def _member(self, name: str, value: Any, read_back: bool) -> Any:
        """A value in JSON under the name that its column would have; None where nothing of it is left."""
        how = self.how(name)
        if how == HASHED and isinstance(value, str):
            return self._hash(value, read_back)
        if how:
            return None
        if isinstance(value, dict):
            return {key: self._member(f"{name}__{key}", inner, read_back) for key, inner in value.items()}
        return [self._member(name, inner, read_back) for inner in value] if isinstance(value, list) else value


NO_MASKS = Masks()
