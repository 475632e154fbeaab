"""Scores of a stack and of what it is made from, all out of fold and with the same rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpastack.calibration import apply_thresholds, best_thresholds, thresholds_without_folds
from hpastack.metrics import (
    average_precisions,
    brier_score,
    expected_calibration_error,
    f1_scores,
    macro_average_precision,
    macro_f1,
    multilabel_log_loss,
    score_interval,
)

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


def thresholded(
    y, fold, nested: np.ndarray | Callable[[int], np.ndarray], policy: str
) -> OutOfFold:
    """Give labels by thresholds that were chosen on the other folds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    fold : ndarray of int, shape (n,)
    nested : callable, or ndarray of float, shape (n, n_labels)
        Takes a fold k and returns probabilities (n, n_labels) of models that
        saw neither the row nor fold k. An array, if they are the same for all
        folds.
    policy : str
        Of the thresholds.

    Returns
    -------
    OutOfFold
    """
    if not callable(nested):
        chosen = thresholds_without_folds(y, nested, fold, policy=policy)
        return OutOfFold(nested, apply_thresholds(nested, chosen[fold]))
    probabilities, labels = np.zeros(y.shape), np.zeros(y.shape, dtype=np.uint8)
    for k in range(fold.max() + 1):
        values, rest = nested(k), fold != k
        chosen = best_thresholds(y[rest], values[rest], policy=policy)
        probabilities[~rest] = values[~rest]
        labels[~rest] = apply_thresholds(values[~rest], chosen)
    return OutOfFold(probabilities, labels)


def probability_scores(y, probabilities, draws=None) -> dict[str, np.ndarray]:
    """Return the scores of a system that do not depend on its thresholds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    probabilities : ndarray of float, shape (n, n_labels)
    draws : ndarray of int, shape (n_draws, n), optional
        How many times each field was drawn.

    Returns
    -------
    dict of str to ndarray
        ``ap`` (n_labels,): average precision of each label. ``whole`` (4,):
        those of `SCORES` after the first. ``drawn`` (4, n_draws): the same
        for each draw; without draws it has none.
    """
    functions = (
        macro_average_precision,
        expected_calibration_error,
        brier_score,
        multilabel_log_loss,
    )
    drawn = np.empty((len(functions), 0))
    if draws is not None:
        drawn = np.stack([function(y, probabilities, draws) for function in functions])
    return {
        "ap": average_precisions(y, probabilities),
        "whole": np.array([function(y, probabilities) for function in functions]),
        "drawn": drawn,
    }


def score_rows(y, systems: dict[str, OutOfFold], scored: dict[str, dict]) -> dict[str, dict]:
    """Return all scores of each system.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    systems : dict of str to OutOfFold
    scored : dict of str to dict
        Of `probability_scores`, for each system.

    Returns
    -------
    dict of str to dict of str to float
        By system and the names of `SCORES`.
    """
    return {
        name: dict(zip(SCORES, [macro_f1(y, found.labels), *scored[name]["whole"].tolist()]))
        for name, found in systems.items()
    }


def summary(y, systems, rows, scored, draws, *, start: str) -> dict:
    """Return what a stack scored, how sure that is, and what it gains.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    systems, scored
        As `score_rows`; ``stack``, ``naive`` (with everything after the
        boosters fitted on the rows it is scored on) and `start` are used.
    rows : dict
        Of `score_rows`.
    draws : ndarray of int, shape (n_draws, n), or None
        None: no intervals.
    start : str
        The consensus.

    Returns
    -------
    dict
        Each score, ``naive_`` each, ``gain_macro_f1`` and ``gain_macro_ap``
        over the consensus; with draws ``_interval`` (low, high) of each score
        and gain.
    """
    gained = ("macro_f1", "macro_ap")
    found = dict(rows["stack"])
    found |= {f"naive_{name}": value for name, value in rows["naive"].items()}
    found |= {f"gain_{name}": rows["stack"][name] - rows[start][name] for name in gained}
    if draws is not None:
        drawn, before = (
            dict(zip(SCORES, [macro_f1(y, systems[name].labels, draws), *scored[name]["drawn"]]))
            for name in ("stack", start)
        )
        drawn |= {f"gain_{name}": drawn[name] - before[name] for name in gained}
        for name, values in drawn.items():
            found[f"{name}_interval"] = score_interval(found[name], values)
    return found


def label_table(
    y,
    clusters,
    names,
    systems: dict[str, OutOfFold],
    scored: dict[str, dict],
    libraries,
    weights,
    thresholds,
    interval,
) -> pd.DataFrame:
    """Return a row a label: how often it is, how well it is found, by what, above what.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    names : list of str
    systems : dict of str to OutOfFold
        What to show F1 and average precision of; the last is the stack.
    scored : dict of str to dict
        Of `probability_scores`, for each of them.
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
    columns |= {f"{name}_ap": scored[name]["ap"] for name in systems}
    columns |= {f"{name}_weight": weights[number] for number, name in enumerate(libraries)}
    columns |= {
        "booster_weight": weights.sum(axis=0),
        "threshold": thresholds,
        "threshold_low": interval[0],
        "threshold_high": interval[1],
        "predicted": list(systems.values())[-1].labels.sum(axis=0).astype(int),
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="label"))
