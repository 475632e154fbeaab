"""Intervals of scores, from resampled clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError
from hpastack.metrics.scores import _mean_of_known, _plain

# The variance that labels share counts as much as this many clusters of a label, less one. On real
# fields, 1 to 16 covered alike.
_SHARED_FREEDOM = 4


def cluster_draws(clusters: ArrayLike, *, n_draws: int = 200, seed: int = 0) -> np.ndarray:
    """Draw whole clusters with replacement, as often as there are clusters.

    The draws are weights for any score of this module; draw them once to
    compare scores, or systems, on the same draws.

    Parameters
    ----------
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=200
    seed : int, default=0

    Returns
    -------
    ndarray of int32, shape (n_draws, n)
        How many times each field was drawn.

    Raises
    ------
    InputError
        If there is no field, or no draw is asked for.

    Examples
    --------
    >>> cluster_draws(["a", "a", "b"], n_draws=3)
    array([[0, 0, 2],
           [1, 1, 1],
           [2, 2, 0]], dtype=int32)
    """
    clusters = np.asarray(clusters)
    draws = np.empty((max(0, n_draws), len(clusters)), dtype=np.int32)
    for row, draw in enumerate(_drawn(clusters, n_draws, seed)):
        draws[row] = draw
    return draws


def _drawn(clusters: np.ndarray, n_draws: int, seed: int) -> Iterator[np.ndarray]:
    if not len(clusters):
        raise InputError("no fields to draw from")
    if n_draws < 1:
        raise InputError(f"{n_draws} draws asked for; at least one is needed")
    _, cluster = np.unique(clusters, return_inverse=True)
    n_clusters = cluster.max() + 1
    generator = np.random.default_rng(seed)
    for _ in range(n_draws):
        drawn = generator.integers(n_clusters, size=n_clusters)
        yield np.bincount(drawn, minlength=n_clusters)[cluster]


def score_interval(
    score: ArrayLike, draws: ArrayLike, *, coverage: float = 0.95
) -> tuple[Any, Any]:
    """Return the interval of a score from its values in the draws of a bootstrap.

    Parameters
    ----------
    score : float, or array-like of float, shape (...)
        The score, or several, of all fields once.
    draws : array-like of float, shape (n_draws, ...)
        The same in each draw. Draws that are NaN are left out.
    coverage : float, default=0.95

    Returns
    -------
    low, high : float, or ndarray of float, shape (...)
        The score plus the percentiles of the draws about their median. Drawing
        with replacement makes some scores larger on average (a calibration
        error for one); taken about the median, the interval is not shifted
        with them. NaN where all draws are.

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
        raise InputError(f"draws {draws.shape} of a score {score.shape} do not match")
    if not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage}; it lies between 0 and 1")
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
    """Return the interval of a mean over labels, some of which are in few clusters.

    Drawing from the three positives of a label cannot show how its score would
    change with three others, and from a single one it shows nothing: intervals
    from such draws are too narrow. Here the variance of a rare label's score
    is judged together with those of the others, and the interval widened by
    what its draws lack; see Notes.

    Parameters
    ----------
    scores : array-like of float, shape (n_labels,)
        Score of each label, or difference of two systems' scores. NaN for a
        label without positives, which is left out of the mean.
    draws : array-like of float, shape (n_draws, n_labels)
        The same in each draw; NaN where a draw holds no positive of a label.
    holders : array-like of int, shape (n_labels,)
        In how many clusters each label occurs.
    coverage : float, default=0.95

    Returns
    -------
    low, high : float
        As `score_interval` of the means over labels, only wider. NaN where no
        label has a score.

    Raises
    ------
    InputError
        If the shapes do not match or `coverage` is not between 0 and 1.

    Notes
    -----
    Let ``v`` be the variance of the draws of a label that ``m`` clusters hold.
    The variance due to a single cluster, without the bias of drawing with
    replacement, is ``s2 = v m^2 / (m - 1)``. It is moderated as in [1]_,
    ``t2 = (d S2 + (m - 1) s2) / (d + m - 1)``, where ``S2`` is the mean of s2
    over labels with weights ``min(m - 1, d)``, and ``d = 4``. The variance of
    the mean of K labels is then larger than that of its draws by the sum over
    labels of ``max(0, t2 / m - v) / K^2``. The interval is widened about the
    score by the root of the ratio of the two.

    References
    ----------
    .. [1] G. K. Smyth, "Linear models and empirical Bayes methods for
       assessing differential expression in microarray experiments", Stat.
       Appl. Genet. Mol. Biol. 3(1), 2004. :doi:`10.2202/1544-6115.1027`

    Examples
    --------
    Of the second label there is one positive, so that its draws never differ.

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
            f"scores {scores.shape}, draws {draws.shape} and holders {holders.shape} do not match"
        )
    known = ~np.isnan(scores)
    if not known.any():
        return float("nan"), float("nan")
    score, of_draws = float(scores[known].mean()), _mean_of_known(draws[:, known])
    low, high = score_interval(score, of_draws, coverage=coverage)
    of_whole = np.nanvar(of_draws)
    if not of_whole > 0:
        return low, high
    lacking = _lacking_variance(draws[:, known], holders[known]) / known.sum() ** 2
    wider = np.sqrt(1 + lacking / of_whole)
    return float(score + wider * (low - score)), float(score + wider * (high - score))


def _lacking_variance(draws: np.ndarray, holders: np.ndarray) -> float:
    """Return by how much the variances of the labels are larger, in sum, than their draws'."""
    drawn = ~np.isnan(draws)
    count = np.maximum(drawn.sum(axis=0), 1)
    middle = np.where(drawn, draws, 0).sum(axis=0) / count
    variance = (np.where(drawn, draws - middle, 0) ** 2).sum(axis=0) / count
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
    """Return an interval of a score by drawing whole clusters with replacement.

    Fields of one cluster are near-copies, so drawing fields would make the
    interval too narrow. To compare two systems, let `statistic` return the
    difference of their scores: both are then scored on the same draws, and
    what makes a draw hard for both cancels.

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
    all_at_once : bool, default=False
        Whether `statistic` also takes weights of shape (n_draws, n), for which
        it returns the scores with an axis of draws in front, as the scores of
        this module do. It is then called twice, instead of once a draw.

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
        draws = [statistic(draw) for draw in _drawn(clusters, n_draws, seed)]
    return score_interval(statistic(np.ones(len(clusters))), draws, coverage=coverage)
