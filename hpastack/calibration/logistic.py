"""Logistic regression shrunk towards a prior, for the consensus, the blend and calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

#: L2 strength that shrinks a slope or offset towards its prior, in units of Fisher information (see
#: `fit_logistic`). Without it the offsets of a rare label differ between folds, and the scores of
#: their fields are not comparable.
STRENGTH = 20.0


def weighted(values: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return values multiplied by the weights of their rows, or as they are without weights.

    Parameters
    ----------
    values : ndarray, shape (n, ...)
    sample_weight : ndarray of float, shape (n,), or None

    Returns
    -------
    ndarray, shape (n, ...)
    """
    if sample_weight is None:
        return values
    return values * sample_weight.reshape(-1, *[1] * (values.ndim - 1))


def fit_logistic(
    features: np.ndarray,
    y: np.ndarray,
    *,
    prior: ArrayLike,
    strength: ArrayLike,
    weights: np.ndarray | None = None,
    n_steps: int = 50,
) -> np.ndarray:
    """Fit a logistic regression whose coefficients are shrunk towards a prior.

    Newton's method on the log loss plus ``strength / 2 * (coefficient -
    prior)**2``, halving a step that does not lower the loss.

    Parameters
    ----------
    features : ndarray of float, shape (n, d)
        Include a column of ones for an intercept.
    y : ndarray of {0, 1}, shape (n,)
        With `weights`: number of positive fields per row.
    prior : array-like of float, shape (d,)
        The values that the coefficients are shrunk towards.
    strength : array-like of float, shape (d,)
        L2 strength, in units of Fisher information (roughly the number of
        undecided fields at distance 2). Must be positive at least for columns
        that may separate the classes.
    weights : ndarray of float, shape (n,), optional
        Number of fields per row; default: 1.
    n_steps : int, default=50

    Returns
    -------
    ndarray of float, shape (d,)
    """
    features, y = np.asarray(features, dtype=float), np.asarray(y, dtype=float)
    prior, strength = np.asarray(prior, dtype=float), np.asarray(strength, dtype=float)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)

    def loss(coefficients: np.ndarray, z: np.ndarray) -> float:
        return weights @ np.logaddexp(0, z) - y @ z + strength @ (coefficients - prior) ** 2 / 2

    coefficients, z = prior.copy(), features @ prior
    current = loss(coefficients, z)
    for _ in range(n_steps):
        p = expit(z)
        gradient = features.T @ (weights * p - y) + strength * (coefficients - prior)
        information = weights * p * (1 - p)
        hessian = (features * information[:, None]).T @ features + np.diag(strength + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4:
            proposal = coefficients - size * step
            z = features @ proposal
            proposed = loss(proposal, z)
            if proposed <= current:
                break
            size /= 2
        else:
            break
        improved, current, coefficients = current - proposed, proposed, proposal
        if improved < 1e-9 * (1 + abs(current)):
            break
    return coefficients


def log_losses(y: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the log loss of each field.

    Parameters
    ----------
    y : ndarray of {0, 1}
    logits : ndarray of float, broadcast with `y`

    Returns
    -------
    ndarray of float
        In nats.
    """
    return np.logaddexp(0, logits) - y * logits


def fields_per_cluster(
    y: np.ndarray, clusters: np.ndarray, sample_weight: np.ndarray | None = None
) -> float:
    """Return the mean number of positive fields per cluster that contains one.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
    clusters : ndarray of int, shape (n,)
    sample_weight : ndarray of float, shape (n,), optional
        Number of fields that each counts for, above 0.

    Returns
    -------
    float
        At least 1 without weights.
    """
    n_clusters = len(np.unique(clusters[y == 1]))
    total = y.sum() if sample_weight is None else sample_weight @ y
    return float(total / n_clusters) if n_clusters else 1.0
