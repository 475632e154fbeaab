"""From probabilities to labels: the source of the probabilities, and the thresholds.

The stack ranks fields better than the consensus from which it starts, and its
probabilities are better, but its labels need not be. So thresholds are chosen
for both, and a stack predicts the labels of the consensus if these score better
on folds on which the thresholds were not chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from hpastack.calibration import ThresholdSearch, apply_thresholds
from hpastack.metrics import macro_f1

# Thresholds are averaged as log-odds, which are infinite at 0 and 1.
_EDGE = 1e-9


@dataclass(frozen=True)
class Labelling:
    """Thresholds, and the source of the probabilities to which they are applied.

    Parameters
    ----------
    of_stack : ndarray of float, shape (n_labels,) or (n, n_labels)
        Thresholds for the probabilities of the stack, for all fields or for each.
    of_consensus : ndarray of float, the same shape
        Thresholds for the probabilities of the consensus.
    by_consensus : bool or ndarray of bool, shape (n,)
        Whether labels are predicted from the consensus.
    """

    of_stack: np.ndarray
    of_consensus: np.ndarray
    by_consensus: bool | np.ndarray = False

    @classmethod
    def chosen(
        cls,
        y: np.ndarray,
        probabilities: np.ndarray,
        consensus: np.ndarray,
        fold: np.ndarray,
        policy: str,
        *,
        compare: bool,
        sample_weight: np.ndarray | None = None,
    ) -> Labelling:
        """Choose thresholds, and the probabilities that they are applied to.

        Parameters
        ----------
        y : ndarray of {0, 1}, shape (n, n_labels)
        probabilities, consensus : ndarray of float, shape (n, n_labels)
            Of the stack and of the consensus, out of fold.
        fold : ndarray of int, shape (n,)
            Folds; each is scored with thresholds chosen on the others.
        policy : str
            As in `hpastack.best_thresholds`.
        compare : bool
            Whether labels may be predicted from the consensus. Without CNNs it
            is only the prevalence of a label.
        sample_weight : ndarray of float, shape (n,), optional

        Returns
        -------
        Labelling
        """
        chosen, scored = [], []
        for values in (probabilities, consensus):
            search = ThresholdSearch(y, values, policy)
            chosen.append(search.thresholds(sample_weight))
            if compare:
                of_others = thresholds_without_folds(search, fold, sample_weight)[fold]
                labels = apply_thresholds(values, of_others)
                scored.append(macro_f1(y, labels, sample_weight, absent="skip"))
        of_stack, of_consensus = chosen
        return cls(of_stack, of_consensus, compare and scored[1] > scored[0])

    @classmethod
    def at_one_half(cls, n_labels: int) -> Labelling:
        """Return a labelling with all thresholds 0.5, before they are chosen."""
        return cls(np.full(n_labels, 0.5), np.full(n_labels, 0.5))

    @classmethod
    def mean(cls, labellings: Sequence[Labelling]) -> Labelling:
        """Return the labelling of several sets of folds: mean thresholds, majority source.

        Thresholds are averaged as log-odds.
        """
        votes = np.mean([np.asarray(labelling.by_consensus) for labelling in labellings], axis=0)
        return cls(
            mean_thresholds([labelling.of_stack for labelling in labellings]),
            mean_thresholds([labelling.of_consensus for labelling in labellings]),
            votes > 0.5,
        )

    @property
    def thresholds(self) -> np.ndarray:
        """Thresholds from which labels are predicted."""
        return np.where(np.expand_dims(self.by_consensus, -1), self.of_consensus, self.of_stack)

    def values(self, probabilities: np.ndarray, consensus: np.ndarray) -> np.ndarray:
        """Return the probabilities that are thresholded, shape (n, n_labels)."""
        return np.where(np.expand_dims(self.by_consensus, -1), consensus, probabilities)

    def labels(
        self, probabilities: np.ndarray, consensus: np.ndarray, *, min_labels: int = 0
    ) -> np.ndarray:
        """Return the labels of fields.

        Parameters
        ----------
        probabilities, consensus : ndarray of float, shape (n, n_labels)
        min_labels : int, default=0
            As in `hpastack.apply_thresholds`.

        Returns
        -------
        ndarray of uint8, shape (n, n_labels)
        """
        values = self.values(probabilities, consensus)
        return apply_thresholds(values, self.thresholds, min_labels=min_labels)


def thresholds_without_folds(
    search: ThresholdSearch, fold: np.ndarray, sample_weight: np.ndarray | None
) -> np.ndarray:
    """Return for each fold the thresholds chosen on the others, shape (n_folds, n_labels).

    Parameters
    ----------
    search : ThresholdSearch
    fold : ndarray of int, shape (n,)
    sample_weight : ndarray of float, shape (n,), or None

    Returns
    -------
    ndarray of float
    """
    if sample_weight is None:
        return search.without_folds(fold)
    return np.stack([search.thresholds((fold != k) * sample_weight) for k in range(fold.max() + 1)])


def mean_thresholds(thresholds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the thresholds of several sets of folds, averaged as log-odds.

    Parameters
    ----------
    thresholds : sequence of ndarray of float
        All of one shape.

    Returns
    -------
    ndarray of float
    """
    if len(thresholds) == 1:
        return thresholds[0]
    return expit(np.mean([logit(np.clip(t, _EDGE, 1 - _EDGE)) for t in thresholds], axis=0))
