"""What one set of folds leaves behind: enough to score it and to predict new fields."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hpastack.stack.columns import FoldColumns
from hpastack.stack.consensus import Consensus
from hpastack.stack.meta_learner import MetaLearner


@dataclass(frozen=True)
class Fitted:
    """What one set of folds left behind: enough to predict new fields.

    Parameters
    ----------
    columns : list of FoldColumns
        One a fold.
    models : dict of (library, fold, label, bag) to bytes
        Boosters in their libraries' own formats.
    meta_learner : MetaLearner
        Fitted on all out-of-fold rows.
    """

    columns: list[FoldColumns]
    models: dict[tuple[str, int, int, int], bytes]
    meta_learner: MetaLearner

    def boosted(self, name: str, fold: int, weights) -> list[int]:
        """Return the labels with some weight that a library has boosters for without a fold."""
        labels = np.flatnonzero(weights).tolist()
        return [label for label in labels if (name, fold, label, 0) in self.models]


@dataclass(frozen=True)
class CrossFitted:
    """What one set of folds says of the training fields."""

    fold: np.ndarray  # (n,)
    base: NestedConsensus
    boosted: list[NestedBoosters]  # one a library
    meta_learners: list[MetaLearner]  # for each fold, of the others
    fitted: Fitted

    def nested(self, k: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return consensus and what each library adds, (n, n_labels), without row and fold k."""
        return self.base.margin[k], [part.added[k] for part in self.boosted]

    def out_of_fold(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return consensus and what each library adds, (n, n_labels), without the row's fold."""
        rows = np.arange(len(self.fold))
        added = [part.added[self.fold, rows] for part in self.boosted]
        return self.base.margin[self.fold, rows], added


@dataclass(frozen=True)
class NestedConsensus:
    """Where boosters start: the consensus out of fold.

    Parameters
    ----------
    margin : ndarray of float32, shape (n_folds, n, n_labels)
        ``margin[k, i]``: of a consensus that saw neither row i nor fold k.
    consensus : list of Consensus
        One a fold, fitted without it.
    """

    margin: np.ndarray
    consensus: list[Consensus]


@dataclass(frozen=True)
class NestedBoosters:
    """What one library adds to the consensus out of fold.

    Parameters
    ----------
    added : ndarray of float32, shape (n_folds, n, n_labels)
        ``added[k, i]``: of boosters that saw neither row i nor fold k. 0 for
        labels too rare to learn from.
    rounds : ndarray of int, shape (n_folds, n_labels)
        Trees that the boosters of a fold were given.
    models : dict of (fold, label, bag) to bytes
    trials : list of dict
        Settings of the trees that were tried, of `hpastack.stack.tuning`.
    """

    added: np.ndarray
    rounds: np.ndarray
    models: dict[tuple[int, int, int], bytes]
    trials: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class LeaveTwoOut:
    """What boosters without pairs of folds say.

    Parameters
    ----------
    added : ndarray of float32, shape (n_folds, n, n_labels)
        As `NestedBoosters`, but 0 where row i is of fold k.
    rounds : ndarray of int, shape (n_folds, n_labels)
        Chosen on the rows that are not of the fold.
    loss : ndarray of float, shape (n_folds, n_labels)
        Log loss, summed over these rows, relative to the consensus; 1 for
        labels too rare to learn from.
    """

    added: np.ndarray
    rounds: np.ndarray
    loss: np.ndarray
