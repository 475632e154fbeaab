"""Checks of the values of predictions: probabilities, logits or label sets."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from hpastack.errors import InputError

# Range of the sigmoid of values from 0 to 1.
_SIGMOID_OF_PROBABILITIES = (0.5, 0.7311)
# A prediction this close to 0 or 1 is nearly a label; the consensus is clipped here, too.
_END = 0.01
_END_OF_LOGITS = 4.59
# Networks that are confident about rare labels have a few percent of their values in between.
_ALL_AT_ENDS, _NOT_ALL_AT_ENDS = 0.999, 0.99
_SAME_FIELDS, _LEAST_FIELDS, _LEAST_POSITIVES = 0.99, 50, 5
# With fewer values, their range is not informative.
_LEAST_VALUES = 20


def check_probabilities(
    values: np.ndarray, image_ids: Sequence[str], where: str | os.PathLike[str]
) -> None:
    """Check that all values are probabilities.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
    image_ids : sequence of str, length n
    where : path-like
        Name of the table in error messages.

    Raises
    ------
    InputError
        If a value is below 0 or above 1; the message names its id and label.
    """
    bad = np.argwhere((values < 0) | (values > 1))
    if len(bad):
        row, label = bad[0]
        raise InputError(
            f"{where}: {values[row, label]:g} for label {label} of field {image_ids[row]} is not "
            "a probability; import logits with content='logits', or divide vote counts by the "
            "number of votes",
            "content",
            "max",
        )


def check_plausible(values: np.ndarray, content: str, where: str | os.PathLike[str]) -> None:
    """Check that values are plausible for their declared content.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
    content : str
        ``probabilities`` or ``logits``; other contents are not checked.
    where : path-like
        Name of the table in error messages.

    Raises
    ------
    InputError
        If all logits are between 0 and 1, as probabilities are; or all probabilities are between
        0.5 and 0.7311, as the sigmoid of probabilities is.
    """
    if values.size < _LEAST_VALUES or is_binary(values):
        return
    least, most = float(values.min()), float(values.max())
    if content == "logits" and least >= 0 and most <= 1:
        raise InputError(
            f"{where}: all logits are between 0 and 1 ({least:.3g} to {most:.3g}), as "
            "probabilities are; import them with content='probabilities' or, if they are "
            "logits, with as_is=True",
            "content",
            "as_is",
        )
    low, high = _SIGMOID_OF_PROBABILITIES
    if content == "probabilities" and least >= low and most <= high:
        raise InputError(
            f"{where}: all probabilities are between {low} and {high} ({least:.3g} to {most:.3g}), "
            "as after applying a sigmoid twice; import the values before the last "
            "sigmoid or, if these are correct, pass as_is=True",
            "as_is",
        )


def is_binary(values: np.ndarray) -> bool:
    """Return whether all values are 0 or 1, or missing.

    Parameters
    ----------
    values : ndarray of float

    Returns
    -------
    bool
    """
    return bool(((values == 0) | (values == 1) | np.isnan(values)).all())


def is_label_like(values: np.ndarray, *, are_logits: bool = False) -> bool:
    """Return whether values are practically label sets: two numbers, or nearly all near 0 or 1.

    Parameters
    ----------
    values : ndarray of float
        Missing values (NaN) are ignored.
    are_logits : bool, default=False

    Returns
    -------
    bool
        False for fewer than 20 values, unless these are all 0 or 1.

    Examples
    --------
    >>> import numpy as np
    >>> is_label_like(np.tile([0.0005, 0.9995], 10)), is_label_like(np.linspace(0, 1, 20))
    (True, False)
    """
    if not are_logits and is_binary(values):
        return True
    return _share_at_ends(values, are_logits) >= _ALL_AT_ENDS


def is_unlike_labels(values: np.ndarray, *, are_logits: bool = False) -> bool:
    """Return whether values are clearly not label sets; stricter than ``not is_label_like``.

    Parameters
    ----------
    values : ndarray of float
    are_logits : bool, default=False

    Returns
    -------
    bool
        False for fewer than 20 values.
    """
    return 0 <= _share_at_ends(values, are_logits) <= _NOT_ALL_AT_ENDS


def equal_targets(values: np.ndarray, y: np.ndarray, *, are_logits: bool = False) -> bool:
    """Return whether predictions reproduce the targets, as no model does out of fold.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
    y : ndarray of {0, 1}, shape (n, n_labels)
    are_logits : bool, default=False

    Returns
    -------
    bool
        If values are practically label sets: whether they equal the targets of at least 99 % of the
        fields. Otherwise: whether, for each label with at least 5 positive and 5 negative fields,
        all values of positives are larger than those of negatives. False for fewer than 50 fields.
    """
    if len(values) < _LEAST_FIELDS:
        return False
    known = ~np.isnan(values).any(axis=1)
    values, truth = values[known], np.asarray(y, dtype=bool)[known]
    if is_label_like(values, are_logits=are_logits):
        same = (binary(values) == truth).all(axis=1)
        return bool(truth.any()) and bool(same.mean() >= _SAME_FIELDS)
    learnt = np.flatnonzero(
        (truth.sum(axis=0) >= _LEAST_POSITIVES) & ((~truth).sum(axis=0) >= _LEAST_POSITIVES)
    )
    return len(learnt) > 0 and all(
        values[truth[:, label], label].min() > values[~truth[:, label], label].max()
        for label in learnt
    )


def _share_at_ends(values: np.ndarray, are_logits: bool) -> float:
    """Return the fraction of values near 0 or 1; 1 for two distinct values; -1 for too few."""
    values = values[~np.isnan(values)]
    if values.size < _LEAST_VALUES:
        return -1.0
    least, most = float(values.min()), float(values.max())
    are_any = not are_logits and (least < 0 or most > 1)
    middle = 0.0 if are_logits else 0.5
    if len(np.unique(values)) == 2 and (are_any or least < middle < most):
        return 1.0
    if are_logits:
        return float((np.abs(values) >= _END_OF_LOGITS).mean())
    if are_any:
        return 0.0
    return float((np.abs(values - 0.5) >= 0.5 - _END).mean())


def binary(values: np.ndarray) -> np.ndarray:
    """Return values that are practically label sets as 0 and 1.

    Parameters
    ----------
    values : ndarray of float
        Values for which `is_label_like` is true; if all are 0 or 1, they are returned unchanged.

    Returns
    -------
    ndarray of {0, 1}
        1 above the midpoint between the minimum and the maximum; NaN is preserved.
    """
    if is_binary(values):
        return values
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    return np.where(np.isnan(values), np.nan, (values > middle).astype(float))


def binarised(values: np.ndarray, prevalence: np.ndarray | float) -> np.ndarray:
    """Return values thresholded to label sets such that each label has a given prevalence.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
        Larger values mean a more likely label; NaN is preserved.
    prevalence : ndarray of float, shape (n_labels,)
        Fraction of the fields with each label.

    Returns
    -------
    ndarray of {0, 1}, shape (n, n_labels)
        1 for the fields with the largest values. Tied values are treated alike: of the two
        possible prevalences the closer one is chosen, or the larger one if equally close.

    Examples
    --------
    >>> import numpy as np
    >>> binarised(np.array([[0.1, 0.0], [0.4, 0.0], [0.3, 0.9]]), np.array([0.67, 0.34])).tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    """
    labels = np.where(np.isnan(values), np.nan, 0.0)
    shares = np.broadcast_to(prevalence, values.shape[1])
    for label, share in enumerate(shares):
        column = values[:, label]
        ordered = np.sort(column[~np.isnan(column)])[::-1]
        n_wanted = round(float(share) * len(ordered))
        if n_wanted == 0:
            continue
        least = ordered[n_wanted - 1]
        n_above, n_from = int((ordered > least).sum()), int((ordered >= least).sum())
        takes_equal = n_from - n_wanted <= n_wanted - n_above
        labels[(column >= least) if takes_equal else (column > least), label] = 1
    return labels
