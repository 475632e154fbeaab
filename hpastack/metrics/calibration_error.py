"""Calibration error without the bias that the noise within bins adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from hpastack.errors import InputError
from hpastack.metrics.scores import _over_draws, _pair, _plain, _segment_sums

#: Bins of the calibration error, each holding the same number of fields.
N_BINS = 15


@overload
def squared_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    weights: None = None,
    *,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 1,
) -> float: ...
@overload
def squared_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None,
    *,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 1,
) -> float | np.ndarray: ...
def squared_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 1,
) -> float | np.ndarray:
    """Return an unbiased estimate of the squared distance of probabilities from frequencies.

    Fields are cut into 15 bins of equal size by their probability. The squared
    gap of mean probability and share of positives in a bin is larger than that
    of endless fields would be, by the sampling variance of the gap. This is
    subtracted [1]_ [2]_, so that the mean over samples does not depend on their
    size; see Notes. The mean is over the labels that have at least
    `min_positives` positives. Bins and labels are chosen before weighting, so
    they are the same in every draw.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    weights : array-like of float, shape (n,) or (n_draws, n), optional
        The same for all fields of a cluster, as `cluster_draws` returns them.
    clusters : array-like, shape (n,), optional
        Cluster of each field. Fields of one cluster are wrong together, so the
        variance to subtract is larger. If omitted, each field is its own.
    folds : array-like, shape (n,), optional
        For out-of-fold probabilities, the fold of each field. Bins are then of
        one fold each, as a field's label is in the probabilities of the
        other folds: a fold with more positives than the others gets lower
        probabilities, and errors of two folds cancel that the model which is
        applied to new fields does make.
    min_positives : int, default=1

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        Mean over bins and labels; NaN if no label has that many positives, or no
        bin holds two clusters. Below 0 where the gaps are smaller than chance
        makes them, as happens to calibrated probabilities about half the time.

    Raises
    ------
    InputError
        If the shapes do not match.

    Notes
    -----
    Let ``r`` be probability less truth of a field, ``R_c`` the sum of it over
    the fields of cluster c in a bin, ``n_c`` their number and ``n_b`` the sum
    of these. The squared error of a bin is ::

        ((sum over c of R_c)^2 - sum over c of R_c^2) / (n_b^2 - sum over c of n_c^2)

    the mean product of two r over all pairs of fields of the bin that are of
    different clusters; bins count by their fields. With clusters of one field
    it is the squared gap less the variance of r in the bin over n_b. A weight
    multiplies R_c: pairs within a cluster never count, also not those of a
    cluster that was drawn twice, which is why drawing with replacement adds no
    bias either.

    References
    ----------
    .. [1] A. Kumar, P. Liang and T. Ma, "Verified uncertainty calibration",
       NeurIPS 2019, arXiv:1909.10155.
    .. [2] C. A. T. Ferro and T. E. Fricker, "A bias-corrected decomposition of
       the Brier score", Q. J. R. Meteorol. Soc. 138, 1954-1960, 2012.
       :doi:`10.1002/qj.1924`

    Examples
    --------
    >>> y = np.tile([[0], [1]], (7500, 1))
    >>> round(squared_calibration_error(y, np.full((15000, 1), 0.7)), 2)
    0.04
    >>> squared_calibration_error(y, np.full((15000, 1), 0.5)) < 0
    True
    """
    y, probabilities = _pair(y, probabilities)
    n = len(y)
    copies = _no_copies(n) if clusters is None else _copies(clusters, n)
    if folds is not None and np.shape(folds) != (n,):
        raise InputError(f"folds of shape ({n},) wanted, got {np.shape(folds)}")
    fold = np.zeros(n, dtype=int)
    if folds is not None:
        _, fold = np.unique(folds, return_inverse=True)
    chosen = np.flatnonzero(y.sum(axis=0) >= min_positives)
    found = [_binned_gaps(y[:, k], probabilities[:, k], copies, fold) for k in chosen]
    binned = [of_label for of_label in found if of_label is not None]
    own = np.zeros((1, n))
    for _, of_label in binned:
        own += of_label
    subtracted = sparse.csr_array(own)

    def of_block(block: np.ndarray) -> np.ndarray:
        if not binned:
            return np.full((1, block.shape[1]), np.nan)
        squares = sum(((gap @ block) ** 2).sum(axis=0) for gap, _ in binned)
        scale = (n / block.sum(axis=0)) ** 2 / len(binned)
        return (squares - subtracted @ (block * block)) * scale

    return _plain(_over_draws(of_block, weights, n)[..., 0])


@overload
def expected_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    weights: None = None,
    *,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 1,
) -> float: ...
@overload
def expected_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None,
    *,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 1,
) -> float | np.ndarray: ...
def expected_calibration_error(
    y: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    clusters: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    min_positives: int = 1,
) -> float | np.ndarray:
    """Return how far probabilities are from frequencies: a root mean square over bins and labels.

    The root of `squared_calibration_error`, and 0 where that is below 0. It is
    the error that endless fields would show: the noise of small bins is
    subtracted. For an interval, take that of the squared error and its root:
    draws that are cut off at 0 would make it too narrow.

    Parameters
    ----------
    y, probabilities, weights, clusters, folds, min_positives
        As `squared_calibration_error`.

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        In [0, 1]; NaN as `squared_calibration_error`.

    Raises
    ------
    InputError
        If the shapes do not match.

    Examples
    --------
    >>> y = np.tile([[0], [1]], (7500, 1))
    >>> round(expected_calibration_error(y, np.full((15000, 1), 0.7)), 2)
    0.2
    >>> expected_calibration_error(y, np.full((15000, 1), 0.5))
    0.0
    """
    squared = squared_calibration_error(
        y, probabilities, weights, clusters=clusters, folds=folds, min_positives=min_positives
    )
    return _plain(np.sqrt(np.maximum(squared, 0)))


@dataclass(frozen=True)
class _Copies:
    """Fields that share a cluster: number of the cluster, -1 for a field of its own, and a field
    of each cluster."""

    cluster: np.ndarray
    first: np.ndarray


def _no_copies(n: int) -> _Copies:
    return _Copies(np.full(n, -1), np.empty(0, dtype=int))


def _copies(clusters: ArrayLike, n: int) -> _Copies:
    if np.shape(clusters) != (n,):
        raise InputError(f"clusters of shape ({n},) wanted, got {np.shape(clusters)}")
    _, first, cluster, sizes = np.unique(
        clusters, return_index=True, return_inverse=True, return_counts=True
    )
    several = sizes > 1
    number = np.where(several, np.cumsum(several) - 1, -1)
    return _Copies(number[cluster], first[several])


def _binned_gaps(
    y: np.ndarray, probability: np.ndarray, copies: _Copies, fold: np.ndarray
) -> tuple[sparse.csr_array, np.ndarray] | None:
    # A row for each bin, and a value for each field: the squares of the first times weights, less
    # the second times squared weights, add up to the squared error times that of the mean weight.
    n, n_clusters = len(y), len(copies.first)
    order = np.lexsort((probability, fold))
    of_folds = np.bincount(fold)
    rank = np.arange(n) - np.repeat(np.cumsum(of_folds) - of_folds, of_folds)
    in_fold = np.repeat(of_folds, of_folds)
    bins = fold[order] * N_BINS + rank * np.clip(in_fold // 2, 1, N_BINS) // in_fold
    n_bins = len(of_folds) * N_BINS
    bounds = np.searchsorted(bins, np.arange(n_bins + 1))
    gaps, cluster, sizes = (probability - y)[order], copies.cluster[order], np.diff(bounds)
    shared = cluster >= 0
    cell = bins[shared] * n_clusters + cluster[shared]
    n_cells = n_bins * n_clusters
    counts = np.bincount(cell, minlength=n_cells).reshape(n_bins, n_clusters)
    sums = np.bincount(cell, gaps[shared], n_cells).reshape(n_bins, n_clusters)
    alone = np.bincount(bins[~shared], minlength=n_bins)
    pairs = sizes.astype(float) ** 2 - alone - (counts**2).sum(axis=1)
    # A bin of one cluster says nothing of chance.
    usable = pairs > 0
    if not usable.any():
        return None
    share = np.where(usable, sizes, 0) / sizes[usable].sum()
    factor = np.divide(share, pairs, out=np.zeros(n_bins), where=usable)
    own = np.zeros(n)
    own[order] = np.where(shared, 0, gaps**2 * factor[bins])
    own[copies.first] += factor @ sums**2
    return _segment_sums(order, bounds, n, gaps * np.sqrt(factor)[bins]), own
