"""Thresholds: from probabilities to labels, chosen for macro F1.

Per-label thresholds that are best in hindsight overfit rare labels, so they
are drawn towards one global threshold by the number of positives, and no
threshold may label far more fields than carry the label.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from hpastack.errors import InputError

POLICIES = ("shrunk", "global", "per-label")

#: Positives at which a label's own threshold and the global one weigh the same.
SHRINKAGE = 300.0

#: A label may be given to at most this many times the share of fields that carry it.
MAX_PREVALENCE_RATIO = 3.0

_EDGE = 1e-6


def best_thresholds(
    y, probabilities, *, policy="shrunk", shrinkage=SHRINKAGE, max_ratio=MAX_PREVALENCE_RATIO
) -> np.ndarray:
    """Choose a threshold a label for the best macro F1.

    The search is exact: every midpoint between two distinct probabilities is
    a candidate. A field gets a label when its probability is at or above the
    threshold.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    policy : {"shrunk", "global", "per-label"}, default="shrunk"
        One threshold for all labels, each label's own, or the mean of the two
        on the logit scale with weight ``positives / (positives + shrinkage)``
        on the label's own.
    shrinkage : float, default=300
    max_ratio : float, default=3
        The threshold of a label is raised until at most `max_ratio` times as
        many fields get the label as carry it. Labels without positives have
        no such bound.

    Returns
    -------
    ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        If the policy is unknown or the shapes differ.

    Examples
    --------
    >>> best_thresholds([[1], [1], [0]], [[0.9], [0.6], [0.2]], policy="per-label")
    array([0.4])
    """
    y, probabilities = np.asarray(y), np.asarray(probabilities, dtype=float)
    if policy not in POLICIES:
        raise InputError(f"unknown threshold policy {policy!r}; it is one of {', '.join(POLICIES)}")
    if y.shape != probabilities.shape or y.ndim != 2:
        raise InputError(f"labels {y.shape} and probabilities {probabilities.shape} do not match")
    steps = [_f1_steps(y[:, k], probabilities[:, k]) for k in range(y.shape[1])]
    if policy == "per-label":
        thresholds = np.array([_own(*step) for step in steps])
    else:
        common = _global(steps)
        thresholds = np.full(y.shape[1], common)
        if policy == "shrunk":
            own = np.array([_own(*step) for step in steps])
            positives = y.sum(axis=0)
            weight = positives / (positives + shrinkage)
            thresholds = expit(weight * _logit(own) + (1 - weight) * _logit(common))
    return _guarded(thresholds, y, probabilities, max_ratio)


def apply_thresholds(probabilities, thresholds) -> np.ndarray:
    """Give labels to fields.

    Parameters
    ----------
    probabilities : array-like of float, shape (n, n_labels)
    thresholds : array-like of float, shape (n_labels,)

    Returns
    -------
    ndarray of uint8, shape (n, n_labels)
    """
    return (np.asarray(probabilities) >= np.asarray(thresholds)).astype(np.uint8)


def _f1_steps(y, probability) -> tuple[np.ndarray, np.ndarray]:
    # Distinct scores from high to low, and the F1 of labelling everything at or above each.
    order = np.argsort(-probability, kind="stable")
    ranked, positives = probability[order], y.sum()
    last = _last_of_tie(ranked)
    return ranked[last], 2 * np.cumsum(y[order])[last] / (last + 1 + positives)


def _own(scores, f1) -> float:
    return _just_below(scores, int(np.argmax(f1)))


def _global(steps) -> float:
    # The sum over labels of F1 at a common threshold is a step function of it:
    # collect every label's steps, sort them once, and add them up.
    scores = np.concatenate([step[0] for step in steps])
    gains = np.concatenate([np.diff(step[1], prepend=0.0) for step in steps])
    order = np.argsort(-scores, kind="stable")
    ranked, total = scores[order], np.cumsum(gains[order])
    last = _last_of_tie(ranked)
    return _just_below(ranked[last], int(np.argmax(total[last])))


def _last_of_tie(ranked) -> np.ndarray:
    return np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)


def _just_below(scores, position: int) -> float:
    # Half way to the next score; scores fall.
    here = scores[position]
    below = scores[position + 1] if position + 1 < len(scores) else max(0.0, here - _EDGE)
    return float((here + below) / 2)


def _guarded(thresholds, y, probabilities, max_ratio) -> np.ndarray:
    thresholds = thresholds.copy()
    for k, positives in enumerate(y.sum(axis=0)):
        allowed = int(min(max_ratio * positives, len(y))) if positives else 0
        if 0 < allowed < len(y):
            ranked = np.sort(probabilities[:, k])[::-1]
            floor = (ranked[allowed - 1] + ranked[allowed]) / 2
            if (probabilities[:, k] >= thresholds[k]).sum() > allowed:
                thresholds[k] = max(thresholds[k], floor)
    return thresholds


def _logit(probability):
    return logit(np.clip(probability, _EDGE, 1 - _EDGE))
