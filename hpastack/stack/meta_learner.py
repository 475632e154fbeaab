"""The meta-learner: blend, calibration and thresholds, fitted on out-of-fold log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from hpastack.calibration import Calibration, fit_calibration
from hpastack.stack.blending import blend, blend_weights, improves_log_loss
from hpastack.stack.cache import json_from_array, json_to_array
from hpastack.stack.labelling import Labelling

# What each member adds: shape (n_members, n, n_labels).
Added = np.ndarray | Sequence[np.ndarray]


@dataclass(frozen=True)
class MetaLearner:
    """What turns log-odds of consensus and boosters into probabilities and labels.

    Parameters
    ----------
    weights : ndarray of float, shape (n_members, n_labels)
        Weight of each member for each label; 0 leaves the consensus.
    calibration : list of Calibration
        One a label.
    labelling : Labelling
    """

    weights: np.ndarray
    calibration: list[Calibration]
    labelling: Labelling

    @classmethod
    def blended(
        cls,
        y: np.ndarray,
        consensus: np.ndarray,
        added: Added,
        clusters: np.ndarray,
        fold: np.ndarray,
        learnable: np.ndarray,
        *,
        calibration: str,
    ) -> MetaLearner:
        """Fit blend and calibration; thresholds are not chosen yet.

        Parameters
        ----------
        y : ndarray of {0, 1}, shape (n, n_labels)
        consensus : ndarray of float, shape (n, n_labels)
            Out-of-fold log-odds.
        added : ndarray of float, shape (n_members, n, n_labels)
            What each member adds.
        clusters, fold : ndarray of int, shape (n,)
        learnable : ndarray of bool, shape (n_labels,)
            Labels that members are fitted for.
        calibration : str
            As `hpastack.fit_calibration`. A label keeps its log-odds where
            the same, fitted on the other folds, does not lower the log loss
            of a fold.

        Returns
        -------
        MetaLearner
        """
        weights = blend_weights(y, consensus, added, clusters, fold, learnable)
        logits = blend(consensus, added, weights)
        fitted = [
            _guarded_calibration(logits[:, label], y[:, label], clusters, fold, calibration)
            for label in range(y.shape[1])
        ]
        return cls(weights, fitted, Labelling.at_one_half(y.shape[1]))

    def thresholded(
        self,
        y: np.ndarray,
        consensus: np.ndarray,
        added: Added,
        fold: np.ndarray,
        policy: str,
        has_cnns: bool,
    ) -> MetaLearner:
        """Choose how labels are given.

        Parameters
        ----------
        y, consensus, added, fold
            As for `blended`.
        policy : str
            As `hpastack.best_thresholds`.
        has_cnns : bool
            Whether there is a consensus that labels may be given by.

        Returns
        -------
        MetaLearner
        """
        probabilities = self.probabilities(consensus, added)
        start = expit(np.asarray(consensus, dtype=float))
        labelling = Labelling.chosen(y, probabilities, start, fold, policy, compare=has_cnns)
        return replace(self, labelling=labelling)

    def probabilities(self, consensus: np.ndarray, added: Added) -> np.ndarray:
        """Return calibrated probabilities.

        Parameters
        ----------
        consensus, added
            As for `blended`, of any fields.

        Returns
        -------
        ndarray of float, shape (n, n_labels)
        """
        return expit(self.calibrated(blend(consensus, added, self.weights)))

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated log-odds of blended ones, shape (n, n_labels)."""
        return np.column_stack(
            [calibration(logits[:, k]) for k, calibration in enumerate(self.calibration)]
        )


@dataclass(frozen=True)
class MetaLearners:
    """The meta-learners of one set of folds.

    Parameters
    ----------
    nested : list of MetaLearner
        One per fold, fitted on the other folds.
    whole : MetaLearner
        Fitted on all rows.
    """

    nested: list[MetaLearner]
    whole: MetaLearner

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return weights and calibration; thresholds are chosen anew for every policy."""
        every = [*self.nested, self.whole]
        records = [[calibration.record() for calibration in of.calibration] for of in every]
        return {
            "weights": np.stack([of.weights for of in every]),
            "calibration": json_to_array(records),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> MetaLearners:
        """Return what `to_arrays` gave the arrays of; thresholds are not chosen yet."""
        *nested, whole = (
            MetaLearner(
                weights,
                [Calibration.from_record(of_label) for of_label in records],
                Labelling.at_one_half(len(records)),
            )
            for weights, records in zip(arrays["weights"], json_from_array(arrays["calibration"]))
        )
        return cls(nested, whole)


def _guarded_calibration(
    logits: np.ndarray, y: np.ndarray, clusters: np.ndarray, fold: np.ndarray, method: str
) -> Calibration:
    """Calibrate a label if that helps on the folds it was not fitted on.

    The log-odds are those of logistic regressions and boosters, so most labels
    need no change; one that is not needed would only make folds differ. What is
    used is what was tried: a label with enough fields for a method only as long
    as no fold is left out gets Platt in all of them.
    """
    whole = fit_calibration(logits, y, clusters, method=method)
    if whole.method == "none":
        return whole
    calibrated = np.empty(len(y))
    for k in np.unique(fold):
        others = fold != k
        nested = fit_calibration(logits[others], y[others], clusters[others], method=method)
        if nested.method not in ("none", whole.method):
            return _guarded_calibration(logits, y, clusters, fold, nested.method)
        calibrated[~others] = nested(logits[~others])
    return whole if improves_log_loss(y, logits, calibrated, clusters) else Calibration("none")
