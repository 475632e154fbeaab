"""Calibration: from logits to log-odds that can be believed."""

from __future__ import annotations

import numpy as np

from hpastack.models.logistic import STRENGTH, copies, fit_logistic

#: Below this many positives a label keeps the logits it has.
MIN_POSITIVES = 20


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
