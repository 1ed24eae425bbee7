"""`stripe-source views …`: the options of its actions, and what each of them calls."""
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
Outcome = tuple[Any, Callable[["Console"], None], int]


def configure(views: argparse.ArgumentParser) -> None:
    """Add the actions of `views`."""
    actions = views.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, help: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", epilog=views.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS,
                         help="print the result as JSON, and nothing else")
        sub.add_argument("map", metavar="MAP", help="striim, or the path of a folder with a map")
        sub.add_argument("--dataset", help="dataset or schema of the views (default: that of the data, `_`, and the "
                                           "map's name)")
        return sub

    create = action("create", "make the views of a map beside the data of the last run in this folder; Stripe is not "
                              "read, no key is needed")
    create.add_argument("--materialize", action="store_true", help="make tables with the rows of now in place of views")
    _pipeline_options(create)

    show = action("show", "show the views of a map, where each value comes from, and why a column is null")
    show.add_argument("view", nargs="*", help="names, or patterns with %% (default: all)")
    _pipeline_options(show)

    sql = action("sql", "print the statements that make the views in a kind of database, without a connection")
    sql.add_argument("view", nargs="*", help="names, or patterns with %% (default: all)")
    sql.add_argument("--dialect", required=True, help="duckdb, postgres, sqlite, snowflake, bigquery, redshift, "
                                                      "databricks, clickhouse or mysql")
    sql.add_argument("--data", default="stripe_data", help="dataset of the data (default: %(default)s)")
    sql.add_argument("--materialize", action="store_true", help="tables in place of views")
    sql.add_argument("--output", metavar="FILE", help="write the statements to a file")

    drop = action("drop", "remove the views of a map that were made by `views create`, and nothing else")
    _pipeline_options(drop)


def _pipeline_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the pipeline whose data it is."""
    parser.add_argument("--pipeline", help="a dlt pipeline of this machine (default: that of the last run in this "
                                           "folder)")
    parser.add_argument("--destination", help="a destination of dlt; with it the pipeline may be another machine's")
    parser.add_argument("--data", help="dataset of the data there (default: stripe_data)")


def perform(args: argparse.Namespace, connect: Connect) -> Outcome:
    """Run one of the actions.

    Args:
        args: the command line.
        connect: makes the pipeline that `destination`, `dataset` and `pipeline` name.

    Returns:
        The data for `--json`, a function that shows it to a person, and the exit code.
    """
    actions = {"create": _create, "show": _show, "sql": _sql, "drop": _drop}
    return actions[args.action](args, connect)


def _pipeline(args: argparse.Namespace, connect: Connect) -> dlt.Pipeline:
    """The pipeline whose data it is: the one that is named, or that of the last run in this folder."""
    from stripe_source.destination.pipelines import attach_pipeline, last_pipeline, restore_pipeline

    if not args.destination and not args.data:
        if args.pipeline:
            return attach_pipeline(args.pipeline)
        if found := last_pipeline(Path.cwd()):
            return found
    where = argparse.Namespace(destination=args.destination or "duckdb", dataset=args.data or "stripe_data",
                               pipeline=args.pipeline or "stripe")
    return restore_pipeline(connect(where))


def _create(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.views.manage import create_views
    from stripe_source.views.view_map import view_map

    view_map(args.map)  # before dlt's pipeline is made
    result = create_views(_pipeline(args, connect), args.map, dataset=args.dataset, materialize=args.materialize)

    def show(console: Console) -> None:
        from stripe_source.cli.views.made_views import show_result

        show_result(console, result)

    return result.asdict(), show, result.exit_code


def _drop(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.views.manage import drop_views
    from stripe_source.views.view_map import view_map

    view_map(args.map)
    result = drop_views(_pipeline(args, connect), args.map, dataset=args.dataset)

    def show(console: Console) -> None:
        from stripe_source.cli.views.made_views import show_result

        show_result(console, result)

    return result.asdict(), show, result.exit_code


def _show(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.views.shown import show_views
    from stripe_source.views.view_map import view_map

    view_map(args.map)
    looks = args.pipeline or args.destination or args.data or args.dataset
    shown = show_views(args.map, args.view or None, _pipeline(args, connect) if looks else None, dataset=args.dataset)

    def show(console: Console) -> None:
        from stripe_source.cli.views.made_views import show_declared

        show_declared(console, shown)

    return shown, show, 0


def _sql(args: argparse.Namespace, connect: Connect) -> Outcome:
    from stripe_source.views.shown import views_sql

    made = views_sql(args.map, args.dialect, args.view or None, dataset=args.dataset, data=args.data,
                     materialize=args.materialize)
    script = "".join(f"{statement};\n" for view in made for statement in view["sql"])
    if args.output:
        try:
            Path(args.output).write_text(script, encoding="utf-8")
        except OSError as error:
            raise InvalidOption("output", args.output, reason=f"It cannot be written: {error.strerror}.") from None

    def show(console: Console) -> None:
        from stripe_source.cli.views.console import count_of, line

        if args.output:
            line(console, f"{count_of(len(made), 'view')} written to {args.output}")
        else:
            console.out(script, highlight=False, end="")

    return made, show, 0
