"""Isotonic calibration: any non-decreasing shape, if there are enough fields to estimate it."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from hpastack.calibration.logistic import fields_per_cluster, weighted
from hpastack.errors import InputError

#: Minimum number of fields, and minimum numbers of clusters with a positive field and of clusters
#: with a negative one.
MIN_FIELDS = 1000
MIN_POSITIVES = 100


class Isotonic:
    """Linear between knots, constant outside; parameters: m logits, then their m log-odds."""

    n_parameters = None

    @staticmethod
    def fit(
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[float, ...] | None:
        """Return the knots of centred isotonic regression, or None with too few fields."""
        # Imported here, as every command imports this module with its recipes.
        from sklearn.isotonic import isotonic_regression

        n_clusters = [len(np.unique(clusters[y == value])) for value in (0, 1)]
        if len(y) < MIN_FIELDS or min(n_clusters) < MIN_POSITIVES:
            return None
        values, place = np.unique(logits, return_inverse=True)
        n_fields = np.bincount(place, sample_weight).astype(float)
        positives = np.bincount(place, weighted(y, sample_weight))
        weight = n_fields.copy()
        half = 0.5 * fields_per_cluster(y, clusters, sample_weight)
        positives[0] += half
        weight[0] += half
        weight[-1] += half
        frequency = isotonic_regression(positives / weight, sample_weight=weight)
        first = np.flatnonzero(np.diff(frequency, prepend=-1.0) > 0)
        last = np.append(first[1:], len(values)) - 1
        mean = np.add.reduceat(values * n_fields, first) / np.add.reduceat(n_fields, first)
        # Rounding must not push a mean out of its pool: knots must be increasing.
        mean = np.clip(mean, values[first], values[last])
        return tuple(np.r_[mean, logit(frequency[first])].tolist())

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return log-odds by linear interpolation."""
        at, log_odds = np.split(parameters, 2)
        return np.interp(logits, at, log_odds)

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` unless the knots increase and their log-odds do not decrease."""
        if len(parameters) < 2 or len(parameters) % 2:
            raise InputError(
                "an isotonic calibration must have as many logits as log-odds, at least one of each"
            )
        at, log_odds = np.split(parameters, 2)
        if (np.diff(at) <= 0).any() or (np.diff(log_odds) < 0).any():
            raise InputError("the knots of an isotonic calibration must be in ascending order")
