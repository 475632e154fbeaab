"""Columns by which the order of the training table, or train against test, can be told."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

# A rank correlation with the place in the table of at least this tells the order almost surely.
_CORRELATION = 0.95
# So do ranks whose steps from row to row vary by less than this share of what they do by chance.
_STEPS = 0.005
# A random test field lies above a random training field, or below, with this chance.
_AUC = 0.99
# Standard errors from chance below which nothing is said: a thousand columns are looked at.
_LEAST_ERRORS = 5
# A column of a few values has the same in many rows that follow each other for good reasons.
_DISTINCT_SHARE = 0.1
# Rows of train, and of test, that are looked at, evenly spread.
_MOST_ROWS = 5000


def telling_columns(features: pd.DataFrame, is_test: pd.Series) -> pd.DataFrame:
    """Return the columns that tell almost surely where in the table a field is.

    Such a column may be a row number, a time or the name of a folder. If the order of the table has
    to do with the labels, a model that sees the column scores well out of fold and fails on new
    fields.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Rows in the order of the catalogue; may hold NaN.
    is_test : Series of bool, shape (n,)
        Indexed as `features`.

    Returns
    -------
    DataFrame
        One row per column that tells something: ``column``; ``order`` (absolute
        rank correlation of values and places of training fields, or 1 less the share that steps
        from row to row have of those in random order, whichever is larger); ``auc`` (chance that
        the larger, or the smaller, of the values of a training and a test field is that of the
        test field; 0.5 where train or test is empty).

    Notes
    -----
    A column is named from an order of 0.95 (0.995 for steps) or an AUC of 0.99 on, five standard
    errors from chance. Of more than 5,000 training or test fields as many are looked at,
    evenly spread.
    """
    test = is_test.loc[features.index].to_numpy(dtype=bool)
    train_rows, test_rows = _spread(np.flatnonzero(~test)), _spread(np.flatnonzero(test))
    told = []
    for position, column in enumerate(features.columns):
        values = features.iloc[:, position].to_numpy(dtype=float)
        in_train, in_test = values[train_rows], values[test_rows]
        order = _order(in_train[~np.isnan(in_train)])
        auc = max(_auc(in_train, in_test), _auc(np.isnan(in_train), np.isnan(in_test)))
        if order or auc:
            told.append((column, order, max(auc, 0.5)))
    return pd.DataFrame(told, columns=["column", "order", "auc"])


def _spread(rows: np.ndarray) -> np.ndarray:
    if len(rows) <= _MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(int)]


def _order(values: np.ndarray) -> float:
    """Return how surely values tell their places; 0 if they do not."""
    if len(values) < 3 or values.min() == values.max():
        return 0.0
    n = len(values)
    ranks = rankdata(values)
    spread = ranks - ranks.mean()
    places = np.arange(n) - (n - 1) / 2
    correlation = abs(spread @ places) / np.sqrt((spread @ spread) * (places @ places))
    told = 0.0
    if correlation >= _CORRELATION and correlation * np.sqrt(n - 1) >= _LEAST_ERRORS:
        told = correlation
    # Von Neumann's ratio of ranks: 2 in random order, with a variance of 4 / n. It sees what
    # rises and falls again, too.
    steps = np.square(np.diff(ranks)).sum() / (spread @ spread) / 2
    n_distinct = len(np.unique(values))
    if (
        steps <= _STEPS
        and (1 - steps) * np.sqrt(n) >= _LEAST_ERRORS
        and n_distinct >= _DISTINCT_SHARE * n
    ):
        told = max(told, 1 - steps)
    return float(told)


def _auc(in_train: np.ndarray, in_test: np.ndarray) -> float:
    """Return how surely values tell train from test; 0 if they do not."""
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
