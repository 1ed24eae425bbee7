"""The options of all commands."""
from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from typing import Any

from stripe_source.cli import schema_commands
from stripe_source.cli.families import views_commands
from stripe_source.cli.striim import tql_commands, waevents
from stripe_source.errors import ConfigurationError, InvalidOption

Command = Callable[[argparse.Namespace], int]
UNSET: Any = object()  # not None, which is a rate: no limit
DESCRIPTION = "A complete, current copy of a Stripe account in any dlt destination."
SMALLEST = math.ulp(0.0)  # the smallest number that is more than 0
EXIT_CODES = """\
exit codes:
  0  done
  1  some tables failed and the others are loaded, nothing could be reached, or the pipeline is being run already
  2  wrong usage or configuration; nothing was read
  3  refused by Stripe: the key, or all permissions
  4  verification, or a comparison of schemas, found a difference"""


def configure(parser: argparse.ArgumentParser, run_by_command: Mapping[str, Command]) -> None:
    """Add all commands to a parser.

    Args:
        parser: that of `stripe-source`, or of `dlt stripe`.
        run_by_command: what each command calls; it answers with an exit code.
    """
    # not `command`: dlt's own parser keeps its command there
    commands = parser.add_subparsers(dest="stripe_command", metavar="COMMAND", required=True)
    for name, (help, add_options) in _COMMANDS.items():
        command = commands.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run_by_command[name])
        command.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
        add_options(command)


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", default="stripe_demo.duckdb", help="the file (default: %(default)s)")
    parser.add_argument("--dataset", default="stripe", help="the schema in it (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another business")
    parser.add_argument("--scale", type=_scale, default=1.0, help="size of the business; 1 is about 14,000 rows")
    parser.add_argument("--tables", help="names, separated by `;`, with %% for any letters; `%%` is everything "
                                         "(default: what an ordinary account uses)")


def _run_options(parser: argparse.ArgumentParser) -> None:
    _connection(parser)
    _selection(parser)
    parser.add_argument("--mode", help="initial, incremental or auto (default)")
    parser.add_argument("--marker", help="what incremental loads go by: auto (default), created, id or none, or per "
                                         "table: `customers=none;%%=created`")
    parser.add_argument("--start", help="only objects created at or after this")
    parser.add_argument("--end", help="only objects created before this")
    parser.add_argument("--deletes", help="soft (default): rows that are gone stay, flagged; hard: they go")
    parser.add_argument("--lookback", help="how far behind its cursor a table is read again (default: 10m)")
    parser.add_argument("--resync", help="within which time all rows are compared again, beside the change feed "
                                         "(default: 30d; none: never)")
    parser.add_argument("--schema-map", help="shape of the tables (default: stripe); striim: Striim's tables too, made "
                                             "anew by each run in a dataset beside")
    parser.add_argument("--views", metavar="MAP", help="make the views of this map, such as striim, in a dataset "
                                                       "beside the data, and keep them as it grows; "
                                                       "`MAP=DATASET` in another")
    _masks(parser)
    _target(parser)
    parser.add_argument("--every", metavar="5m", help="run again and again, with this pause between; Ctrl-C ends it. "
                                                      "With --json, each run is one line")
    parser.add_argument("--history", metavar="TABLE", action="append",
                        help="keep every version of the rows of this table, in TABLE_history")
    parser.add_argument("--schema-contract", metavar="MODE",
                        help="what becomes of fields that Stripe adds: evolve (default), freeze, discard_row or "
                             "discard_value, or one for each: `columns=freeze;data_type=evolve`")
    parser.add_argument("--reports", metavar="OPTIONS",
                        help="what reports (tables `report_…`) are asked for: `interval=day;timezone=Europe/Berlin;"
                             "columns=payment_metadata[order_id];currency=eur` (default: interval=month)")
    parser.add_argument("--refresh", metavar="TABLE", action="append",
                        help="read this table again from the beginning")
    waevents.configure_out(parser)


def _check_options(parser: argparse.ArgumentParser) -> None:
    _connection(parser)
    _selection(parser)
    parser.add_argument("--start", help="of what is created at or after this")
    parser.add_argument("--end", help="of what is created before this")
    parser.add_argument("--reports", metavar="OPTIONS", help="as for `run`")


def _verify_options(parser: argparse.ArgumentParser) -> None:
    _connection(parser)
    parser.add_argument("--tables", help="names, separated by `;`, with %% for any letters (default: every table that "
                                         "the pipeline has loaded)")
    parser.add_argument("--exclude", help="likewise, what to leave out")
    parser.add_argument("--start", help="only objects created at or after this")
    parser.add_argument("--end", help="only objects created before this")
    share = parser.add_mutually_exclusive_group()
    share.add_argument("--all", action="store_true", help="every row within the bounds (default)")
    share.add_argument("--sample", type=int, metavar="N", help="of tables with more than N rows only about N, in spans "
                                                               "of `created` drawn at random; smaller ones whole")
    parser.add_argument("--seed", type=int, help="of a sample, to draw the same one again")
    parser.add_argument("--settled", action="store_true", help="what came about after the last load is named, and does "
                                                               "not count as a difference")
    parser.add_argument("--money", action="store_true", help="compare Stripe's financial reports that were loaded with "
                                                             "the ledger and the payouts beside them, in the "
                                                             "destination alone; nothing is asked of Stripe")
    parser.add_argument("--repair", action="store_true", help="write what is missing or altered, flag what is extra, "
                                                              "and verify again")
    _masks(parser)
    _target(parser)


def _status_options(parser: argparse.ArgumentParser) -> None:
    _target(parser)


def _tables_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="*", help="only these: names, or patterns with %%")


def _schema_options(parser: argparse.ArgumentParser) -> None:
    schema_commands.configure(parser, _selection, _target)


def _views_options(parser: argparse.ArgumentParser) -> None:
    views_commands.configure(parser)


def _waevents_options(parser: argparse.ArgumentParser) -> None:
    waevents.configure(parser, _target)


def _tql_options(parser: argparse.ArgumentParser) -> None:
    tql_commands.configure(parser, _connection)


def _sandbox_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["serve"])
    parser.add_argument("--port", type=int, default=12111, help="default: %(default)s; 0: any free one")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another business")
    parser.add_argument("--scale", type=_scale, help="size of the business; 1, the default, is about 14,000 rows")
    parser.add_argument("--life", metavar="10s", help="the clock runs, and something happens each time this has "
                                                      "passed (default: it stands still)")
    parser.add_argument("--live", action="store_true", help="live mode: its keys, its objects, its limits")
    parser.add_argument("--latency", type=_seconds, default=0.0, metavar="0.25", help="seconds that each answer takes")
    parser.add_argument("--limits", action="store_true", help="Stripe's limits: 429 for what is more")
    bulk = parser.add_argument_group("in bulk", "Tables of any size, for benchmarks, instead of a business; /_figures "
                                                "tells what was asked for.")
    bulk.add_argument("--bulk", metavar="charges=200000", action="append", help="a table and how many objects it has; "
                                                                              "may be repeated")
    bulk.add_argument("--spread", help="when they were created: even (default), growing, day, second, gaps, pair or "
                                       "bursts")
    bulk.add_argument("--years", type=_years, metavar="10", help="how far they go back (default: 2)")


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "demo": ("load the built-in sandbox into a DuckDB file; again for one more day of it", _demo_options),
    "run": ("load a Stripe account, or what changed in it since the last run", _run_options),
    "check": ("find out which tables a key may read", _check_options),
    "verify": ("prove that the destination equals Stripe, row by row and value by value", _verify_options),
    "status": ("say what a pipeline holds, how far it is current, and what its last run did; asks Stripe nothing",
               _status_options),
    "tables": ("list the tables", _tables_options),
    "schema": ("show, print, compare and migrate the tables' columns", _schema_options),
    "views": ("make, show, print and drop views of the data in another system's shape, such as Striim's",
              _views_options),
    "waevents": ("load WAEvents, of Striim or of `run --emit waevents`, into tables", _waevents_options),
    "tql": ("run the programs of Striim (TQL), or write them as Python", _tql_options),
    "sandbox": ("serve a Stripe of one's own on this machine", _sandbox_options),
}


def _connection(parser: argparse.ArgumentParser) -> None:
    """Add the options of the connection to Stripe."""
    group = parser.add_argument_group("Stripe", "The key is taken from STRIPE_API_KEY, or from api_key under "
                                                "[sources.stripe] in .dlt/secrets.toml; never from the command line, "
                                                "where other users of the machine could see it.")
    group.add_argument("--account-id", help="a connected account to read with a platform's key")
    group.add_argument("--api-base", help="where Stripe is; a sandbox, say")
    group.add_argument("--oauth-file", help="where the newest refresh token of a Stripe App is kept (mode 0600)")
    group.add_argument("--include-secrets", action="store_true", default=None,
                       help="load `client_secret` and the like too; otherwise their columns stay empty")
    group.add_argument("--api-version", help="another API version than the one this release is made for")
    group.add_argument("--rate", type=_rate, default=UNSET,
                       help="share of Stripe's limits to use, 0 < rate <= 1 (default 0.5), or none")


def _selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that select tables."""
    parser.add_argument("--tables", help="names, separated by `;`, with %% for any letters; `%%` is everything "
                                         "(default: what an ordinary account uses)")
    parser.add_argument("--exclude", help="likewise, what to leave out")


def _masks(parser: argparse.ArgumentParser) -> None:
    """Add the options that keep columns out of the destination."""
    parser.add_argument("--exclude-columns", metavar="COLUMNS",
                        help="columns that are not loaded: `table.column` or `column`, separated by `;`, with %% for "
                             "any letters")
    parser.add_argument("--hash-columns", metavar="COLUMNS",
                        help="likewise, columns of text that are loaded as hashes; `hash_salt` under [sources.stripe] "
                             "in .dlt/secrets.toml is the salt")


def _target(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where to load."""
    parser.add_argument("--destination", default="duckdb", help="a destination of dlt (default: %(default)s)")
    parser.add_argument("--dataset", default="stripe_data", help="dataset or schema (default: %(default)s)")
    parser.add_argument("--pipeline", default="stripe", help="name of the dlt pipeline (default: %(default)s)")


def _rate(text: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidOption("rate", text, reason="It is a share of Stripe's limits, 0 < rate <= 1, or none.") from None


def _number(option: str, text: str, least: float, reason: str) -> float:
    try:
        if least <= float(text) < math.inf:
            return float(text)
    except ValueError:
        pass
    raise InvalidOption(option, text, reason=reason)


def _scale(text: str) -> float:
    return _number("scale", text, SMALLEST, "It is more than 0; 1 is about 14,000 rows.")


def _seconds(text: str) -> float:
    return _number("latency", text, 0, "It is a number of seconds, such as 0.25.")


def _years(text: str) -> float:
    return _number("years", text, 0.001, "It is a number of years, more than 0.")


class Parser(argparse.ArgumentParser):
    """Raises our error for wrong usage, in place of ending the process."""

    def error(self, message: str) -> Any:
        raise ConfigurationError(f"{message}\n{self.format_usage().strip()}")
