"""The meta-learner: blend, calibration and thresholds, fitted on out-of-fold log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from hpastack.calibration import Calibration, fit_calibration
from hpastack.stack.blending import blend, blend_weights, improves_log_loss
from hpastack.stack.cache import json_from_array, json_to_array
from hpastack.stack.field_values import weights_of
from hpastack.stack.labelling import Labelling

# Log-odds that each member adds, shape (n_members, n, n_labels).
Added = np.ndarray | Sequence[np.ndarray]


@dataclass(frozen=True)
class MetaLearner:
    """Blend, calibration and thresholds that turn log-odds into probabilities and labels.

    Parameters
    ----------
    weights : ndarray of float, shape (n_members, n_labels)
        Weight of each member for each label; with all 0 the consensus is used.
    calibration : list of Calibration
        One per label.
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
        sample_weight: np.ndarray | None = None,
        *,
        calibration: str,
    ) -> MetaLearner:
        """Fit blend and calibration, without choosing thresholds.

        Parameters
        ----------
        y : ndarray of {0, 1}, shape (n, n_labels)
        consensus : ndarray of float, shape (n, n_labels)
            Out-of-fold log-odds.
        added : ndarray of float, shape (n_members, n, n_labels)
            Log-odds that each member adds.
        clusters, fold : ndarray of int, shape (n,)
        learnable : ndarray of bool, shape (n_labels,)
            Labels for which members are fitted.
        sample_weight : ndarray of float, shape (n,), optional
            Above 0.
        calibration : str
            Method, as in `hpastack.fit_calibration`. A label is not calibrated
            if the method, fitted on the other folds, does not lower the log
            loss of the folds.

        Returns
        -------
        MetaLearner
        """
        weights = blend_weights(
            y, consensus, added, clusters, fold, learnable, sample_weight=sample_weight
        )
        logits = blend(consensus, added, weights)
        fitted = [
            _guarded_calibration(
                logits[:, label], y[:, label], clusters, fold, calibration, sample_weight
            )
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
        sample_weight: np.ndarray | None = None,
    ) -> MetaLearner:
        """Choose thresholds, and the probabilities that they are applied to.

        Parameters
        ----------
        y, consensus, added, fold
            As in `blended`.
        policy : str
            As in `hpastack.best_thresholds`.
        has_cnns : bool
            Whether there is a consensus from which labels may be predicted.
        sample_weight : ndarray of float, shape (n,), optional

        Returns
        -------
        MetaLearner
        """
        probabilities = self.probabilities(consensus, added)
        start = expit(np.asarray(consensus, dtype=float))
        labelling = Labelling.chosen(
            y,
            probabilities,
            start,
            fold,
            policy,
            compare=has_cnns,
            sample_weight=sample_weight,
        )
        return replace(self, labelling=labelling)

    def probabilities(self, consensus: np.ndarray, added: Added) -> np.ndarray:
        """Return calibrated probabilities.

        Parameters
        ----------
        consensus, added
            As in `blended`, of any fields.

        Returns
        -------
        ndarray of float, shape (n, n_labels)
        """
        return expit(self.calibrated(blend(consensus, added, self.weights)))

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Return blended log-odds after calibration, shape (n, n_labels)."""
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
        """Return weights and calibration; thresholds are not kept, as they depend on the policy."""
        every = [*self.nested, self.whole]
        records = [[calibration.record() for calibration in of.calibration] for of in every]
        return {
            "weights": np.stack([of.weights for of in every]),
            "calibration": json_to_array(records),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> MetaLearners:
        """Return the object that `to_arrays` was called on, without thresholds."""
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
    logits: np.ndarray,
    y: np.ndarray,
    clusters: np.ndarray,
    fold: np.ndarray,
    method: str,
    sample_weight: np.ndarray | None,
) -> Calibration:
    """Fit the calibration of a label if it lowers the log loss on held-out folds.

    The log-odds come from logistic regressions and boosters, so most labels
    need no calibration; an unnecessary one would only make folds differ. The
    method that is used is the method that was tested: a label that has enough
    fields for a method only if no fold is held out gets Platt in all folds.
    """
    whole = fit_calibration(logits, y, clusters, method=method, sample_weight=sample_weight)
    if whole.method == "none":
        return whole
    calibrated = np.empty(len(y))
    for k in np.unique(fold):
        others = fold != k
        nested = fit_calibration(
            logits[others],
            y[others],
            clusters[others],
            method=method,
            sample_weight=weights_of(sample_weight, others),
        )
        if nested.method not in ("none", whole.method):
            return _guarded_calibration(logits, y, clusters, fold, nested.method, sample_weight)
        calibrated[~others] = nested(logits[~others])
    is_better = improves_log_loss(y, logits, calibrated, clusters, sample_weight)
    return whole if is_better else Calibration("none")
