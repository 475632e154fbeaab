"""Scores of systems on one set, and their differences on the same bootstrap draws of clusters."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from hpastack.calibration import apply_thresholds, best_thresholds
from hpastack.metrics import (
    average_precisions,
    brier_score,
    cluster_draws,
    expected_calibration_error,
    f1_scores,
    macro_interval,
    multilabel_log_loss,
    score_interval,
)
from hpastack.stack.score_tables import label_clusters

N_DRAWS = 200

#: The scores of `paired_scores`: their names, and the sign of a gain.
SCORES = {"f1": ("macro F1", 1), "ap": ("macro AP", 1), "loss": ("log loss", -1)}


@dataclass(frozen=True)
class Result:
    """Out-of-fold results of a system.

    Parameters
    ----------
    scores : ndarray of float in [0, 1], shape (n, n_labels)
    labels : ndarray of {0, 1}, shape (n, n_labels)
    seconds, processor_seconds : float
        Wall time and processor time of fitting and predicting all folds. They differ if
        other programs run at the same time; NaN if unknown.
    threads : int
    """

    scores: np.ndarray
    labels: np.ndarray
    seconds: float = float("nan")
    processor_seconds: float = float("nan")
    threads: int = 1


def cross_fitted_labels(y, scores, fold, policy="shrunk") -> np.ndarray:
    """Predict labels in each fold with thresholds chosen on the scores of the other folds."""
    labels = np.zeros(y.shape, dtype=np.uint8)
    for number in range(fold.max() + 1):
        held_out = fold == number
        chosen = best_thresholds(y[~held_out], scores[~held_out], policy=policy)
        labels[held_out] = apply_thresholds(scores[held_out], chosen)
    return labels


def timed(call, *arguments, **options) -> tuple[object, tuple[float, float]]:
    """Call a function; return its result, and its wall time and processor time in seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = call(*arguments, **options)
    return answer, (time.perf_counter() - wall, time.process_time() - processor)


def plain_scores(y, result: Result) -> dict[str, float]:
    """Calibration scores of the probabilities of a system."""
    return {
        "ece": expected_calibration_error(y, result.scores),
        "brier": brier_score(y, result.scores),
        "log loss": multilabel_log_loss(y, result.scores),
    }


def paired_scores(y, results: dict[str, Result], clusters, *, n_draws=N_DRAWS):
    """Score systems and their differences, all on the same bootstrap draws of clusters.

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
        other; each a dict from ``"f1"`` and ``"ap"``, over the labels with
        positives, and ``"loss"``, the log loss, to score, low and high.
    """
    draws = cluster_draws(clusters, n_draws=n_draws)
    holders = label_clusters(y, np.asarray(clusters))
    whole, drawn = (
        {name: _by_label(y, result, weights) for name, result in results.items()}
        for weights in (None, draws)
    )

    def with_intervals(values, of_draws):
        found = {}
        for key in ("f1", "ap"):
            mean = float(np.nanmean(values[key]))
            found[key] = (mean, *macro_interval(values[key], of_draws[key], holders))
        found["loss"] = (values["loss"], *score_interval(values["loss"], of_draws["loss"]))
        return found

    def less(values, others):
        return {key: values[key] - others[key] for key in values}

    scores = {name: with_intervals(whole[name], drawn[name]) for name in results}
    differences = {
        (name, other): with_intervals(
            less(whole[name], whole[other]), less(drawn[name], drawn[other])
        )
        for name in results
        for other in results
    }
    return scores, differences


def _by_label(y, result: Result, weights) -> dict:
    return {
        "f1": f1_scores(y, result.labels, weights, absent="skip"),
        "ap": average_precisions(y, result.scores, weights),
        "loss": multilabel_log_loss(y, result.scores, weights),
    }


def verdict(results: dict[str, Result], scores, differences) -> str:
    """Describe whether the stack is best, or within noise of the best, by each score.

    Parameters
    ----------
    results : dict of str to Result
        With one called ``stack``.
    scores, differences : dict
        Of `paired_scores`.

    Returns
    -------
    str
    """
    verdicts = []
    for key, (title, sign) in SCORES.items():
        best = max(results, key=lambda name: sign * scores[name][key][0])
        if best == "stack":
            verdicts.append(f"best in {title}")
            continue
        value, low, high = differences[best, "stack"][key]
        is_noise = low <= 0 <= high
        verdicts.append(
            f"{'within noise of' if is_noise else 'BEHIND'} {best} in {title} "
            f"({value:+.4f}, {low:+.4f} to {high:+.4f})"
        )
    return "stack: " + "; ".join(verdicts)


def table_row(cells) -> str:
    """Format a row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def difference_cell(triple) -> str:
    """Format a difference and its interval."""
    return "{:+.4f} ({:+.4f} to {:+.4f})".format(*triple)
