"""Members of the blend: what is fitted beside the consensus, to one label or to all of them.

A member adds log-odds to the consensus. Those of the boosting libraries are
fitted to each label by itself; the pooled one is fitted once to all pairs of
field and label.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from hpastack.boosting import (
    LIBRARIES,
    AtStage,
    BoostingLibrary,
    SharedBins,
    TreeSettings,
    library,
)
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.columns import LearnedColumns
from hpastack.stack.pairs import Pairs

#: The member that is fitted to all labels together.
POOLED = "pooled"
_POOLED_LIBRARY = "lightgbm"

#: The members by name, with the library whose models they are made of.
MEMBERS = ChainMap({POOLED: LIBRARIES[_POOLED_LIBRARY]}, LIBRARIES)

#: Stands for a label where a model is that of all.
ALL_LABELS = -1

#: Trees of the pooled booster: it has as many rows as all labels together, and few columns.
POOLED_TREES = TreeSettings(
    rounds=80, learning_rate=0.2, leaves=31, min_leaf=50, l2=20.0, extra_trees=False
)

# Pairs that the consensus all but rules out are most of them. A part of their negatives is left
# out, and the odds of those that stay are raised by as much, so that nothing learned is shifted.
_RULED_OUT = -3.0
_PART_KEPT = 0.125


def library_of(member: str) -> BoostingLibrary:
    """Return the library whose models a member is made of.

    Parameters
    ----------
    member : str
        One of `MEMBERS`.

    Returns
    -------
    BoostingLibrary

    Raises
    ------
    InputError
        If there is none of that name, or it is not installed.
    """
    return library(_POOLED_LIBRARY if member == POOLED else member)


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
        margin = margin.astype(np.float32)
        self._inputs, self._chosen = inputs, columns.chosen
        self._shared = columns.shared(inputs, margin)
        if POOLED in members:
            self._pairs = Pairs(columns.pairs, inputs, margin, self._shared)

    def of(self, member: str, label: int) -> Callable[[], np.ndarray]:
        """Return what makes the columns of a member for a label, shape (n, n_columns)."""
        if member == POOLED:
            return partial(self._pairs.of_label, label)
        return partial(_own_and_chosen, self._inputs.own(label), self._shared, self._chosen[label])


def _own_and_chosen(own: np.ndarray, shared: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.concatenate([own, shared[:, chosen]], axis=1)


class Rows(Protocol):
    """What one fit of a member sees, of all fields.

    Attributes
    ----------
    labels : list of int
        Labels it predicts.
    """

    @property
    def labels(self) -> list[int]: ...  # noqa: D102

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Return the columns of some fields, those of one label below the other."""
        ...

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and margin of some fields, each of shape (n_rows, n_labels)."""
        ...

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None,
    ) -> Any:
        """Fit a model to some fields; see `BoostingLibrary.fit`."""
        ...


@dataclass(frozen=True)
class OneLabel:
    """What a member that is fitted to one label sees.

    Parameters
    ----------
    member : str
    label : int
    bins : SharedBins
        Of the training part.
    own : ndarray of float32, shape (n, n_own)
    shared : ndarray of float32, shape (n, n_shared)
    chosen : ndarray of int
        Which of the shared columns the label sees.
    y : ndarray of {0, 1}, shape (n,)
    margin : ndarray of float32, shape (n,)
    """

    member: str
    label: int
    bins: SharedBins
    own: np.ndarray
    shared: np.ndarray
    chosen: np.ndarray
    y: np.ndarray
    margin: np.ndarray

    @property
    def labels(self) -> list[int]:
        """The label alone."""
        return [self.label]

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Return own and chosen shared columns, shape (n_rows, n_columns)."""
        return np.concatenate([self.own[rows], self.shared[np.ix_(rows, self.chosen)]], axis=1)

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and margin, each of shape (n_rows, 1)."""
        return self.y[rows, None], self.margin[rows, None]

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None = None,
    ) -> Any:
        """Fit a model of the library to some fields."""
        return self.bins.fit(
            self.member,
            self.columns(rows),
            self.y[rows].astype(np.float32),
            self.margin[rows],
            self.chosen,
            settings,
            seed=seed,
            stages=stages,
            at_stage=at_stage,
        )


@dataclass(frozen=True)
class AllLabels:
    """What the pooled booster sees.

    Parameters
    ----------
    labels : list of int
    pairs : Pairs
    y : ndarray of {0, 1}, shape (n, n_labels)
        Of all labels, as `margin`.
    margin : ndarray of float32, shape (n, n_labels)
    """

    labels: list[int]
    pairs: Pairs
    y: np.ndarray
    margin: np.ndarray

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Return the columns of all pairs, shape (n_labels * n_rows, n_columns)."""
        return np.concatenate([self.pairs.of_label(label, rows) for label in self.labels])

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and margin of `labels`, each of shape (n_rows, n_labels)."""
        return self.y[rows][:, self.labels], self.margin[rows][:, self.labels]

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None = None,
    ) -> Any:
        """Fit one booster to all pairs but a part of those that are as good as ruled out."""
        rng = np.random.default_rng(seed)
        x, y, margin = [], [], []
        for label in self.labels:
            of_label, target = self.margin[rows, label], self.y[rows, label]
            ruled_out = of_label < _RULED_OUT
            kept = ~ruled_out | (target == 1) | (rng.random(len(rows)) < _PART_KEPT)
            x.append(self.pairs.of_label(label, rows[kept]))
            y.append(target[kept])
            margin.append(of_label[kept] - np.log(_PART_KEPT) * ruled_out[kept])
        return library_of(POOLED).fit(
            np.concatenate(x),
            np.concatenate(y).astype(np.float32),
            np.concatenate(margin).astype(np.float32),
            settings,
            seed=seed,
            stages=stages,
            at_stage=at_stage,
            n_monotone=self.pairs.n_logits if settings.monotone else 0,
            bins=None,
        )
