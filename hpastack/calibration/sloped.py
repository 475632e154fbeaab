"""Calibration by logistic regression on a label's logits: Platt and beta."""

from __future__ import annotations

import numpy as np

from hpastack.calibration.logistic import STRENGTH, fields_per_cluster, fit_logistic, weighted
from hpastack.errors import InputError

#: With fewer positives, or fewer negatives, the logits of a label are not calibrated.
MIN_POSITIVES = 20


class Platt:
    """``slope * logit + offset``."""

    n_parameters = 2

    @staticmethod
    def fit(
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[float, ...]:
        """Fit the slope and offset; see `fit_platt`."""
        return tuple(fit_platt(logits, y, clusters, sample_weight=sample_weight).tolist())

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return ``slope * logits + offset``."""
        slope, offset = parameters
        return slope * logits + offset

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` if the slope is negative."""
        _check_slopes("platt", parameters[:1])


class Beta:
    """``a * log(p) - b * log(1 - p) + c``, where p is the sigmoid of the logit."""

    n_parameters = 3

    @staticmethod
    def fit(
        logits: np.ndarray,
        y: np.ndarray,
        clusters: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> tuple[float, ...]:
        """Fit a, b and c."""
        design = np.column_stack([*_beta_terms(logits), np.ones(len(y))])
        identity = np.array([1.0, 1.0, 0.0])
        strength = STRENGTH * fields_per_cluster(y, clusters, sample_weight)
        y = weighted(y, sample_weight)
        fitted = fit_logistic(
            design, y, prior=identity, strength=np.full(3, strength), weights=sample_weight
        )
        if (fitted[:2] < 0).any():
            # Both terms increase with the logit. If one coefficient is negative, drop its term.
            kept = [int(fitted[0] < fitted[1]), 2]
            refitted = fit_logistic(
                design[:, kept],
                y,
                prior=identity[kept],
                strength=np.full(2, strength),
                weights=sample_weight,
            )
            fitted = np.zeros(3)
            fitted[kept] = refitted
            if refitted[0] <= 0:
                fitted = identity
        a, b, c = fitted.tolist()
        return a, b, c

    @staticmethod
    def apply(parameters: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Return ``a * log(p) - b * log(1 - p) + c``."""
        a, b, c = parameters
        log_p, minus_log_1_p = _beta_terms(logits)
        return a * log_p + b * minus_log_1_p + c

    @staticmethod
    def check(parameters: np.ndarray) -> None:
        """Raise `InputError` if a or b is negative."""
        _check_slopes("beta", parameters[:2])


def fit_platt(
    logits: np.ndarray,
    y: np.ndarray,
    clusters: np.ndarray,
    *,
    prior: tuple[float, float] = (1.0, 0.0),
    min_positives: int = MIN_POSITIVES,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Fit the slope and offset that map one label's logits to log-odds.

    Parameters
    ----------
    logits : ndarray of float, shape (n,)
    y : ndarray of {0, 1}, shape (n,)
    clusters : ndarray of int, shape (n,)
        Cluster of each field. Fields of a cluster are near-duplicates: the fit
        is shrunk towards `prior` as if each cluster with the label were one
        field.
    prior : (float, float), default=(1, 0)
        Slope and offset without evidence.
    min_positives : int, default=20
        With fewer positives, or fewer negatives, `prior` is returned.

    Returns
    -------
    ndarray of float, shape (2,)
        Slope (never negative, so the order of the fields is preserved) and offset.

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and
       comparisons to regularized likelihood methods", 1999.
    """
    y = np.asarray(y, dtype=float)
    unchanged = np.array(prior, dtype=float)
    if min(y.sum(), len(y) - y.sum()) < min_positives:
        return unchanged
    design = np.column_stack([logits, np.ones(len(y))])
    strength = np.full(2, STRENGTH * fields_per_cluster(y, clusters, sample_weight))
    y = weighted(y, sample_weight)
    slope, offset = fit_logistic(
        design, y, prior=unchanged, strength=strength, weights=sample_weight
    )
    if slope <= 0:
        return unchanged
    return np.array([slope, offset])


def _beta_terms(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # log(p) and -log(1 - p); computed via p, the second would lose all precision at a logit of 40.
    return -np.logaddexp(0, -logits), np.logaddexp(0, logits)


def _check_slopes(method: str, slopes: np.ndarray) -> None:
    if (slopes < 0).any():
        raise InputError(f"the slopes of a {method} calibration must be at least 0")
