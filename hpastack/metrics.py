"""Scores of multi-label predictions, and their uncertainty over clusters.

All scores take indicator matrices and probabilities of shape ``(n, n_labels)``
and optional non-negative row weights, which the bootstrap uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Bins of the calibration error, each holding the same number of fields.
N_BINS = 15


def f1_scores(y, labels, weights=None) -> np.ndarray:
    """Return the F1 score of every label.

    Parameters
    ----------
    y, labels : array-like of {0, 1}, shape (n, n_labels)
        True and predicted labels.
    weights : array-like of float, shape (n,), optional
        Weight of each field; 1 if left out.

    Returns
    -------
    ndarray of float, shape (n_labels,)
        0 for a label that is neither present nor predicted.

    Examples
    --------
    >>> f1_scores([[1, 0], [1, 0], [0, 0]], [[1, 0], [0, 0], [1, 0]]).tolist()
    [0.5, 0.0]
    """
    y, labels = _pair(y, labels)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    hits = weights @ (y * labels)
    total = weights @ y + weights @ labels
    return np.divide(2 * hits, total, out=np.zeros(y.shape[1]), where=total > 0)


def macro_f1(y, labels, weights=None) -> float:
    """Return the F1 score averaged over all labels.

    Every label counts, also those without a positive: they score 0
    (scikit-learn's ``zero_division=0``).

    Parameters
    ----------
    y, labels, weights
        As `f1_scores`.

    Returns
    -------
    float
        In [0, 1].
    """
    return float(f1_scores(y, labels, weights).mean())


def average_precisions(y, scores, weights=None) -> np.ndarray:
    """Return the average precision of every label.

    The sum over the distinct scores of precision times the gain in recall,
    as in scikit-learn.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    scores : array-like of float, shape (n, n_labels)
    weights : array-like of float, shape (n,), optional

    Returns
    -------
    ndarray of float, shape (n_labels,)
        NaN for a label without positives.
    """
    y, scores = _pair(y, scores)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    result = np.full(y.shape[1], np.nan)
    for label in range(y.shape[1]):
        order = np.argsort(-scores[:, label], kind="stable")
        ranked, gain = scores[order, label], weights[order]
        last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        hits = np.cumsum(gain * y[order, label])[last_of_tie]
        taken = np.cumsum(gain)[last_of_tie]
        if hits[-1] > 0:
            precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
            result[label] = precision @ np.diff(hits, prepend=0) / hits[-1]
    return result


def macro_average_precision(y, scores, weights=None) -> float:
    """Return the average precision, averaged over the labels that have positives.

    Parameters
    ----------
    y, scores, weights
        As `average_precisions`.

    Returns
    -------
    float
        In [0, 1]; NaN if no label has a positive.
    """
    values = average_precisions(y, scores, weights)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def expected_calibration_error(y, probabilities, weights=None, *, min_positives=100) -> float:
    """Return how far probabilities are from frequencies, averaged over labels.

    Fields are cut into 15 bins of equal size by their probability; within each
    the mean probability is compared with the share of positives. Labels with
    fewer than `min_positives` positives are left out, as their bins hold
    noise; if that leaves none, all labels with a positive count.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    weights : array-like of float, shape (n,), optional
    min_positives : int, default=100

    Returns
    -------
    float
        Mean absolute difference in [0, 1]; NaN if no label has a positive.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well
       calibrated probabilities using Bayesian binning", AAAI 2015.
       :doi:`10.1609/aaai.v29i1.9602`
    """
    y, probabilities = _pair(y, probabilities)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    positives = y.sum(axis=0)
    chosen = np.flatnonzero(positives >= min_positives)
    if not len(chosen):
        chosen = np.flatnonzero(positives > 0)
    errors = [_calibration_error(y[:, k], probabilities[:, k], weights) for k in chosen]
    return float(np.mean(errors)) if errors else float("nan")


def _calibration_error(y, probability, weights) -> float:
    order = np.argsort(probability, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    bins = rank * min(N_BINS, len(order)) // len(order)
    gap = np.bincount(bins, weights * (probability - y), minlength=N_BINS)
    return float(np.abs(gap).sum() / weights.sum())


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], Any], clusters, *, n_draws=200, seed=0, coverage=0.95
) -> tuple[Any, Any]:
    """Return an interval of a score by drawing whole clusters with replacement.

    Fields of one cluster are near-copies, so drawing fields would make the
    interval too narrow.

    Parameters
    ----------
    statistic : callable
        Takes row weights, shape (n,), and returns the score, or an array of
        scores.
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=200
    seed : int, default=0
    coverage : float, default=0.95

    Returns
    -------
    low, high : float, or ndarray of the scores' shape
        The score plus the percentiles of the draws about their median. Drawing
        with replacement makes some scores larger on average (a calibration
        error for one); taken about the median, the interval is not shifted
        with them.
    """
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    n_clusters = cluster.max() + 1
    generator = np.random.default_rng(seed)
    draws = [
        statistic(
            np.bincount(generator.integers(n_clusters, size=n_clusters), minlength=n_clusters)[
                cluster
            ]
        )
        for _ in range(n_draws)
    ]
    tail = 50 * (1 - coverage)
    low, middle, high = np.nanpercentile(draws, [tail, 50, 100 - tail], axis=0)
    score = statistic(np.ones(len(cluster)))
    ends = score + low - middle, score + high - middle
    return ends if np.ndim(score) else (float(ends[0]), float(ends[1]))


def _pair(y, other) -> tuple[np.ndarray, np.ndarray]:
    y, other = np.asarray(y, dtype=float), np.asarray(other, dtype=float)
    if y.ndim != 2 or y.shape != other.shape:
        raise ValueError(f"two matrices (n, n_labels) wanted, got {y.shape} and {other.shape}")
    return y, other
