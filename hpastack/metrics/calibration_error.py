"""Calibration error, corrected for the bias due to sampling noise within bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from hpastack.errors import InputError
from hpastack.metrics.scores import _over_draws, _pair, _plain, _segment_sums

#: Number of bins of the calibration error, each with the same number of fields.
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
    """Unbiased estimate of the squared calibration error.

    Fields are binned by their probability into 15 bins of equal size. In a
    bin, the expected squared difference between the mean probability and the
    fraction of positives exceeds the squared difference for infinitely many
    fields by the sampling variance of the difference. This variance is
    subtracted [1]_ [2]_, so that the expectation does not depend on the sample
    size; see Notes. The result is averaged over the labels with at least
    `min_positives` positives. Bins and labels are chosen before weighting, so
    they are the same in every draw.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    weights : array-like of float, shape (n,) or (n_draws, n), optional
        The same for all fields of a cluster, as `cluster_draws` returns them.
    clusters : array-like, shape (n,), optional
        Cluster of each field. The errors of fields of the same cluster are
        correlated, so the variance to subtract is larger. If omitted, each
        field is its own cluster.
    folds : array-like, shape (n,), optional
        For out-of-fold probabilities, the fold of each field. Each bin then
        contains fields of a single fold, because the label of a field enters
        the probabilities of the other folds: a fold with more positives than
        the others gets lower probabilities, and errors of two folds cancel
        that the model applied to new fields does make.
    min_positives : int, default=1
        Labels with fewer positives are excluded.

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        Mean over bins and labels; NaN if no label has that many positives, or
        no bin contains two clusters. Negative where the differences are smaller
        than expected by chance, as happens for calibrated probabilities about
        half the time.

    Raises
    ------
    InputError
        If the shapes do not match.

    Notes
    -----
    Let ``r`` be the probability minus the label (0 or 1) of a field, ``R_c``
    its sum over the fields of cluster c in a bin, ``n_c`` their number and
    ``n_b`` the sum of the ``n_c``. The squared error of a bin is ::

        ((sum over c of R_c)^2 - sum over c of R_c^2) / (n_b^2 - sum over c of n_c^2)

    which is the mean product of the two r over all pairs of fields of the bin
    that are in different clusters; bins are weighted by their number of fields.
    If each field is its own cluster, this is the squared difference minus the
    variance of r in the bin divided by n_b. A weight multiplies R_c: pairs
    within a cluster are never counted, not even if a cluster was sampled
    several times, so sampling with replacement does not add a bias either.

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
        raise InputError(f"folds has shape {np.shape(folds)}; it must be ({n},)")
    fold = np.zeros(n, dtype=int)
    if folds is not None:
        _, fold = np.unique(folds, return_inverse=True)
    chosen = np.flatnonzero(y.sum(axis=0) >= min_positives)
    by_label = [_binned_gaps(y[:, k], probabilities[:, k], copies, fold) for k in chosen]
    binned = [of_label for of_label in by_label if of_label is not None]
    own_squares = np.zeros((1, n))
    for _, of_label in binned:
        own_squares += of_label
    subtracted = sparse.csr_array(own_squares)

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
    """Expected calibration error: root mean square over bins and labels.

    The square root of `squared_calibration_error`, or 0 where that is negative.
    It estimates the error for infinitely many fields: the sampling noise of
    small bins is subtracted. For an interval, compute the interval of the
    squared error and take the root of its ends: draws clipped at 0 would make
    it too narrow.

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
    """Clusters of several fields: the cluster number of each field (-1 for the only field of a
    cluster), and the first field of each such cluster."""

    cluster: np.ndarray
    first: np.ndarray


def _no_copies(n: int) -> _Copies:
    return _Copies(np.full(n, -1), np.empty(0, dtype=int))


def _copies(clusters: ArrayLike, n: int) -> _Copies:
    if np.shape(clusters) != (n,):
        raise InputError(f"clusters has shape {np.shape(clusters)}; it must be ({n},)")
    _, first, cluster, sizes = np.unique(
        clusters, return_index=True, return_inverse=True, return_counts=True
    )
    several = sizes > 1
    number = np.where(several, np.cumsum(several) - 1, -1)
    return _Copies(number[cluster], first[several])


def _binned_gaps(
    y: np.ndarray, probability: np.ndarray, copies: _Copies, fold: np.ndarray
) -> tuple[sparse.csr_array, np.ndarray] | None:
    # A matrix with one row per bin, and a vector with one value per field: the sum of squares of
    # matrix times weights, minus the vector times squared weights, is the squared error times
    # the squared mean weight.
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
    # A bin with a single cluster has no pairs from which to estimate the error.
    usable = pairs > 0
    if not usable.any():
        return None
    share = np.where(usable, sizes, 0) / sizes[usable].sum()
    factor = np.divide(share, pairs, out=np.zeros(n_bins), where=usable)
    own_squares = np.zeros(n)
    own_squares[order] = np.where(shared, 0, gaps**2 * factor[bins])
    own_squares[copies.first] += factor @ sums**2
    return _segment_sums(order, bounds, n, gaps * np.sqrt(factor)[bins]), own_squares
