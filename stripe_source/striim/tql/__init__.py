"""Striim's programs (TQL): read, shown, run and converted."""
