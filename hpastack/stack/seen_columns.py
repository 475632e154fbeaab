"""Inputs of the models with one fold held out for new fields, and their outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from hpastack.boosting import Forest, Trees
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.columns import LearnedColumns
from hpastack.stack.members import FOREST, POOLED, library_of
from hpastack.stack.pairs import Pairs


class Seen(Protocol):
    """Inputs of the models of a member for some labels."""

    def added(self, content: bytes) -> np.ndarray:
        """Return the log-odds that a model adds for each label, shape (n, n_labels)."""
        ...

    def contributions(self, content: bytes) -> np.ndarray:
        """Return the contribution of each column to a single label, shape (n, n_columns + 1).

        The last column is the part that does not depend on the columns.
        """
        ...


class SeenColumns:
    """Inputs of the models with one fold held out, for new fields.

    Parameters
    ----------
    columns : LearnedColumns
        Columns of the fold.
    inputs : ColumnBlocks
    margin : ndarray of float, shape (n, n_labels)
        The consensus with the fold held out.
    members : collection of str
        Members whose inputs are needed.
    """

    def __init__(
        self,
        columns: LearnedColumns,
        inputs: ColumnBlocks,
        margin: np.ndarray,
        members: Collection[str],
    ) -> None:
        self._margin = margin = margin.astype(np.float32)
        self._inputs, self._chosen = inputs, columns.chosen
        self._shared = columns.shared(inputs, margin)
        if POOLED in members:
            self._pairs = Pairs(columns.pairs, inputs, margin, self._shared)

    def by_model(self, member: str, labels: list[int]) -> list[list[int]]:
        """Return the labels in groups that a member predicts together."""
        if member == FOREST:
            return [labels] if labels else []
        return [[label] for label in labels]

    def of(self, member: str, labels: list[int]) -> Seen:
        """Return the inputs of a member for a group of `by_model`, or for one label."""
        if member == FOREST:
            return SeenByForest(self._shared, self._margin[:, labels], labels)
        (label,) = labels
        if member == POOLED:
            return SeenByBooster(member, partial(self._pairs.of_label, label))
        own, chosen = self._inputs.own(label), self._chosen[label]
        return SeenByBooster(member, partial(_own_and_chosen, own, self._shared, chosen))


def _own_and_chosen(own: np.ndarray, shared: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.concatenate([own, shared[:, chosen]], axis=1)


@dataclass(frozen=True)
class SeenByBooster:
    """Inputs of a booster for one label; the columns are computed on demand."""

    member: str
    columns: Callable[[], np.ndarray]

    def added(self, content: bytes) -> np.ndarray:
        """Return the log-odds that a booster adds, shape (n, 1)."""
        return library_of(self.member).predict(content, self.columns())[:, None]

    def contributions(self, content: bytes) -> np.ndarray:
        """Return SHAP values of its columns, and their mean."""
        return library_of(self.member).contributions(content, self.columns())


@dataclass(frozen=True)
class SeenByForest:
    """Inputs of the forest; it adds 0 to labels for which it was not grown."""

    shared: np.ndarray
    margin: np.ndarray
    labels: list[int]

    def added(self, content: bytes) -> np.ndarray:
        """Return the log-odds of a forest minus the margin, shape (n, n_labels)."""
        trees = Forest.of_bytes(content)
        log_odds = trees.log_odds(self.shared, trees.arrays.pull)
        added = np.zeros(self.margin.shape)
        for place, label in enumerate(self.labels):
            if (position := _position(trees, label)) is not None:
                added[:, place] = log_odds[:, position] - self.margin[:, place]
        return added

    def contributions(self, content: bytes) -> np.ndarray:
        """Return the subtracted margin, then the contribution of each shared column."""
        trees = Forest.of_bytes(content)
        (label,) = self.labels
        position = _position(trees, label)
        if position is None:
            return np.zeros((len(self.shared), self.shared.shape[1] + 2))
        return np.column_stack([-self.margin, trees.contributions(self.shared, position)])


def _position(trees: Trees, label: int) -> int | None:
    positions = np.flatnonzero(trees.arrays.labels == label)
    return int(positions[0]) if len(positions) else None
