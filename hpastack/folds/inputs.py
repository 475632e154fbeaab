"""Validated inputs of the splitters: labels, groups and levels to balance of each row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten

# With larger weights labels would have no effect.
_MOST_WEIGHT = 1000


def indicator_of(y: Any) -> np.ndarray:
    """Return labels as an indicator matrix, shape (n, n_labels) of uint8; classes as one-hot."""
    if hasattr(y, "toarray"):
        y = y.toarray()
    y = np.asarray(y)
    if y.dtype == object and pd.isna(y).any():
        row = int(np.argwhere(pd.isna(y))[0][0])
        raise InputError(f"y has a missing value in row {row}; annotate the row or drop it")
    if y.ndim == 1:
        if y.dtype.kind == "f" and (y % 1 != 0).any():
            raise InputError(
                "y has fractional or missing values; pass classes, or an indicator matrix"
            )
        classes, codes = np.unique(y, return_inverse=True)
        return (codes[:, None] == np.arange(len(classes))).astype(np.uint8)
    if y.ndim != 2:
        raise InputError(f"y has shape {y.shape}; it must be (n, n_labels) or (n,)")
    good = (y == 0) | (y == 1)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise InputError(
            f"y is {y[row, column]} in row {row}, column {column}; an indicator matrix must be "
            "0 or 1"
        )
    return y.astype(np.uint8, order="C")


def label_names(y: Any, n_labels: int) -> list[Any]:
    """Return names for the columns of `indicator_of(y)`: column names, classes, or numbers."""
    if isinstance(y, pd.DataFrame):
        return list(y.columns)
    if not hasattr(y, "toarray") and np.ndim(y) == 1:
        return np.unique(np.asarray(y)).tolist()
    return list(range(n_labels))


def group_codes(groups: Any, n_rows: int, seed: int | str) -> tuple[np.ndarray, int]:
    """Number the groups in a seeded order that does not depend on the order of the rows."""
    shape: tuple[int, ...] = getattr(groups, "shape", (n_rows,))
    if len(shape) > 1:
        if len(shape) > 2 or shape[1] != 1:
            raise InputError(f"groups has shape {shape}; pass one group per row, shape (n,)")
        groups = np.asarray(groups)[:, 0]
    if groups is None:
        groups = np.arange(n_rows)
    elif not isinstance(groups, (pd.Series, pd.Index)) and getattr(groups, "ndim", 0) != 1:
        names = list(groups)
        groups = np.empty(len(names), dtype=object)  # keeps tuples as they are
        groups[:] = names
    if len(groups) != n_rows:
        raise InputError(
            f"groups has {counted(len(groups), 'row')} and y has {n_rows:,}; pass one group per "
            "row of y"
        )
    codes, names = pd.factorize(groups)
    if (codes < 0).any():
        raise InputError(f"row {int(np.argmax(codes < 0))} has no group; every row needs one")
    _check_types(names)
    keys = [
        hashlib.blake2b(f"{seed}\n{_plain(name)!r}".encode(), digest_size=16).digest()
        for name in names.tolist()
    ]
    rank = np.empty(len(keys), dtype=np.int64)
    rank[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return rank[codes], len(keys)


def _check_types(names: Any) -> None:
    """Reject values that are a number in some rows and the same text in others."""
    of_text: dict[str, Any] = {}
    for name in names.tolist():
        other = of_text.setdefault(str(_plain(name)), name)
        if type(other) is not type(name) and other != name:
            raise InputError(
                f"the group {name!r} is of type {type(name).__name__} in some rows and of type "
                f"{type(other).__name__} in others; convert all to text: groups.astype(str)"
            )


def _plain(name: Any) -> Any:
    """Return a name that is the same from an array, a list and a float column of whole numbers."""
    if isinstance(name, tuple):
        return tuple(map(_plain, name))
    if isinstance(name, np.generic):
        name = name.item()
    return int(name) if isinstance(name, float) and name.is_integer() else name


def check_balance(balance: Any) -> dict[str, float]:
    """Check that the weights of the columns to balance are positive; return them as a dict."""
    if balance is None:
        return {}
    if not isinstance(balance, Mapping):
        raise InputError(
            f"balance is a {type(balance).__name__}; it must be a dict of column names to "
            "weights, such as balance={'cell_line': 1.0}"
        )
    for name, weight in balance.items():
        if (
            not isinstance(weight, Real)
            or isinstance(weight, bool)
            or not 0 < float(weight) <= _MOST_WEIGHT
        ):
            raise InputError(
                f"the weight of {name!r} in balance is {weight!r}; it must be above 0, and at "
                f"most {_MOST_WEIGHT:,}"
            )
    return dict(balance)


def balance_levels(
    frame: Any, weights: Mapping[str, Any], n_rows: int
) -> list[tuple[np.ndarray, float]]:
    """Return the numbered levels of each column to balance, each with the column's weight.

    A missing value is a separate level, so that fields with unknown values are
    balanced too.
    """
    if not weights:
        return []
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"X is a {type(frame).__name__}; to balance {shorten(weights)} it must be a data "
            "frame with these columns"
        )
    missing = [name for name in weights if name not in frame.columns]
    if missing:
        raise InputError(
            f"balance: column {missing[0]!r} is missing; the columns are {shorten(frame.columns)}",
            "balance",
        )
    if len(frame) != n_rows:
        raise InputError(
            f"X, with the columns to balance, has {counted(len(frame), 'row')} and y has "
            f"{n_rows:,}; the numbers must be equal"
        )
    levels = []
    for name, weight in weights.items():
        column = frame[name]
        if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any():
            raise InputError(
                f"balance: column {name!r} has fractional values, so nearly every row would be a "
                "separate level; bin it first with pandas.cut or pandas.qcut",
                "balance",
            )
        codes = pd.factorize(column, use_na_sentinel=False)[0]
        if codes.max(initial=0) >= 20 and 2 * codes.max() >= n_rows:
            raise InputError(
                f"balance: column {name!r} has {codes.max() + 1:,} values in "
                f"{counted(n_rows, 'row')}, too many to spread evenly; choose a column with few "
                "values",
                "balance",
            )
        levels.append((codes, float(weight)))
    return levels
