"""Benchmarks: what a load costs here, and what the peers need for the same; `python -m benchmarks --help`."""
