"""Logistic regression drawn towards a prior: what consensus, blend and calibration are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

#: Pull of a slope or offset towards its prior, in units of information (see `fit_logistic`).
#: Without it each fold of a rare label gets an offset of its own, and the folds' fields no longer
#: compare.
STRENGTH = 20.0


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
        With `weights`: how many of the fields of a row are positive.
    prior : array-like of float, shape (d,)
        Where the coefficients are drawn to.
    strength : array-like of float, shape (d,)
        How strongly, in units of information (about: that many undecided
        fields at distance 2). Positive for at least the columns that could
        be separated.
    weights : ndarray of float, shape (n,), optional
        Fields a row stands for; 1 if left out.
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


def fields_per_cluster(y: np.ndarray, clusters: np.ndarray) -> float:
    """Return how many positive fields of a label there are to a cluster that holds one.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
    clusters : ndarray of int, shape (n,)

    Returns
    -------
    float
        At least 1.
    """
    holders = len(np.unique(clusters[y == 1]))
    return float(y.sum() / holders) if holders else 1.0
