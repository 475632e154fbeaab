"""Measurements behind the figures of docs/benchmarks.md; run with ``make bench``."""
