"""Pipelines as an earlier release left them, and the worlds that they are of. `test_recorded_state.py` goes on."""
