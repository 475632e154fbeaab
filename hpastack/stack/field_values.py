"""One value per field: groups, folds and weights, checked and aligned by id."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted, shorten


def aligned(values: pd.Series | ArrayLike, image_ids: pd.Index, what: str) -> np.ndarray:
    """Return one value per field in the order of the fields.

    Parameters
    ----------
    values : Series or array-like, shape (n,)
        A series is joined by id.
    image_ids : Index
    what : str
        Name of the values in errors.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        If the shape does not match, ids are missing or duplicate, or a value is
        missing (NaN or None).
    """
    if isinstance(values, pd.Series):
        values = by_id(values, image_ids, what)
    # Before conversion: NaN in a list of names would become the text "nan".
    unknown = pd.isna(np.asarray(values, dtype=object))
    values = np.asarray(values)
    if values.shape != (len(image_ids),):
        raise InputError(
            f"{what} of shape {values.shape} does not match {counted(len(image_ids), 'field')}; "
            "pass one value per field"
        )
    if unknown.any():
        own = " (a unique one if the group is unknown)" if what == "groups" else ""
        raise InputError(
            f"{what} has no value (NaN or None) for {counted(int(unknown.sum()), 'field')}: "
            f"{shorten(image_ids[unknown])}; set one for each{own}, or drop these fields"
        )
    return values


def checked_weights(values: pd.Series | ArrayLike, image_ids: pd.Index) -> np.ndarray | None:
    """Return weights of fields in the order of the fields; None if all are 1.

    Parameters
    ----------
    values : Series or array-like of float, shape (n,)
        A series is joined by id.
    image_ids : Index

    Returns
    -------
    ndarray of float, shape (n,), or None

    Raises
    ------
    InputError
        If the shape does not match, or a weight is missing, negative or not a finite number.
    """
    values = aligned(values, image_ids, "sample_weight")
    try:
        weights = values.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight must be numbers: {error}") from None
    at_fault = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(at_fault):
        raise InputError(
            "sample_weight must be finite and at least 0, but is not for "
            f"{counted(len(at_fault), 'field')}: {shorten(image_ids[at_fault])}"
        )
    return None if (weights == 1).all() else weights


def weights_of(sample_weight: np.ndarray | None, rows: np.ndarray | slice) -> np.ndarray | None:
    """Return the weights of some fields, or None without weights.

    Parameters
    ----------
    sample_weight : ndarray of float, shape (n,), or None
    rows : ndarray of int or bool, or slice

    Returns
    -------
    ndarray of float or None
    """
    return None if sample_weight is None else sample_weight[rows]


def checked_folds(fold: ArrayLike, clusters: np.ndarray, image_ids: pd.Index) -> np.ndarray:
    """Return folds as whole numbers, after checking that they do not split clusters.

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
        If the numbers are not 0 to k - 1 without gaps, with k of at least 3,
        or a fold splits a cluster.
    """
    try:
        numbers = np.asarray(fold).astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"folds must be numbers 0, 1, ...: {error}") from None
    at_fault = np.flatnonzero(~np.isfinite(numbers))
    if len(at_fault):
        raise InputError(
            f"folds of {counted(len(at_fault), 'field')} are not finite numbers: "
            f"{shorten(image_ids[at_fault])}; set a fold for each, or drop these fields"
        )
    fold = numbers.astype(np.int64)
    if (fold != numbers).any() or (fold < 0).any() or len(np.unique(fold)) != fold.max() + 1:
        raise InputError("folds must be numbered 0, 1, ... without gaps")
    if fold.max() < 2:
        raise InputError(
            "a stack needs at least three folds: one to score, one to choose settings on, and one "
            "to train on"
        )
    first = np.zeros(clusters.max() + 1, dtype=np.int64)
    first[clusters[::-1]] = fold[::-1]
    at_fault = np.flatnonzero(fold != first[clusters])
    if len(at_fault):
        n_split = len(np.unique(clusters[at_fault]))
        raise InputError(
            f"the folds split {counted(n_split, 'cluster')}, such as that of "
            f"{image_ids[at_fault[0]]}; make folds that keep clusters whole"
        )
    return fold


def numbered(groups: np.ndarray) -> np.ndarray:
    """Return groups as numbers from 0, in sorted order.

    Parameters
    ----------
    groups : ndarray, shape (n,)

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    InputError
        If they cannot be sorted.
    """
    try:
        return np.unique(groups, return_inverse=True)[1]
    except TypeError:
        kinds = sorted({type(group).__name__ for group in groups})
        raise InputError(
            f"groups has values of several types ({shorten(kinds)}), which cannot be sorted; use "
            "one type, such as str"
        ) from None


def by_id(table: Any, image_ids: pd.Index, what: str) -> Any:
    """Return the rows of a data frame or series in the order of ids.

    Parameters
    ----------
    table : DataFrame or Series
    image_ids : Index
    what : str
        Name of the table in errors.

    Returns
    -------
    DataFrame or Series

    Raises
    ------
    InputError
        If an id is missing or duplicate.
    """
    missing = image_ids[~image_ids.isin(table.index)]
    if len(missing):
        remedy = ""
        if isinstance(image_ids, pd.RangeIndex) and len(missing) == len(image_ids):
            remedy = (
                f"; {what} has ids, but X is a matrix without ids: pass X as a data frame with "
                f"these ids, or {what}.to_numpy() in the order of X"
            )
        raise InputError(
            f"{what} lacks {counted(len(missing), 'field')} of X: {shorten(missing)}{remedy}"
        )
    if not table.index.is_unique:
        duplicate = table.index[table.index.duplicated()].unique()
        raise InputError(f"duplicate ids in {what}: {shorten(duplicate)}")
    return table.loc[image_ids]
