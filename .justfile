# `just` lists the recipes. Each is a command that can be typed as well

[private]
default:
    @{{ just_executable() }} --list --unsorted

# Make .venv with everything that work on the package needs
setup:
    python -m venv .venv && .venv/bin/pip install -q -e ".[test]"

# Lint package, tests, benchmarks and notebooks
lint:
    .venv/bin/python -m ruff check .

# Check the types of the package, and of the calls that users make
types:
    .venv/bin/python -m mypy --strict stripe_source tests/typing/api.py

# Set up, and run the tests
test:
    python -m venv .venv && .venv/bin/pip install -q -e ".[test]" && .venv/bin/python -m pytest -q -n 2 --dist loadfile

# Run some tests: just only tests/test_rows_declared.py -k decimals
[positional-arguments]
only *arguments:
    .venv/bin/python -m pytest -q "$@"

# Run the long tests, about half an hour
soak:
    SOAK_EXAMPLES=150 .venv/bin/python -m pytest -q -n 2 -m soak

# Check that README, docs and project files say what is so
docs:
    .venv/bin/python -m pytest -q tests/test_docs.py tests/test_readme.py tests/test_project_files.py

# Build source distribution and wheel into dist/
build:
    .venv/bin/python -m build

# Remove what builds and tools left; .venv, databases and .dlt/ stay
clean:
    rm -rf dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache
    find stripe_source tests benchmarks pipelines -name __pycache__ -type d -prune -exec rm -rf {} +
