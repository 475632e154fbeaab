"""Intervals of scores from a cluster bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError
from hpastack.metrics.scores import _mean_of_known, _plain

# Prior degrees of freedom: the pooled variance of all labels has the weight of this many clusters
# of a label, minus one. On real fields, coverage was the same for values from 1 to 16.
_SHARED_FREEDOM = 4


def cluster_draws(clusters: ArrayLike, *, n_draws: int = 200, seed: int = 0) -> np.ndarray:
    """Sample whole clusters with replacement, as many as there are clusters.

    The draws are weights for any score of this module; use the same draws to
    compare several scores or systems.

    Parameters
    ----------
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=200
        Number of bootstrap samples.
    seed : int, default=0
        Seed of the random numbers.

    Returns
    -------
    ndarray of int32, shape (n_draws, n)
        Number of times that each field was sampled.

    Raises
    ------
    InputError
        If there is no field, or `n_draws` is below 1.

    Examples
    --------
    >>> cluster_draws(["a", "a", "b"], n_draws=3)
    array([[0, 0, 2],
           [1, 1, 1],
           [2, 2, 0]], dtype=int32)
    """
    clusters = np.asarray(clusters)
    draws = np.empty((max(0, n_draws), len(clusters)), dtype=np.int32)
    for row, draw in enumerate(_iter_draws(clusters, n_draws, seed)):
        draws[row] = draw
    return draws


def _iter_draws(clusters: np.ndarray, n_draws: int, seed: int) -> Iterator[np.ndarray]:
    if not len(clusters):
        raise InputError("clusters is empty; there are no fields to sample")
    if n_draws < 1:
        raise InputError(f"n_draws is {n_draws}; it must be at least 1")
    _, cluster = np.unique(clusters, return_inverse=True)
    n_clusters = cluster.max() + 1
    generator = np.random.default_rng(seed)
    for _ in range(n_draws):
        sampled = generator.integers(n_clusters, size=n_clusters)
        yield np.bincount(sampled, minlength=n_clusters)[cluster]


def score_interval(
    score: ArrayLike, draws: ArrayLike, *, coverage: float = 0.95
) -> tuple[Any, Any]:
    """Confidence interval of a score from its values in the draws of a bootstrap.

    Parameters
    ----------
    score : float, or array-like of float, shape (...)
        The score, or several scores, of the original sample.
    draws : array-like of float, shape (n_draws, ...)
        The same scores in each draw. NaNs are ignored.
    coverage : float, default=0.95
        Nominal coverage of the interval.

    Returns
    -------
    low, high : float, or ndarray of float, shape (...)
        The score plus the deviations of the percentiles of the draws from
        their median. Sampling with replacement increases some scores on
        average (a calibration error, for example); relative to the median, the
        interval is not shifted by this. NaN where all draws are NaN.

    Raises
    ------
    InputError
        If the shapes do not match or `coverage` is not between 0 and 1.

    Examples
    --------
    >>> from hpastack.metrics import macro_f1
    >>> y, labels = [[1], [1], [0], [0]], [[1], [0], [0], [1]]
    >>> draws = cluster_draws([0, 1, 2, 3])
    >>> low, high = score_interval(macro_f1(y, labels), macro_f1(y, labels, draws))
    >>> low < macro_f1(y, labels) < high
    True
    """
    score, draws = np.asarray(score, dtype=float), np.asarray(draws, dtype=float)
    if draws.ndim != score.ndim + 1 or draws.shape[1:] != score.shape:
        raise InputError(
            f"draws has shape {draws.shape} and score has shape {score.shape}; draws needs one "
            "more axis, in front"
        )
    if not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage}; it must be between 0 and 1")
    tail = 50 * (1 - coverage)
    flat = draws.reshape(len(draws), -1)
    known = ~np.isnan(flat).all(axis=0)
    percentiles = np.full((3, flat.shape[1]), np.nan)
    if known.any():
        percentiles[:, known] = np.nanpercentile(flat[:, known], [tail, 50, 100 - tail], axis=0)
    low, middle, high = percentiles.reshape(3, *score.shape)
    return _plain(score + low - middle), _plain(score + high - middle)


def macro_interval(
    scores: ArrayLike, draws: ArrayLike, holders: ArrayLike, *, coverage: float = 0.95
) -> tuple[float, float]:
    """Confidence interval of a mean over labels, some of which occur in few clusters.

    Resampling the three positives of a label does not show how its score would
    change with three other positives, and resampling a single positive shows no
    variation at all: intervals from such draws are too narrow. Here the
    variance of each label's score is moderated towards the pooled variance of
    all labels, and the interval is widened by the variance that the draws
    lack; see Notes.

    Parameters
    ----------
    scores : array-like of float, shape (n_labels,)
        Score of each label, or difference of the scores of two systems. NaN
        for a label without positives, which is excluded from the mean.
    draws : array-like of float, shape (n_draws, n_labels)
        The same in each draw; NaN where a draw has no positive of a label.
    holders : array-like of int, shape (n_labels,)
        Number of clusters in which each label occurs.
    coverage : float, default=0.95
        Nominal coverage of the interval.

    Returns
    -------
    low, high : float
        As `score_interval` of the means over labels, but wider. NaN if no label
        has a score.

    Raises
    ------
    InputError
        If the shapes do not match or `coverage` is not between 0 and 1.

    Notes
    -----
    Let ``v`` be the variance of the draws of a label that occurs in ``m``
    clusters. The variance due to a single cluster, without the bias of sampling
    with replacement, is ``s2 = v m^2 / (m - 1)``. It is moderated as in [1]_,
    ``t2 = (d S2 + (m - 1) s2) / (d + m - 1)``, where ``S2`` is the mean of s2
    over labels with weights ``min(m - 1, d)``, and ``d = 4``. The variance of
    the mean of K labels then exceeds the variance of its draws by the sum over
    labels of ``max(0, t2 / m - v) / K^2``. The interval is widened about the
    score by the square root of the ratio of the two variances.

    References
    ----------
    .. [1] G. K. Smyth, "Linear models and empirical Bayes methods for
       assessing differential expression in microarray experiments", Stat.
       Appl. Genet. Mol. Biol. 3(1), 2004. :doi:`10.2202/1544-6115.1027`

    Examples
    --------
    The second label has a single positive, so all its draws are equal.

    >>> draws = np.array([[0.6, 1.0], [0.5, 1.0], [0.4, 1.0], [0.5, 1.0]])
    >>> narrow = score_interval(0.75, draws.mean(axis=1))
    >>> wide = macro_interval([0.5, 1.0], draws, [10, 1])
    >>> wide[0] < narrow[0] < narrow[1] < wide[1]
    True
    """
    scores, draws = np.asarray(scores, dtype=float), np.asarray(draws, dtype=float)
    holders = np.asarray(holders, dtype=float)
    if scores.ndim != 1 or not draws.shape[1:] == scores.shape == holders.shape:
        raise InputError(
            f"scores has shape {scores.shape}, draws {draws.shape} and holders {holders.shape}; "
            "they must be (n_labels,), (n_draws, n_labels) and (n_labels,)"
        )
    known = ~np.isnan(scores)
    if not known.any():
        return float("nan"), float("nan")
    score, of_draws = float(scores[known].mean()), _mean_of_known(draws[:, known])
    low, high = score_interval(score, of_draws, coverage=coverage)
    variance = np.nanvar(of_draws)
    if not variance > 0:
        return low, high
    lacking = _lacking_variance(draws[:, known], holders[known]) / known.sum() ** 2
    wider = np.sqrt(1 + lacking / variance)
    return float(score + wider * (low - score)), float(score + wider * (high - score))


def _lacking_variance(draws: np.ndarray, holders: np.ndarray) -> float:
    """Return the sum over labels of the variance that their draws lack."""
    known = ~np.isnan(draws)
    count = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, draws, 0).sum(axis=0) / count
    variance = (np.where(known, draws - middle, 0) ** 2).sum(axis=0) / count
    freedom = np.maximum(holders - 1, 0)
    several = freedom > 0
    if not several.any():
        return 0.0
    of_cluster = np.where(several, variance * holders**2 / np.maximum(freedom, 1), 0)
    shared = np.average(of_cluster[several], weights=np.minimum(freedom[several], _SHARED_FREEDOM))
    moderated = (_SHARED_FREEDOM * shared + freedom * of_cluster) / (_SHARED_FREEDOM + freedom)
    return float(np.maximum(moderated / np.maximum(holders, 1) - variance, 0).sum())


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], Any],
    clusters: ArrayLike,
    *,
    n_draws: int = 200,
    seed: int = 0,
    coverage: float = 0.95,
    all_at_once: bool = False,
) -> tuple[Any, Any]:
    """Confidence interval of a score by bootstrap over clusters.

    Fields of a cluster are nearly identical, so resampling single fields would
    make the interval too narrow. To compare two systems, let `statistic`
    return the difference of their scores: both are then scored on the same
    draws, and variation between draws that affects both cancels.

    Parameters
    ----------
    statistic : callable
        Called with row weights, shape (n,); returns the score, or an array of
        scores.
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=200
        Number of bootstrap samples.
    seed : int, default=0
        Seed of the random numbers.
    coverage : float, default=0.95
        Nominal coverage of the interval.
    all_at_once : bool, default=False
        Whether `statistic` also accepts weights of shape (n_draws, n), for
        which it returns the scores with an axis of draws in front, as the
        scores of this module do. It is then called twice, instead of once per
        draw.

    Returns
    -------
    low, high : float, or ndarray of the scores' shape
        As `score_interval`.

    Raises
    ------
    InputError
        As `cluster_draws` and `score_interval`.

    Examples
    --------
    >>> from hpastack.metrics import macro_f1
    >>> y, ours, theirs = np.eye(4), np.eye(4), np.eye(4)[::-1]
    >>> def gain(weights):
    ...     return macro_f1(y, ours, weights) - macro_f1(y, theirs, weights)
    >>> low, high = cluster_bootstrap(gain, range(4), all_at_once=True)
    >>> 0 < low < gain(None) < high
    True
    """
    clusters = np.asarray(clusters)
    if all_at_once:
        draws = statistic(cluster_draws(clusters, n_draws=n_draws, seed=seed))
    else:
        draws = [statistic(draw) for draw in _iter_draws(clusters, n_draws, seed)]
    return score_interval(statistic(np.ones(len(clusters))), draws, coverage=coverage)
