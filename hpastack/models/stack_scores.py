"""Scores of a stack and of what it is made from, all out of fold and with the same rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from hpastack.metrics import (
    average_precisions,
    brier_score,
    cluster_draws,
    expected_calibration_error,
    f1_scores,
    macro_average_precision,
    macro_f1,
    multilabel_log_loss,
    score_interval,
)
from hpastack.models.thresholds import apply_thresholds, best_thresholds

#: Names of the scores, in the order shown. The first is of labels, the others of probabilities.
SCORES = ("macro_f1", "macro_ap", "ece", "brier", "log_loss")


@dataclass(frozen=True)
class OutOfFold:
    """What one system says of every field without having seen its labels.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, n_labels)
    labels : ndarray of {0, 1}, shape (n, n_labels)
    """

    probabilities: np.ndarray
    labels: np.ndarray


def thresholded(y, fold, nested: Callable[[int], np.ndarray], policy: str) -> OutOfFold:
    """Give labels by thresholds that were chosen on the other folds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    fold : ndarray of int, shape (n,)
    nested : callable
        Takes a fold k and returns probabilities (n, n_labels) of models that
        saw neither the row nor fold k.
    policy : str
        Of the thresholds.

    Returns
    -------
    OutOfFold
    """
    probabilities, labels = np.zeros(y.shape), np.zeros(y.shape, dtype=np.uint8)
    for k in range(fold.max() + 1):
        values, rest = nested(k), fold != k
        chosen = best_thresholds(y[rest], values[rest], policy=policy)
        probabilities[~rest] = values[~rest]
        labels[~rest] = apply_thresholds(values[~rest], chosen)
    return OutOfFold(probabilities, labels)


def scores(y, found: OutOfFold, weights=None) -> dict:
    """Return all scores of a system.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    found : OutOfFold
    weights : ndarray of float, shape (n,) or (n_draws, n), optional

    Returns
    -------
    dict of str to float, or to ndarray (n_draws,)
        By the names of `SCORES`.
    """
    p = found.probabilities
    return {
        "macro_f1": macro_f1(y, found.labels, weights),
        "macro_ap": macro_average_precision(y, p, weights),
        "ece": expected_calibration_error(y, p, weights),
        "brier": brier_score(y, p, weights),
        "log_loss": multilabel_log_loss(y, p, weights),
    }


def scores_with_intervals(
    y, stack: OutOfFold, naive: OutOfFold, start: OutOfFold, clusters, *, n_draws: int, seed: int
) -> dict:
    """Return what a stack scored, how sure that is, and what it gains.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    stack : OutOfFold
    naive : OutOfFold
        With everything after the boosters fitted on the rows it is scored on.
    start : OutOfFold
        The consensus.
    clusters : ndarray of int, shape (n,)
    n_draws, seed : int
        Of the bootstrap over clusters; no draws, no intervals.

    Returns
    -------
    dict
        Each score, ``naive_`` each, ``gain_macro_f1`` and ``gain_macro_ap``
        over the consensus; with draws ``_interval`` (low, high) of each score
        and gain.
    """
    whole, before = scores(y, stack), scores(y, start)
    gained = ("macro_f1", "macro_ap")
    found = dict(whole)
    found |= {f"naive_{name}": value for name, value in scores(y, naive).items()}
    found |= {f"gain_{name}": whole[name] - before[name] for name in gained}
    if n_draws:
        draws = cluster_draws(clusters, n_draws=n_draws, seed=seed)
        drawn = scores(y, stack, draws)
        drawn["gain_macro_f1"] = drawn["macro_f1"] - macro_f1(y, start.labels, draws)
        drawn["gain_macro_ap"] = drawn["macro_ap"] - macro_average_precision(
            y, start.probabilities, draws
        )
        for name, values in drawn.items():
            found[f"{name}_interval"] = score_interval(found[name], values)
    return found


def label_table(
    y, clusters, names, systems: dict[str, OutOfFold], libraries, weights, thresholds, interval
) -> pd.DataFrame:
    """Return a row a label: how often it is, how well it is found, by what, above what.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    names : list of str
    systems : dict of str to OutOfFold
        What to show F1 and average precision of; the last is the stack.
    libraries : sequence of str
    weights : ndarray of float, shape (n_libraries, n_labels)
    thresholds : ndarray of float, shape (n_labels,)
    interval : (ndarray, ndarray)
        Of the thresholds.

    Returns
    -------
    DataFrame
        Indexed by label.
    """
    holders = [len(np.unique(clusters[y[:, k] == 1])) for k in range(y.shape[1])]
    columns = {"positives": y.sum(axis=0).astype(int), "clusters": holders}
    columns |= {f"{name}_f1": f1_scores(y, found.labels) for name, found in systems.items()}
    columns |= {
        f"{name}_ap": average_precisions(y, found.probabilities) for name, found in systems.items()
    }
    columns |= {f"{name}_weight": weights[number] for number, name in enumerate(libraries)}
    columns |= {
        "booster_weight": weights.sum(axis=0),
        "threshold": thresholds,
        "threshold_low": interval[0],
        "threshold_high": interval[1],
        "predicted": list(systems.values())[-1].labels.sum(axis=0).astype(int),
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="label"))


def probabilities_of(logits) -> Callable[[int], np.ndarray]:
    """Return log-odds that do not depend on the fold as `thresholded` wants them."""
    probabilities = expit(np.asarray(logits, dtype=float))
    return lambda k: probabilities
