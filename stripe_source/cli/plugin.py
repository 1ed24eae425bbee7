"""dlt's plugin hook: `dlt stripe …` does what `stripe-source …` does. Nothing is imported before it is used."""
from __future__ import annotations

from typing import Any

from dlt.common.configuration import plugins


@plugins.hookimpl(specname="plug_cli")
@plugins.only_host(("dlt", "dlthub"))
def plug_cli_stripe(host: str) -> type[Any]:
    """The command `stripe` of dlt's own command line."""
    from stripe_source.cli.dlt_command import StripeCommand

    return StripeCommand
