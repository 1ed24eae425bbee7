"""Continuous queries: SELECT and WHERE over a stream, read by sqlglot and answered by DuckDB."""
