"""Detection of columns of features that equal a column of the targets."""

from __future__ import annotations

import numpy as np
import pandas as pd

# With fewer positives or negatives, or fewer fields, columns may be equal by chance.
_LEAST_OF_EACH, _LEAST_FIELDS = 5, 20


def columns_of_targets(features: pd.DataFrame, y: np.ndarray) -> dict[str, int]:
    """Return the columns of features that equal a target, and the label of that target.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
    y : ndarray of {0, 1}, shape (n, n_labels)

    Returns
    -------
    dict of str to int
        Columns with exactly two values, one for all fields with the label and one for all others.
        Fields in which the column is NaN are ignored. At least 20 fields must be known, of which at
        least 5 have the label and 5 do not.

    Examples
    --------
    >>> y = np.array([[0, 1], [1, 1], [0, 0]] * 10)
    >>> features = pd.DataFrame({"area": np.arange(30.0), "leak": 7.0 - 2 * y[:, 1]})
    >>> columns_of_targets(features, y)
    {'leak': 1}
    """
    y = np.asarray(y, dtype=bool)
    equal = {}
    for position, column in enumerate(features.columns):
        values = features.iloc[:, position].to_numpy(dtype=float)
        known = ~np.isnan(values)
        values = values[known]
        if len(values) < _LEAST_FIELDS:
            continue
        is_high = values == values.max()
        n_high = int(is_high.sum())
        if (
            min(n_high, len(values) - n_high) < _LEAST_OF_EACH
            or (values[~is_high] != values.min()).any()
        ):
            continue
        n_same = (y[known] == is_high[:, None]).sum(axis=0)
        labels = np.flatnonzero((n_same == len(values)) | (n_same == 0))
        if len(labels):
            equal[str(column)] = int(labels[0])
    return equal
