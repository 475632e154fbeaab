"""Thresholds that turn probabilities into labels, chosen for macro F1.

Thresholds that are optimal for each label overfit rare labels. They are
therefore shrunk towards one global threshold, more strongly with fewer
positives, and no threshold may predict a label far more often than it is
annotated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hpastack.calibration.threshold_search import (
    MAX_PREVALENCE_RATIO,
    SHRINKAGE,
    ThresholdSearch,
    _logit,
)
from hpastack.errors import InputError, counted
from hpastack.metrics import cluster_draws


def best_thresholds(
    y: ArrayLike,
    probabilities: ArrayLike,
    *,
    policy: str = "shrunk",
    shrinkage: float = SHRINKAGE,
    max_ratio: float = MAX_PREVALENCE_RATIO,
    weights: ArrayLike | None = None,
) -> np.ndarray:
    """Choose one threshold per label for the best macro F1.

    The search is exact: every midpoint between two distinct probabilities is
    a candidate. A label is predicted if its probability is at or above the
    threshold.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    policy : str, default="shrunk"
        - ``"global"``: one threshold for all labels, with the best macro F1.
        - ``"per-label"``: each label's own threshold, with its best F1.
        - ``"shrunk"``: the mean of the two on the logit scale with weight
          ``positives / (positives + shrinkage)`` on the label's own.
        - ``"combined"``: the same, but with the mean of the global and the
          ``"plug-in"`` threshold (on the logit scale) in place of the global
          one. Best for calibrated probabilities, such as those of a stack.
        - ``"prevalence"``: the label is predicted as often as it is annotated,
          or the nearest number that ties allow (of two, the smaller).
        - ``"plug-in"``: half the maximum of the F1 expected from the
          probabilities. It is the optimal threshold if they are calibrated
          [1]_, and uses no labels.
    shrinkage : float, default=300
        Number of positives at which ``"shrunk"`` and ``"combined"`` weight both
        thresholds equally.
    max_ratio : float, default=3
        For every policy, the threshold of a label is raised until the label is
        predicted for at most `max_ratio` times as many fields as are annotated
        with it. Labels without positives are not bounded.
    weights : array-like of float, shape (n,), optional
        Non-negative weight of each field; default: 1. A field of weight 0
        counts as absent, one of weight 2 as two.

    Returns
    -------
    ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        If the policy is unknown, shapes differ, there are no fields, a
        probability is not in [0, 1] or weights are negative or all 0.

    Notes
    -----
    A label without positives gets the global threshold with "global", "shrunk"
    and "combined", and its plug-in threshold with "plug-in". With "per-label" and
    "prevalence" it is never predicted: its threshold is just above its highest
    probability. The same applies to the global threshold if no label has a
    positive. As no threshold is above 1, a label of probability 1 is always
    predicted.

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan and B. Narayanaswamy, "Optimal thresholding
       of classifiers to maximize F1 measure", ECML PKDD 2014, 225-239.
       :doi:`10.1007/978-3-662-44851-9_15`

    Examples
    --------
    >>> best_thresholds([[1], [1], [0]], [[0.9], [0.6], [0.2]], policy="per-label")
    array([0.4])
    """
    search = ThresholdSearch(y, probabilities, policy, shrinkage, max_ratio)
    if weights is None:
        return search.thresholds()
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (search.n,):
        raise InputError(f"weights must have shape ({search.n},), not {weights.shape}")
    if not (weights.min() >= 0 and weights.any()):
        raise InputError("weights must be at least 0, and not all 0")
    return search.thresholds(weights)


def threshold_intervals(
    y: ArrayLike,
    probabilities: ArrayLike,
    clusters: ArrayLike,
    *,
    policy: str = "shrunk",
    shrinkage: float = SHRINKAGE,
    max_ratio: float = MAX_PREVALENCE_RATIO,
    n_draws: int = 100,
    seed: int = 0,
    coverage: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Return bootstrap intervals of the thresholds, by resampling clusters.

    Whole clusters are sampled with replacement, thresholds are chosen in each
    bootstrap sample, and their percentiles taken. A wide interval means that
    another sample would have led to another threshold: increase the shrinkage, or
    interpret the F1 of that label with caution.

    Parameters
    ----------
    y, probabilities, policy, shrinkage, max_ratio
        As in `best_thresholds`.
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=100
        Number of bootstrap samples.
    seed : int, default=0
    coverage : float, default=0.95

    Returns
    -------
    low, high : ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        As for `best_thresholds`, or if there is not one cluster per field,
        `n_draws` is below 1 or `coverage` is not between 0 and 1.

    Examples
    --------
    >>> y, probabilities = [[1], [1], [0], [0]], [[0.9], [0.7], [0.4], [0.2]]
    >>> low, high = threshold_intervals(y, probabilities, [0, 1, 2, 3], policy="per-label")
    >>> bool(low[0] < best_thresholds(y, probabilities, policy="per-label")[0] < high[0])
    True
    """
    search = ThresholdSearch(y, probabilities, policy, shrinkage, max_ratio)
    clusters = np.asarray(clusters)
    if len(clusters) != search.n:
        raise InputError(
            f"clusters must have one value per field: {counted(len(clusters), 'value')} for "
            f"{counted(search.n, 'field')}"
        )
    if not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage}; it must be between 0 and 1")
    draws = cluster_draws(clusters, n_draws=n_draws, seed=seed)
    chosen = [search.thresholds(draw.astype(float)) for draw in draws]
    tail = 50 * (1 - coverage)
    low, high = np.percentile(chosen, [tail, 100 - tail], axis=0)
    return low, high


def apply_thresholds(
    probabilities: ArrayLike, thresholds: ArrayLike, *, min_labels: int = 0
) -> np.ndarray:
    """Return the labels with probabilities at or above their thresholds.

    Parameters
    ----------
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    thresholds : array-like of float, shape (n_labels,) or (n, n_labels)
        The same for all fields, or separate for each.
    min_labels : int, default=0
        For a field with fewer labels, those closest to their thresholds are
        added. Closeness is the difference of the log-odds of probability and
        threshold; ties are broken by the order of the labels.

    Returns
    -------
    ndarray of uint8, shape (n, n_labels)

    Raises
    ------
    InputError
        If the shapes do not match or `min_labels` is not between 0 and the
        number of labels.

    Examples
    --------
    >>> apply_thresholds([[0.9, 0.3], [0.2, 0.1]], [0.5, 0.2], min_labels=1)
    array([[1, 1],
           [0, 1]], dtype=uint8)
    """
    probabilities = np.asarray(probabilities, dtype=float)
    thresholds = np.asarray(thresholds, dtype=float)
    if probabilities.ndim != 2 or thresholds.shape not in (
        probabilities.shape[1:],
        probabilities.shape,
    ):
        raise InputError(
            f"probabilities {probabilities.shape} and thresholds {thresholds.shape} do not match"
        )
    n_labels = probabilities.shape[1]
    if not 0 <= min_labels <= n_labels:
        raise InputError(f"min_labels is {min_labels}; there are {counted(n_labels, 'label')}")
    predicted = (probabilities >= thresholds).astype(np.uint8)
    few = np.flatnonzero(predicted.sum(axis=1) < min_labels)
    if len(few):
        # Predicted labels rank first, irrespective of rounding errors in the distance.
        own = np.broadcast_to(thresholds, probabilities.shape)[few]
        distance = _logit(own, edge=1e-15) - _logit(probabilities[few], edge=1e-15)
        distance[predicted[few] == 1] = -np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :min_labels]
        predicted[few[:, np.newaxis], nearest] = 1
    return predicted
