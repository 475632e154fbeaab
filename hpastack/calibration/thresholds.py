"""Thresholds: from probabilities to labels, chosen for macro F1.

Per-label thresholds that are best in hindsight overfit rare labels, so they
are drawn towards one global threshold by the number of positives, and no
threshold may label far more fields than carry the label.
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
    """Choose a threshold a label for the best macro F1.

    The search is exact: every midpoint between two distinct probabilities is
    a candidate. A field gets a label when its probability is at or above the
    threshold.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    policy : str, default="shrunk"
        - ``"global"``: one threshold for all labels, of the best macro F1.
        - ``"per-label"``: each label's own, of its best F1.
        - ``"shrunk"``: the mean of the two on the logit scale with weight
          ``positives / (positives + shrinkage)`` on the label's own.
        - ``"combined"``: the same, but with the middle of the common and the
          ``"plug-in"`` threshold in place of the common one. Best where the
          probabilities are calibrated, as those of a stack are.
        - ``"prevalence"``: as many fields get a label as carry it, or the
          nearest number that ties leave reachable (of two, the smaller).
        - ``"plug-in"``: half the best F1 that the probabilities themselves
          lead one to expect. It is the best threshold if they are calibrated
          [1]_, and looks at no labels.
    shrinkage : float, default=300
    max_ratio : float, default=3
        Whatever the policy, the threshold of a label is raised until at most
        `max_ratio` times as many fields get the label as carry it. Labels
        without positives have no such bound.
    weights : array-like of float, shape (n,), optional
        Non-negative weight of each field; 1 if left out. A field of weight 0
        counts as absent, one of weight 2 as two.

    Returns
    -------
    ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        If the policy is unknown, shapes differ, there is no field, a
        probability is not in [0, 1] or weights are negative or all 0.

    Notes
    -----
    A label without positives keeps the common threshold where there is one
    ("global", "shrunk", "combined") and what its probabilities say with "plug-in". With
    "per-label" and "prevalence" nothing gets it: its threshold lies just above
    its highest probability. The same holds for the common threshold if no
    label has a positive. As no threshold is above 1, a label of probability 1
    is always given.

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
        raise InputError(f"weights of shape ({search.n},) wanted, got {weights.shape}")
    if not (weights.min() >= 0 and weights.any()):
        raise InputError("weights are at least 0, and some are above it")
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
    """Return how far the chosen thresholds depend on the fields they were chosen on.

    Whole clusters are drawn with replacement, thresholds are chosen anew in
    each draw, and their percentiles taken. A wide interval says that another
    sample would have given another threshold: shrink more, or read little into
    the F1 of that label.

    Parameters
    ----------
    y, probabilities, policy, shrinkage, max_ratio
        As `best_thresholds`.
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=100
    seed : int, default=0
    coverage : float, default=0.95

    Returns
    -------
    low, high : ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        As `best_thresholds`, or if there is not one cluster a field, `n_draws`
        is below 1 or `coverage` not between 0 and 1.

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
        raise InputError(f"{counted(len(clusters), 'cluster')} given for {search.n} fields")
    if not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage}; it lies between 0 and 1")
    draws = cluster_draws(clusters, n_draws=n_draws, seed=seed)
    chosen = [search.thresholds(draw.astype(float)) for draw in draws]
    tail = 50 * (1 - coverage)
    low, high = np.percentile(chosen, [tail, 100 - tail], axis=0)
    return low, high


def apply_thresholds(
    probabilities: ArrayLike, thresholds: ArrayLike, *, min_labels: int = 0
) -> np.ndarray:
    """Give labels to fields.

    Parameters
    ----------
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    thresholds : array-like of float, shape (n_labels,) or (n, n_labels)
        Of all fields, or of each.
    min_labels : int, default=0
        A field with fewer labels at or above their thresholds also gets those
        that come nearest to theirs, until it has so many. How near is the
        difference of the log-odds of probability and threshold; of equally
        near labels the first is given.

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
    given = (probabilities >= thresholds).astype(np.uint8)
    few = np.flatnonzero(given.sum(axis=1) < min_labels)
    if len(few):
        # Labels that the field has come first, whatever rounding does to the difference.
        own = np.broadcast_to(thresholds, probabilities.shape)[few]
        distance = _logit(own, edge=1e-15) - _logit(probabilities[few], edge=1e-15)
        distance[given[few] == 1] = -np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :min_labels]
        given[few[:, np.newaxis], nearest] = 1
    return given
