"""The sandbox: a simulated Stripe that runs in the process, for demos, tests and benchmarks.

    from stripe_source import sandbox

    with sandbox.serve() as stripe:
        print(stripe.url, stripe.api_key)
        stripe.world.live(20)
        stripe.world.advance(3600)
"""
from __future__ import annotations

from stripe_source.sandbox.bulk.world import Bulk
from stripe_source.sandbox.dump import Truth
from stripe_source.sandbox.errors import InvalidSetting
from stripe_source.sandbox.reports.settings import Reports
from stripe_source.sandbox.server import Sandbox, serve
from stripe_source.sandbox.state.faults import Fault, Faults, Lag
from stripe_source.sandbox.state.requests import Request
from stripe_source.sandbox.world import World

__all__ = [
    "Bulk", "Fault", "Faults", "InvalidSetting", "Lag", "Reports", "Request", "Sandbox", "Truth", "World", "serve",
]
