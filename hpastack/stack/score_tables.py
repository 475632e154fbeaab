"""Scores of out-of-fold probabilities and labels of several systems, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from hpastack.metrics import (
    average_precisions,
    brier_score,
    f1_scores,
    macro_f1,
    macro_interval,
    multilabel_log_loss,
    score_interval,
    squared_calibration_error,
)

#: Names of the scores, in display order. The first is for labels, the others for probabilities. The
#: macro scores and the calibration error are averaged over the labels with positive fields.
SCORES = ("macro_f1", "macro_ap", "ece", "brier", "log_loss")


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions of one system for every field.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, n_labels)
    labels : ndarray of {0, 1}, shape (n, n_labels)
    """

    probabilities: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class ProbabilityScores:
    """Scores of the probabilities of one system.

    Parameters
    ----------
    ap : ndarray of float, shape (n_labels,)
        Average precision of each label; NaN without positives.
    ap_drawn : ndarray of float, shape (n_draws, n_labels)
        The same for each draw; no rows without draws.
    whole : ndarray of float, shape (3,)
        Squared calibration error, Brier score, log loss.
    drawn : ndarray of float, shape (3, n_draws)
        The same for each draw.
    """

    ap: np.ndarray
    ap_drawn: np.ndarray
    whole: np.ndarray
    drawn: np.ndarray


def probability_scores(
    y: np.ndarray,
    probabilities: np.ndarray,
    clusters: np.ndarray,
    fold: np.ndarray,
    draws: np.ndarray | None = None,
) -> ProbabilityScores:
    """Return the scores of a system that do not depend on its thresholds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    probabilities : ndarray of float, shape (n, n_labels)
    clusters, fold : ndarray of int, shape (n,)
    draws : ndarray of int, shape (n_draws, n), optional
        Number of times each field was drawn.

    Returns
    -------
    ProbabilityScores
    """
    functions = (
        partial(squared_calibration_error, clusters=clusters, folds=fold),
        brier_score,
        multilabel_log_loss,
    )
    ap_drawn, drawn = np.empty((0, y.shape[1])), np.empty((len(functions), 0))
    if draws is not None:
        ap_drawn = average_precisions(y, probabilities, draws)
        drawn = np.stack([function(y, probabilities, draws) for function in functions])
    return ProbabilityScores(
        ap=average_precisions(y, probabilities),
        ap_drawn=ap_drawn,
        whole=np.array([function(y, probabilities) for function in functions]),
        drawn=drawn,
    )


def score_rows(
    y: np.ndarray, systems: dict[str, OutOfFold], scored: dict[str, ProbabilityScores]
) -> dict[str, dict[str, float]]:
    """Return all scores of each system.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    systems : dict of str to OutOfFold
    scored : dict of str to ProbabilityScores
        For each system.

    Returns
    -------
    dict of str to dict of str to float
        By system and the names of `SCORES`.
    """
    held = y.any(axis=0)

    def row(system: OutOfFold, of_probabilities: ProbabilityScores) -> dict[str, float]:
        squared, *others = of_probabilities.whole.tolist()
        ap = float(of_probabilities.ap[held].mean()) if held.any() else float("nan")
        f1 = macro_f1(y, system.labels, absent="skip")
        return dict(zip(SCORES, [f1, ap, float(np.sqrt(np.maximum(squared, 0))), *others]))

    return {name: row(system, scored[name]) for name, system in systems.items()}


def summary(
    y: np.ndarray,
    clusters: np.ndarray,
    systems: dict[str, OutOfFold],
    rows: dict[str, dict[str, float]],
    scored: dict[str, ProbabilityScores],
    draws: np.ndarray | None,
    *,
    start: str,
) -> dict[str, Any]:
    """Return scores of a stack with their intervals, and its gain over the consensus.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    systems, scored
        As in `score_rows`; ``stack``, ``naive`` (with every step after the
        boosters fitted on the scored rows) and `start` are used.
    rows : dict
        From `score_rows`.
    draws : ndarray of int, shape (n_draws, n), or None
        None: no intervals.
    start : str
        Name of the consensus.

    Returns
    -------
    dict
        Each score; ``n_labels_scored`` (number of labels with positives, over
        which the macro scores are averaged); ``macro_f1_all_labels`` (0 for the
        other labels, as in the competition); ``naive_`` for each score;
        ``gain_macro_f1`` and ``gain_macro_ap`` over the consensus; with draws
        ``_interval`` (low, high) of each score and gain. ``macro_f1_all_labels``
        has no interval: the zeros of absent labels are uninformative about
        other fields, so no interval around it would cover the score of these.
    """
    stack = rows["stack"]
    scores: dict[str, Any] = dict(stack)
    scores["macro_f1_all_labels"] = macro_f1(y, systems["stack"].labels)
    scores["n_labels_scored"] = int(y.any(axis=0).sum())
    scores |= {f"naive_{name}": value for name, value in rows["naive"].items()}
    gained = ("macro_f1", "macro_ap")
    scores |= {f"gain_{name}": stack[name] - rows[start][name] for name in gained}
    if draws is None:
        return scores
    holders = label_clusters(y, clusters)

    def by_label(name: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        labels = systems[name].labels
        f1, f1_drawn = (f1_scores(y, labels, weights, absent="skip") for weights in (None, draws))
        return (f1, f1_drawn), (scored[name].ap, scored[name].ap_drawn)

    for name, (ours, drawn), (before, before_drawn) in zip(
        gained, by_label("stack"), by_label(start)
    ):
        low, high = macro_interval(ours, drawn, holders)
        scores[f"{name}_interval"] = max(0.0, low), min(1.0, high)
        scores[f"gain_{name}_interval"] = macro_interval(
            ours - before, drawn - before_drawn, holders
        )
    squared, *others = zip(scored["stack"].whole, scored["stack"].drawn)
    low, high = np.sqrt(np.maximum(score_interval(*squared), 0)).tolist()
    scores["ece_interval"] = low, high
    for name, (value, values) in zip(("brier", "log_loss"), others):
        scores[f"{name}_interval"] = score_interval(value, values)
    return scores


def comparison_intervals(
    y: np.ndarray,
    clusters: np.ndarray,
    systems: dict[str, OutOfFold],
    scored: dict[str, ProbabilityScores],
    draws: np.ndarray,
) -> pd.DataFrame:
    """Return intervals of the scores of each system, and of the stack's gain over it.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    systems, scored
        As in `score_rows`, including ``stack``; each scored with the draws.
    draws : ndarray of int, shape (n_draws, n)

    Returns
    -------
    DataFrame
        One row per system; ``<score>_low`` and ``<score>_high``, and
        ``<score>_gain_low`` and ``<score>_gain_high`` of the score of the stack minus that
        of the system on the same draws, for each of `SCORES`. Intervals of the
        macro scores as in `macro_interval`.
    """
    holders = label_clusters(y, clusters)

    def macros(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
        labels = systems[name].labels
        f1, f1_drawn = (f1_scores(y, labels, weights, absent="skip") for weights in (None, draws))
        return [(f1, f1_drawn), (scored[name].ap, scored[name].ap_drawn)]

    def wholes(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return list(zip(scored[name].whole, scored[name].drawn))

    def rooted(of: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
        (error, drawn), *others = of
        return [(np.sqrt(np.maximum(error, 0)), np.sqrt(np.maximum(drawn, 0))), *others]

    ours = macros("stack"), rooted(wholes("stack"))
    rows = {}
    for name in systems:
        of_macros, of_wholes = macros(name), wholes(name)
        intervals = [macro_interval(*of, holders) for of in of_macros]
        intervals = [(max(0.0, low), min(1.0, high)) for low, high in intervals]
        squared, *others = (score_interval(*of) for of in of_wholes)
        low, high = np.sqrt(np.maximum(squared, 0)).tolist()
        intervals += [(low, high), *others]
        gains = [
            macro_interval(a - b, drawn_a - drawn_b, holders)
            for (a, drawn_a), (b, drawn_b) in zip(ours[0], of_macros)
        ]
        gains += [
            score_interval(a - b, drawn_a - drawn_b)
            for (a, drawn_a), (b, drawn_b) in zip(ours[1], rooted(of_wholes))
        ]
        rows[name] = {
            f"{score}_{end}": value
            for score, interval, gain in zip(SCORES, intervals, gains)
            for end, value in zip(("low", "high", "gain_low", "gain_high"), (*interval, *gain))
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def label_clusters(y: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the number of clusters in which each label occurs.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of int, shape (n_labels,)
    """
    return np.array([len(np.unique(clusters[of_label == 1])) for of_label in y.T])


def label_table(
    y: np.ndarray,
    clusters: np.ndarray,
    names: Sequence[str],
    systems: dict[str, OutOfFold],
    scored: dict[str, ProbabilityScores],
    members: Sequence[str],
    weights: np.ndarray,
    thresholds: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Return one row per label: positives, clusters, scores, weights and threshold.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    names : list of str
    systems : dict of str to OutOfFold
        Systems whose F1 and average precision are listed; the last is the stack.
    scored : dict of str to ProbabilityScores
        For each of them.
    members : sequence of str
    weights : ndarray of float, shape (n_members, n_labels)
    thresholds : ndarray of float, shape (n_labels,)
    interval : (ndarray, ndarray)
        Ends of the intervals of the thresholds.

    Returns
    -------
    DataFrame
        Indexed by label.
    """
    columns = {"positives": y.sum(axis=0).astype(int), "clusters": label_clusters(y, clusters)}
    columns |= {f"{name}_f1": f1_scores(y, system.labels) for name, system in systems.items()}
    columns |= {f"{name}_ap": scored[name].ap for name in systems}
    columns |= {f"{name}_weight": weights[number] for number, name in enumerate(members)}
    columns |= {
        "booster_weight": weights.sum(axis=0),
        "threshold": thresholds,
        "threshold_low": interval[0],
        "threshold_high": interval[1],
        "predicted": list(systems.values())[-1].labels.sum(axis=0).astype(int),
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="label"))
