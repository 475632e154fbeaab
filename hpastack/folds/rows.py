"""What each row brings to the folds: its labels, its group, its levels to balance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten


def indicator_of(y: Any) -> np.ndarray:
    """Give labels as an indicator matrix, shape (n, n_labels) of uint8; classes become one-hot."""
    if hasattr(y, "toarray"):
        y = y.toarray()
    y = np.asarray(y)
    if y.ndim == 1:
        classes, codes = np.unique(y, return_inverse=True)
        return (codes[:, None] == np.arange(len(classes))).astype(np.uint8)
    if y.ndim != 2:
        raise InputError(f"labels of shape {y.shape}; give (n, n_labels) or (n,)")
    good = (y == 0) | (y == 1)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise InputError(
            f"labels are 0 or 1 in an indicator matrix; row {row}, column {column} "
            f"holds {y[row, column]}"
        )
    return y.astype(np.uint8)


def label_names(y: Any, n_labels: int) -> list:
    """Name the columns of `indicator_of(y)`: a data frame's columns, classes, or numbers."""
    if isinstance(y, pd.DataFrame):
        return list(y.columns)
    if not hasattr(y, "toarray") and np.ndim(y) == 1:
        return np.unique(np.asarray(y)).tolist()
    return list(range(n_labels))


def group_codes(groups: Any, n_rows: int, seed: int | str) -> tuple[np.ndarray, int]:
    """Number the groups in a seeded order that knows nothing of the order of the rows."""
    if groups is None:
        groups = np.arange(n_rows)
    elif not isinstance(groups, (pd.Series, pd.Index)) and getattr(groups, "ndim", 0) != 1:
        names = list(groups)
        groups = np.empty(len(names), dtype=object)  # keeps tuples as they are
        groups[:] = names
    if len(groups) != n_rows:
        raise InputError(f"{n_rows} rows of labels and {len(groups)} groups; they must fit")
    codes, names = pd.factorize(groups)
    if (codes < 0).any():
        raise InputError(f"row {int(np.argmax(codes < 0))} has no group; give every row one")
    keys = [
        hashlib.blake2b(f"{seed}\n{name!r}".encode(), digest_size=16).digest()
        for name in names.tolist()
    ]
    rank = np.empty(len(keys), dtype=np.int64)
    rank[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return rank[codes], len(keys)


def check_balance(balance: Any) -> dict:
    """Refuse weights to balance by that are no positive numbers; give them as a dict."""
    if balance is None:
        return {}
    if not isinstance(balance, Mapping):
        raise InputError(
            f"balance is a dict of column names to weights, not {type(balance).__name__}; "
            "give balance={'cell_line': 1.0}"
        )
    for name, weight in balance.items():
        if (
            not isinstance(weight, Real)
            or isinstance(weight, bool)
            or not 0 < float(weight) < float("inf")
        ):
            raise InputError(f"the weight of {name!r} in balance is {weight!r}; it must be above 0")
    return dict(balance)


def balance_levels(frame: Any, weights: Mapping, n_rows: int) -> list[tuple[np.ndarray, float]]:
    """Number the levels of each column to balance; give them with the column's weight.

    A missing value is a level of its own, so that fields of which nothing is
    known are spread evenly too.
    """
    if not weights:
        return []
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"balance needs the columns {shorten(weights)}, so X must be a data frame that "
            f"holds them, not {type(frame).__name__}"
        )
    missing = [name for name in weights if name not in frame.columns]
    if missing:
        raise InputError(f"no column {missing[0]!r} to balance; there are {shorten(frame.columns)}")
    if len(frame) != n_rows:
        raise InputError(f"{n_rows} rows of labels and {len(frame)} rows to balance; they must fit")
    levels = []
    for name, weight in weights.items():
        column = frame[name]
        if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any():
            raise InputError(
                f"the column {name!r} holds fractions, so nearly every row would be a level of "
                "its own; cut it into bins first, with pandas.cut or pandas.qcut"
            )
        levels.append((pd.factorize(column, use_na_sentinel=False)[0], float(weight)))
    return levels
