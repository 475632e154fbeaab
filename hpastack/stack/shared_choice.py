"""Choose between candidates for each label, with losses of rare labels shrunk to the mean."""

from __future__ import annotations

import numpy as np

#: Positives at which a label's own losses and the mean over labels have equal weight.
SHRINKAGE = 100.0


def best_candidates(
    losses: np.ndarray, start: np.ndarray, positives: np.ndarray, learnable: np.ndarray
) -> np.ndarray:
    """Return the candidate with the lowest loss of each label.

    Losses are relative to the initial loss of the label. They are shrunk
    towards the mean over labels, the less the more positives the label has.

    Parameters
    ----------
    losses : ndarray of float, shape (n_labels, n_candidates)
    start : ndarray of float, shape (n_labels,)
        Initial loss of each label.
    positives : ndarray of int, shape (n_labels,)
    learnable : ndarray of bool, shape (n_labels,)
        Labels that enter the mean.

    Returns
    -------
    ndarray of int, shape (n_labels,)
        Index of the candidate; ties are broken by the lowest index.
    """
    if not learnable.any():
        return np.zeros(len(losses), dtype=int)
    relative = losses / np.maximum(start, np.finfo(float).tiny)[:, None]
    own = (positives / (positives + SHRINKAGE))[:, None]
    return (own * relative + (1 - own) * relative[learnable].mean(axis=0)).argmin(axis=1)
