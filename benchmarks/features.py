"""Milliseconds a field for each family of hand-crafted features, at 512 px on one core."""

import statistics
import time

from hpastack.features import FAMILIES, field_features
from hpastack.synthetic import draw_field


def main() -> None:
    field = draw_field("0 16", size=512, seed=0)
    for family in FAMILIES:
        field_features(field, [family])
        times = []
        for _ in range(7):
            start = time.perf_counter()
            field_features(field, [family])
            times.append(time.perf_counter() - start)
        print(f"features: {family} {1000 * statistics.median(times):.1f} ms a field (median of 7)")
