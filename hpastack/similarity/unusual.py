"""Unusual features of a field, compared with the training fields."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.errors import InputError

# Median absolute deviation of a normal distribution, divided by its standard deviation.
_MAD_OF_NORMAL = 0.6745
# Columns with a larger absolute correlation among the training fields are redundant.
_ALIKE = 0.9
# Largest fraction of training fields with a value at least as extreme, for an unusual value.
_RARE = 0.05


def unusual_features(
    field: pd.Series, training: pd.DataFrame, n_features: int = 10
) -> pd.DataFrame:
    """Find the features in which a field differs most from the training fields.

    Parameters
    ----------
    field : Series of float
        Features of one field, by column.
    training : DataFrame of float, shape (n, n_columns)
        The same columns of the training fields, without the field itself.
    n_features : int, default=10
        Largest number of features to return.

    Returns
    -------
    DataFrame
        Indexed by column, the most unusual first: ``value``, ``median`` (of
        the training fields), ``deviations`` (robust z-score: the difference
        from the median in standard deviations, estimated from the median
        absolute deviation) and ``share_below`` (fraction of the training
        fields with a lower value). Values such that at most 5 % of the
        training fields are at least as extreme come first; within both parts,
        columns are sorted by decreasing absolute deviation. Of columns with an
        absolute correlation above 0.9 only the most unusual one is returned.
        Columns that are NaN for the field, or in which half of the training
        fields have the same value, are ignored.

    Raises
    ------
    InputError
        If there is no training field, or the columns of `field` and `training`
        differ.

    Examples
    --------
    >>> training = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 9.0, 1.0, 8.0]})
    >>> unusual_features(pd.Series({"a": 9.0, "b": 4.0}), training)[["deviations"]].round(2)
       deviations
    a        4.38
    b       -0.08
    """
    if training.empty:
        raise InputError("training is empty; there are no training fields to compare with")
    if list(field.index) != list(training.columns):
        raise InputError("field and training must have the same columns in the same order")
    values, known = field.to_numpy(np.float64), training.to_numpy(np.float64)
    usable = np.isfinite(values) & np.isfinite(known).any(axis=0)
    names = training.columns[usable]
    values, known = values[usable], known[:, usable]
    median = np.nanmedian(known, axis=0)
    spread = np.nanmedian(np.abs(known - median), axis=0) / _MAD_OF_NORMAL
    deviations = np.divide(
        values - median, spread, out=np.zeros_like(values), where=spread > 1e-12 * np.abs(median)
    )
    n_known = np.isfinite(known).sum(axis=0)
    below, above = (known < values).sum(axis=0), (known > values).sum(axis=0)
    # In a skewed column a sixth of all fields may be far from the median.
    is_common = np.where(deviations > 0, n_known - below, n_known - above) > _RARE * n_known
    order = np.lexsort((-np.abs(deviations), is_common))
    chosen: list[int] = []
    for place in order[deviations[order] != 0]:
        if len(chosen) == n_features:
            break
        if all(_correlation(known[:, place], known[:, other]) <= _ALIKE for other in chosen):
            chosen.append(int(place))
    return pd.DataFrame(
        {
            "value": values[chosen],
            "median": median[chosen],
            "deviations": deviations[chosen],
            "share_below": below[chosen] / n_known[chosen],
        },
        index=names[chosen],
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the absolute correlation of two columns over the rows where both are finite."""
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both] - first[both].mean(), second[both] - second[both].mean()
    size = float(np.sqrt((first @ first) * (second @ second)))
    return abs(float(first @ second)) / size if size else 0.0
