"""Annotated labels and predictions, joined by image id where they have ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from hpastack.errors import InputError, shorten
from hpastack.files import take_rows
from hpastack.stack import StackClassifier

#: Which labels a display shows: names or numbers.
Labels = str | int | Sequence[str | int] | None


@dataclass(frozen=True, eq=False)
class Annotated:
    """Annotated labels of fields.

    Parameters
    ----------
    names : list of str
        Of the labels.
    y : ndarray of {0, 1}, shape (n, n_labels)
    ids : Index or None
        Image ids, where the rows have some.
    """

    names: list[str]
    y: np.ndarray
    ids: pd.Index | None

    @classmethod
    def of(cls, y: Any, names: Sequence[str] | None = None) -> Annotated:
        """Check annotated labels; names are those of the columns where none are passed."""
        ids = y.index if isinstance(y, pd.DataFrame | pd.Series) else None
        if names is None and isinstance(y, pd.DataFrame):
            names = [str(name) for name in y.columns]
        values = np.asarray(y)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or not len(values):
            raise InputError(f"y has shape {values.shape}; it must be (n_fields, n_labels)")
        if not np.isin(values, (0, 1)).all():
            raise InputError("y must hold only 0 and 1")
        names = list(map(str, range(values.shape[1]))) if names is None else list(map(str, names))
        if len(names) != values.shape[1]:
            raise InputError(f"{len(names)} names for {values.shape[1]} labels; they must match")
        return cls(names, values.astype(np.int8), ids)

    @classmethod
    def of_stack(cls, stack: StackClassifier, y: Any) -> Annotated:
        """Check the annotated labels of the training fields of a stack."""
        check_is_fitted(stack, "fitted_")
        ids = stack.oof_probabilities_.index
        if isinstance(y, pd.DataFrame):
            y = take_rows(y, ids, "y").rename(columns=str)
            missing = [name for name in stack.labels_ if name not in y.columns]
            if missing:
                raise InputError(f"y lacks labels of the stack: {shorten(missing)}")
            y = y[stack.labels_]
        if np.shape(y) != stack.oof_probabilities_.shape:
            raise InputError(
                f"y has shape {np.shape(y)}; the stack was fitted on "
                f"{len(ids)} fields and {len(stack.labels_)} labels"
            )
        return cls(stack.labels_, cls.of(np.asarray(y)).y, ids)

    def matching(self, values: Any, what: str) -> np.ndarray:
        """Return predictions as an array in the order of these rows, shape (n, n_labels)."""
        if self.ids is not None and isinstance(values, pd.DataFrame | pd.Series):
            values = take_rows(pd.DataFrame(values), self.ids, what)
        array = np.asarray(values)
        array = array[:, None] if array.ndim == 1 else array
        if array.shape != self.y.shape:
            raise InputError(f"{what} have shape {array.shape}, y has {self.y.shape}")
        return array

    def probabilities(self, values: Any) -> np.ndarray:
        """Return probabilities as `matching` does, checked to lie in [0, 1]."""
        array = self.matching(values, "probabilities").astype(float)
        if not ((array >= 0) & (array <= 1)).all():
            raise InputError("probabilities must lie between 0 and 1")
        return array

    def groups(self, values: Any) -> np.ndarray:
        """Return the cluster of each row; without any, each is its own."""
        if values is None:
            return np.arange(len(self.y))
        if self.ids is not None and isinstance(values, pd.Series):
            values = take_rows(values, self.ids, "groups")
        array = np.asarray(values)
        if array.shape != (len(self.y),):
            raise InputError(f"groups have shape {array.shape}; they must be ({len(self.y)},)")
        return array

    def chosen(self, labels: Labels) -> list[int]:
        """Return the positions of labels that are named or numbered."""
        wanted = [labels] if isinstance(labels, str | int | np.integer) else list(labels or ())
        return [self._position(label) for label in wanted]

    def commonest(self, n: int) -> list[int]:
        """Return the positions of the `n` commonest labels that occur."""
        positives = self.y.sum(axis=0, dtype=int)
        order = np.argsort(-positives, kind="stable")[:n]
        return [int(k) for k in order if positives[k]]

    def _position(self, label: str | int) -> int:
        if isinstance(label, str):
            if label not in self.names:
                raise InputError(f"no label {label!r}; there are {shorten(self.names)}")
            return self.names.index(label)
        if not 0 <= label < len(self.names):
            raise InputError(f"no label {label}; they are numbered 0 to {len(self.names) - 1}")
        return int(label)


def as_labels(values: ArrayLike) -> np.ndarray:
    """Return predicted labels, checked to be 0 or 1."""
    array = np.asarray(values)
    if not np.isin(array, (0, 1)).all():
        raise InputError("predicted labels must be 0 or 1")
    return array.astype(np.int8)
