"""Weights of members that all labels share, by a general optimiser."""

import numpy as np
from scipy.optimize import minimize


def objective(weights, y, consensus, added, ridge):
    """Return the mean over labels of the loss as part of the loss before, and the pull to 0."""
    relative = []
    for label in range(y.shape[1]):
        logits = consensus[:, label] + sum(w * a[:, label] for w, a in zip(weights, added))
        before, after = (
            (np.logaddexp(0, of) - y[:, label] * of).sum() for of in (consensus[:, label], logits)
        )
        relative.append(after / before)
    return np.mean(relative) + ridge * np.square(weights).sum()


def common_weights(y, consensus, added, ridge, largest):
    """Return the weights between 0 and `largest` with the lowest objective."""
    best = minimize(
        objective,
        np.full(len(added), 0.5),
        args=(y, consensus, added, ridge),
        bounds=[(0, largest)] * len(added),
        tol=1e-12,
    )
    return best.x
