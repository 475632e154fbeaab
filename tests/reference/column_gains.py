"""The gain of a column bin by bin and label by label."""

import numpy as np


def column_gain(values, y, margin):
    """Gain of one column for one label; values may hold NaN."""
    known = ~np.isnan(values)
    cuts = np.quantile(values[known], np.linspace(0, 1, 9)[1:-1]) if known.any() else []
    gain = 0.0
    for number in range(len(cuts) + 2):
        if number == len(cuts) + 1:
            rows = ~known
        else:
            above = values > cuts[number - 1] if number else known
            below = values <= cuts[number] if number < len(cuts) else known
            rows = known & above & below
        p = 1 / (1 + np.exp(-margin[rows]))
        gain += (y[rows] - p).sum() ** 2 / ((p * (1 - p)).sum() + 20)
    return gain
