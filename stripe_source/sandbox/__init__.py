"""The sandbox: a Stripe that runs in the process, for demos, tests and benchmarks.

    from stripe_source import sandbox

    with sandbox.serve() as stripe:
        print(stripe.url, stripe.api_key)
        stripe.world.live(20)
        stripe.world.advance(3600)
"""
from __future__ import annotations

from .bulk import Bulk
from .dump import Truth
from .server import Sandbox, serve
from .state.faults import Fault, Faults, Lag
from .state.requests import Request
from .world import World

__all__ = ["Bulk", "Fault", "Faults", "Lag", "Request", "Sandbox", "Truth", "World", "serve"]
