"""Columns that reveal the order of the training table, or separate train and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

# Least absolute rank correlation of a column with the row number at which it is reported.
_CORRELATION = 0.95
# A column is also reported if the mean square step of its ranks from row to row is at most this
# fraction of that in random order.
_STEPS = 0.005
# Least AUC, in either direction, of train against test at which a column is reported.
_AUC = 0.99
# Least number of standard errors from chance, because a thousand columns are tested.
_LEAST_ERRORS = 5
# Least fraction of distinct values for the test of steps: a column with few values may have the
# same value in many consecutive rows for legitimate reasons.
_DISTINCT_SHARE = 0.1
# Largest number of rows of train, and of test, that are used, evenly spaced.
_MOST_ROWS = 5000


def telling_columns(features: pd.DataFrame, is_test: pd.Series) -> pd.DataFrame:
    """Return the columns that reveal the position of a field in the table, or separate the splits.

    Such a column may be a row number, a time or the name of a folder. If the order of the table
    depends on the labels, a model that uses the column scores well out of fold and fails on new
    fields.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Rows in the order of the catalogue; NaN is allowed.
    is_test : Series of bool, shape (n,)
        Indexed as `features`.

    Returns
    -------
    DataFrame
        One row per column that is reported: ``column``; ``order`` (absolute rank correlation of
        values and row numbers of training fields, or 1 minus the ratio of the mean square step of
        ranks from row to row to that in random order, whichever is larger; 0 if neither reaches
        its limit); ``auc`` (of test against train, at least 0.5 as the direction is ignored; 0.5
        where it is below its limit, or train or test is empty).

    Notes
    -----
    A column is reported if ``order`` is at least 0.95 (0.995 for steps) or the AUC at least 0.99,
    and at least five standard errors from chance. Of more than 5,000 training or test fields,
    5,000 evenly spaced ones are used.
    """
    test = is_test.loc[features.index].to_numpy(dtype=bool)
    train_rows, test_rows = _spread(np.flatnonzero(~test)), _spread(np.flatnonzero(test))
    reported = []
    for position, column in enumerate(features.columns):
        values = features.iloc[:, position].to_numpy(dtype=float)
        in_train, in_test = values[train_rows], values[test_rows]
        order = _order(in_train[~np.isnan(in_train)])
        auc = max(_auc(in_train, in_test), _auc(np.isnan(in_train), np.isnan(in_test)))
        if order or auc:
            reported.append((column, order, max(auc, 0.5)))
    return pd.DataFrame(reported, columns=["column", "order", "auc"])


def _spread(rows: np.ndarray) -> np.ndarray:
    if len(rows) <= _MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(int)]


def _order(values: np.ndarray) -> float:
    """Return how well values reveal their row numbers; 0 if below the limits."""
    if len(values) < 3 or values.min() == values.max():
        return 0.0
    n = len(values)
    ranks = rankdata(values)
    spread = ranks - ranks.mean()
    places = np.arange(n) - (n - 1) / 2
    correlation = abs(spread @ places) / np.sqrt((spread @ spread) * (places @ places))
    order = 0.0
    if correlation >= _CORRELATION and correlation * np.sqrt(n - 1) >= _LEAST_ERRORS:
        order = correlation
    # Von Neumann's ratio of ranks: 2 in random order, with a variance of 4 / n. It also detects
    # values that increase and then decrease.
    steps = np.square(np.diff(ranks)).sum() / (spread @ spread) / 2
    n_distinct = len(np.unique(values))
    if (
        steps <= _STEPS
        and (1 - steps) * np.sqrt(n) >= _LEAST_ERRORS
        and n_distinct >= _DISTINCT_SHARE * n
    ):
        order = max(order, 1 - steps)
    return float(order)


def _auc(in_train: np.ndarray, in_test: np.ndarray) -> float:
    """Return the AUC of test against train, in either direction; 0 if below the limits."""
    in_train, in_test = in_train[~np.isnan(in_train)], in_test[~np.isnan(in_test)]
    n, m = len(in_train), len(in_test)
    if not n or not m:
        return 0.0
    ranks = rankdata(np.concatenate([in_train, in_test]).astype(float))
    auc = (ranks[n:].sum() - m * (m + 1) / 2) / (n * m)
    error = np.sqrt((n + m + 1) / (12 * n * m))
    if abs(auc - 0.5) + 0.5 < _AUC or abs(auc - 0.5) < _LEAST_ERRORS * error:
        return 0.0
    return float(abs(auc - 0.5) + 0.5)
