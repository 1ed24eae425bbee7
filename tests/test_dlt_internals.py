"""`docs/dlt-internals.md` names everything of dlt that is used here without being a part of its public interface."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import dlt
import dlt.destinations
import dlt.sources

PACKAGE = Path(__file__).parent.parent / "stripe_source"
PAGE = Path(__file__).parent.parent / "docs" / "dlt-internals.md"
PUBLIC = {
    "dlt": set(dlt.__all__), "dlt.destinations": set(dlt.destinations.__all__), "dlt.sources": set(dlt.sources.__all__)
}
OTHERS = {"_asdict", "_replace", "_server"}  # private names of others than dlt
TARGET = re.compile(r"(dlt(?:\.\w+)+):([\w.]+)")


def used(tree: ast.AST) -> Iterator[str]:
    """What a module imports from dlt, or names as the target of a patch, as `module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dlt":
            yield from (f"{node.module}.{alias.name}" for alias in node.names
                        if alias.name not in PUBLIC.get(node.module, ()))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names
                        if alias.name.startswith("dlt.") and alias.name not in PUBLIC)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant)
                        and str(arg.value).startswith("dlt."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := TARGET.fullmatch(node.value)):
            yield f"{found[1]}.{found[2]}"


def own_names(tree: ast.AST) -> Iterator[str]:
    """The private names that a module gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def private(tree: ast.AST) -> Iterator[str]:
    """The private attributes that a module reads, replaces by name, or takes from dlt's state."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("replaced", "getattr", "setattr", "hasattr"):
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)
                        and re.match(r"_[a-z]", str(arg.value)))
        elif (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
              and str(node.slice.value) == "_local"):
            yield "_local"


def test_the_page_names_all_of_dlt_that_is_not_public() -> None:
    """Imports from dlt's inner modules, targets of patches, and private attributes that nothing of ours defines."""
    trees = [ast.parse(file.read_text()) for file in sorted(PACKAGE.rglob("*.py"))]
    ours = {name for tree in trees for name in own_names(tree)} | OTHERS
    found = {name for tree in trees for name in used(tree)}
    found |= {name for tree in trees for name in private(tree) if name not in ours}
    listed = set(re.findall(r"`([\w.]+)`", PAGE.read_text()))

    assert {"dlt.pipeline.trace", "_load_table", "_create_writer", "_local"} <= found | listed
    assert sorted(found - listed) == []


def test_the_page_names_nothing_that_dlt_does_not_have() -> None:
    """Each dotted name exists in the dlt that is installed."""
    missing = []
    for name in sorted(set(re.findall(r"`(dlt\.[\w.]+)`", PAGE.read_text()))):
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            try:
                place = import_module(".".join(parts[:length]))
            except ImportError:
                continue
            for part in parts[length:]:
                place = getattr(place, part, None)
            if place is None:
                missing.append(name)
            break

    assert missing == []
