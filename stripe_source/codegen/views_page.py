"""The page of a map of views, for `docs/striim.md`: every column, with where its value comes from.

`python -m stripe_source.codegen.views_page striim` prints it; a test compares the two.
"""
from __future__ import annotations

import sys

from stripe_source.views.shown import show_views

MADE_FROM_HERE = "<!-- made by `python -m stripe_source.codegen.views_page striim`; a test compares it with the map -->"


def views_page(map: str) -> str:
    """The tables of a map in Markdown.

    Raises:
        InvalidOption: there is no such map.
        ViewMapError: the map is wrong.
    """
    return MADE_FROM_HERE + "\n" + "".join(_section(view) for view in show_views(map))


def _section(view: dict[str, object]) -> str:
    columns: list[dict[str, str]] = view["columns"]  # type: ignore[assignment]  # JSON
    reads: list[str] = view["reads"]  # type: ignore[assignment]
    about = [f"{view['description']}"]
    if view["note"]:
        about.append(f"{view['note']}")
    facts = [f"{len(columns)} columns"]
    if reads:
        facts.append("from " + ", ".join(f"`{name}`" for name in reads))
    facts.append(f"marker `{view['marker']}`" if view["marker"] else "no marker")
    rows = "".join(f"| `{each['name']}` | {each['type']} | {_origin(each)} |\n" for each in columns)
    head = f"\n### {view['view']}\n\n{' '.join(about)}\n\n{'; '.join(facts)}\n"
    return f"{head}\n| column | type | value |\n|---|---|---|\n{rows}"


def _origin(column: dict[str, str]) -> str:
    if not column["value"]:
        return f"null: {column['missing']}"
    value = " ".join(column["value"].split()).replace("|", "\\|")
    return f"`{value}`" + (f" {column['note']}" if column["note"] else "")


if __name__ == "__main__":
    print(views_page(sys.argv[1]), end="")
