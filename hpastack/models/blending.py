"""Blending: how much of the boosters' evidence each label believes.

Where the boosters do not beat the consensus on held-out clusters they get no
weight, so stacking a label never makes it worse beyond noise.
"""

from __future__ import annotations

import numpy as np

#: The weights tried; 1 is the boosters alone.
WEIGHTS = (0.25, 0.5, 0.75, 1.0)

#: A weight counts only if it lowers the log loss by this many standard errors.
STANDARD_ERRORS = 1.0


def booster_weight(y, consensus, boosted, clusters) -> float:
    """Choose the weight of the boosters for one label.

    The weight with the lowest log loss, if the gain over the consensus exceeds
    one standard error of the gain summed by cluster; 0 otherwise.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
    consensus, boosted : ndarray of float, shape (n,)
        Out-of-fold log-odds.
    clusters : ndarray of int, shape (n,)

    Returns
    -------
    float
        From 0 (the consensus stands) to 1.
    """
    base = _log_loss(y, consensus)
    best_weight, best_gain = 0.0, 0.0
    for weight in WEIGHTS:
        gain = base - _log_loss(y, blend(consensus, boosted, weight))
        by_cluster = np.bincount(clusters, gain)
        total = by_cluster.sum()
        error = np.sqrt((by_cluster**2).sum())
        if total > STANDARD_ERRORS * error and total > best_gain:
            best_weight, best_gain = weight, total
    return best_weight


def blend(consensus, boosted, weight):
    """Return the weighted mean of two sets of log-odds.

    Parameters
    ----------
    consensus, boosted : ndarray of float
    weight : float or ndarray
        Of `boosted`.

    Returns
    -------
    ndarray of float
    """
    return (1 - weight) * consensus + weight * boosted


def _log_loss(y, logits):
    return np.logaddexp(0, logits) - y * logits
