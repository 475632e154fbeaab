"""Blending: how much of each library's evidence each label believes.

Where the boosters do not beat the consensus on held-out clusters they get no
weight, so stacking a label never makes it worse beyond noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from hpastack.calibration import log_losses

#: Weights of all boosters together that are tried; 1 is the boosters alone.
TOTALS = (0.25, 0.5, 0.75, 1.0)

#: What is fitted counts only if it lowers the log loss by this many standard errors.
STANDARD_ERRORS = 1.0

#: Positives at which a label's own losses and those of all labels weigh the same.
SHRINKAGE = 100.0


def candidate_weights(n_libraries: int) -> np.ndarray:
    """Return the weights of the libraries that are tried.

    Parameters
    ----------
    n_libraries : int

    Returns
    -------
    ndarray of float, shape (n_candidates, n_libraries)
        Each row sums to at most 1; the rest is the weight of the consensus.
        The first row is 0. Each total of `TOTALS` goes to one library, or in
        equal parts to two or more of them: the corners of the simplex and
        the middles of its sides. Of n libraries that are 2^n - 1 ways.

    Examples
    --------
    >>> candidate_weights(2)[-3:]
    array([[0. , 1. ],
           [0.5, 0.5],
           [1. , 0. ]])
    """
    subsets = [subset for subset in product((0, 1), repeat=n_libraries) if any(subset)]
    shares = sorted([part / sum(subset) for part in subset] for subset in subsets)
    tried = [[total * part for part in share] for total, share in product(TOTALS, shares)]
    return np.array([[0.0] * n_libraries, *tried])


def blend_weights(
    y: np.ndarray,
    consensus: np.ndarray,
    added: Sequence[np.ndarray] | np.ndarray,
    clusters: np.ndarray,
    fold: np.ndarray,
    learnable: np.ndarray,
) -> np.ndarray:
    """Choose the weight of each library for every label.

    The weights with the lowest log loss, where the losses of a label are drawn
    towards those of all labels (each relative to its consensus) by its number
    of positives. They count only if weights that were chosen in this way on
    the other folds lower the log loss of a fold, summed over folds, by more
    than one standard error over clusters; else the consensus stands.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    consensus : ndarray of float, shape (n, n_labels)
        Out-of-fold log-odds.
    added : sequence of ndarray of float, shape (n, n_labels)
        What each library adds to them.
    clusters, fold : ndarray of int, shape (n,)
    learnable : ndarray of bool, shape (n_labels,)
        The other labels get no weight.

    Returns
    -------
    ndarray of float, shape (n_libraries, n_labels)
        At least 0; the sum is at most 1.
    """
    candidates = candidate_weights(len(added))
    weights = np.zeros((len(added), y.shape[1]))
    labels = np.flatnonzero(learnable)
    if len(candidates) == 1 or not len(labels):
        return weights
    folds, fold = np.unique(fold, return_inverse=True)
    losses = np.zeros((len(labels), len(folds), len(candidates)))
    for row, label in enumerate(labels):
        for number, tried in enumerate(candidates):
            loss = log_losses(y[:, label], blend(consensus, added, tried, label))
            losses[row, :, number] = np.bincount(fold, loss, minlength=len(folds))
    positives = y[:, labels].sum(axis=0)
    total = losses.sum(axis=1)
    chosen = candidates[_best(total, positives)]
    held_out = [candidates[_best(total - losses[:, f], positives)] for f in range(len(folds))]
    for row, label in enumerate(labels):
        tried = np.stack([of_fold[row] for of_fold in held_out])[fold].T
        blended = blend(consensus, added, tried, label)
        if improves_log_loss(y[:, label], consensus[:, label], blended, clusters):
            weights[:, label] = chosen[row]
    return weights


def improves_log_loss(
    y: np.ndarray, before: np.ndarray, after: np.ndarray, clusters: np.ndarray
) -> bool:
    """Say whether a change lowers the log loss beyond noise.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
    before, after : ndarray of float, shape (n,)
        Log-odds; the change was fitted on other rows.
    clusters : ndarray of int, shape (n,)

    Returns
    -------
    bool
        Whether the gain, summed by cluster, is more than one standard error.
    """
    by_cluster = np.bincount(clusters, log_losses(y, before) - log_losses(y, after))
    return bool(by_cluster.sum() > STANDARD_ERRORS * np.sqrt((by_cluster**2).sum()))


def blend(
    consensus: np.ndarray,
    added: Sequence[np.ndarray] | np.ndarray,
    weights: Sequence[float] | np.ndarray,
    label: int | np.integer | slice = slice(None),
) -> np.ndarray:
    """Return the log-odds with some part of what the boosters add.

    Parameters
    ----------
    consensus : ndarray of float, shape (n, n_labels)
    added : ndarray of float, shape (n_libraries, n, n_labels)
    weights : sequence of float or ndarray, length n_libraries
        A weight each, or one for each label (or row of one label).
    label : int or slice, default=all

    Returns
    -------
    ndarray of float, shape (n, n_labels) or (n,)
    """
    logits = consensus[:, label].astype(float)
    for part, weight in zip(added, weights):
        logits = logits + weight * part[:, label]
    return logits


def _best(losses: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Return the candidate of each label, from losses (n_labels, n_candidates)."""
    relative = losses / np.maximum(losses[:, :1], np.finfo(float).tiny)
    own = (positives / (positives + SHRINKAGE))[:, None]
    return (own * relative + (1 - own) * relative.mean(axis=0)).argmin(axis=1)
