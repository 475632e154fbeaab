"""Checks of the data that a stack is fitted on and applied to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import assert_all_finite, check_array

from hpastack.errors import InputError, counted, shorten
from hpastack.stack.column_blocks import ColumnBlocks, sorted_columns
from hpastack.stack.field_values import (
    aligned,
    by_id,
    checked_folds,
    checked_weights,
    numbered,
)
from hpastack.stack.label_sets import indicator_table
from hpastack.stack.settings import StackSettings


@dataclass(frozen=True)
class TrainingData:
    """Checked training data of a stack, all rows in the same order.

    Parameters
    ----------
    image_ids : Index
    columns : Index
        Columns of X, in its order.
    blocks : ColumnBlocks
    y : ndarray of uint8, shape (n, n_labels)
    labels : list of str
    clusters : ndarray of int, shape (n,)
    fold : ndarray of int, shape (n,), or None
        None if folds are still to be made.
    sample_weight : ndarray of float, shape (n,), or None
        None if all are 1.
    """

    image_ids: pd.Index
    columns: pd.Index
    blocks: ColumnBlocks
    y: np.ndarray
    labels: list[str]
    clusters: np.ndarray
    fold: np.ndarray | None
    sample_weight: np.ndarray | None = None

    @property
    def trained(self) -> np.ndarray:
        """Whether each field has a positive weight, shape (n,)."""
        if self.sample_weight is None:
            return np.ones(len(self.y), dtype=bool)
        return self.sample_weight > 0

    @property
    def trained_y(self) -> np.ndarray:
        """Targets, shape (n, n_labels), with 0 for fields of weight 0."""
        return self.y if self.sample_weight is None else self.y * self.trained[:, None]


def check_inputs(
    X: Any, y: Any, groups: Any, folds: Any, settings: StackSettings, sample_weight: Any = None
) -> TrainingData:
    """Check the training data of a stack, and align its rows.

    Parameters
    ----------
    X, y, groups, folds, sample_weight
        As in `hpastack.StackClassifier.fit`.
    settings : StackSettings

    Returns
    -------
    TrainingData

    Raises
    ------
    InputError
        If rows, columns or ids do not match, a value is not valid in its column, a weight is
        invalid, or a fold splits a cluster.
    """
    table = checked_table(X, min_fields=2)
    has_label_columns = bool(settings.cnns or settings.scores)
    indicated, labels = indicator(y, table.index, has_label_columns=has_label_columns)
    if groups is None:
        clusters = np.arange(len(table))
    else:
        clusters = numbered(aligned(groups, table.index, "groups"))
    if folds is not None:
        folds = checked_folds(aligned(folds, table.index, "folds"), clusters, table.index)
    blocks = sorted_columns(table, len(labels), settings)
    if sample_weight is not None:
        sample_weight = checked_weights(sample_weight, table.index)
    return TrainingData(
        table.index, table.columns, blocks, indicated, labels, clusters, folds, sample_weight
    )


def checked_table(X: Any, *, min_fields: int = 1) -> pd.DataFrame:
    """Return X as a data frame with unique rows and columns.

    Parameters
    ----------
    X : DataFrame, array-like or sparse matrix of float, shape (n, n_columns)
        The columns of an array are numbered.
    min_fields : int, default=1
        Minimum number of rows of an array.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If it is empty or not two-dimensional, or has duplicate ids or columns.
    TypeError
        From scikit-learn, if an array contains values that are not numbers.
    """
    if not isinstance(X, pd.DataFrame):
        # scikit-learn's own check, for arrays of any type; NaN is checked column by column later.
        try:
            values = check_array(
                X.toarray() if sparse.issparse(X) else X,
                dtype="numeric", ensure_all_finite=False, ensure_min_samples=min_fields,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(f"X: {' '.join(str(error).split())}") from None
        X = pd.DataFrame(values)
    if not X.index.is_unique:
        raise InputError(f"duplicate ids in X: {shorten(X.index[X.index.duplicated()].unique())}")
    if not X.columns.is_unique:
        names = X.columns[X.columns.duplicated()].unique()
        raise InputError(f"duplicate columns in X: {shorten(names)}")
    if X.empty:
        raise InputError(
            f"X is empty: it has {counted(len(X), 'row')} and {counted(X.shape[1], 'column')}"
        )
    return X


def indicator(
    y: Any,
    image_ids: pd.Index,
    labels: list[str] | None = None,
    *,
    has_label_columns: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """Return labels as a matrix of 0 and 1 in the order of the fields.

    Parameters
    ----------
    y : DataFrame, array-like or sparse matrix of {0, 1}, shape (n, n_labels); or names
        A data frame or series is joined by id. Names become columns as described in
        `hpastack.stack.label_sets.indicator_table`.
    image_ids : Index
    labels : list of str, optional
        Labels of a stack; columns are returned in this order.
    has_label_columns : bool, default=False
        Whether columns of X depend on the order of the labels, which names do not have.

    Returns
    -------
    y : ndarray of uint8, shape (n, n_labels)
    names : list of str
        The columns of a data frame, otherwise the numbers of the labels.

    Raises
    ------
    InputError
        If the shapes do not match, ids or labels are missing or duplicate, or
        a value is neither 0 nor 1.
    """
    if y is None:
        raise InputError("a stack requires y to be passed, but the target y is None")
    y = indicator_table(y, image_ids, labels, has_label_columns=has_label_columns)
    if isinstance(y, pd.DataFrame):
        names = labels or [str(name) for name in y.columns]
        y = label_columns(by_id(y, image_ids, "y"), names, "y")
    else:
        y = np.asarray(y)
        names = [str(label) for label in range(y.shape[1])] if y.ndim == 2 else []
    if y.dtype.kind == "f":
        try:
            assert_all_finite(y, input_name="y")
        except ValueError as error:
            raise InputError(f"{error}; {_unknown_labels(~np.isfinite(y), image_ids)}") from None
    if y.dtype == object and pd.isna(y).any():
        raise InputError(f"y has missing values; {_unknown_labels(pd.isna(y), image_ids)}")
    if not np.isin(y, (0, 1)).all():
        kind = type_of_target(y)
        if kind == "multiclass":
            raise InputError(
                f"Only binary classification is supported. The type of the target is {kind}; "
                "y must have only 0 and 1, one column per label, as pandas.get_dummies returns"
            )
        raise InputError(
            f"Unknown label type: {kind}; y must have only 0 and 1, one column per label"
        )
    if y.ndim != 2 or len(y) != len(image_ids) or not y.shape[1]:
        raise InputError(
            f"y of shape {y.shape} does not match {counted(len(image_ids), 'field')}; pass one row "
            "per field and one column per label"
        )
    if labels is not None:
        y = label_columns(y, labels, "y")
    return y.astype(np.uint8), names


def _unknown_labels(is_unknown: np.ndarray, image_ids: pd.Index) -> str:
    """Return a remedy that names the fields whose labels are unknown."""
    remedy = "drop these fields, or write 0 where a field does not have the label"
    if len(is_unknown) != len(image_ids):
        return remedy
    bad = np.flatnonzero(is_unknown.reshape(len(image_ids), -1).any(axis=1))
    return f"fields {shorten(image_ids[bad])}: {remedy}"


def member_tables(X: Any) -> list[Any]:
    """Return X as a list of tables: its own if it is a list of tables, otherwise X alone.

    Parameters
    ----------
    X : DataFrame or array-like, or a list of them

    Returns
    -------
    list of DataFrame or array-like

    Raises
    ------
    InputError
        If they differ in their rows.
    """
    # A list of rows is a table; a list of tables is not.
    is_list = isinstance(X, (list, tuple)) and len(X) > 0 and all(np.ndim(of) == 2 for of in X)
    members = list(X) if is_list else [X]
    index = checked_table(members[0]).index
    unlike = [
        number
        for number, member in enumerate(members)
        if number and not checked_table(member).index.equals(index)
    ]
    if unlike:
        raise InputError(
            "the tables of a list must have the same fields in the same order; these differ from "
            f"table 0: {shorten(unlike)}"
        )
    return members


def own_columns(X: Any, names: np.ndarray | None, n_columns: int) -> pd.DataFrame:
    """Return the columns that a stack was fitted on, in their order.

    Parameters
    ----------
    X : DataFrame or array-like, shape (n, n_columns)
        A data frame may have other columns too, in any order.
    names : ndarray of str or None
        Names of the columns, if they have any.
    n_columns : int

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If a column is missing, or an array has another number of columns.
    """
    table = checked_table(X)
    if isinstance(X, pd.DataFrame) and names is not None:
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise InputError(
                f"X lacks {counted(len(missing), 'column')} of the stack: {shorten(missing)}"
            )
        return table[list(names)]
    if table.shape[1] != n_columns:
        raise InputError(
            f"X has {table.shape[1]} features, but StackClassifier is expecting "
            f"{n_columns} features as input"
        )
    return table if names is None else table.set_axis(names, axis=1)


def label_columns(table: Any, labels: list[str], what: str) -> np.ndarray:
    """Return values with one column per label, in the order of the labels.

    Parameters
    ----------
    table : DataFrame or array-like, shape (n, n_labels)
        The columns of a data frame are matched by name.
    labels : list of str
    what : str
        Name of the table in errors.

    Returns
    -------
    ndarray, shape (n, n_labels)

    Raises
    ------
    InputError
        If a column is missing, duplicate or not a label, or an array has another number of
        columns.
    """
    if not isinstance(table, pd.DataFrame):
        values = np.asarray(table)
        if values.ndim != 2 or values.shape[1] != len(labels):
            raise InputError(
                f"{what} of shape {values.shape} does not match {counted(len(labels), 'label')}; "
                "pass one column per label"
            )
        return values
    names = pd.Index([str(name) for name in table.columns])
    faults = [
        f"{fault}: {shorten(at_fault)}"
        for fault, at_fault in (
            ("missing labels", [label for label in labels if label not in names]),
            ("columns that are not labels of the stack", names[~names.isin(labels)]),
            ("duplicate columns", names[names.duplicated()].unique()),
        )
        if len(at_fault)
    ]
    if faults:
        raise InputError(
            f"{what} has {', '.join(faults)}; pass one column per label, by name "
            f"({shorten(labels)}), or an array, whose columns are matched by position"
        )
    return table.set_axis(names, axis=1)[labels].to_numpy()
