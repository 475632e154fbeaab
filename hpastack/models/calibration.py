"""Calibration: from logits to log-odds that can be believed."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

#: Below this many positives a label keeps the logits it has.
MIN_POSITIVES = 20

#: Pull of a label's slope and offset towards their prior, in units of information. Without
#: it each fold of a rare label gets an offset of its own, and the folds' fields no longer compare.
STRENGTH = 20.0


def fit_logistic(features, y, *, prior, strength, n_steps=50) -> np.ndarray:
    """Fit a logistic regression whose coefficients are shrunk towards a prior.

    Newton's method on the log loss plus ``strength / 2 * (coefficient -
    prior)**2``, halving a step that does not lower the loss.

    Parameters
    ----------
    features : ndarray of float, shape (n, d)
        Include a column of ones for an intercept.
    y : ndarray of {0, 1}, shape (n,)
    prior : array-like of float, shape (d,)
        Where the coefficients are drawn to.
    strength : array-like of float, shape (d,)
        How strongly, in units of information (about: that many undecided
        fields at distance 2). Positive for at least the columns that could
        be separated.
    n_steps : int, default=50

    Returns
    -------
    ndarray of float, shape (d,)
    """
    features, y = np.asarray(features, dtype=float), np.asarray(y, dtype=float)
    prior, strength = np.asarray(prior, dtype=float), np.asarray(strength, dtype=float)

    def loss(coefficients):
        z = features @ coefficients
        penalty = strength @ (coefficients - prior) ** 2 / 2
        return np.logaddexp(0, z).sum() - y @ z + penalty

    coefficients, current = prior.copy(), loss(prior)
    for _ in range(n_steps):
        p = expit(features @ coefficients)
        gradient = features.T @ (p - y) + strength * (coefficients - prior)
        hessian = (features * (p * (1 - p))[:, None]).T @ features + np.diag(strength + 1e-9)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4:
            proposal = loss(coefficients - size * step)
            if proposal <= current:
                break
            size /= 2
        else:
            break
        coefficients = coefficients - size * step
        improved, current = current - proposal, proposal
        if improved < 1e-9 * (1 + abs(current)):
            break
    return coefficients


def fit_platt(logits, y, clusters, *, prior=(1.0, 0.0), min_positives=MIN_POSITIVES) -> np.ndarray:
    """Fit the slope and offset that turn one label's logits into log-odds.

    Parameters
    ----------
    logits : ndarray of float, shape (n,)
    y : ndarray of {0, 1}, shape (n,)
    clusters : ndarray of int, shape (n,)
        Fields of one cluster are near-copies: the fit is drawn to `prior` as
        if each cluster that holds the label were one field.
    prior : (float, float), default=(1, 0)
        Slope and offset without evidence.
    min_positives : int, default=20
        With fewer positives, or as few negatives, `prior` stands.

    Returns
    -------
    ndarray of float, shape (2,)
        Slope (never negative: the order of fields is kept) and offset.

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
    pull = np.full(2, STRENGTH * copies(y, clusters))
    slope, offset = fit_logistic(design, y, prior=unchanged, strength=pull)
    if slope <= 0:
        return unchanged
    return np.array([slope, offset])


def copies(y, clusters) -> float:
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
