"""The consensus of the CNNs: the initial margin of the boosters.

For each label, a weighted mean of the logits of the CNNs with a fitted slope and
offset; the weights are shrunk towards equal weights. Without CNNs it is the
prior of the label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpastack.calibration import STRENGTH, fields_per_cluster, fit_logistic, weighted

#: Probabilities are clipped this far from 0 and 1, so that one overconfident network cannot
#: outvote all others.
CLIP = 0.01

#: Cells of the grid on which the common line of all labels is fitted (n times n_labels values).
_GRID_CELLS = 4096

#: Regularisation of the weights towards equal, in units of information (see `fit_logistic`).
WEIGHT_STRENGTH = 100.0


def log_odds_bound() -> float:
    """Return the bound at which the log-odds of CNNs are clipped."""
    return float(np.log((1 - CLIP) / CLIP))


def clipped_logits(values: np.ndarray, *, are_logits: bool) -> np.ndarray:
    """Return the output of a CNN as clipped log-odds.

    Parameters
    ----------
    values : ndarray of float
        Probabilities (label sets are probabilities of 0 and 1), or logits.
    are_logits : bool

    Returns
    -------
    ndarray of float64
        Within ``log(CLIP / (1 - CLIP))`` of 0.
    """
    values = np.asarray(values, dtype=float)
    bound = log_odds_bound()
    if are_logits:
        return np.clip(values, -bound, bound)
    values = np.clip(values, CLIP, 1 - CLIP)
    return np.log(values / (1 - values))


@dataclass(frozen=True)
class Consensus:
    """A fitted consensus.

    Parameters
    ----------
    coefficients : ndarray of float, shape (n_labels, 2 + n_cnns)
        For each label the slope of the mean logit, the offset, and the weight
        of each CNN's deviation from the mean. Without CNNs only the offset is
        used.
    """

    coefficients: np.ndarray

    @classmethod
    def fit(
        cls,
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        *,
        strength: float = WEIGHT_STRENGTH,
        sample_weight: np.ndarray | None = None,
    ) -> Consensus:
        """Fit the consensus of every label.

        A slope and an offset are fitted to all labels together; those of each
        label are shrunk towards them as if each cluster with the label were one
        field.

        Parameters
        ----------
        logits : ndarray of float, shape (n_cnns, n, n_labels)
            Clipped log-odds; `n_cnns` may be 0.
        y : ndarray of {0, 1}, shape (n, n_labels)
        clusters : ndarray of int, shape (n,)
        strength : float, default=100
            Regularisation of the weights towards equal.
        sample_weight : ndarray of float, shape (n,), optional
            Number of fields that each row counts for, above 0.

        Returns
        -------
        Consensus
        """
        n_cnns, n, n_labels = logits.shape
        coefficients = np.zeros((n_labels, 2 + n_cnns))
        if n_cnns == 0:
            # Half a positive and half a negative field keep the prior of an absent label finite.
            positives = y.sum(axis=0) if sample_weight is None else sample_weight @ y
            total = n if sample_weight is None else sample_weight.sum()
            # Sums of fractions may exceed their total by rounding.
            negatives = np.maximum(total - positives, 0)
            coefficients[:, 1] = np.log((positives + 0.5) / (negatives + 0.5))
            return cls(coefficients)
        common = _common_line(logits.mean(axis=0), y, sample_weight)
        prior = np.r_[common, np.zeros(n_cnns)]
        for label in range(n_labels):
            alike = fields_per_cluster(y[:, label], clusters, sample_weight)
            pull = np.r_[STRENGTH * alike, STRENGTH * alike, np.full(n_cnns, strength * alike)]
            coefficients[label] = fit_logistic(
                _design(logits[:, :, label]),
                weighted(y[:, label], sample_weight),
                prior=prior,
                strength=pull,
                weights=sample_weight,
            )
        return cls(coefficients)

    def margin(self, logits: np.ndarray) -> np.ndarray:
        """Return the log-odds of every label.

        Parameters
        ----------
        logits : ndarray of float, shape (n_cnns, n, n_labels)

        Returns
        -------
        ndarray of float, shape (n, n_labels)
        """
        n_cnns, n, n_labels = logits.shape
        margin = np.empty((n, n_labels))
        for label in range(n_labels):
            if n_cnns == 0:
                margin[:, label] = self.coefficients[label, 1]
            else:
                margin[:, label] = _design(logits[:, :, label]) @ self.coefficients[label]
        return margin


def _common_line(mean: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Fit slope and offset of all labels together, on a fine grid of the mean logit."""
    bound = log_odds_bound()
    cell = np.rint((mean + bound) * (_GRID_CELLS / (2 * bound))).astype(np.int64).ravel()
    of_values = None
    if sample_weight is not None:
        of_values = np.repeat(sample_weight, y.shape[1])
        y = y * sample_weight[:, None]
    weights = np.bincount(cell, of_values, minlength=_GRID_CELLS + 1)
    positives = np.bincount(cell, y.ravel(), minlength=_GRID_CELLS + 1)
    grid = np.linspace(-bound, bound, _GRID_CELLS + 1)
    held = weights > 0
    return fit_logistic(
        np.column_stack([grid, np.ones_like(grid)])[held],
        positives[held],
        weights=weights[held],
        prior=[1, 0],
        strength=[1, 1],
    )


def _design(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(float)
    mean = logits.mean(axis=0)
    return np.column_stack([mean, np.ones_like(mean), (logits - mean).T])
