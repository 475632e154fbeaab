"""What the models without one fold see of new fields, and what they say of them."""

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
    """What the models of a member see of some labels."""

    def added(self, content: bytes) -> np.ndarray:
        """Return what a kept model adds to the margin of each label, shape (n, n_labels)."""
        ...

    def contributions(self, content: bytes) -> np.ndarray:
        """Return what each column adds, of the only label, shape (n, n_columns + 1).

        The last column is what is added whatever the columns hold.
        """
        ...


class SeenColumns:
    """What the models without one fold see of new fields.

    Parameters
    ----------
    columns : LearnedColumns
        Of the fold.
    inputs : ColumnBlocks
    margin : ndarray of float, shape (n, n_labels)
        The consensus without the fold.
    members : collection of str
        Those that are asked for.
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
        """Return the labels in groups that a member predicts at once."""
        if member == FOREST:
            return [labels] if labels else []
        return [[label] for label in labels]

    def of(self, member: str, labels: list[int]) -> Seen:
        """Return what a member sees of a group of `by_model`, or of one label."""
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
    """What a booster sees of one label; its columns are made where they are needed."""

    member: str
    columns: Callable[[], np.ndarray]

    def added(self, content: bytes) -> np.ndarray:
        """Return what a kept booster adds, shape (n, 1)."""
        return library_of(self.member).predict(content, self.columns())[:, None]

    def contributions(self, content: bytes) -> np.ndarray:
        """Return SHAP values of its columns, and their mean."""
        return library_of(self.member).contributions(content, self.columns())


@dataclass(frozen=True)
class SeenByForest:
    """What the forest sees; it adds nothing to labels that it was not grown for."""

    shared: np.ndarray
    margin: np.ndarray
    labels: list[int]

    def added(self, content: bytes) -> np.ndarray:
        """Return the log-odds of a kept forest less the margin, shape (n, n_labels)."""
        trees = Forest.of_bytes(content)
        log_odds = trees.log_odds(self.shared, trees.arrays.pull)
        added = np.zeros(self.margin.shape)
        for place, label in enumerate(self.labels):
            if (position := _position(trees, label)) is not None:
                added[:, place] = log_odds[:, position] - self.margin[:, place]
        return added

    def contributions(self, content: bytes) -> np.ndarray:
        """Return what is taken from the margin, then what each shared column adds."""
        trees = Forest.of_bytes(content)
        (label,) = self.labels
        position = _position(trees, label)
        if position is None:
            return np.zeros((len(self.shared), self.shared.shape[1] + 2))
        return np.column_stack([-self.margin, trees.contributions(self.shared, position)])


def _position(trees: Trees, label: int) -> int | None:
    found = np.flatnonzero(trees.arrays.labels == label)
    return int(found[0]) if len(found) else None
