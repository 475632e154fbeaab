"""From probabilities to labels: whose probabilities, and from which thresholds.

The stack ranks fields better than the consensus it starts from, and its
probabilities are better; labels need not be. So both are given thresholds, and
the labels of a stack are those of the consensus where these score better on
folds that the thresholds were not chosen on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from hpastack.calibration import ThresholdSearch, apply_thresholds
from hpastack.metrics import macro_f1

# Thresholds are averaged as log-odds, which 0 and 1 have none of.
_EDGE = 1e-9


@dataclass(frozen=True)
class Labelling:
    """How labels are given to fields.

    Parameters
    ----------
    of_stack : ndarray of float, shape (n_labels,) or (n, n_labels)
        Thresholds of the stack's probabilities, for all fields or for each.
    of_consensus : ndarray of float, the same shape
        Thresholds of the probabilities of the consensus.
    by_consensus : bool or ndarray of bool, shape (n,)
        Whether labels are given by the consensus.
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
    ) -> Labelling:
        """Choose thresholds, and by whose probabilities labels are given.

        Parameters
        ----------
        y : ndarray of {0, 1}, shape (n, n_labels)
        probabilities, consensus : ndarray of float, shape (n, n_labels)
            Of the stack and of the consensus, out of fold.
        fold : ndarray of int, shape (n,)
            Folds for which thresholds are tried that were chosen on the others.
        policy : str
            As `hpastack.best_thresholds`.
        compare : bool
            Whether labels may be given by the consensus. Without CNNs it says
            no more than how frequent a label is.

        Returns
        -------
        Labelling
        """
        chosen, scored = [], []
        for values in (probabilities, consensus):
            search = ThresholdSearch(y, values, policy)
            chosen.append(search.thresholds())
            if compare:
                of_others = search.without_folds(fold)[fold]
                scored.append(macro_f1(y, apply_thresholds(values, of_others), absent="skip"))
        of_stack, of_consensus = chosen
        return cls(of_stack, of_consensus, compare and scored[1] > scored[0])

    @classmethod
    def at_one_half(cls, n_labels: int) -> Labelling:
        """Return one whose thresholds are not chosen yet: all are 0.5."""
        return cls(np.full(n_labels, 0.5), np.full(n_labels, 0.5))

    @classmethod
    def mean(cls, labellings: Sequence[Labelling]) -> Labelling:
        """Return that of several sets of folds: mean thresholds, and the source of most.

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
        """Those that labels are given from."""
        return np.where(np.expand_dims(self.by_consensus, -1), self.of_consensus, self.of_stack)

    def values(self, probabilities: np.ndarray, consensus: np.ndarray) -> np.ndarray:
        """Return the probabilities that labels are given by, shape (n, n_labels)."""
        return np.where(np.expand_dims(self.by_consensus, -1), consensus, probabilities)

    def labels(
        self, probabilities: np.ndarray, consensus: np.ndarray, *, min_labels: int = 0
    ) -> np.ndarray:
        """Give labels to fields.

        Parameters
        ----------
        probabilities, consensus : ndarray of float, shape (n, n_labels)
        min_labels : int, default=0
            As `hpastack.apply_thresholds`.

        Returns
        -------
        ndarray of uint8, shape (n, n_labels)
        """
        values = self.values(probabilities, consensus)
        return apply_thresholds(values, self.thresholds, min_labels=min_labels)


def mean_thresholds(thresholds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the thresholds of several sets of folds, averaged as log-odds.

    Parameters
    ----------
    thresholds : sequence of ndarray of float
        Of one shape.

    Returns
    -------
    ndarray of float
    """
    if len(thresholds) == 1:
        return thresholds[0]
    return expit(np.mean([logit(np.clip(t, _EDGE, 1 - _EDGE)) for t in thresholds], axis=0))
