"""The docs cannot drift: what can be asked for is named in them, and what they name exists."""
from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

import pytest

from stripe_source import errors
from stripe_source.cli.arguments import configure
from stripe_source.cli.commands import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    parser = argparse.ArgumentParser()
    configure(parser, COMMANDS)
    choices = next(a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(choices)


def flags(parser: argparse.ArgumentParser) -> list[str]:
    """The long flags of a command, those of its actions included."""
    found = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    inner = [a.choices.values() for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return list(dict.fromkeys([*found, *(flag for subs in inner for sub in subs for flag in flags(sub))]))


def code(text: str) -> list[str]:
    """What stands in code blocks, line by line, and in inline code. Comments of the shell are left out."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [re.sub(r"\s#.*", "", line) for block in blocks for line in block.splitlines()] + inline


CALLS = [
    (words.split(), line)
    for line in code(TEXT)
    for words in re.findall(r"(?:^|[\s/])(?:stripe-source|dlt stripe)((?: +[^\s`|&;]+)+)", line)
]
ERRORS = [
    name for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__.startswith(errors.__name__)
]


@pytest.mark.parametrize("name", commands())
def test_every_command_is_named(name: str) -> None:
    """As `name`, `name action` or `stripe-source name`."""
    assert any(line.split()[:1] == [name] for line in code(TEXT)) or any(words[0] == name for words, _ in CALLS)


@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name, sub in commands().items() for flag in flags(sub)])
def test_every_flag_is_named(name: str, flag: str) -> None:
    """As `--flag`, or in the table of options by its name in Python."""
    python = flag.removeprefix("--").replace("-", "_")

    assert flag == "--help" or any(re.search(rf"{flag}(?![\w-])", line) or line == python for line in code(TEXT))


@pytest.mark.parametrize("name", inspect.signature(
    __import__("stripe_source.source", fromlist=["stripe_source"]).stripe_source
).parameters)
def test_every_option_is_named(name: str) -> None:
    """Each argument of `stripe_source` stands in the table of options."""
    assert name.startswith("_") or name in code(TEXT)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_named(name: str) -> None:
    """In the docs, and in the tree at the top of the module."""
    assert re.search(rf"\b{name}\b", TEXT)
    assert re.search(rf"\b{name}\b", errors.__doc__ or "")


@pytest.mark.parametrize(("words", "line"), CALLS, ids=[" ".join(words) for words, _ in CALLS])
def test_every_call_in_the_docs_exists(words: list[str], line: str) -> None:
    """The command, its action and its flags."""
    known = commands()
    if not re.fullmatch(r"[a-z][a-z-]*|-.*", words[0]):
        return  # `COMMAND` or `…` stands for any

    assert words[0] in known or words[0] in ("--help", "--version"), line
    if words[0] in known:
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= set(flags(known[words[0]])), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of the repository."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_facts_name_places_that_exist() -> None:
    """Each module, and each name in it, that `stripe-facts.md` points to."""
    text = (ROOT / "docs" / "stripe-facts.md").read_text()
    places = re.findall(r"`([\w/]+\.py)(?:: ([\w.]+))?`", text)

    assert places
    for module, name in places:
        source = (ROOT / "stripe_source" / module).read_text()
        for part in name.split(".") if name else ():
            assert re.search(rf"\b{part}\b", source), f"{module}: {name}"


def test_modules_in_the_architecture_exist() -> None:
    """Every `package/module.py` that is named is there, and every package is named."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"\b([\w/]+\.py)\b", text))
    packages = {path.name for path in (ROOT / "stripe_source").iterdir() if (path / "__init__.py").exists()}

    assert {name for name in named if not (ROOT / "stripe_source" / name).exists()} == set()
    assert packages - {name.split("/")[0] for name in named} == set()


def test_ci_runs_what_the_readme_says() -> None:
    """Every command of `.ci/run` stands in the README."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    run = [line.strip() for line in lines if ".venv" in line]
    readme = code((ROOT / "README.md").read_text())

    assert run
    assert [] == [line for line in run if line not in readme]
