"""Annotated labels and predictions, joined by image id if they have ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from hpastack.errors import InputError, counted, shorten
from hpastack.files import take_rows
from hpastack.stack import StackClassifier

#: Labels to display, by name or number.
Labels = str | int | Sequence[str | int] | None


@dataclass(frozen=True, eq=False)
class Annotated:
    """Annotated labels of fields.

    Parameters
    ----------
    names : list of str
        Label names.
    y : ndarray of {0, 1}, shape (n, n_labels)
    ids : Index or None
        Image ids, if the rows have any.
    """

    names: list[str]
    y: np.ndarray
    ids: pd.Index | None

    @classmethod
    def of(cls, y: Any, names: Sequence[str] | None = None) -> Annotated:
        """Return checked annotated labels; `names` default to those of the columns."""
        ids = y.index if isinstance(y, pd.DataFrame | pd.Series) else None
        if names is None and isinstance(y, pd.DataFrame):
            names = [str(name) for name in y.columns]
        values = np.asarray(y)
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or not len(values):
            raise InputError(f"y has shape {values.shape}; it must be (n_fields, n_labels)")
        if not np.isin(values, (0, 1)).all():
            raise InputError("y must contain only 0 and 1")
        names = list(map(str, range(values.shape[1]))) if names is None else list(map(str, names))
        if len(names) != values.shape[1]:
            raise InputError(
                f"names has length {len(names)}; y has {counted(values.shape[1], 'label')}"
            )
        return cls(names, values.astype(np.int8), ids)

    @classmethod
    def of_stack(cls, stack: StackClassifier, y: Any) -> Annotated:
        """Return checked annotated labels of the training fields of a stack."""
        check_is_fitted(stack, "fitted_")
        ids = stack.oof_probabilities_.index
        if isinstance(y, pd.DataFrame):
            y = take_rows(y, ids, "y").rename(columns=str)
            missing = [name for name in stack.labels_ if name not in y.columns]
            if missing:
                raise InputError(f"labels of the stack are missing from y: {shorten(missing)}")
            y = y[stack.labels_]
        if np.shape(y) != stack.oof_probabilities_.shape:
            raise InputError(
                f"y has shape {np.shape(y)}; the stack was fitted on "
                f"{counted(len(ids), 'field')} and {counted(len(stack.labels_), 'label')}"
            )
        return cls(stack.labels_, cls.of(np.asarray(y)).y, ids)

    def matching(self, values: Any, name: str) -> np.ndarray:
        """Return predictions as an array in this order of rows, shape (n, n_labels)."""
        if self.ids is not None and isinstance(values, pd.DataFrame | pd.Series):
            values = take_rows(pd.DataFrame(values), self.ids, name)
        array = np.asarray(values)
        array = array[:, None] if array.ndim == 1 else array
        if array.shape != self.y.shape:
            raise InputError(f"{name} have shape {array.shape}, y has {self.y.shape}")
        return array

    def probabilities(self, values: Any) -> np.ndarray:
        """Return probabilities as `matching` does, checked to be in [0, 1]."""
        array = self.matching(values, "probabilities").astype(float)
        if not ((array >= 0) & (array <= 1)).all():
            raise InputError("probabilities must be between 0 and 1")
        return array

    def groups(self, values: Any) -> np.ndarray:
        """Return the cluster of each row; for None, each row is its own cluster."""
        if values is None:
            return np.arange(len(self.y))
        if self.ids is not None and isinstance(values, pd.Series):
            values = take_rows(values, self.ids, "groups")
        array = np.asarray(values)
        if array.shape != (len(self.y),):
            raise InputError(f"groups have shape {array.shape}, not ({len(self.y)},)")
        return array

    def chosen(self, labels: Labels) -> list[int]:
        """Return the positions of labels, passed as names or numbers."""
        requested = [labels] if isinstance(labels, str | int | np.integer) else list(labels or ())
        return [self._position(label) for label in requested]

    def commonest(self, n: int) -> list[int]:
        """Return the positions of the `n` commonest labels with positives."""
        positives = self.y.sum(axis=0, dtype=int)
        order = np.argsort(-positives, kind="stable")[:n]
        return [int(k) for k in order if positives[k]]

    def _position(self, label: str | int) -> int:
        if isinstance(label, str):
            if label not in self.names:
                raise InputError(f"unknown label {label!r}; choose from {shorten(self.names)}")
            return self.names.index(label)
        if not 0 <= label < len(self.names):
            raise InputError(f"unknown label {label}; use a number from 0 to {len(self.names) - 1}")
        return int(label)


def as_labels(values: ArrayLike) -> np.ndarray:
    """Return predicted labels as integers, checked to be 0 or 1."""
    array = np.asarray(values)
    if not np.isin(array, (0, 1)).all():
        raise InputError("predicted labels must be 0 or 1")
    return array.astype(np.int8)
