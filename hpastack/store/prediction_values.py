"""What the values of a table of predictions are: probabilities, logits or label sets."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from hpastack.errors import InputError

# The sigmoid of values from 0 to 1 lies between these.
_SIGMOID_OF_PROBABILITIES = (0.5, 0.7311)
# As close to 0 or 1 a prediction is hardly told from a label; the consensus clips here, too.
_END = 0.01
_END_OF_LOGITS = 4.59
# Networks that are sure of rare labels leave a few hundredths of their values in between.
_ALL_AT_ENDS, _NOT_ALL_AT_ENDS = 0.999, 0.99
_SAME_FIELDS, _LEAST_FIELDS, _LEAST_POSITIVES = 0.99, 50, 5
# In fewer values a range says little.
_LEAST_VALUES = 20


def check_probabilities(
    values: np.ndarray, image_ids: Sequence[str], where: str | os.PathLike[str]
) -> None:
    """Reject what is not a probability.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
    image_ids : sequence of str, length n
    where : path-like
        What to call the table in errors.

    Raises
    ------
    InputError
        If a value is below 0 or above 1; id and label are named.
    """
    bad = np.argwhere((values < 0) | (values > 1))
    if len(bad):
        row, label = bad[0]
        raise InputError(
            f"{where}: {values[row, label]:g} for label {label} of field {image_ids[row]} is not "
            "a probability; bring logits in with --content logits, votes with --max"
        )


def check_plausible(values: np.ndarray, content: str, where: str | os.PathLike[str]) -> None:
    """Reject values that are hardly what they are said to be.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
    content : str
        ``probabilities`` or ``logits``; anything else passes.
    where : path-like
        What to call the table in errors.

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
            "probabilities are; bring them in with --content probabilities, or, if they are "
            "logits, with --as-is"
        )
    low, high = _SIGMOID_OF_PROBABILITIES
    if content == "probabilities" and least >= low and most <= high:
        raise InputError(
            f"{where}: all probabilities are between {low} and {high} ({least:.3g} to {most:.3g}), "
            "as after a sigmoid that is applied twice; bring in the values before the last "
            "sigmoid, or, if they are right, these with --as-is"
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
    """Return whether values are as good as label sets: two numbers, or nearly all close to 0 or 1.

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
    """Return whether values are no label sets: clearly less than `is_label_like` says of others.

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
    """Return whether predictions tell the targets themselves, as no model does out of fold.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
    y : ndarray of {0, 1}, shape (n, n_labels)
    are_logits : bool, default=False

    Returns
    -------
    bool
        Whether values that are as good as label sets are those of 99 % of the fields, or, of each
        label that 5 fields have, other values are larger with the label than without. False for
        fewer than 50 fields.
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
    """Return the share of values close to 0 or 1; 1 for two numbers of any size; -1 of too few."""
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
        As `is_label_like` says; those that are all 0 or 1 stay.

    Returns
    -------
    ndarray of {0, 1}
        1 above the middle between the least and the largest; NaN stays.
    """
    if is_binary(values):
        return values
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    return np.where(np.isnan(values), np.nan, (values > middle).astype(float))


def binarised(values: np.ndarray, prevalence: np.ndarray | float) -> np.ndarray:
    """Return values as label sets in which each label is as frequent as elsewhere.

    Parameters
    ----------
    values : ndarray of float, shape (n, n_labels)
        The larger, the more likely the label; NaN stays.
    prevalence : ndarray of float, shape (n_labels,)
        Share of the fields that get each label.

    Returns
    -------
    ndarray of {0, 1}, shape (n, n_labels)
        1 for the fields with the largest values. Equal values get the same; of the two shares
        that are possible, the nearer one, or the larger one.

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
