"""What the values of a table of predictions are: probabilities, logits or label sets."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from hpastack.errors import InputError

# The sigmoid of values from 0 to 1 lies between these.
_SIGMOID_OF_PROBABILITIES = (0.5, 0.7311)
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
