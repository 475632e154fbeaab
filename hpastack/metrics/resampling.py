"""Intervals of scores, from resampled clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError
from hpastack.metrics.scores import _plain


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
