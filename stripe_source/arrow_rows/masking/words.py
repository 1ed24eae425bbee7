"""From the options `exclude_columns` and `hash_columns` to `Masks`: their words are read, and checked."""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from stripe_source.arrow_rows.masking.masks import EXCLUDED, HASHED, NO_MASKS, Masks, Pattern
from stripe_source.errors import InvalidOption
from stripe_source.errors.base import nearest_name
from stripe_source.tables.registry import BY_NAME, TABLES, pair_column, parent_column
from stripe_source.tables.schema_map import Column, table_map
from stripe_source.tables.selection import match_tables
from stripe_source.tables.table import Role, Table

SHORTEST_SALT = 16  # characters: a shorter one is found by trying
_OPTIONS = {EXCLUDED: "exclude_columns", HASHED: "hash_columns"}
_MONEY: Mapping[Role | None, tuple[str, ...]] = {
    "ledger": ("net", "currency", "status", "balance_type"), "payout member": ("net",),
    "payout": ("amount", "currency", "automatic", "balance_transaction", "reconciliation_status"),
}
_MAKE_ONE = (
    "`hash_columns` needs a salt, without which whoever guesses a value finds its hash. Make one with "
    "`python -c \"import secrets; print(secrets.token_hex(32))\"`, put it as `hash_salt` under `[sources.stripe]` in "
    "`.dlt/secrets.toml`, or into `SOURCES__STRIPE__HASH_SALT`, and keep it: with another one all hashes change."
)


def masks_of(
    exclude_columns: Any, hash_columns: Any, salt: Any, selected: Sequence[Table], *, check: bool = True
) -> Masks:
    """What is left out and what is hashed, by the options.

    Args:
        exclude_columns: patterns `table.column` or `column` with `%`, as a list or as text with `;` between them.
        hash_columns: likewise.
        salt: the option `hash_salt`.
        selected: the tables that are loaded.
        check: refuse words that mean nothing in these tables, or what may not be masked.

    Raises:
        InvalidOption: a name means no table or column, or a column that cannot be masked, or there is no good salt.
    """
    reading = _Reading(selected, check)
    masks = Masks(
        tuple(reading.patterns(EXCLUDED, exclude_columns)), tuple(reading.patterns(HASHED, hash_columns)), salt or "")
    if masks.hashed and not salt:
        raise InvalidOption("hash_salt", None, reason=_MAKE_ONE)
    if salt and (not isinstance(salt, str) or len(salt) < SHORTEST_SALT):
        raise InvalidOption("hash_salt", "…", reason=f"It has fewer than {SHORTEST_SALT} characters. {_MAKE_ONE}")
    if not masks:
        return NO_MASKS
    for word in masks.hashed if check else ():
        reading.refuse_other_types(word, masks)
    return masks


class _Reading:
    """Reads the words of the options."""

    def __init__(self, selected: Sequence[Table], check: bool = True) -> None:
        self._selected, self._check = selected, check
        self._known = [*TABLES, *(table for table in selected if BY_NAME.get(table.name) is not table)]

    def patterns(self, kind: str, given: Any) -> Iterator[Pattern]:
        """The words of one option, each of which is refused where it means what it may not."""
        option = _OPTIONS[kind]
        words = re.split(r"[;,]", given) if isinstance(given, str) else given or ()
        if not isinstance(words, (list, tuple, set, frozenset)) or not all(isinstance(word, str) for word in words):
            raise InvalidOption(option, given, reason="Give names as a list, or as text with `;` between them.")
        for word in filter(None, map(str.strip, words)):
            pattern = self._pattern(option, word)
            if self._check:
                self._refuse_used(option, pattern)
            yield pattern

    def _pattern(self, option: str, word: str) -> Pattern:
        first, dot, rest = word.partition(".")
        tables = {table.name for table in match_tables(first, self._known)} if dot else set()
        if dot and not tables:
            if self.declaring(whole := Pattern(word, None, _regex(word))) or not self._check:
                return whole  # the dotted path of a field
            known = [table.name for table in self._known]
            aliases = [alias for table in self._known for alias in table.aliases]
            nearest = nearest_name(first, known) or nearest_name(first, aliases)
            hint = f" Did you mean table `{nearest}`?" if nearest else ""
            raise InvalidOption(option, word, reason=(
                f"There is no table `{first}`.{hint} Run `stripe-source tables` to list all {len(known)}."))
        pattern = Pattern(word, frozenset(tables) if dot else None, _regex(rest if dot else word))
        if self._check and "%" not in word and not self.declaring(pattern):
            raise self._unknown(option, word, pattern)
        return pattern

    def _tables(self, pattern: Pattern) -> list[Table]:
        """The tables in which a pattern is looked for: selected ones, and one that is named."""
        named = pattern.tables if pattern.tables is not None and len(pattern.tables) == 1 else frozenset()
        tables = [table for table in self._selected if pattern.concerns(table.name)]
        return tables or [table for table in self._known if table.name in named]

    def declaring(self, pattern: Pattern) -> list[tuple[Table, Column]]:
        """The declared columns that a pattern means."""
        return [
            (table, column) for table in self._tables(pattern) for column in table_map(table).columns
            if pattern.matches(table.name, column.name)
        ]

    def _unknown(self, option: str, word: str, pattern: Pattern) -> InvalidOption:
        """The error for a name that means no column, with those that are like it."""
        table, _, name = word.rpartition(".") if pattern.tables else ("", "", word)
        names = sorted({column.name for each in self._tables(pattern) for column in table_map(each).columns
                        if column.path is not None})
        nearest = nearest_name(name, names)
        like = dict.fromkeys([*([nearest] if nearest else []), *(each for each in names if name.lower() in each)])
        shown = ", ".join(f"`{table}.{each}`" if table else f"`{each}`" for each in list(like)[:6])
        where = f"Table `{table}` declares no such column" if table else "No selected table declares such a column"
        return InvalidOption(option, word, reason=(
            f"{where}.{f' Did you mean {shown}?' if shown else ''} "
            "`stripe-source schema show TABLE` lists all; a pattern with `%` also means columns that Stripe adds later."
        ))

    def _refuse_used(self, option: str, pattern: Pattern) -> None:
        for table, column in self.declaring(pattern):
            why = columns_in_use(table).get(column.name)
            if column.name.startswith("_"):
                if "%" in pattern.text:
                    continue  # patterns mean Stripe's columns
                why = "it says how and when a row came"
            if why:
                raise InvalidOption(option, pattern.text, reason=(
                    f"`{table.name}.{column.name}` has to be loaded as it is: {why}. Name other columns, or leave out "
                    "the table."))

    def refuse_other_types(self, word: Pattern, masks: Masks) -> None:
        """Refuse to hash what is no text."""
        others = [
            f"`{table.name}.{column.name}` ({column.data_type})" for table, column in self.declaring(word)
            if column.data_type != "text" and not column.name.startswith("_")
            and masks.how(table.name, column.name) != EXCLUDED
        ]
        if others:
            raise InvalidOption("hash_columns", word.text, reason=(
                f"Only columns of text are hashed, and it means {', '.join(others[:5])}"
                f"{' and others' if len(others) > 5 else ''}. Give these as `exclude_columns`, or narrow the pattern."))


def notes_on(masks: Masks, selected: Sequence[Table]) -> list[str]:
    """What a person should know: patterns that mean nothing yet, and columns that hold whole objects as they are."""
    notes, reading = [], _Reading(selected)
    for option, words in (("exclude_columns", masks.excluded), ("hash_columns", masks.hashed)):
        notes += [
            f"`{option}`: `{word.text}` means no declared column of the selected tables."
            for word in words if "%" in word.text and not reading.declaring(word)
        ]
    whole = [
        f"{table.name}.{column.name}" for table in selected for column in table_map(table).columns
        if masks and _holds_objects(table, column) and not masks.of(table).how(column.name)
    ]
    if whole:
        notes.append(
            "These columns hold whole objects as JSON, in which nothing is masked: "
            f"{', '.join(f'`{name}`' for name in whole)}. Give them as `exclude_columns` as well, or leave out their "
            "tables.")
    return notes


def _holds_objects(table: Table, column: Column) -> bool:
    """Whether a column holds objects of other tables, with all that these have."""
    if column.data_type != "json" or not column.path:
        return False
    return table.role == "change feed" or column.path[-1] in _objects()


@cache
def _objects() -> frozenset[str]:
    return frozenset(name for table in TABLES for name in table.object)


def _regex(words: str) -> re.Pattern[str]:
    name = words.strip().replace(".", "__")
    return re.compile(".*".join(map(re.escape, re.split("%+", name))), re.IGNORECASE | re.DOTALL)


@cache
def columns_in_use(table: Table) -> Mapping[str, str]:
    """The columns of a table that are read back to keep it current, with the reason."""
    found = dict.fromkeys(("livemode",), "it keeps live and test data apart")
    found.update(dict.fromkeys(_MONEY.get(table.role, ()), "`verify` adds the money up by it"))
    if table.time:
        found[table.time] = "the table is read by it"
    for watch in table.watch:
        watched = filter(None, (watch.column, watch.due))
        found.update(dict.fromkeys(watched, "what changes without an event is found by it"))
    for other in TABLES:
        removal = other.removal
        if removal and (other is table or table.name in removal.with_them):
            name = removal.column if other is table else removal.with_them[table.name]
            found[name] = "what Stripe removes is found by it"
        for placement in other.placements if not other.path and parent_column(other) is None else ():
            if placement.parent == table.name and placement.at:
                flat = placement.at.replace(".", "__")
                found.update(dict.fromkeys((f"{flat}__id", flat), f"rows of `{other.name}` are found by it"))
    found.update(dict.fromkeys(table.copies, "copies of objects that have changed are found by it"))
    parents = (placement.parent_id_column for placement in table.placements)
    found.update(dict.fromkeys(filter(None, parents), "it names the object that a row belongs to"))
    found.update(dict.fromkeys(table.key, "it is a part of the key"))
    owners = filter(None, (parent_column(table), pair_column(table)))
    found.update(dict.fromkeys(owners, "it names the object that a row belongs to"))
    return found
