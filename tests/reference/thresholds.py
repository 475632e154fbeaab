"""The slow obvious way to choose thresholds: try every midpoint and score it."""

import numpy as np
from sklearn.metrics import f1_score


def candidates(probability):
    values = np.unique(probability)
    return np.r_[max(0.0, values[0] - 1e-6), (values[1:] + values[:-1]) / 2]


def best_f1(y, probability):
    """Highest F1 of one label over all thresholds."""
    return max(
        f1_score(y, probability >= threshold, zero_division=0)
        for threshold in candidates(probability)
    )


def best_macro_f1(y, probabilities):
    """Highest macro F1 over all common thresholds."""
    return max(
        f1_score(y, probabilities >= threshold, average="macro", zero_division=0)
        for threshold in candidates(probabilities.ravel())
    )
