"""`dlt init stripe_source duckdb --location <clone>/pipelines`: a project that runs, in an empty folder."""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import shell
import tomlkit
from packaging.requirements import Requirement

from stripe_source import __version__

SOURCES = shell.ROOT / "pipelines" / "sources"
NO_PACKAGE = "import sys; sys.modules['stripe_source'] = None; "  # as where it is not installed
INIT = "sys.argv[0] = 'dlt'; from dlt._workspace.cli._dlt import _main; sys.exit(_main())"
MADE = {
    ".dlt/.sources", ".dlt/config.toml", ".dlt/secrets.toml", ".gitignore", "requirements.txt",
    "stripe_source/README.md", "stripe_source/try_it.py", "stripe_source_pipeline.py",
}
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false"}


def made(folder: Path) -> set[str]:
    """The files of a project."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with our folder `pipelines`, as a clone has it."""
    folder = tmp_path / "clone"
    shutil.copytree(shell.ROOT / "pipelines", folder / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    somebody = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "commit.gpgsign=false")
    for words in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-q", "-m", "All"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("git") is None, reason="dlt init reads a repository of git, which is not installed")
@pytest.mark.parametrize("before", ["import sys; ", NO_PACKAGE], ids=["package installed", "dlt alone"])
def test_a_project_is_made_in_an_empty_folder_and_runs(clone: Path, tmp_path: Path, small: Any, before: str) -> None:
    """The files, a place for the key, the requirements; then both scripts run, the second load brings what is new."""
    folder = tmp_path / "project"
    folder.mkdir()
    words = ["--non-interactive", "init", "stripe_source", "duckdb", "--location", str(clone / "pipelines")]
    said = shell.run(folder, sys.executable, "-c", before + INIT, *words, **QUIET)
    files = {name for name in made(folder) if not name.startswith(("guard/", "dlt/"))}
    secrets = folder / ".dlt" / "secrets.toml"
    placeholder = tomlkit.parse(secrets.read_text())["sources"]["stripe_source"]  # type: ignore[index]
    requirements = {Requirement(line).name: Requirement(line) for line in
                    (folder / "requirements.txt").read_text().splitlines()}
    secrets.write_text(f'[sources.stripe_source]\napi_key = "{small.api_key}"\n')
    script = [sys.executable, "stripe_source_pipeline.py"]
    variables = {"SOURCES__STRIPE__API_BASE": small.url, "SOURCES__STRIPE_SOURCE__TABLES": "charges;coupons", **QUIET}
    first = shell.run(folder, *script, **variables)
    small.world.advance(3_600)
    small.world.create("charge", amount=900, currency="usd")
    small.world.advance(3_600)
    second = shell.run(folder, *script, **variables)
    tried = shell.run(folder, sys.executable, "stripe_source/try_it.py", **QUIET)

    assert (said.returncode, "verified source" in said.stdout, "dirty" in said.stdout) == (0, True, False), said
    assert files == MADE
    assert list(placeholder) == ["api_key"]
    assert requirements["dlt"].extras == {"duckdb"}
    assert [(each.returncode, each.stderr) for each in (first, second, tried)] == [(0, "")] * 3
    assert re.search(r"^charges +1 rows new or changed$", second.stdout, re.MULTILINE)
    assert re.fullmatch(r"The first load: \d{3} rows new or changed\nA day later: \d+ rows new or changed\n",
                        tried.stdout)
    with duckdb.connect(str(folder / "stripe_source.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM stripe_data.charges").fetchone() == (
            small.world.counts()["charges"],)
    assert shell.beyond_loopback(folder) == ""


def test_what_a_project_requires_is_what_this_package_requires() -> None:
    """The same dlt, and this release."""
    project = tomlkit.parse((shell.ROOT / "pyproject.toml").read_text()).unwrap()["project"]
    ours = next(Requirement(line) for line in project["dependencies"] if line.startswith("dlt["))
    theirs = {Requirement(line).name: Requirement(line) for line in
              (SOURCES / "stripe_source" / "requirements.txt").read_text().splitlines()}

    assert theirs.keys() == {"dlt", project["name"]}
    assert (theirs["dlt"].specifier, theirs["dlt"].extras) == (ours.specifier, set())
    assert __version__ in theirs[project["name"]].specifier


def test_the_folder_of_the_source_does_not_hide_the_package() -> None:
    """In a project it is beside the script, and named as the package: with an `__init__.py` it would be imported."""
    assert not (SOURCES / "stripe_source" / "__init__.py").exists()
