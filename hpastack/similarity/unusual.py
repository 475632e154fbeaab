"""What is unusual in one field: its features against those of the training fields."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.errors import InputError

# Median absolute deviation of a normal distribution, as a part of its standard deviation.
_MAD_OF_NORMAL = 0.6745
# Two columns that are more alike among the training fields say the same of a field.
_ALIKE = 0.9
# Share of the training fields that may be as far out as a field that is unusual.
_RARE = 0.05


def unusual_features(
    field: pd.Series, training: pd.DataFrame, n_features: int = 10
) -> pd.DataFrame:
    """Find the features by which a field differs most from the training fields.

    Parameters
    ----------
    field : Series of float
        Features of one field, by column.
    training : DataFrame of float, shape (n, n_columns)
        The same columns of the training fields, without the field itself.
    n_features : int, default=10
        How many to return at most.

    Returns
    -------
    DataFrame
        Indexed by column, the most unusual first: ``value``, ``median`` (of
        the training fields), ``deviations`` (robust z: the distance from the
        median in standard deviations, which are estimated by the median
        absolute deviation) and ``share_below`` (share of the training fields
        with a lower value). Values that at most 5 % of the training fields
        have or exceed come before others, and among both the largest
        deviations first. Of columns that correlate by more than 0.9 only the
        most unusual one is there. Columns that are NaN for the field, or of
        which half the training fields have one value, are ignored.

    Raises
    ------
    InputError
        If there is no training field, or the columns differ.

    Examples
    --------
    >>> training = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 9.0, 1.0, 8.0]})
    >>> unusual_features(pd.Series({"a": 9.0, "b": 4.0}), training)[["deviations"]].round(2)
       deviations
    a        4.38
    b       -0.08
    """
    if training.empty:
        raise InputError("there is no training field to compare with")
    if list(field.index) != list(training.columns):
        raise InputError("the field has other columns than the training fields")
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
    # Of a skewed column a sixth of all fields may lie far from the median.
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


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the absolute correlation of two columns where both are known."""
    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both] - one[both].mean(), other[both] - other[both].mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return abs(float(one @ other)) / size if size else 0.0
