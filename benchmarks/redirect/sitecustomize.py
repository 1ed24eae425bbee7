"""Sends what is meant for Stripe to the sandbox; Python runs it when it starts.

Any program on `requests` is redirected; with BENCHMARK_SDK set, one on Stripe's SDK with another transport.
"""
import os

URL = os.environ.get("BENCHMARK_STRIPE", "")

try:
    from requests.adapters import HTTPAdapter
except ImportError:  # this interpreter has nothing to redirect
    HTTPAdapter = None

if HTTPAdapter is not None and URL:
    _send = HTTPAdapter.send

    def _to_sandbox(self, request, *args, **kwargs):
        request.url = request.url.replace("https://api.stripe.com", URL, 1)
        return _send(self, request, *args, **kwargs)

    HTTPAdapter.send = _to_sandbox

if os.environ.get("BENCHMARK_SDK") and URL:
    import stripe

    stripe.api_base = URL
