"""Isotonic calibration: any rising shape, where there are fields enough to see one."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from hpastack.calibration.logistic import fields_per_cluster
from hpastack.errors import InputError

#: A curve of free shape needs this many fields, and this many clusters that hold a positive one and
#: that hold a negative one.
MIN_FIELDS = 1000
MIN_POSITIVES = 100


class Isotonic:
    """Straight between knots and level outside: their m logits, then the m log-odds there."""

    n_parameters = None

    @staticmethod
    def fit(logits: np.ndarray, y: np.ndarray, clusters: np.ndarray) -> tuple[float, ...] | None:
        """Pool fields until the frequency rises; none with too few fields."""
        # Here, because every command reads this module with its recipes.
        from sklearn.isotonic import isotonic_regression

        n_holders = [len(np.unique(clusters[y == value])) for value in (0, 1)]
        if len(y) < MIN_FIELDS or min(n_holders) < MIN_POSITIVES:
            return None
        values, place = np.unique(logits, return_inverse=True)
        n_fields = np.bincount(place).astype(float)
        positives, weight = np.bincount(place, y), n_fields.copy()
        half = 0.5 * fields_per_cluster(y, clusters)
        positives[0] += half
        weight[0] += half
        weight[-1] += half
        frequency = isotonic_regression(positives / weight, sample_weight=weight)
        first = np.flatnonzero(np.diff(frequency, prepend=-1.0) > 0)
        last = np.append(first[1:], len(values)) - 1
        mean = np.add.reduceat(values * n_fields, first) / np.add.reduceat(n_fields, first)
        # Rounding must not push a mean out of its pool: knots have to rise.
        mean = np.clip(mean, values[first], values[last])
        return tuple(np.r_[mean, logit(frequency[first])].tolist())

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Interpolate."""
        at, log_odds = np.split(parameters, 2)
        return np.interp(logits, at, log_odds)

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` unless the knots rise."""
        if len(parameters) < 2 or len(parameters) % 2:
            raise InputError(
                "an isotonic calibration has as many logits as log-odds, at least one of each"
            )
        at, log_odds = np.split(parameters, 2)
        if (np.diff(at) <= 0).any() or (np.diff(log_odds) < 0).any():
            raise InputError("the knots of an isotonic calibration must rise")
