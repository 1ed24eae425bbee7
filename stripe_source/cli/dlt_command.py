"""`dlt stripe`: the commands of `stripe-source` inside dlt's command line."""
from __future__ import annotations

import argparse

from dlt.common.configuration.plugins import SupportsCliCommand

from stripe_source.cli.arguments import DESCRIPTION, configure
from stripe_source.cli.commands import COMMANDS
from stripe_source.cli.main import perform


class StripeCommand(SupportsCliCommand):
    """The command `stripe` as a plugin of dlt's command line."""

    command = "stripe"
    help_string = DESCRIPTION
    description = DESCRIPTION
    docs_url = None

    def configure_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the commands."""
        configure(parser, COMMANDS)

    def execute(self, args: argparse.Namespace) -> None:
        """Run one; its exit code is dlt's."""
        if code := perform(args):
            raise SystemExit(code)
