"""The command line: `stripe-source …`, and `dlt stripe …`. Commands print; functions of the same name load."""
from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence

from stripe_source.cli.arguments import DESCRIPTION, EXIT_CODES, Parser, configure
from stripe_source.cli.commands import COMMANDS
from stripe_source.cli.output import print_error, stderr_console
from stripe_source.destination.dlt_errors import causes_of
from stripe_source.errors import ConfigurationError, StripeSourceError


class _WarningPrinter(logging.Handler):
    """Prints our warnings, but for those that stand in the result of the run as well."""

    IN_RESULT = "%s: %s. %s", "%s: a part of the table was refused: %s"

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in self.IN_RESULT:
            print_error(record.getMessage(), "Warning", "bold yellow")


def perform(args: argparse.Namespace) -> int:
    """Run a parsed command and answer with its exit code; errors are printed, without a traceback."""
    warnings, log = _WarningPrinter(logging.WARNING), logging.getLogger("stripe_source")
    log.addHandler(warnings)
    try:
        return int(args.run(args))
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes into the pipe at the end
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if number := _signal(error):
            loads = args.stripe_command in ("run", "demo")
            kept = " What was loaded is kept; the next run goes on from there." if loads else ""
            stderr_console().print(f"Stopped.{kept}", highlight=False)
            return 128 + number
        if not isinstance(error, StripeSourceError):
            raise
        print_error(str(error))
        return error.exit_code
    finally:
        log.removeHandler(warnings)


def _signal(error: BaseException) -> int:
    """The signal that caused an error: dlt makes Ctrl-C and SIGTERM a failure of the step that they end. 0: none."""
    interrupts = (cause for cause in causes_of(error) if isinstance(cause, KeyboardInterrupt))
    interrupt = next(interrupts, None)
    return int(getattr(interrupt, "signal_code", signal.SIGINT)) if interrupt else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point of `stripe-source`.

    Returns:
        0: done. 1: some tables failed. 2: wrong usage or configuration. 3: refused by Stripe. 4: a difference was
        found.
    """
    parser = Parser(
        "stripe-source", description=DESCRIPTION, epilog=f"Begin with `stripe-source demo`: it needs no key.\n\n"
        f"{EXIT_CODES}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from stripe_source import __version__

    parser.add_argument("--version", action="version", version=f"stripe-source {__version__}")
    configure(parser, COMMANDS)
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return ConfigurationError.exit_code
    try:
        args = parser.parse_args(argv)
    except StripeSourceError as error:
        print_error(str(error))
        return error.exit_code
    try:
        return perform(args)
    finally:
        if argv is None:
            gc.freeze()  # the process ends, and Python would look through all objects: 0.15 s (2026-11-26)


if __name__ == "__main__":
    sys.exit(main())
