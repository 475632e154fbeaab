"""Choose between candidates for each label, where rare labels follow all labels."""

from __future__ import annotations

import numpy as np

#: Positives at which a label's own losses and those of all labels weigh the same.
SHRINKAGE = 100.0


def best_candidates(
    losses: np.ndarray, start: np.ndarray, positives: np.ndarray, learnable: np.ndarray
) -> np.ndarray:
    """Return the candidate with the lowest loss of each label.

    Losses count as parts of what the label lost before. Those of a label are
    shrunk towards the mean over labels, the less the more positives it has.

    Parameters
    ----------
    losses : ndarray of float, shape (n_labels, n_candidates)
    start : ndarray of float, shape (n_labels,)
        Loss of each label before anything was added.
    positives : ndarray of int, shape (n_labels,)
    learnable : ndarray of bool, shape (n_labels,)
        Labels that count for the mean.

    Returns
    -------
    ndarray of int, shape (n_labels,)
        Of equal losses the first.
    """
    if not learnable.any():
        return np.zeros(len(losses), dtype=int)
    relative = losses / np.maximum(start, np.finfo(float).tiny)[:, None]
    own = (positives / (positives + SHRINKAGE))[:, None]
    return (own * relative + (1 - own) * relative[learnable].mean(axis=0)).argmin(axis=1)
