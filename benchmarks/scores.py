"""Scores of systems on one set, and how much they differ on the same draws of clusters."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from hpastack.metrics import (
    cluster_bootstrap,
    expected_calibration_error,
    macro_average_precision,
    macro_f1,
)
from hpastack.models.thresholds import apply_thresholds, best_thresholds

N_DRAWS = 200

# How far off: one wrong field costs at most 14 nats.
_EDGE = 1e-6


@dataclass(frozen=True)
class Result:
    """What a system gave out of fold.

    Parameters
    ----------
    scores : ndarray of float in [0, 1], shape (n, n_labels)
    labels : ndarray of {0, 1}, shape (n, n_labels)
    seconds, processor_seconds : float
        Wall time and processor time of fitting and predicting all folds. They differ where
        other programs run beside it; NaN if not known.
    threads : int
    """

    scores: np.ndarray
    labels: np.ndarray
    seconds: float = float("nan")
    processor_seconds: float = float("nan")
    threads: int = 1


def cross_fitted_labels(y, scores, fold, policy="shrunk") -> np.ndarray:
    """Give labels in each fold by thresholds chosen on the scores of the other folds."""
    labels = np.zeros(y.shape, dtype=np.uint8)
    for number in range(fold.max() + 1):
        held_out = fold == number
        chosen = best_thresholds(y[~held_out], scores[~held_out], policy=policy)
        labels[held_out] = apply_thresholds(scores[held_out], chosen)
    return labels


def timed(call, *arguments, **options) -> tuple[object, tuple[float, float]]:
    """Call a function; return its answer, and its wall time and processor time in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = call(*arguments, **options)
    return answer, (time.perf_counter() - wall, time.process_time() - processor)


def brier(y, probabilities) -> float:
    """Return the mean squared error of the probabilities, over fields and labels."""
    return float(np.mean((probabilities - y) ** 2))


def log_loss(y, probabilities) -> float:
    """Return the mean log loss over fields and labels, probabilities kept off 0 and 1."""
    p = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def plain_scores(y, result: Result) -> dict[str, float]:
    """Score the probabilities of a system as probabilities."""
    return {
        "ece": expected_calibration_error(y, result.scores),
        "brier": brier(y, result.scores),
        "log loss": log_loss(y, result.scores),
    }


def paired_scores(y, results: dict[str, Result], clusters, *, n_draws=N_DRAWS):
    """Score systems and every difference between two of them, all on the same draws of clusters.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    results : dict of str to Result
    clusters : ndarray, shape (n,)
    n_draws : int, default=200

    Returns
    -------
    scores, differences : dict
        ``scores[system]`` and ``differences[system, other]``, system minus
        other; each a dict from ``"f1"`` and ``"ap"`` to score, low and high.
    """
    names = list(results)

    def statistic(weights):
        found = np.array(
            [
                [
                    macro_f1(y, results[name].labels, weights),
                    macro_average_precision(y, results[name].scores, weights),
                ]
                for name in names
            ]
        )
        return np.concatenate([found, (found[:, None] - found[None, :]).reshape(-1, 2)])

    value = statistic(np.ones(len(y)))
    low, high = cluster_bootstrap(statistic, clusters, n_draws=n_draws)
    rows = [
        {"f1": (value[k, 0], low[k, 0], high[k, 0]), "ap": (value[k, 1], low[k, 1], high[k, 1])}
        for k in range(len(value))
    ]
    pairs = [(name, other) for name in names for other in names]
    return dict(zip(names, rows)), dict(zip(pairs, rows[len(names) :]))
