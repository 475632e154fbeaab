"""Check what a stack is given, and sort its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import assert_all_finite, check_array

from hpastack.errors import InputError, shorten
from hpastack.stack.consensus import clipped_logits


def checked_table(X, *, min_fields: int = 1) -> pd.DataFrame:
    """Return X as a data frame with unique rows and columns.

    Parameters
    ----------
    X : DataFrame or array-like of float, shape (n, n_columns)
        The columns of an array are numbered.
    min_fields : int, default=1
        Fewest rows of an array.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If it is empty, or an id or column stands twice.
    ValueError, TypeError
        Of scikit-learn, if an array is no matrix of numbers.
    """
    if not isinstance(X, pd.DataFrame):
        # scikit-learn's own check, for arrays of any kind; NaN is looked at column by column.
        values = check_array(
            X, dtype="numeric", ensure_all_finite="allow-nan", ensure_min_samples=min_fields
        )
        X = pd.DataFrame(values)
    if not X.index.is_unique:
        raise InputError(f"ids stand twice in X: {shorten(X.index[X.index.duplicated()])}")
    if not X.columns.is_unique:
        raise InputError(f"columns stand twice in X: {shorten(X.columns[X.columns.duplicated()])}")
    if X.empty:
        raise InputError(f"X is empty: it has {len(X)} rows and {X.shape[1]} columns")
    return X


def sorted_columns(
    X: pd.DataFrame,
    n_labels: int,
    *,
    cnns: Sequence[str],
    logits: Sequence[str],
    scores: Sequence[str],
    embeddings: Sequence[str],
) -> ColumnBlocks:
    """Sort the columns of X into what they are.

    Parameters
    ----------
    X : DataFrame
    n_labels : int
    cnns, logits, scores, embeddings : sequence of str
        As `hpastack.StackClassifier`.

    Returns
    -------
    ColumnBlocks

    Raises
    ------
    InputError
        If a column is missing or named twice, or a value is not one that it
        may hold; column and id are named.
    """
    unknown = [name for name in logits if name not in cnns]
    if unknown:
        raise InputError(f"logits names {shorten(unknown)}, which cnns does not")
    named = [*cnns, *scores, *embeddings]
    doubled = sorted({name for name in named if named.count(name) > 1})
    if doubled:
        raise InputError(
            f"{shorten(doubled)} stands twice in cnns, scores and embeddings; a set of columns "
            "is one of them"
        )
    taken: list[str] = []
    stated = np.empty((len(cnns), len(X), n_labels), dtype=np.float32)
    for position, name in enumerate(cnns):
        columns = _label_columns(X, name, n_labels, "CNN")
        stated[position] = _log_odds(X[columns], name, are_logits=name in logits)
        taken += columns
    scored = np.empty((len(scores), len(X), n_labels), dtype=np.float32)
    for position, name in enumerate(scores):
        columns = _label_columns(X, name, n_labels, "set of scores")
        scored[position] = _numbers(X[columns], allow_nan=True)
        taken += columns
    reduced = {}
    for name in embeddings:
        columns = [column for column in X.columns if str(column).startswith(f"{name}__")]
        if not columns:
            raise InputError(f"X lacks the columns of the embedding {name!r}: {name}__...")
        reduced[name] = _numbers(X[columns], allow_nan=False)
        taken += columns
    features = _numbers(X.drop(columns=taken), allow_nan=True)
    return ColumnBlocks(stated, scored, features, reduced)


def indicator(y, image_ids: pd.Index) -> tuple[np.ndarray, list[str]]:
    """Return labels as a matrix of 0 and 1 in the order of the fields.

    Parameters
    ----------
    y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
        A data frame is joined by id.
    image_ids : Index

    Returns
    -------
    y : ndarray of uint8, shape (n, n_labels)
    names : list of str
        The columns of a data frame; else the numbers of the labels.

    Raises
    ------
    InputError
        If the shapes do not fit, ids are missing or doubled, or a value is
        neither 0 nor 1.
    """
    if y is None:
        raise InputError("a stack requires y to be passed, but the target y is None")
    if isinstance(y, pd.DataFrame):
        names = [str(name) for name in y.columns]
        y = _by_id(y, image_ids, "y").to_numpy()
    else:
        y = np.asarray(y)
        names = [str(label) for label in range(y.shape[1])] if y.ndim == 2 else []
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    if not np.isin(y, (0, 1)).all():
        kind = type_of_target(y)
        if kind == "multiclass":
            raise InputError(
                f"Only binary classification is supported. The type of the target is {kind}; "
                "y holds only 0 and 1, a column a label"
            )
        raise InputError(f"Unknown label type: {kind}; y holds only 0 and 1, a column a label")
    if y.ndim != 2 or len(y) != len(image_ids) or not y.shape[1]:
        raise InputError(
            f"y of shape {y.shape} does not fit {len(image_ids)} fields; it has a column a label"
        )
    return y.astype(np.uint8), names


def aligned(values, image_ids: pd.Index, what: str) -> np.ndarray:
    """Return one value a field in the order of the fields.

    Parameters
    ----------
    values : Series or array-like, shape (n,)
        A series is joined by id.
    image_ids : Index
    what : str
        What to call the values in errors.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        If the shape does not fit, or ids are missing or doubled.
    """
    if isinstance(values, pd.Series):
        values = _by_id(values, image_ids, what)
    values = np.asarray(values)
    if values.shape != (len(image_ids),):
        raise InputError(f"{what} of shape {values.shape} do not fit {len(image_ids)} fields")
    return values


def checked_folds(fold, clusters, image_ids: pd.Index) -> np.ndarray:
    """Return folds that keep clusters whole, or say what is wrong with them.

    Parameters
    ----------
    fold : array-like of int, shape (n,)
    clusters : ndarray of int, shape (n,)
    image_ids : Index

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    InputError
        If the numbers are not 0 to k - 1 with k of at least 3 and none left
        out, or a fold splits a cluster.
    """
    given = np.asarray(fold)
    fold = given.astype(np.int64)
    if (fold != given).any() or (fold < 0).any() or len(np.unique(fold)) != fold.max() + 1:
        raise InputError("folds are numbered 0, 1, ... and none is left out")
    if fold.max() < 2:
        raise InputError(
            "a stack needs at least three folds: one to score, one to choose on, one to learn from"
        )
    first = np.zeros(clusters.max() + 1, dtype=np.int64)
    first[clusters[::-1]] = fold[::-1]
    at_fault = np.flatnonzero(fold != first[clusters])
    if len(at_fault):
        n_split = len(np.unique(clusters[at_fault]))
        raise InputError(
            f"the folds splits {n_split} clusters, such as that of {image_ids[at_fault[0]]}; "
            "make folds that keep clusters whole"
        )
    return fold


def _label_columns(X: pd.DataFrame, name: str, n_labels: int, what: str) -> list[str]:
    columns = [f"{name}__{label}" for label in range(n_labels)]
    missing = [column for column in columns if column not in X.columns]
    if missing:
        raise InputError(f"X lacks the columns of {what} {name!r}: {shorten(missing)}")
    return columns


def _log_odds(table: pd.DataFrame, name: str, *, are_logits: bool) -> np.ndarray:
    values = table.to_numpy(dtype=float)
    bad = ~np.isfinite(values)
    if not are_logits:
        bad |= (values < 0) | (values > 1)
    if bad.any():
        row, label = np.argwhere(bad)[0]
        raise InputError(
            f"{name}: {values[row, label]} for label {label} of field {table.index[row]} "
            f"is not a {'logit' if are_logits else 'probability'}"
        )
    return clipped_logits(values, are_logits=are_logits)


def _numbers(table: pd.DataFrame, *, allow_nan: bool) -> np.ndarray:
    try:
        values = table.to_numpy(dtype=np.float32)
    except (TypeError, ValueError):
        for column in table.columns:
            try:
                table[column].to_numpy(dtype=np.float32)
            except (TypeError, ValueError) as error:
                raise InputError(f"column {column!r} does not hold numbers: {error}") from None
        raise
    bad = np.isinf(values) if allow_nan else ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        what = "infinite" if np.isinf(values[row, column]) else "NaN, which an embedding never is"
        raise InputError(f"column {table.columns[column]!r} of field {table.index[row]} is {what}")
    return values


def _by_id(table: Any, image_ids: pd.Index, what: str):
    missing = image_ids[~image_ids.isin(table.index)]
    if len(missing):
        raise InputError(f"{what} lacks {len(missing)} fields of X: {shorten(missing)}")
    if not table.index.is_unique:
        raise InputError(
            f"{what}: ids stand twice: {shorten(table.index[table.index.duplicated()])}"
        )
    return table.loc[image_ids]


@dataclass(frozen=True)
class ColumnBlocks:
    """The columns of X, sorted into what they are.

    Parameters
    ----------
    logits : ndarray of float32, shape (n_cnns, n, n_labels)
        Bounded log-odds of the CNNs.
    scores : ndarray of float32, shape (n_scores, n, n_labels)
        Other scores with a column a label; NaN where unknown.
    features : ndarray of float32, shape (n, n_features)
        May hold NaN.
    embeddings : dict of str to ndarray of float32, shape (n, n_dimensions)
        By name; to be reduced.
    """

    logits: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)

    def own(self, label: int) -> np.ndarray:
        """Return a label's own columns, shape (n, n_own)."""
        parts = [self.logits[:, :, label].T, self.scores[:, :, label].T]
        return np.concatenate(parts, axis=1)

    def take(self, rows) -> ColumnBlocks:
        """Return some of the fields."""
        return ColumnBlocks(
            self.logits[:, rows],
            self.scores[:, rows],
            self.features[rows],
            {name: values[rows] for name, values in self.embeddings.items()},
        )
