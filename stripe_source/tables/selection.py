"""From names and patterns to tables."""
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stripe_source.errors import InvalidOption, UnknownTable
from stripe_source.tables.registry import REPORT_TABLES, TABLES
from stripe_source.tables.reports import PREFIX, match_reports, unknown_report
from stripe_source.tables.table import Table

Tables = str | Sequence[str | Table] | None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _words(text: Tables) -> list[str | Table]:
    if text is None:
        return []
    parts: Iterable[str | Table] = re.split(r"[;,]", text) if isinstance(text, str) else text
    words = (part.strip() if isinstance(part, str) else part for part in parts)
    return [word for word in words if word]


def match_tables(pattern: str, tables: Sequence[Table] = TABLES) -> list[Table]:
    """The tables that a name or a pattern with `%` means, in the order of the registry; none if it means none.

    Names are native ones or aliases (Striim's); case and underscores do not matter. A pattern in lower case is meant
    for native names only, one with capitals for Striim's too. One that begins with `report_` is meant for reports.

    >>> [table.name for table in match_tables("credit_note%")]
    ['credit_note_line_items', 'credit_notes']
    """
    if "%" in pattern and pattern.lower().startswith(PREFIX):
        return match_reports(pattern, tables)
    wanted = re.compile(".*".join(_plain(part) for part in re.split("%+", pattern)))
    native = "%" in pattern and pattern == pattern.lower()
    return [
        table for table in tables
        if any(wanted.fullmatch(_plain(name)) for name in (table.name, *(() if native else table.aliases)))
    ]


def select_tables(tables: Tables = None, exclude: Tables = None, known: Sequence[Table] = TABLES) -> list[Table]:
    """Resolve the options `tables` and `exclude`.

    Args:
        tables: a list of names, or text with names separated by `;` or `,`; `%` stands for any letters; None is the
            default selection. An entry may also be a `Table` of one's own.
        exclude: likewise, what to leave out.
        known: the registry.

    Returns:
        The tables in the order of the registry, then private ones, then reports.

    Raises:
        UnknownTable: a name means no table.
    """
    own = {word.name: word for word in _words(tables) if isinstance(word, Table) and word not in known}
    registry = [*(table for table in known if table.name not in own), *own.values()]
    reports = {table.name: table for table in REPORT_TABLES} if known is TABLES else {}

    def resolve(words: list[str | Table]) -> set[str]:
        names: set[str] = set()
        for word in words:
            found = [word] if isinstance(word, Table) else match_tables(word, registry)
            if not found and isinstance(word, str) and known is TABLES:
                found = match_reports(word, reports.values())
                if not found and (unknown := unknown_report(word)):
                    found = [reports.setdefault(unknown.name, unknown)]
            if not found:
                aliases = [alias for table in registry for alias in table.aliases]
                raise UnknownTable(str(word), [table.name for table in registry], [*aliases, *reports])
            names.update(table.name for table in found)
        return names

    chosen = resolve(_words(tables)) if _words(tables) else {table.name for table in known if table.default}
    chosen -= resolve(_words(exclude))
    if not chosen:
        raise InvalidOption("exclude", exclude, reason="It leaves no table; drop a name from it.")
    return [table for table in (*registry, *reports.values()) if table.name in chosen]
