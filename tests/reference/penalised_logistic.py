"""Logistic regression on standardised columns from its definition, by a general optimiser."""

import numpy as np
from scipy.optimize import minimize


def standardised(x, of, bound):
    """Return the columns of `x` as columns of mean 0 and variance 1 in `of`; NaN is 0."""
    z = np.zeros(x.shape)
    for column in range(x.shape[1]):
        mean, deviation = np.nanmean(of[:, column]), np.nanstd(of[:, column])
        for row in range(len(x)):
            if deviation > 0 and not np.isnan(x[row, column]):
                z[row, column] = min(max((x[row, column] - mean) / deviation, -bound), bound)
    return z


def fitted_logits(x, y, margin, penalty, offset_penalty, bound):
    """Return what the regression with the lowest penalised loss adds to the margin."""
    z = np.column_stack([standardised(x, x, bound), np.ones(len(x))])
    pull = np.append(np.full(x.shape[1], penalty), offset_penalty)

    def loss(weights):
        logits = margin + z @ weights
        return (np.logaddexp(0, logits) - y * logits).sum() + (pull * weights**2).sum() / 2

    best = minimize(loss, np.zeros(z.shape[1]), tol=1e-10)
    return z @ best.x
