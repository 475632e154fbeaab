"""Scores of multi-label predictions.

All scores take indicator matrices and probabilities of shape ``(n, n_labels)``
and optional non-negative row weights of shape ``(n,)``, or ``(n_draws, n)``
for many draws of a bootstrap at once. With the latter, the first axis of the
result is that of draws, and each label is sorted once instead of once per draw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from hpastack.errors import InputError

#: Probabilities are clipped this far from 0 and 1 in the log loss.
LOG_LOSS_EDGE = 1e-7

# Draws are scored in blocks whose weights take at most this many bytes as float64.
_BLOCK_BYTES = 1 << 24


def f1_scores(
    y: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    absent: Literal["zero", "skip"] = "zero",
) -> np.ndarray:
    """Return the F1 score of every label.

    Parameters
    ----------
    y, labels : array-like of {0, 1}, shape (n, n_labels)
        Annotated and predicted labels.
    weights : array-like of float, shape (n,) or (n_draws, n), optional
        Weight of each field. Default: 1.
    absent : {"zero", "skip"}, default="zero"
        Score of a label without positives (with a weight above 0): 0, even if
        it is not predicted either, or NaN ("skip"), as in `average_precisions`.

    Returns
    -------
    ndarray of float, shape (n_labels,) or (n_draws, n_labels)

    Raises
    ------
    InputError
        If the shapes do not match or `absent` is unknown.

    Examples
    --------
    >>> f1_scores([[1, 0], [1, 0], [0, 0]], [[1, 0], [0, 0], [1, 0]]).tolist()
    [0.5, 0.0]
    >>> f1_scores([[1, 0], [1, 0]], [[1, 0], [1, 1]], absent="skip").tolist()
    [1.0, nan]
    """
    if absent not in ("zero", "skip"):
        raise InputError(f"absent is {absent!r}; it must be 'zero' or 'skip'")
    y, labels = _pair(y, labels)
    both, either = sparse.csr_array((y * labels).T), sparse.csr_array((y + labels).T)
    true = sparse.csr_array(y.T)

    def of_block(block: np.ndarray) -> np.ndarray:
        hits, total = both @ block, either @ block
        scores = np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0)
        if absent == "skip":
            scores[true @ block == 0] = np.nan
        return scores

    return _over_draws(of_block, weights, len(y))


@overload
def macro_f1(
    y: ArrayLike,
    labels: ArrayLike,
    weights: None = None,
    *,
    absent: Literal["zero", "skip"] = "zero",
) -> float: ...
@overload
def macro_f1(
    y: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None,
    *,
    absent: Literal["zero", "skip"] = "zero",
) -> float | np.ndarray: ...
def macro_f1(
    y: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    absent: Literal["zero", "skip"] = "zero",
) -> float | np.ndarray:
    """Return the macro F1 score: the F1 score averaged over labels.

    By default all labels are included; those without positives score 0
    (scikit-learn's ``zero_division=0``), as in the competition. With
    ``absent="skip"`` the mean is over the labels with positives, as in
    `macro_average_precision`.

    Parameters
    ----------
    y, labels : array-like of {0, 1}, shape (n, n_labels)
        Annotated and predicted labels.
    weights : array-like of float, shape (n,) or (n_draws, n), optional
        Weight of each field, or one row of weights per bootstrap draw. Default: 1.
    absent : {"zero", "skip"}, default="zero"
        Whether a label without positives scores 0, even if it is not predicted
        either, or is skipped.

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        In [0, 1]; NaN if labels are skipped and none has a positive.

    Raises
    ------
    InputError
        If the shapes do not match or `absent` is unknown.

    Examples
    --------
    >>> y, labels = [[1, 0], [1, 0]], [[1, 0], [1, 0]]
    >>> macro_f1(y, labels), macro_f1(y, labels, absent="skip")
    (0.5, 1.0)
    """
    return _plain(_mean_of_known(f1_scores(y, labels, weights, absent=absent)))


def average_precisions(
    y: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> np.ndarray:
    """Return the average precision of every label.

    The sum over the distinct scores of precision times the increase in recall,
    as in scikit-learn.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    scores : array-like of float, shape (n, n_labels)
    weights : array-like of float, shape (n,) or (n_draws, n), optional

    Returns
    -------
    ndarray of float, shape (n_labels,) or (n_draws, n_labels)
        NaN for a label without positives (with a weight above 0).

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    y, scores = _pair(y, scores)
    steps = [_recall_steps(y[:, k], scores[:, k]) for k in range(y.shape[1])]

    def of_block(block: np.ndarray) -> np.ndarray:
        result = np.full((len(steps), block.shape[1]), np.nan)
        for row, step in zip(result, steps):
            if step is None:
                continue
            fields, holders = step
            taken, gain = np.cumsum(fields @ block, axis=0), holders @ block
            hits = np.cumsum(gain, axis=0)
            precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
            gain *= precision
            np.divide(gain.sum(axis=0), hits[-1], out=row, where=hits[-1] > 0)
        return result

    return _over_draws(of_block, weights, len(y))


def _recall_steps(
    y: np.ndarray, score: np.ndarray
) -> tuple[sparse.csr_array, sparse.csr_array] | None:
    # Recall increases only at the scores of positives. Two matrices with one row per such score,
    # in descending order: the fields between the previous score and this one, and the positives
    # with this score.
    holders = np.flatnonzero(y)
    if not len(holders):
        return None
    holders = holders[np.argsort(-score[holders], kind="stable")]
    first = np.flatnonzero(np.diff(score[holders], prepend=np.inf))
    order = np.argsort(-score, kind="stable")
    last = np.searchsorted(-score[order], -score[holders[first]], side="right")
    return (
        _segment_sums(order[: last[-1]], np.append(0, last), len(y)),
        _segment_sums(holders, np.append(first, len(holders)), len(y)),
    )


@overload
def macro_average_precision(y: ArrayLike, scores: ArrayLike, weights: None = None) -> float: ...
@overload
def macro_average_precision(
    y: ArrayLike, scores: ArrayLike, weights: ArrayLike | None
) -> float | np.ndarray: ...
def macro_average_precision(
    y: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> float | np.ndarray:
    """Return the average precision, averaged over the labels with positives.

    Parameters
    ----------
    y, scores, weights
        As `average_precisions`.

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        In [0, 1]; NaN if no label has a positive.
    """
    return _plain(_mean_of_known(average_precisions(y, scores, weights)))


def brier_scores(
    y: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> np.ndarray:
    """Return the Brier score of every label: the mean squared error of its probabilities.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    weights : array-like of float, shape (n,) or (n_draws, n), optional

    Returns
    -------
    ndarray of float, shape (n_labels,) or (n_draws, n_labels)

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    y, probabilities = _pair(y, probabilities)
    return _means((probabilities - y) ** 2, weights)


@overload
def brier_score(y: ArrayLike, probabilities: ArrayLike, weights: None = None) -> float: ...
@overload
def brier_score(
    y: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None
) -> float | np.ndarray: ...
def brier_score(
    y: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> float | np.ndarray:
    """Return the Brier score averaged over all labels.

    The mean squared difference between probability and label (0 or 1). It
    decreases with better calibration and with better discrimination. A rare
    label contributes little, so compare systems on the same fields only.

    Parameters
    ----------
    y, probabilities, weights
        As `brier_scores`.

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        In [0, 1]; 0 is best.

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of
       probability", Monthly Weather Review 78(1), 1-3, 1950.
       :doi:`10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2`

    Examples
    --------
    >>> brier_score([[1], [0]], [[0.5], [0.0]])
    0.125
    """
    return _plain(brier_scores(y, probabilities, weights).mean(axis=-1))


def multilabel_log_losses(
    y: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> np.ndarray:
    """Return the log loss of every label.

    Parameters
    ----------
    y, probabilities, weights
        As `brier_scores`.

    Returns
    -------
    ndarray of float, shape (n_labels,) or (n_draws, n_labels)
        In nats per field.

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    y, probabilities = _pair(y, probabilities)
    clipped = np.clip(probabilities, LOG_LOSS_EDGE, 1 - LOG_LOSS_EDGE)
    return _means(-y * np.log(clipped) - (1 - y) * np.log1p(-clipped), weights)


@overload
def multilabel_log_loss(y: ArrayLike, probabilities: ArrayLike, weights: None = None) -> float: ...
@overload
def multilabel_log_loss(
    y: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None
) -> float | np.ndarray: ...
def multilabel_log_loss(
    y: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> float | np.ndarray:
    """Return the log loss averaged over fields and labels.

    Each label is a separate binary outcome, as in the training of CNNs and
    boosters; `sklearn.metrics.log_loss` takes the columns for mutually
    exclusive classes. Probabilities are clipped to [1e-7, 1 - 1e-7], so that a
    single wrong prediction with certainty costs 16 instead of infinity.

    Parameters
    ----------
    y, probabilities, weights
        As `brier_scores`.

    Returns
    -------
    float, or ndarray of float, shape (n_draws,)
        In nats per field and label; 0 is best.

    Examples
    --------
    >>> round(multilabel_log_loss([[1], [0]], [[0.5], [0.5]]), 4)
    0.6931
    """
    return _plain(multilabel_log_losses(y, probabilities, weights).mean(axis=-1))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _pair(y: ArrayLike, other: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, other = np.asarray(y, dtype=float), np.asarray(other, dtype=float)
    if y.ndim != 2 or y.shape != other.shape:
        raise InputError(
            f"y has shape {y.shape} and the predictions have shape {other.shape}; both must be "
            "(n, n_labels)"
        )
    return y, other


def _segment_sums(
    rows: np.ndarray, bounds: np.ndarray, n: int, values: np.ndarray | None = None
) -> sparse.csr_array:
    # The product with weights (n, n_draws) is the sum of value times weight over each segment
    # rows[bounds[i] : bounds[i + 1]]. A sparse product runs in one thread and adds in a fixed
    # order, so that results do not depend on the number of threads.
    values = np.ones(len(rows)) if values is None else values
    return sparse.csr_array((values, rows, bounds), shape=(len(bounds) - 1, n))


def _means(errors: np.ndarray, weights: ArrayLike | None) -> np.ndarray:
    by_label = sparse.csr_array(errors.T)
    return _over_draws(lambda block: by_label @ block / block.sum(axis=0), weights, len(errors))


def _over_draws(
    of_block: Callable[[np.ndarray], np.ndarray], weights: ArrayLike | None, n: int
) -> np.ndarray:
    """Score draws in blocks: `of_block` maps weights (n, n_block) to scores (n_scores, n_block)."""
    weights = np.ones(n) if weights is None else np.asarray(weights)
    if weights.ndim not in (1, 2) or weights.shape[-1] != n:
        raise InputError(f"weights has shape {weights.shape}; it must be ({n},) or (n_draws, {n})")
    draws = np.atleast_2d(weights)
    size = max(1, _BLOCK_BYTES // (8 * max(1, n)))
    scores = [
        # The draws of a field are contiguous in memory, as the product reads them.
        of_block(np.ascontiguousarray(draws[start : start + size].T, dtype=float)).T
        for start in range(0, max(1, len(draws)), size)
    ]
    return np.concatenate(scores) if weights.ndim == 2 else scores[0][0]


def _plain(values: np.ndarray) -> float | np.ndarray:
    return float(values) if np.ndim(values) == 0 else values
