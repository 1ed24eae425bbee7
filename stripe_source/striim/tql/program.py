"""Programs in files: `tql_check`, `tql_show`, `tql_run` and `tql_convert`, which return data and print nothing."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption
from stripe_source.striim.tql.convert import pipeline_script
from stripe_source.striim.tql.parse.tokens import Source
from stripe_source.striim.tql.plan.planner import Plan, make_plan, with_api_base
from stripe_source.striim.tql.show import describe

if TYPE_CHECKING:
    from stripe_source.striim.tql.run.flow import TqlResult

LARGEST = 5_000_000  # bytes; a program that is larger is none
SECTIONS = ("sources", "stripe", "tql")


def load_plan(file: str | Path) -> Plan:
    """Read a program from a file, and find out what becomes of it.

    Args:
        file: a path.

    Raises:
        InvalidOption: the file cannot be read.
        TqlSyntaxError: it is no program.
    """
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise InvalidOption("FILE", str(file), reason=f"It cannot be read: {error.strerror}.") from None
    if len(data) > LARGEST:
        raise InvalidOption("FILE", str(file), reason="It is too large for a program.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        source = Source(data[:error.start].decode("utf-8", "replace"), str(file))
        raise source.error("This is no UTF-8; save the file with this encoding.", len(source.text)) from None
    return make_plan(text, str(file), configured_variable)


def configured_variable(name: str) -> str | None:
    """The value of a variable of a program: under `[sources.stripe.tql]`, or by its name alone."""
    from stripe_source.configured import named_value

    last = name.rsplit(".", 1)[-1]
    for sections in (SECTIONS, ()):
        value = named_value(last, sections)
        if value is not None:
            return value
    return None


def tql_check(file: str | Path) -> dict[str, Any]:
    """What of a program cannot be carried over, and what a person should know.

    Raises:
        InvalidOption: the file cannot be read.
        TqlSyntaxError: it is no program.
    """
    plan = load_plan(file)
    return {
        "file": str(file), "application": plan.flow.name,
        "unsupported": [problem.asdict() for problem in plan.problems.unsupported],
        "notes": [problem.asdict() for problem in plan.problems.notes],
    }


def tql_show(file: str | Path) -> dict[str, Any]:
    """What a program will do, table by table.

    Raises:
        InvalidOption: the file cannot be read.
        TqlSyntaxError: it is no program.
    """
    return describe(load_plan(file))


def tql_run(
    file: str | Path, *, ignore_unsupported: bool = False, api_base: str | None = None,
    on_problems: Callable[[Plan], object] | None = None, **options: Any,
) -> TqlResult:
    """Run a program.

    Args:
        file: a path.
        ignore_unsupported: whether it is run without what cannot be carried over.
        api_base: where Stripe is, for sources that do not say so by `ApiBase`.
        on_problems: called with the plan before anything is read.
        options: those of `run_flow`.

    Raises:
        InvalidOption: the file cannot be read.
        TqlSyntaxError: it is no program.
        TqlUnsupported: something of it cannot be carried over.
        AuthenticationError: Stripe refuses the key.
        DestinationError: a destination cannot be reached, or does not take the data.
    """
    plan = load_plan(file)
    if options.get("destination"):
        plan.problems.forget("ConnectionURL")
    if on_problems:
        on_problems(plan)
    if not ignore_unsupported or not plan.flow.readers:
        plan.problems.stop()
    from stripe_source.striim.tql.run.flow import run_flow

    for reader in plan.flow.readers:
        if reader.api_base and reader.api_key is None:
            _check_address(reader.api_base, str(file), options)
    return run_flow(with_api_base(plan.flow, api_base), **options)


def _check_address(api_base: str, file: str, options: dict[str, Any]) -> None:
    """Refuse a program that would send the key of the configuration to another host than Stripe's.

    Raises:
        InvalidOption: it would.
    """
    from stripe_source.configured import Setting, check_host
    from stripe_source.source import resolve_options

    given = {name: options[name] for name in ("api_key", "oauth_file") if options.get(name)}
    resolved = resolve_options(api_base=api_base, **given)
    check_host(Setting(api_base, file, in_file=True), resolved.credentials, None)


def tql_convert(file: str | Path, *, ignore_unsupported: bool = False) -> str:
    """A program as a Python script.

    Raises:
        InvalidOption: the file cannot be read.
        TqlSyntaxError: it is no program.
        TqlUnsupported: something of it cannot be carried over.
    """
    plan = load_plan(file)
    if not ignore_unsupported or not plan.flow.readers:
        plan.problems.stop()
    return pipeline_script(plan.flow, Path(file).name)
