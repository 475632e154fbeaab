"""Precision-recall curves and reliability diagrams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError

# 97.5 % point of the normal distribution.
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class ReliabilityBins:
    """Reliability diagram: fields in bins of equal width by probability, without empty bins.

    Parameters
    ----------
    predicted : ndarray of float, shape (n_bins,)
        Mean probability.
    observed : ndarray of float, shape (n_bins,)
        Fraction of positives.
    low, high : ndarray of float, shape (n_bins,)
        Wilson's 95 % interval of the fraction of positives
        (:doi:`10.1080/01621459.1927.10502953`).
    count : ndarray of int, shape (n_bins,)
        Number of fields in the bin.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def reliability_bins(
    y: ArrayLike, probabilities: ArrayLike, *, n_bins: int = 10
) -> ReliabilityBins:
    """Compare the predicted probabilities of a label with its observed frequencies.

    Bins have equal width. For a rare label, nearly all bins of equal counts would
    be close to 0 and hide errors at the probabilities where it is predicted.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n,)
    probabilities : array-like of float in [0, 1], shape (n,)
    n_bins : int, default=10
        Number of bins.

    Returns
    -------
    ReliabilityBins
        In order of probability.

    Raises
    ------
    InputError
        If the shapes do not match, or `n_bins` is below 1.

    Examples
    --------
    >>> bins = reliability_bins([0, 1, 0, 1], [0.05, 0.85, 0.05, 0.95], n_bins=10)
    >>> bins.predicted.round(2).tolist(), bins.observed.tolist(), bins.count.tolist()
    ([0.05, 0.85, 0.95], [0.0, 1.0, 1.0], [2, 1, 1])
    """
    y, probabilities = _pair(y, probabilities)
    if n_bins < 1:
        raise InputError(f"n_bins is {n_bins}; it must be at least 1")
    of_field = np.clip((probabilities * n_bins).astype(int), 0, n_bins - 1)
    count = np.bincount(of_field, minlength=n_bins)
    filled = count > 0
    count = count[filled]
    predicted = np.bincount(of_field, probabilities, minlength=n_bins)[filled] / count
    positives = np.bincount(of_field, y, minlength=n_bins)[filled]
    low, high = wilson_interval(positives, count)
    return ReliabilityBins(predicted, positives / count, low, high, count)


def wilson_interval(positives: ArrayLike, count: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % interval of a proportion.

    Parameters
    ----------
    positives, count : array-like of int, shape (n,)
        The proportion is ``positives / count``; `count` must be at least 1.

    Returns
    -------
    low, high : ndarray of float, shape (n,)

    Examples
    --------
    >>> low, high = wilson_interval([5], [10])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237], [0.763])
    """
    count = np.asarray(count, dtype=float)
    share = np.asarray(positives, dtype=float) / count
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z * np.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2) / (1 + _Z**2 / count)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def precision_recall(y: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the precision-recall curve of a label.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n,)
        With at least one positive.
    scores : array-like of float, shape (n,)

    Returns
    -------
    recall, precision : ndarray of float
        One point for each distinct score, the highest score first.

    Raises
    ------
    InputError
        If the shapes do not match, or `y` has no positive.

    Examples
    --------
    >>> recall, precision = precision_recall(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.5]))
    >>> recall.tolist(), precision.round(2).tolist()
    ([0.5, 1.0], [1.0, 0.67])
    """
    y, scores = _pair(y, scores)
    if not y.any():
        raise InputError("y has no positives; precision and recall need at least one")
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(y[order])[last_of_tie]
    return hits / hits[-1], hits / (last_of_tie + 1)


def thinned_curve(
    x: np.ndarray, y: np.ndarray, *, max_points: int = 120
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a curve to the points needed to draw it.

    Parameters
    ----------
    x, y : ndarray of float, shape (n,)
        `x` in ascending order.
    max_points : int, default=120
        The curve is divided into half as many pieces of equal width. A curve
        with no more points than this is returned unchanged.

    Returns
    -------
    x, y : ndarray of float
        The first and the last point, and the lowest and highest point of each
        piece.

    Examples
    --------
    >>> x = np.linspace(0, 1, 1001)
    >>> thin, _ = thinned_curve(x, x**2, max_points=20)
    >>> len(thin), thin[[0, -1]].tolist()
    (20, [0.0, 1.0])
    """
    if len(x) <= max_points:
        return x, y
    n_pieces = max_points // 2
    span = x[-1] - x[0]
    piece = np.clip(((x - x[0]) / (span or 1) * n_pieces).astype(int), 0, n_pieces - 1)
    order = np.lexsort((y, piece))
    starts = np.flatnonzero(np.diff(piece[order], prepend=-1))
    ends = np.append(starts[1:], len(order)) - 1
    kept = np.unique(np.concatenate([order[starts], order[ends], [0, len(x) - 1]]))
    return x[kept], y[kept]


def _pair(y: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = np.asarray(y), np.asarray(values, dtype=float)
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise InputError(
            f"y has shape {truth.shape} and the probabilities or scores have shape "
            f"{scores.shape}; both must be (n,)"
        )
    return truth, scores
