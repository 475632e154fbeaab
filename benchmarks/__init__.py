"""Measurements behind the results in docs/benchmarks.md; run with ``make bench``."""

from pathlib import Path

#: Real labels and predictions, if they are beside the checkout.
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
