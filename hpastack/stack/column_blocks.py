"""Sort the columns of fields into what they are: log-odds, scores, features, embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.stack.consensus import clipped_logits


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

    def take(self, rows: np.ndarray) -> ColumnBlocks:
        """Return some of the fields."""
        return ColumnBlocks(
            self.logits[:, rows],
            self.scores[:, rows],
            self.features[rows],
            {name: values[rows] for name, values in self.embeddings.items()},
        )

    def arrays(self) -> list[np.ndarray]:
        """Return all that it holds, to tell it from others."""
        return [self.logits, self.scores, self.features, *self.embeddings.values()]


class NamedColumns(Protocol):
    """What names the columns of X that are no features."""

    @property
    def cnns(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def logits(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def scores(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def embeddings(self) -> Sequence[str]: ...  # noqa: D102


def sorted_columns(X: pd.DataFrame, n_labels: int, named: NamedColumns) -> ColumnBlocks:
    """Sort the columns of X into what they are.

    Parameters
    ----------
    X : DataFrame
    n_labels : int
    named : NamedColumns
        Settings of a stack, or the stack.

    Returns
    -------
    ColumnBlocks

    Raises
    ------
    InputError
        If a column is missing or named twice, or a value is not one that it
        may hold; column and id are named.
    """
    cnns, scores, embeddings = named.cnns, named.scores, named.embeddings
    unknown = [name for name in named.logits if name not in cnns]
    if unknown:
        raise InputError(f"logits names {shorten(unknown)}, which cnns does not")
    names = [*cnns, *scores, *embeddings]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(
            f"{shorten(doubled)} stands twice in cnns, scores and embeddings; a set of columns "
            "is one of them"
        )
    taken: list[str] = []
    stated = np.empty((len(cnns), len(X), n_labels), dtype=np.float32)
    for position, name in enumerate(cnns):
        columns = _label_columns(X, name, n_labels, "CNN")
        stated[position] = _log_odds(X[columns], name, are_logits=name in named.logits)
        taken += columns
    scored = np.empty((len(scores), len(X), n_labels), dtype=np.float32)
    for position, name in enumerate(scores):
        columns = _label_columns(X, name, n_labels, "set of scores")
        scored[position] = _numbers(X[columns], allow_nan=True)
        taken += columns
    reduced, of_sets = {}, sets_of_columns(X.columns, n_labels, named)
    for name in embeddings:
        columns = [column for column, of_set in zip(X.columns, of_sets) if of_set == name]
        if not columns:
            raise InputError(f"X lacks the columns of the embedding {name!r}: {name}__...")
        reduced[name] = _numbers(X[columns], allow_nan=False)
        taken += columns
    features = _numbers(X.drop(columns=taken), allow_nan=True)
    return ColumnBlocks(stated, scored, features, reduced)


def sets_of_columns(
    columns: Iterable[object], n_labels: int, named: NamedColumns
) -> list[str | None]:
    """Say which set each column belongs to: a CNN, scores, an embedding or, of a feature, none.

    Where a name begins with that of another set and ``__``, a column goes to
    the set of which it is the column of a label, else to that of the longer name.

    Parameters
    ----------
    columns : iterable
        Of X.
    n_labels : int
    named : NamedColumns

    Returns
    -------
    list of str or None
    """
    per_label = [*named.cnns, *named.scores]
    of_labels = {f"{name}__{label}": name for name in per_label for label in range(n_labels)}
    longest_first = sorted([*per_label, *named.embeddings], key=len, reverse=True)

    def set_of(column: str) -> str | None:
        if column in of_labels:
            return of_labels[column]
        name = next((name for name in longest_first if column.startswith(f"{name}__")), None)
        return name if name in named.embeddings else None

    return [set_of(str(column)) for column in columns]


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
        with np.errstate(over="ignore"):  # becomes infinite, which is rejected below
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
        what = "NaN, which an embedding never is"
        if np.isinf(values[row, column]):
            what = "infinite or too large for single precision; NaN stands for a missing value"
        raise InputError(f"column {table.columns[column]!r} of field {table.index[row]} is {what}")
    return values
