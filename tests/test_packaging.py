"""The wheel: it holds everything that the package needs, and works where nothing else of the checkout is."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with the hatchling that is installed."""
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True, text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel installed; its dependencies are those of the running environment."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(_bin(folder) / "python"), "install", "--quiet",
         "--disable-pip-version-check", "--no-deps", "--no-index", str(wheel)],
        check=True, capture_output=True,
    )
    sites = _site_packages(folder)
    dependencies = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    # a .pth file behind its own packages: those of the wheel come first, and the checkout's own .pth is not followed
    (sites / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    return folder


@pytest.fixture
def python(environment: Path, tmp_path: Path) -> Python:
    """Run that environment's Python, away from the checkout."""
    variables = {
        **os.environ, "PATH": f"{_bin(environment)}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    variables.pop("PYTHONPATH", None)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_bin(environment) / "python"), *arguments],
            cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120,
        )

    return run


def _bin(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin")


def _site_packages(folder: Path) -> Path:
    return next(folder.glob("lib/python*/site-packages"), folder / "Lib" / "site-packages")


DLT = "import sys; from dlt._workspace.cli._dlt import _main; sys.argv[0] = 'dlt'; _main()"


def test_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    """Modules, schema maps, pipelines, the sandbox's data, the marker for type checkers, the licence."""
    expected = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "stripe_source").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    } | {
        f"stripe_source/{file.relative_to(ROOT)}"
        for folder in ("schema_maps", "pipelines")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    inside = {name for name in names if ".dist-info/" not in name}

    assert expected == inside
    assert "stripe_source/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_package_is_the_wheel(python: Python, environment: Path) -> None:
    """Nothing of the checkout is imported, and the version is the distribution's."""
    code = (
        "import importlib.metadata, stripe_source as s\n"
        "print(s.__file__, s.__version__, importlib.metadata.version('dlt-source-stripe'))"
    )

    file, version, distribution = python("-c", code).stdout.split()

    assert Path(file).is_relative_to(environment)
    assert version == distribution


def test_installed_command_lists_tables(python: Python, environment: Path) -> None:
    """`stripe-source tables` reads the registry and maps from the wheel."""
    from stripe_source.tables.catalog import list_tables

    listed = python(str(_bin(environment) / "stripe-source"), "tables", "--json")

    assert listed.returncode == 0, listed.stderr
    assert list_tables() == json.loads(listed.stdout)


def test_installed_command_shows_every_schema(python: Python) -> None:
    """Each table's map travels in the wheel."""
    code = (
        "from stripe_source import list_tables, schema_show\n"
        "print(min(len(schema_show(table['name'])['columns']) for table in list_tables()))"
    )

    shown = python("-c", code)

    assert shown.returncode == 0, shown.stderr
    assert int(shown.stdout) >= 8  # more than the bookkeeping columns: each has columns of its own


def test_dlt_lists_our_command(python: Python) -> None:
    """dlt finds the plugin by its entry point."""
    asked = python("-c", DLT, "--help")

    assert asked.returncode == 0, asked.stderr
    assert "stripe" in asked.stdout.split()


def test_dlt_stripe_does_what_stripe_source_does(python: Python, environment: Path) -> None:
    """`dlt stripe tables` prints what `stripe-source tables` prints, and hands on the exit code."""
    ours = python(str(_bin(environment) / "stripe-source"), "tables", "%charge%")
    dlts = python("-c", DLT, "stripe", "tables", "%charge%")
    wrong = python("-c", DLT, "stripe", "tables", "charge")

    assert ours.stdout == dlts.stdout
    assert "charges" in dlts.stdout
    assert wrong.returncode == 2
    assert "Did you mean `charges`?" in wrong.stderr


@pytest.mark.parametrize("code", [
    "import stripe_source",
    "from stripe_source import list_tables, schema_show; schema_show('charges'); list_tables()",
    "from stripe_source.cli.main import main; assert main(['tables', '--json']) == 0",
])
def test_import_is_light(python: Python, code: str) -> None:
    """Commands that load nothing wait for neither dlt nor pyarrow nor the HTTP library."""
    heavy = "dlt", "pyarrow", "duckdb", "aiohttp", "sqlglot", "stripe"

    told = f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    done = python("-c", f"import sys\n{code}\n{told}")

    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == "[]"
