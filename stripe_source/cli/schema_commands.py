"""`stripe-source schema …`: the options of its actions, and what each of them calls."""
from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stripe_source.errors import InvalidOption

if TYPE_CHECKING:
    import dlt
    from rich.console import Console

Connect = Callable[[argparse.Namespace], "dlt.Pipeline"]
Names = Callable[[argparse.ArgumentParser], None]


def configure(schema: argparse.ArgumentParser, selection: Names, target: Names) -> None:
    """Add the actions of `schema`.

    Args:
        schema: the parser of `schema`.
        selection: adds `--tables` and `--exclude`.
        target: adds `--destination`, `--dataset` and `--pipeline`, with their defaults.
    """
    actions = schema.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, help: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=schema.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS,
                         help="print the result as JSON, and nothing else")
        return sub

    show = action("show", "show the columns of tables, with types, references, descriptions and where they come from")
    show.add_argument("table", nargs="*", help="names, or patterns with %% (default: all)")
    _pipeline_options(show)

    ddl = action("ddl", "print CREATE TABLE statements for a kind of database, without a connection")
    ddl.add_argument("--dialect", required=True, help="snowflake, bigquery, redshift, databricks, postgres, duckdb, "
                                                      "clickhouse, tsql, mysql, sqlite, oracle, athena, trino, …")
    selection(ddl)
    ddl.add_argument("--dataset", help="dataset or schema that the tables are in")
    ddl.add_argument("--pipeline", help="with the columns that were inferred by this pipeline")
    ddl.add_argument("--output", metavar="FILE", help="write the statements to a file")

    history = action("history", "list the versions of the schema maps, and of dlt's schema in a destination")
    _pipeline_options(history)

    diff = action("diff", "show what two schemas differ in; exit code 4 where they do")
    for side, when in (("a", "before"), ("b", "after")):
        diff.add_argument(side, help=f"the one {when}: maps, maps:1, pipeline:NAME, api:2025-09-30.clover, destination")
    selection(diff)
    _pipeline_options(diff)

    migrate = action("migrate", "make tables with all columns in a destination; Stripe is not read, no key is needed")
    selection(migrate)
    target(migrate)
    migrate.add_argument("--from-pipeline", metavar="NAME", help="put the schema of this pipeline there, with the "
                                                                 "columns that were inferred from its data")
    migrate.add_argument("--dry-run", action="store_true", help="only show what would be added")


def _pipeline_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the pipeline whose schema is taken beside the maps; without any of them there is none."""
    parser.add_argument("--pipeline", help="a dlt pipeline of this machine")
    parser.add_argument("--destination", help="a destination of dlt; with it the pipeline may be another machine's")
    parser.add_argument("--dataset", help="dataset or schema there (default: stripe_data)")


def perform(args: argparse.Namespace, connect: Connect) -> Outcome:
    """Run one of the actions.

    Args:
        args: the command line.
        connect: makes the pipeline that `--destination`, `--dataset` and `--pipeline` name.

    Returns:
        The data for `--json`, a function that shows it to a person, and the exit code.
    """
    actions = {"show": _show, "ddl": _ddl, "history": _history, "diff": _diff, "migrate": _migrate}
    return actions[args.action](args, connect)


Outcome = tuple[Any, Callable[["Console"], None], int]


def _pipeline(args: argparse.Namespace, connect: Connect) -> dlt.Pipeline | None:
    if args.destination:
        from stripe_source.destination.pipelines import restore_pipeline

        args.dataset, args.pipeline = args.dataset or "stripe_data", args.pipeline or "stripe"
        return restore_pipeline(connect(args))
    if args.pipeline:
        from stripe_source.destination.pipelines import attach_pipeline

        return attach_pipeline(args.pipeline)
    if args.dataset:
        raise InvalidOption("dataset", args.dataset, reason="Say where it is with `--destination`.")
    return None


def _show(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.schema.inspect import schema_show
    from stripe_source.tables.selection import select_tables

    pipeline = _pipeline(args, connect)
    existing: Any = pipeline.default_schema.tables if pipeline and pipeline.default_schema_name else {}
    names: list[str] = []
    for word in args.table or ["%"]:
        names += [word] if word in existing else [table.name for table in select_tables([word])]
    schemas = [schema_show(name, pipeline) for name in dict.fromkeys(names)]

    def show(console: Console) -> None:
        from stripe_source.cli.views.schema import show_schemas

        show_schemas(console, schemas)

    one = len(args.table) == 1 and "%" not in args.table[0]
    return schemas[0] if one else schemas, show, 0


def _ddl(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.schema.ddl import schema_ddl
    from stripe_source.schema.sql.statements import script

    pipeline = _pipeline(argparse.Namespace(**{**vars(args), "destination": None, "dataset": None}), connect)
    tables = schema_ddl(args.dialect, args.tables, args.exclude, dataset=args.dataset, pipeline=pipeline)
    if args.output:
        try:
            Path(args.output).write_text(script(tables), encoding="utf-8")
        except OSError as error:
            raise InvalidOption("output", args.output, reason=f"It cannot be written: {error.strerror}.") from None

    def show(console: Console) -> None:
        from stripe_source.cli.views.console import count_of

        if args.output:
            console.print(f"{count_of(len(tables), 'table')} written to {args.output}", highlight=False, markup=False,
                          soft_wrap=True)
        else:
            console.out(script(tables), highlight=False, end="")

    return tables, show, 0


def _history(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.schema.inspect import schema_history

    history = schema_history(_pipeline(args, connect))

    def show(console: Console) -> None:
        from stripe_source.cli.views.schema import show_history

        show_history(console, history)

    return history, show, 0


def _diff(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.schema.diff import schema_diff

    result = schema_diff(
        args.a, args.b, tables=args.tables, exclude=args.exclude, pipeline=_pipeline(args, connect))

    def show(console: Console) -> None:
        from stripe_source.cli.views.schema import show_diff

        show_diff(console, result)

    return result.asdict(), show, result.exit_code


def _migrate(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.destination.pipelines import attach_pipeline
    from stripe_source.schema.migrate import schema_migrate
    from stripe_source.tables.selection import select_tables

    select_tables(args.tables, args.exclude)  # before dlt's pipeline is made, as `run` does
    other = attach_pipeline(args.from_pipeline) if args.from_pipeline else None
    result = schema_migrate(
        connect(args), args.tables, args.exclude, from_pipeline=other, dry_run=args.dry_run)

    def show(console: Console) -> None:
        from stripe_source.cli.views.schema import show_migrate

        show_migrate(console, result)

    return result.asdict(), show, result.exit_code
