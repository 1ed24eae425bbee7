"""A TQL program as a Python script that does the same, in the form of `pipelines/`."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from stripe_source.api.credentials import Secret
from stripe_source.redaction import without_controls
from stripe_source.striim.tql.model import DatabaseWriter, Flow, StripeReader, SysOut

_WIDTH = 110


def pipeline_script(flow: Flow, file: str) -> str:
    """The script.

    Args:
        flow: the program.
        file: its name, for the first line.
    """
    names = sorted(_names(flow))
    secret = [f"{reader.name}: the key is `api_key` under [sources.stripe] in .dlt/secrets.toml, or STRIPE_API_KEY"
              for reader in flow.readers]
    secret += [f"{target.name}: the password is under [destination.{target.destination}.credentials]"
               for target in flow.targets if isinstance(target, DatabaseWriter) and target.connection.get("host")]
    about = "\n".join(f"- {_plain(line)}" for line in secret)
    steps = [*(_step(each) for each in (*flow.readers, *flow.queries, *flow.targets))]
    incremental = any(reader.incremental for reader in flow.readers)
    poll = "    # poll=True: goes on, poll after poll\n" if incremental else ""
    title = f"What Striim's application {_plain(flow.name)} does, made from {_plain(file)}."
    return f'''"""{title}

Copy this file and make it yours. Secrets come from the configuration, and stand nowhere in here:
{about}
"""
from __future__ import annotations

import sys

from stripe_source.striim.tql.model import {", ".join(names)}
from stripe_source.striim.tql.run.flow import run_flow

FLOW = Flow(
    name={_quoted(flow.name)},
    readers=({_joined(steps[:len(flow.readers)])}),
    queries=({_joined(steps[len(flow.readers):len(flow.readers) + len(flow.queries)])}),
    targets=({_joined(steps[len(flow.readers) + len(flow.queries):])}),
    recovery={flow.recovery},
)


def main() -> int:
{poll}    result = run_flow(FLOW)
    for table, number in result.read.items():
        print(f"{{table:40}} {{number:9,}} read", file=sys.stderr)
    for table, reason in result.problems.items():
        print(f"{{table:40}} {{reason}}", file=sys.stderr)
    return result.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
'''


def _joined(steps: list[str]) -> str:
    if not steps:
        return ""
    return "\n" + "".join(f"{_indented(step, 8)},\n" for step in steps) + "    "


def _indented(text: str, by: int) -> str:
    """A step further to the right, but for what stands in a text of several lines."""
    lines = text.split("\n")
    inside, made = False, []
    for line in lines:
        made.append(line if inside else " " * by + line)
        if line.count('"""') % 2:
            inside = not inside
    return "\n".join(made)


def _names(value: Any) -> set[str]:
    """The classes that a flow is made of."""
    found = {type(value).__name__} if is_dataclass(value) and not isinstance(value, type) else set()
    inner = [getattr(value, each.name) for each in fields(value)] if found else list(value) if isinstance(
        value, tuple) else []
    for each in inner:
        found |= _names(each)
    return found


def _step(value: Any) -> str:
    """A value as Python writes it, without what is so anyway."""
    if not is_dataclass(value) or isinstance(value, type):
        return _literal(value)
    said = []
    for each in fields(value):
        given = getattr(value, each.name)
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        if given == default or isinstance(given, Secret) or (isinstance(value, SysOut) and each.name == "label" and (
                given == value.name)):
            continue
        if isinstance(value, StripeReader) and each.name in ("client_secret", "refresh_token"):
            continue
        said.append(f"{each.name}={_step(given)}")
    name = type(value).__name__
    line = f"{name}({', '.join(said)})"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    return f"{name}(\n" + "".join(f"{_indented(part, 4)},\n" for part in said) + ")"


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        parts = [_step(each) for each in value]
        line = f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if len(line) <= _WIDTH - 20 and "\n" not in line:
            return line
        return "(\n" + "".join(f"{_indented(part, 4)},\n" for part in parts) + ")"
    if isinstance(value, str) and "\n" in value and '"""' not in value and "\\" not in value and (
            not value.endswith('"') and without_controls(value) == value):
        return f'"""{value}"""'
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(each)}" for key, each in value.items()) + "}"
    return repr(value)


def _quoted(text: str) -> str:
    """A text in double quotes, where it needs no escape then."""
    simple = repr(str(text))
    return f'"{text}"' if simple == f"'{text}'" and '"' not in text else simple


def _plain(text: str) -> str:
    """A name that can stand in a docstring."""
    return without_controls(text).replace("\\", "/").replace('"', "'").replace("\n", " ")
