"""Measurements behind the figures of docs/benchmarks.md; run with ``make bench``."""

from pathlib import Path

#: Real labels and predictions, where they lie beside the checkout.
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
