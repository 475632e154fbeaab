"""Results of fits: all that is needed to score a stack and to predict new fields.

Results that the cache keeps have `to_arrays` and `from_arrays`; the names of the arrays are those
in the files of the cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpastack.stack.cache import json_from_array, json_to_array
from hpastack.stack.columns import FoldColumns
from hpastack.stack.consensus import Consensus
from hpastack.stack.members import ALL_LABELS
from hpastack.stack.meta_learner import MetaLearner


@dataclass(frozen=True)
class Fitted:
    """Fitted models of one set of folds: all that is needed to predict new fields.

    Parameters
    ----------
    columns : list of FoldColumns
        One per fold.
    models : dict of (member, fold, label, bag) to bytes
        In the formats of their libraries. The label is `ALL_LABELS` for models
        of all labels.
    meta_learner : MetaLearner
        Fitted on all out-of-fold rows.
    learned : list of int
        Labels for which a member was fitted, ascending. Models of all labels
        do not record them.
    """

    columns: list[FoldColumns]
    models: dict[tuple[str, int, int, int], bytes]
    meta_learner: MetaLearner
    learned: list[int]

    def models_of(self, member: str, fold: int, label: int) -> list[bytes]:
        """Return the models of a label with a fold held out, one per bag; may be empty."""
        place = label if (member, fold, label, 0) in self.models else ALL_LABELS
        bags: list[bytes] = []
        while (member, fold, place, len(bags)) in self.models:
            bags.append(self.models[member, fold, place, len(bags)])
        return bags


@dataclass(frozen=True)
class NestedLogOdds:
    """Log-odds of the training fields, by models fitted without the field's fold and another.

    Parameters
    ----------
    fold : ndarray of int, shape (n,)
    margin : ndarray of float32, shape (n_folds, n, n_labels)
        ``margin[k, i]``: from a consensus fitted without the fold of row i and
        without fold k.
    added : list of ndarray of float32, shape (n_folds, n, n_labels)
        Log-odds that each member adds to it.
    """

    fold: np.ndarray
    margin: np.ndarray
    added: list[np.ndarray]

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.margin)

    def without(self, k: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return consensus and added log-odds, (n, n_labels), without the row's fold and fold k."""
        return self.margin[k], [added[k] for added in self.added]

    def out_of_fold(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return consensus and added log-odds, (n, n_labels), without the row's fold."""
        rows = np.arange(len(self.fold))
        return self.margin[self.fold, rows], [added[self.fold, rows] for added in self.added]


@dataclass(frozen=True)
class CrossFitted:
    """Results of one set of folds for the training fields.

    Parameters
    ----------
    log_odds : NestedLogOdds
        Members in the order of the settings.
    trials : dict of str to list of dict
        By member, from `hpastack.stack.tuning`.
    meta_learners : list of MetaLearner
        One per fold, fitted on the other folds.
    fitted : Fitted
    seconds : dict of str to float
        Wall-clock time of fitting each member; for a member from the cache, the time of its
        original fit.
    """

    log_odds: NestedLogOdds
    trials: dict[str, list[dict[str, Any]]]
    meta_learners: list[MetaLearner]
    fitted: Fitted
    seconds: dict[str, float]


@dataclass(frozen=True)
class NestedConsensus:
    """Initial margin of boosters: the consensus with each fold and each pair of folds held out.

    Parameters
    ----------
    margins : dict of tuple to ndarray of float32, shape (n, n_labels)
        Log-odds of all rows, by the held-out folds.
    consensus : list of Consensus
        One per fold, fitted without it.
    """

    margins: dict[tuple[int, ...], np.ndarray]
    consensus: list[Consensus]

    def nested_margin(self, fold: np.ndarray) -> np.ndarray:
        """Return the log-odds for each fold, as in `NestedLogOdds`.

        Parameters
        ----------
        fold : ndarray of int, shape (n,)
            Folds it was fitted with.

        Returns
        -------
        ndarray of float32, shape (n_folds, n, n_labels)
        """
        n_folds = len(self.consensus)
        nested = np.empty((n_folds, *self.margins[0,].shape), dtype=np.float32)
        for k, j in np.ndindex(n_folds, n_folds):
            rows = fold == j
            nested[k, rows] = self.margins[(k,) if j == k else (min(j, k), max(j, k))][rows]
        return nested

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the margins as ``without_<fold>[_<fold>]``, and the coefficients."""
        arrays = {"without_" + "_".join(map(str, k)): values for k, values in self.margins.items()}
        arrays["consensus"] = np.stack([of_fold.coefficients for of_fold in self.consensus])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> NestedConsensus:
        """Return the object that `to_arrays` was called on."""
        margins = {
            tuple(int(k) for k in name.split("_")[1:]): values
            for name, values in arrays.items()
            if name.startswith("without_")
        }
        return cls(margins, [Consensus(coefficients) for coefficients in arrays["consensus"]])


@dataclass(frozen=True)
class NestedBoosters:
    """Log-odds that one member adds to the consensus out of fold, and its models.

    Parameters
    ----------
    added : ndarray of float32, shape (n_folds, n, n_labels)
        ``added[k, i]``: from boosters fitted without the fold of row i and
        without fold k. 0 for labels too rare to learn from.
    rounds : ndarray of int, shape (n_folds, n_labels)
        Number of trees of the boosters of a fold.
    models : dict of (fold, label, bag) to bytes
        The label is `ALL_LABELS` for models of all labels.
    trials : list of dict
        Tree settings that were tried, from `hpastack.stack.tuning`.
    seconds : float, default=0.0
        Wall-clock time of the fits.
    """

    added: np.ndarray
    rounds: np.ndarray
    models: dict[tuple[int, int, int], bytes]
    trials: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return its arrays; the models are concatenated, with their ends and keys."""
        keys = sorted(self.models)
        return {
            "added": self.added,
            "rounds": self.rounds,
            "trials": json_to_array(self.trials),
            "seconds": np.array(self.seconds),
            "model_keys": np.array(keys, dtype=np.int64).reshape(-1, 3),
            "model_ends": np.cumsum([len(self.models[key]) for key in keys], dtype=np.int64),
            "model_bytes": np.frombuffer(
                b"".join(self.models[key] for key in keys), dtype=np.uint8
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> NestedBoosters:
        """Return the object that `to_arrays` was called on."""
        content, ends = arrays["model_bytes"].tobytes(), arrays["model_ends"].tolist()
        models = {}
        for key, start, end in zip(arrays["model_keys"].tolist(), [0, *ends], ends):
            fold, label, bag = key
            models[fold, label, bag] = content[start:end]
        trials = json_from_array(arrays["trials"])
        # Files of earlier versions have no time.
        seconds = float(arrays.get("seconds", 0.0))
        return cls(arrays["added"], arrays["rounds"], models, trials, seconds)


@dataclass(frozen=True)
class LeaveTwoOut:
    """Log-odds that boosters fitted without pairs of folds add.

    Parameters
    ----------
    added : ndarray of float32, shape (n_folds, n, n_labels)
        As `NestedBoosters`, but 0 where row i is in fold k.
    rounds : ndarray of int, shape (n_folds, n_labels)
        Chosen on the rows outside the fold.
    loss : ndarray of float, shape (n_folds, n_labels)
        Log loss, summed over these rows, relative to the consensus; 1 for
        labels too rare to learn from.
    """

    added: np.ndarray
    rounds: np.ndarray
    loss: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return its arrays by name."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> LeaveTwoOut:
        """Return the object that `to_arrays` was called on."""
        return cls(**arrays)


@dataclass(frozen=True)
class BaseLogOdds:
    """Log-odds of new fields by consensus and members, averaged over folds.

    Parameters
    ----------
    consensus : ndarray of float, shape (n, n_labels)
    added : ndarray of float, shape (n_members, n, n_labels)
        0 where a member has no weight for a label.
    """

    consensus: np.ndarray
    added: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return its arrays by name."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> BaseLogOdds:
        """Return the object that `to_arrays` was called on."""
        return cls(**arrays)
