"""Prints what the actions of `schema` answer."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from stripe_source.cli.views.console import count_of, line, local_path, make_grid, print_plain, say

if TYPE_CHECKING:
    from stripe_source.schema.compare import SchemaDiff
    from stripe_source.schema.migrate import MigrateResult


def show_schemas(console: Console, schemas: Sequence[Mapping[str, Any]]) -> None:
    """Print the columns of tables."""
    for number, schema in enumerate(schemas):
        if number:
            console.print()
        console.print(Text.assemble((schema["table"], "bold cyan"), f"  {schema['description']}"), soft_wrap=True)
        line(console, f"Key: {', '.join(schema['key'])}\n")
        grid = make_grid("column", "type", "refers to", "from", "description")
        for column in schema["columns"]:
            kind = column["type"] + ("" if column["nullable"] else " not null")
            origin = column["path"] or ("inferred" if column["inferred"] else "")
            grid.add_row(Text(column["name"], style="cyan"), kind, column["references"] or "", Text(origin),
                         Text(column["description"]))
        print_plain(console, grid)


def show_history(console: Console, history: Mapping[str, Any]) -> None:
    """Print the versions of the maps, and those of dlt's schema."""
    titles = "maps", "release", "API version", "tables", "columns", "changes", "hash"
    grid = make_grid(*titles, right=["tables", "columns"])
    for version in history["maps"]:
        counts = f"{version['tables']:,}", f"{version['columns']:,}"
        grid.add_row(Text(str(version["version"]), style="cyan"), version["release"], version["api_version"], *counts,
                     _counts_of(version["changes"]), version["hash"])
    print_plain(console, grid)
    if not history["dlt"]:
        if history["location"]:
            line(console, f"\nNo schema yet in {local_path(history['location'])}")
        return
    console.print()
    grid = make_grid("dlt's", "stored at", "tables", "columns", "maps", "hash", right=["tables", "columns"])
    for stored in history["dlt"]:
        grid.add_row(Text(str(stored["version"]), style="cyan"), stored["stored_at"] or "", f"{stored['tables']:,}",
                     f"{stored['columns']:,}", "" if stored["maps"] is None else str(stored["maps"]), stored["hash"])
    print_plain(console, grid)


def _counts_of(changes: Mapping[str, Any]) -> str:
    """The numbers of changes as text: `2 tables added, 12 columns added`."""
    parts = []
    for name, tables in changes.items():
        noun, _, verb = name.partition("_")
        number = len(tables) if noun == "tables" else sum(map(len, tables.values()))
        parts.append(f"{count_of(number, noun.removesuffix('s'))} {verb}")
    return ", ".join(parts)


def show_diff(console: Console, diff: SchemaDiff) -> None:
    """Print what one schema has and the other does not, column by column."""
    if diff.equal:
        print_plain(console, Text(f"Equal: {diff.a} and {diff.b}", style="bold green"))
        return
    print_plain(console, Text(f"From {diff.a} to {diff.b}:", style="bold"))
    for name, columns in diff.tables_removed.items():
        line(console, f"- {name}  table, {count_of(len(columns), 'column')}")
    for name, columns in diff.tables_added.items():
        line(console, f"+ {name}  table, {count_of(len(columns), 'column')}")
    _show_columns(console, diff.columns_removed, diff.columns_added, diff.columns_changed)
    changes = {name: getattr(diff, name) for name in (
        "tables_added", "tables_removed", "columns_added", "columns_removed", "columns_changed")}
    line(console, f"\n{_counts_of({name: tables for name, tables in changes.items() if tables})}")


def _show_columns(
    console: Console, removed: Mapping[str, Mapping[str, str]], added: Mapping[str, Mapping[str, str]],
    changed: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    """Print the columns that were removed, added and changed, table by table."""
    for table in dict.fromkeys((*removed, *added, *changed)):
        for name, type_ in removed.get(table, {}).items():
            line(console, f"- {table}.{name}  {type_}")
        for name, type_ in added.get(table, {}).items():
            line(console, f"+ {table}.{name}  {type_}")
        for name, (before, after) in changed.get(table, {}).items():
            line(console, f"~ {table}.{name}  {before} -> {after}")


def show_migrate(console: Console, result: MigrateResult) -> None:
    """Print what the destination had, what was added, and what it has now."""
    word = "Would be added" if result.dry_run else "Added"
    columns = sum(map(len, result.before.values()))
    line(console, f"Before: {count_of(len(result.before), 'table')}, {count_of(columns, 'column')}")
    for name, added in result.tables_added.items():
        line(console, f"+ {name}  table, {count_of(len(added), 'column')}")
    _show_columns(console, {}, result.columns_added, {})
    for table, different in result.columns_different.items():
        for name, (existing, wanted) in different.items():
            line(console, f"! {table}.{name}  is {existing}, and {wanted} here; it stays")
    if result.changed:
        numbers = (
            (len(result.tables_added), "table"), (sum(map(len, result.columns_added.values())), "column"),
            (result.descriptions, "description"),
        )
        counts = ", ".join(count_of(number, noun) for number, noun in numbers if number)
        print_plain(console, Text(f"{word}: {counts}", style="bold green"))
    else:
        print_plain(console, Text(f"Nothing to add: {count_of(len(result.after), 'table')} of {result.source} "
                                  f"{'is' if len(result.after) == 1 else 'are'} there", style="bold green"))
    columns = sum(map(len, result.after.values()))
    line(console, f"After: {count_of(len(result.after), 'table')}, {count_of(columns, 'column')}")
    for note in result.notes:
        say(console, (note, "yellow"))
    version = f"; dlt's schema version {result.schema_version}" if result.schema_version else ""
    line(console, f"{result.source} in {local_path(result.location)}, dataset {result.dataset}{version}")
