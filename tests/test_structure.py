"""The house: imports go one way, packages and modules stay small, functions short; importing us changes nothing."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "stripe_source"

# From the top down: a layer imports from those below it, never from those above or, where they are independent, beside.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("codegen",),
    ("verification", "schema", "striim", "monitoring", "money"),
    ("load",),
    ("views",),
    ("preflight",),
    ("generators",),
    ("source",),
    ("configured",),
    ("resources",),
    ("extract",),
    ("destination", "workers", "options"),
    ("waevent_forms",),
    ("arrow_rows", "api"),
    ("tables",),
    ("dlt_patches", "errors"),
    ("redaction", "c_library"),
)
MODULES_ON_A_FLOOR = 10
LINES_OF_A_MODULE = 400
LINES_OF_A_FUNCTION = 60
ENTRIES = PACKAGE / "tables" / "entries"  # the registry is data


@cache
def graph() -> grimp.ImportGraph:
    """All imports of the package, those for types only and those inside of functions as well."""
    return grimp.build_graph("stripe_source", exclude_type_checking_imports=False, cache_dir=None)


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(ROOT)), path


def test_imports_go_down_the_layers() -> None:
    """No package imports one that stands above it, and none beside it in a layer of independent ones."""
    place = {name: level for level, names in enumerate(LAYERS) for name in names}
    wrong = []
    for importer in graph().modules:
        for imported in graph().find_modules_directly_imported_by(importer):
            above, below = importer.split(".")[1:2], imported.split(".")[1:2]
            known = above and below and above != below and above[0] in place and below[0] in place
            if known and place[above[0]] >= place[below[0]]:
                wrong.append(f"{importer} imports {imported}")

    assert wrong == []


def test_every_package_has_a_layer() -> None:
    """A new package is put somewhere."""
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    named = {name for names in LAYERS for name in names}

    assert packages | modules == named | {"sandbox"}


def test_the_sandbox_stands_alone() -> None:
    """It shares none of our beliefs: it imports nothing of the loader, and only commands and the demo start it."""
    inside = [
        f"{importer} imports {imported}" for importer in graph().modules if importer.startswith("stripe_source.sandbox")
        for imported in graph().find_modules_directly_imported_by(importer)
        if not imported.startswith("stripe_source.sandbox")
    ]
    users = {
        importer for importer in graph().modules if not importer.startswith("stripe_source.sandbox")
        for imported in graph().find_modules_directly_imported_by(importer)
        if imported.startswith("stripe_source.sandbox")
    }

    assert inside == []
    assert {user for user in users if not user.startswith("stripe_source.cli.")} == {
        "stripe_source", "stripe_source.load.demo"
    }


def test_no_imports_go_in_circles() -> None:
    """Not between modules; imports for types only and those inside of functions are counted."""
    circles = []
    for module in sorted(graph().modules):
        for imported in graph().find_modules_directly_imported_by(module):
            if module != imported and (back := graph().find_shortest_chain(imported, module)):
                circles.append(" -> ".join([module, *back]))

    assert circles == []


def test_a_package_has_few_modules() -> None:
    """At most ten modules on a floor."""
    counts = {
        str(folder.relative_to(ROOT)): len([path for path in folder.glob("*.py") if not path.name.startswith("__")])
        for folder in [PACKAGE, *PACKAGE.rglob("*")] if folder.is_dir()
    }

    assert {folder: count for folder, count in counts.items() if count > MODULES_ON_A_FLOOR} == {}


def test_a_module_fits_in_the_head() -> None:
    """At most 400 lines; entries of the registry are data."""
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules()
             if path.parent != ENTRIES}

    assert {name: count for name, count in lines.items() if count > LINES_OF_A_MODULE} == {}


def test_a_function_fits_on_a_screen() -> None:
    """At most 60 lines, or the reason stands beside it: `# long: …` on its first line."""
    long = []
    for name, path in modules():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                size = (node.end_lineno or 0) - node.lineno + 1
                head = "\n".join(lines[node.lineno - 1:node.body[0].lineno])
                if size > LINES_OF_A_FUNCTION and "# long: " not in head:
                    long.append(f"{name}:{node.lineno} {node.name} has {size} lines")

    assert long == []


def test_every_module_says_what_it_holds() -> None:
    """Each begins with a sentence."""
    silent = [name for name, path in modules() if path.read_text(encoding="utf-8").strip()
              and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]

    assert silent == []


def test_descriptions_of_arguments_are_of_arguments_that_there_are() -> None:
    """A section `Args:` names all of them, but for private ones, and no other."""
    wrong = []
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                described, there = set(described_arguments(node)), arguments_of(node)
                public = {each for each in there if not each.startswith("_")} - {"self", "cls"}
                if described and (described - there or public - described):
                    wrong.append(f"{name} {node.name}: {sorted(described ^ public)}")

    assert wrong == []


def described_arguments(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[str]:
    """The names in the section `Args:` of a docstring."""
    _, found, section = (ast.get_docstring(node) or "").partition("\nArgs:\n")
    lines = takewhile(lambda line: not line or line.startswith("    "), section.splitlines() if found else [])
    return [match[1] for line in lines if (match := re.match(r" {4}\*{0,2}(\w+):", line))]


def arguments_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    """The names of a function's arguments; of a class those of its `__init__`, or its fields."""
    if isinstance(node, ast.ClassDef):
        inits = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        if inits:
            return arguments_of(inits[0])
        return {each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(
            each.target, ast.Name)}
    given = node.args
    every = *given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg
    return {each.arg for each in every if each}
