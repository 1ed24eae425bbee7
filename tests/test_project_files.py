"""Workflows, recipes, forms and pages for contributors say what is so: versions, commands, rights, paths."""
from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml
from packaging.requirements import Requirement

from stripe_source import __version__
from stripe_source.dlt_patches.scope import DLT_VERSIONS
from stripe_source.tables.catalog import list_tables

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
PROJECT: dict[str, Any] = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8")).unwrap()["project"]
YAMLS = sorted(GITHUB.rglob("*.yml"))
PAGES = sorted(GITHUB.glob("*.md"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")
JUSTFILE = (ROOT / ".justfile").read_text(encoding="utf-8")
SAME = {"Set up": "setup", "Lint": "lint", "Types": "types", "Tests": "test", "Soak": "soak"}  # step: recipe


class _Strict(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error, as it is for GitHub."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key is there twice"
        return super().construct_mapping(node, deep)


def parsed(path: Path) -> Any:
    """What a YAML file says. Its `on` is read as true, as YAML 1.1 has it."""
    return yaml.load(path.read_text(encoding="utf-8"), _Strict)


WORKFLOWS = {path.name: parsed(path) for path in YAMLS if path.parent.name == "workflows"}
FORMS = {path.name: parsed(path) for path in YAMLS if path.parent.name == "ISSUE_TEMPLATE" and path.stem != "config"}


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step, with its workflow and job."""
    for file, workflow in WORKFLOWS.items():
        for name, job in workflow["jobs"].items():
            yield from ((f"{file}: {name}", step) for step in job.get("steps", ()))


def recipes() -> dict[str, tuple[str, list[str]]]:
    """The recipes of `.justfile`: the comment above each, and its lines."""
    found = re.findall(
        r"^(?:# (?P<about>.+)\n)?(?:\[.+\]\n)?(?P<name>[a-z]+)[^:\n]*:\n(?P<body>(?: {4}.+\n)+)", JUSTFILE, re.MULTILINE
    )
    return {name: (about, [line[4:] for line in body.splitlines()]) for about, name, body in found}


RECIPES = {name: recipe for name, recipe in recipes().items() if name != "default"}


def named_paths(text: str) -> list[str]:
    """Files and folders of the repository that a text names in code."""
    words = re.findall(r"`([\w./-]+)`", text) + re.findall(r"(?<![\w/.])(?:tests|docs)/[\w./-]+\w", text)
    return [word for word in words if re.match(r"(stripe_source|schema_maps|tests|docs|pipelines|benchmarks)/", word)]


def minor(version: str) -> tuple[int, ...]:
    """`3.9` comes before `3.10`."""
    return tuple(map(int, version.split(".")))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_every_file_is_yaml(path: Path) -> None:
    """It is a mapping with something in it."""
    assert isinstance(parsed(path), dict)


def test_the_suite_runs_on_every_python_that_the_package_names() -> None:
    """Classifiers and `requires-python` are the matrix; what may fail is newer than all of them."""
    named = [
        line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r"Python :: \d+\.\d+$", line)
    ]
    job = WORKFLOWS["ci.yml"]["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    tried = [entry["python-version"] for entry in matrix["include"]]

    assert named == matrix["python-version"]
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert matrix["experimental"] == [False] and all(entry["experimental"] is True for entry in matrix["include"])
    assert job["continue-on-error"] == "${{ matrix.experimental }}"
    assert all(minor(version) > minor(named[-1]) for version in tried)


def test_the_oldest_of_what_the_package_takes_is_tried() -> None:
    """The lower bounds of dlt, DuckDB and sqlglot, and the oldest Python; patches know each dlt between the bounds."""
    job = WORKFLOWS["ci.yml"]["jobs"]["oldest"]
    installed = next(step["run"] for step in job["steps"] if step.get("name") == "Set up with the oldest")
    tests = next(step["run"] for step in job["steps"] if step.get("name") == "What touches dlt")
    ranges = {required.name: {each.operator: each.version for each in required.specifier}
              for required in map(Requirement, PROJECT["dependencies"])}
    tried = dict(re.findall(r'"(\w+)==([\d.]+)"', installed))
    oldest, beyond = (minor(ranges["dlt"][operator]) for operator in (">=", "<"))

    lowest = {name: ranges[name][">="] for name in ("dlt", "duckdb", "sqlglot")}
    assert tried == {name: low if low.count(".") == 2 else f"{low}.0" for name, low in lowest.items()}
    assert f">={job['steps'][1]['with']['python-version']}" == PROJECT["requires-python"]
    assert [minor(version) for version in DLT_VERSIONS] == [(1, each) for each in range(oldest[1], beyond[1])]
    assert "tests/test_load.py" in tests
    assert [] == [path for path in named_paths(tests) if not (ROOT / path).exists()]


def test_the_wheel_is_tried_on_the_oldest_and_the_newest_python() -> None:
    """Of those that the suite must pass on."""
    every = WORKFLOWS["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]["python-version"]

    assert WORKFLOWS["build.yml"]["jobs"]["install"]["strategy"]["matrix"]["python-version"] == [every[0], every[-1]]


def test_tests_are_run_by_one_command() -> None:
    """The README's, in `.ci/run`, in the workflow and as a recipe; likewise the long ones."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    said = {step["name"]: step["run"] for _, step in steps() if step.get("name") in ("Tests", "Soak")}
    tests = [line for line in README.splitlines() if line.startswith("python -m venv") and "-m pytest" in line]
    soak = re.findall(r"`([^`\n]*-m soak)`", README)

    assert [said["Tests"]] == tests == RECIPES["test"][1] == [line for line in ci if line.startswith("python -m venv")]
    assert [said["Soak"]] == soak == RECIPES["soak"][1] == [line for line in ci if "soak" in line]


def test_steps_and_recipes_are_the_same_commands() -> None:
    """What passes here passes there."""
    said = [(step["name"], step["run"]) for _, step in steps() if step.get("name") in SAME]

    assert {name for name, _ in said} == SAME.keys()
    assert [] == [(name, run) for name, run in said if [run] != RECIPES[SAME[name]][1]]


def test_every_recipe_says_what_it_does() -> None:
    """In one line, which `just` shows; no recipe is lost by how they are read here."""
    names = re.findall(r"^([a-z]+)[^:\n]*:$", JUSTFILE, re.MULTILINE)

    assert ["default", *RECIPES] == names
    assert [] == [name for name, (about, _) in RECIPES.items() if not about]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_run(name: str) -> None:
    """bash understands it; its programs, modules and files are there."""
    for line in RECIPES[name][1]:
        understood = subprocess.run(["bash", "-n", "-c", line], capture_output=True, text=True)
        modules = re.findall(r"python -m ([\w.]+)", line)
        first = [re.sub(r"^(?:[A-Z_]+=\S+ )*", "", part).split()[0] for part in line.split(" && ")]
        programs = [word for word in first if word not in (".venv/bin/python", ".venv/bin/pip")]

        assert (understood.returncode, understood.stderr) == (0, "")
        assert [] == [module for module in modules if importlib.util.find_spec(module) is None]
        assert [] == [program for program in programs if shutil.which(program) is None]
        assert [] == [path for path in named_paths(line) if not (ROOT / path).exists()]


def test_commands_for_contributors_are_recipes() -> None:
    """`command  # just name` in CONTRIBUTING.md is what the recipe does."""
    said = re.findall(r"^(\S.*?) +# (?:.*: )?just (\w+)(.*)$", CONTRIBUTING, re.MULTILINE)

    assert {"setup", "only", "soak", "lint", "types"} == {name for _, name, _ in said}
    for command, name, arguments in said:
        assert [command] == [line.replace('"$@"', arguments.strip()) for line in RECIPES[name][1]]


@pytest.mark.parametrize("file", WORKFLOWS)
def test_a_workflow_may_do_no_more_than_it_must(file: str) -> None:
    """It reads the repository. Only publishing may prove who it is, and nothing may write."""
    workflow = WORKFLOWS[file]
    rights = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
    more = {(name, right) for each in rights for name, right in each.items()} - {("contents", "read")}

    assert more == ({("id-token", "write")} if file == "release.yml" else set())
    assert "pull_request_target" not in workflow[True]
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job or "uses" in job


def test_publishing_has_an_environment_and_no_token() -> None:
    """It comes after the comparison, which comes after the build, and runs no code of the repository."""
    jobs = WORKFLOWS["release.yml"]["jobs"]

    assert jobs["publish"]["environment"] == "release"
    assert (jobs["publish"]["needs"], jobs["agree"]["needs"]) == ("agree", "build")
    assert [step.get("run") for step in jobs["publish"]["steps"]] == [None, None]
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text(encoding="utf-8")


def test_steps_take_nothing_from_strangers() -> None:
    """Actions are pinned to a commit, the checkout keeps no token, and no text of an event gets into a shell."""
    uses = [(where, step["uses"], step.get("with", {})) for where, step in steps() if "uses" in step]

    assert [] == [use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", use[1])]
    assert [] == [use for use in uses if "checkout" in use[1] and use[2].get("persist-credentials") is not False]
    assert [] == [(where, step["run"]) for where, step in steps() if "${{" in step.get("run", "")]


@pytest.mark.parametrize(("tag", "built", "section", "expected"), [
    ("v1.2.3", "1.2.3", "## [1.2.3] - 2030-01-31", (0, "")),
    ("v1.2.3", "1.2.2", "## [1.2.3] - 2030-01-31", (1, "The version of the package is not 1.2.3\n")),
    ("v1.2.3", "1.2.3", "## [Unreleased]", (1, "docs/changelog.md has no section [1.2.3] with a date\n")),
    ("v1.2.3", "1.2.3", "## [1.2.3]", (1, "docs/changelog.md has no section [1.2.3] with a date\n")),
])
def test_a_release_is_what_its_tag_says(
    tag: str, built: str, section: str, expected: tuple[int, str], tmp_path: Path
) -> None:
    """The workflow's own step, run where a wheel and a changelog agree with the tag, and where one does not."""
    compare = next(step["run"] for where, step in steps() if where == "release.yml: agree" and "run" in step)
    wheel = f"{PROJECT['name'].replace('-', '_')}-{built}-py3-none-any.whl"
    for name, text in (("dist", wheel), ("docs", "changelog.md")):
        (tmp_path / name).mkdir()
        (tmp_path / name / text).write_text(f"# Changelog\n\n{section}\n")

    done = subprocess.run(
        ["bash", "-e", "-c", compare], cwd=tmp_path, env={"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True,
    )

    assert (done.returncode, done.stdout) == expected


def test_the_changelog_has_its_form() -> None:
    """Unreleased on top, then releases with their dates, newest first; groups as Keep a Changelog names them."""
    first, *releases = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    groups = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    numbers = [minor(release.split("]")[0].removeprefix("[")) for release in releases]

    assert first == "[Unreleased]"
    assert [] == [release for release in releases if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release)]
    assert sorted(numbers, reverse=True) == numbers
    assert groups <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.search(rf"(?<![\d.]){re.escape(__version__)}(?![\d])", CHANGELOG)


def test_the_number_of_tables_is_right() -> None:
    """In the README."""
    assert re.findall(r"all (\d+) of Stripe's API", README) == [str(len(list_tables()))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_what_exists(page: Path) -> None:
    """Links, files, folders and modules that can be run."""
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    modules = re.findall(r"python -m ([\w.]+)", text)

    assert [] == [link for link in links if not (page.parent / link).exists()]
    assert [] == [path for path in named_paths(text) if not (ROOT / path).exists()]
    assert [] == [module for module in modules if importlib.util.find_spec(module) is None]


def test_commands_in_pages_and_forms_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `stripe-source COMMAND` is one that `stripe-source --help` lists."""
    module, function = PROJECT["scripts"]["stripe-source"].split(":")
    with pytest.raises(SystemExit):
        getattr(importlib.import_module(module), function)(["--help"])
    known = re.findall(r"^ {2,4}([a-z]+)", capsys.readouterr().out, re.MULTILINE)
    texts = [path.read_text(encoding="utf-8") for path in (*PAGES, *YAMLS)]
    said = {command for text in texts for command in re.findall(r"stripe-source +([a-z]+)", text)}

    assert said
    assert said - set(known) == set()


def test_every_package_is_introduced_to_contributors() -> None:
    """Each has a line in the table of CONTRIBUTING.md."""
    said = re.findall(r"^\| `(\w+)` \| \S", CONTRIBUTING, re.MULTILINE)
    there = {file.parent.name for file in (ROOT / "stripe_source").glob("*/__init__.py")}

    assert len(said) == len(set(said))
    assert there - set(said) == set()


@pytest.mark.parametrize("name", FORMS)
def test_a_form_asks_each_thing_once(name: str) -> None:
    """Fields have ids of their own, and something has to be filled in."""
    fields = [field for field in FORMS[name]["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]

    assert len(ids) == len(set(ids))
    assert any(field.get("validations", {}).get("required") for field in fields)
