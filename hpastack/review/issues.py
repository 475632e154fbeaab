"""Ranking of annotations by how strongly the out-of-fold predictions contradict them."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, shorten
from hpastack.files import check_unique, take_rows

#: Ways to score how suspicious an annotation is.
Order = Literal["normalised", "plain"]
ORDERS: tuple[Order, ...] = get_args(Order)


def label_issues(
    y: ArrayLike | pd.DataFrame,
    probabilities: ArrayLike | pd.DataFrame,
    *,
    predicted: ArrayLike | pd.DataFrame | None = None,
    order: Order = "normalised",
    n_most: int | None = None,
) -> pd.DataFrame:
    """Rank annotations by how strongly the out-of-fold predictions contradict them.

    These are suspicions, not errors: the probability of an annotated label may also be low because
    the label is rare, the stain is dim or the model is weak. Look at the fields before changing
    anything.

    Parameters
    ----------
    y : array-like or DataFrame of {0, 1}, shape (n, n_labels)
        Annotated labels, one row per field.
    probabilities : array-like or DataFrame of float, shape (n, n_labels)
        Probabilities of models that were not trained on the field, such as
        ``stack.oof_probabilities_``. If both are DataFrames, rows are joined by index and columns
        by name; `y` may contain further rows.
    predicted : array-like or DataFrame of {0, 1}, shape (n, n_labels), optional
        Labels predicted by these models, such as ``stack.oof_labels_``, for the suggestion.
        Default: labels with a probability of at least 0.5.
    order : {"normalised", "plain"}, default="normalised"
        Score of a pair of field and label. `plain`: the absolute difference between annotation (0
        or 1) and probability. `normalised`: this difference times the square root of the mean
        probability of the label in the fields annotated with it, so that labels that the models
        rarely recognise are less suspicious.
    n_most : int, optional
        Number of pairs to return, most suspicious first; default: all.

    Returns
    -------
    DataFrame
        One row per pair of field and label, most suspicious first: ``image_id`` (from the index of
        `probabilities`; row numbers for arrays), ``label`` (from its columns), ``annotated`` (0 or
        1), ``probability``, ``score`` (in [0, 1]; higher is more suspicious), ``rank`` (from 1),
        ``suggestion`` (``add``, ``remove`` or ``keep`` the label).

    Raises
    ------
    InputError
        If shapes, ids or labels do not match, an id or label is duplicate, `y` or `predicted`
        contains a value other than 0 and 1, a probability is not in [0, 1], or another parameter
        is out of range.

    Notes
    -----
    The mean probability of a label in the fields annotated with it is the class threshold of
    confident learning [1]_. The ranking is of pairs of field and label; to rank fields, take the
    first row of each: ``issues.drop_duplicates("image_id")``. Ties are broken by the plain score,
    then by row and column.

    References
    ----------
    .. [1] C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident learning: estimating uncertainty
       in dataset labels", J. Artif. Intell. Res. 70, 1373-1411, 2021. :doi:`10.1613/jair.1.12125`

    Examples
    --------
    The second field is annotated with the first label, but the models predict the second:

    >>> y = [[1, 0], [1, 0], [0, 1]]
    >>> probabilities = [[0.9, 0.1], [0.2, 0.7], [0.1, 0.8]]
    >>> issues = label_issues(y, probabilities, n_most=2)
    >>> issues[["image_id", "label", "annotated", "score", "suggestion"]].round(2)
       image_id  label  annotated  score suggestion
    0         1      1          0   0.63        add
    1         1      0          1   0.59     remove
    """
    if order not in ORDERS:
        raise InputError(f"order is {order!r}; it must be {' or '.join(ORDERS)}", "order")
    if n_most is not None and (isinstance(n_most, bool) or not n_most >= 1):
        raise InputError(f"n_most is {n_most!r}; it must be at least 1")
    table = _table(probabilities, "probabilities")
    p = table.to_numpy()
    outside = ~((p >= 0) & (p <= 1))
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise InputError(
            f"probabilities: {p[row, column]} of field {table.index[row]}, label "
            f"{table.columns[column]} is not in [0, 1]"
        )
    annotated = _indicator(y, table, "y")
    if predicted is None:
        suggested = p >= 0.5
    else:
        suggested = _indicator(predicted, table, "predicted") == 1
    plain = np.abs(annotated - p)
    score = issue_scores(annotated, p, order)
    n_pairs = p.size if n_most is None else min(n_most, p.size)
    # The sort is stable: ties remain in the order of rows and columns.
    ranked = np.lexsort((-plain.ravel(), -score.ravel()))[:n_pairs]
    row, column = np.divmod(ranked, max(p.shape[1], 1))
    is_annotated, is_suggested = annotated[row, column] == 1, suggested[row, column]
    return pd.DataFrame(
        {
            "image_id": table.index.to_numpy()[row],
            "label": table.columns.to_numpy()[column],
            "annotated": is_annotated.astype(int),
            "probability": p[row, column],
            "score": score[row, column],
            "rank": np.arange(1, n_pairs + 1),
            "suggestion": np.select(
                [is_suggested & ~is_annotated, is_annotated & ~is_suggested],
                ["add", "remove"],
                "keep",
            ),
        }
    )


def issue_scores(annotated: np.ndarray, p: np.ndarray, order: Order) -> np.ndarray:
    """Return the score of each pair of field and label; higher is more suspicious.

    Parameters
    ----------
    annotated : ndarray of {0, 1}, shape (n, n_labels)
    p : ndarray of float, shape (n, n_labels)
    order : {"normalised", "plain"}
        As in `label_issues`.

    Returns
    -------
    ndarray of float, shape (n, n_labels)
    """
    plain = np.abs(annotated - p)
    return plain if order == "plain" else plain * np.sqrt(_recognised(annotated, p))


def _recognised(annotated: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the mean probability of each label in the fields annotated with it."""
    n_annotated = annotated.sum(axis=0)
    # 0 for labels without annotated fields, for which the mean is undefined.
    return np.divide(
        (annotated * p).sum(axis=0), n_annotated, out=np.zeros(p.shape[1]), where=n_annotated > 0
    )


def _table(values: Any, name: str) -> pd.DataFrame:
    try:
        table = values if isinstance(values, pd.DataFrame) else pd.DataFrame(np.asarray(values))
        table = table.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"{name}: not a table of numbers of shape (n, n_labels)") from None
    check_unique(table.index, name)
    check_unique(table.columns, f"{name}, labels")
    return table


def _indicator(values: Any, like: pd.DataFrame, name: str) -> np.ndarray:
    """Return checked indicators in the row and column order of the probabilities."""
    table = _table(values, name)
    if isinstance(values, pd.DataFrame):
        missing = like.columns.difference(table.columns)
        extra = table.columns.difference(like.columns)
        if len(missing) or len(extra):
            names = shorten([*map(str, missing), *map(str, extra)])
            raise InputError(f"{name} and probabilities must have the same labels: {names}")
        table = take_rows(table, like.index, f"{name}: rows")[like.columns.tolist()]
    elif table.shape != like.shape:
        raise InputError(f"{name} has shape {table.shape}, but probabilities {like.shape}")
    indicator = table.to_numpy()
    wrong = (indicator != 0) & (indicator != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{name}: {indicator[row, column]} of field {table.index[row]}, label "
            f"{table.columns[column]} is not 0 or 1"
        )
    return indicator
