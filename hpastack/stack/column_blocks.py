"""The columns of fields by type: log-odds, scores, features, embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.stack.consensus import clipped_logits


@dataclass(frozen=True)
class ColumnBlocks:
    """The columns of X, sorted by type.

    Parameters
    ----------
    logits : ndarray of float32, shape (n_cnns, n, n_labels)
        Log-odds of the CNNs, clipped.
    scores : ndarray of float32, shape (n_scores, n, n_labels)
        Other scores with one column per label; NaN where unknown.
    features : ndarray of float32, shape (n, n_features)
        NaN where unknown.
    embeddings : dict of str to ndarray of float32, shape (n, n_dimensions)
        By name; not yet reduced.
    """

    logits: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)

    def own(self, label: int) -> np.ndarray:
        """Return the columns of one label, shape (n, n_own)."""
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
        """Return all arrays, for a digest."""
        return [self.logits, self.scores, self.features, *self.embeddings.values()]


class NamedColumns(Protocol):
    """Names of the sets of columns of X other than features."""

    @property
    def cnns(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def logits(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def scores(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def embeddings(self) -> Sequence[str]: ...  # noqa: D102


def sorted_columns(X: pd.DataFrame, n_labels: int, named: NamedColumns) -> ColumnBlocks:
    """Return the columns of X, sorted by type.

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
        If columns are missing, a name is used twice, or values are invalid. The
        message names all missing columns, and a column and id of each set with
        invalid values.
    """
    cnns, scores, embeddings = named.cnns, named.scores, named.embeddings
    unknown = [name for name in named.logits if name not in cnns]
    if unknown:
        raise InputError(f"logits names {shorten(unknown)}, but cnns does not")
    names = [*cnns, *scores, *embeddings]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"duplicate names in cnns, scores and embeddings: {shorten(repeated)}; each set of "
            "columns must be named once, in one of them"
        )
    of_labels = {
        name: [f"{name}__{label}" for label in range(n_labels)] for name in (*cnns, *scores)
    }
    of_sets = sets_of_columns(X.columns, n_labels, named)
    of_embeddings = {
        name: [column for column, of_set in zip(X.columns, of_sets) if of_set == name]
        for name in embeddings
    }
    _check_columns(X, named, of_labels, of_embeddings)
    stated = np.empty((len(cnns), len(X), n_labels), dtype=np.float32)
    scored = np.empty((len(scores), len(X), n_labels), dtype=np.float32)
    reduced, problems = {}, []
    for position, name in enumerate(cnns):
        values, problem = _log_odds(X[of_labels[name]], name, are_logits=name in named.logits)
        stated[position] = values
        problems.append(problem)
    for position, name in enumerate(scores):
        scored[position], problem = _numbers(X[of_labels[name]], allow_nan=True)
        problems.append(problem)
    for name, columns in of_embeddings.items():
        reduced[name], problem = _numbers(X[columns], allow_nan=False)
        problems.append(problem)
    taken = [name for columns in (*of_labels.values(), *of_embeddings.values()) for name in columns]
    features, problem = _numbers(X.drop(columns=taken), allow_nan=True)
    problems = [problem for problem in [*problems, problem] if problem]
    if problems:
        raise InputError("; ".join(problems))
    return ColumnBlocks(stated, scored, features, reduced)


def sets_of_columns(
    columns: Iterable[object], n_labels: int, named: NamedColumns
) -> list[str | None]:
    """Return the set of each column: a CNN, scores or an embedding; None for a feature.

    If the name of a set begins with that of another set and ``__``, a column
    belongs to the set for which it is the column of a label, otherwise to the
    set with the longer name.

    Parameters
    ----------
    columns : iterable
        Columns of X.
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


def _check_columns(
    X: pd.DataFrame,
    named: NamedColumns,
    of_labels: Mapping[str, Sequence[str]],
    of_embeddings: Mapping[str, Sequence[str]],
) -> None:
    """Raise `InputError` that names all columns that X lacks."""
    lacking = []
    for name, columns in of_labels.items():
        what = "CNN" if name in named.cnns else "set of scores"
        missing = [column for column in columns if column not in X.columns]
        if missing:
            lacking.append(f"columns of {what} {name!r}: {shorten(missing)}")
    lacking += [
        f"columns of the embedding {name!r}: {name}__..."
        for name, columns in of_embeddings.items()
        if not columns
    ]
    if lacking:
        raise InputError(f"X lacks {'; '.join(lacking)}")


def _log_odds(table: pd.DataFrame, name: str, *, are_logits: bool) -> tuple[np.ndarray, str]:
    """Return clipped log-odds, and a message if a value is invalid."""
    try:
        values = table.to_numpy(dtype=float)
    except (TypeError, ValueError):
        return _numbers(table, allow_nan=False)
    bad = ~np.isfinite(values)
    if not are_logits:
        bad |= (values < 0) | (values > 1)
    if bad.any():
        row, label = np.argwhere(bad)[0]
        return values, (
            f"{name}: {values[row, label]} for label {label} of field {table.index[row]} "
            f"is not a {'logit' if are_logits else 'probability'}{_and_more(bad)}"
        )
    return clipped_logits(values, are_logits=are_logits), ""


def _numbers(table: pd.DataFrame, *, allow_nan: bool) -> tuple[np.ndarray, str]:
    """Return values in single precision, and a message if a value is invalid."""
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which is rejected below
            values = table.to_numpy(dtype=np.float32)
    except (TypeError, ValueError):
        faults = []
        for column in table.columns:
            try:
                table[column].to_numpy(dtype=np.float32)
            except (TypeError, ValueError) as error:
                faults.append(f"{column!r} ({error})")
        if not faults:
            raise
        noun = "column" if len(faults) == 1 else "columns"
        message = f"{noun} with values that are not numbers: {'; '.join(faults[:5])}"
        if len(faults) > 5:
            message += f" and {len(faults) - 5} more"
        return np.full(table.shape, np.nan, dtype=np.float32), message
    bad = np.isinf(values) if allow_nan else ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        what = f"NaN{_and_more(bad)}; an embedding must not have missing values"
        if np.isinf(values[row, column]):
            what = (
                f"infinite or too large for single precision{_and_more(bad)}; use NaN for a "
                "missing value"
            )
        return values, f"column {table.columns[column]!r} of field {table.index[row]} is {what}"
    return values, ""


def _and_more(bad: np.ndarray) -> str:
    n_others = int(bad.sum()) - 1
    return f" (and {counted(n_others, 'other value')})" if n_others else ""
