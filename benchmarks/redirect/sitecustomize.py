"""Sends what is meant for Stripe to the sandbox; Python runs it when it starts, where this folder is on its path.

Any program on `requests` is redirected; with BENCHMARK_SDK set, one on Stripe's SDK with another transport.
"""
from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any


def redirect(url: str) -> None:
    """Whatever goes by `requests` to Stripe goes to this address."""
    adapter: Any = importlib.import_module("requests.adapters").HTTPAdapter
    send = adapter.send

    def to_sandbox(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = request.url.replace("https://api.stripe.com", url, 1)
        return send(self, request, *args, **kwargs)

    adapter.send = to_sandbox


if "BENCHMARK_STRIPE" in os.environ:
    with contextlib.suppress(ImportError):  # an interpreter without `requests` has nothing to redirect
        redirect(os.environ["BENCHMARK_STRIPE"])
    if "BENCHMARK_SDK" in os.environ:
        sdk: Any = importlib.import_module("stripe")
        sdk.api_base = os.environ["BENCHMARK_STRIPE"]
