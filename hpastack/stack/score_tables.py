"""Scores of systems: what probabilities and labels out of fold are worth, and the tables of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

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


@dataclass(frozen=True)
class ProbabilityScores:
    """What the probabilities of one system score.

    Parameters
    ----------
    ap : ndarray of float, shape (n_labels,)
        Average precision of each label.
    whole : ndarray of float, shape (4,)
        `SCORES` after the first.
    drawn : ndarray of float, shape (4, n_draws)
        The same for each draw; without draws it has none.
    """

    ap: np.ndarray
    whole: np.ndarray
    drawn: np.ndarray


def probability_scores(
    y: np.ndarray, probabilities: np.ndarray, draws: np.ndarray | None = None
) -> ProbabilityScores:
    """Return the scores of a system that do not depend on its thresholds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    probabilities : ndarray of float, shape (n, n_labels)
    draws : ndarray of int, shape (n_draws, n), optional
        How many times each field was drawn.

    Returns
    -------
    ProbabilityScores
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
    return ProbabilityScores(
        ap=average_precisions(y, probabilities),
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
    return {
        name: dict(zip(SCORES, [macro_f1(y, system.labels), *scored[name].whole.tolist()]))
        for name, system in systems.items()
    }


def summary(
    y: np.ndarray,
    systems: dict[str, OutOfFold],
    rows: dict[str, dict[str, float]],
    scored: dict[str, ProbabilityScores],
    draws: np.ndarray | None,
    *,
    start: str,
) -> dict[str, Any]:
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
    scores: dict[str, Any] = dict(rows["stack"])
    scores |= {f"naive_{name}": value for name, value in rows["naive"].items()}
    scores |= {f"gain_{name}": rows["stack"][name] - rows[start][name] for name in gained}
    if draws is not None:
        drawn, before = (
            dict(zip(SCORES, [macro_f1(y, systems[name].labels, draws), *scored[name].drawn]))
            for name in ("stack", start)
        )
        drawn |= {f"gain_{name}": drawn[name] - before[name] for name in gained}
        for name, values in drawn.items():
            scores[f"{name}_interval"] = score_interval(scores[name], values)
    return scores


def label_table(
    y: np.ndarray,
    clusters: np.ndarray,
    names: Sequence[str],
    systems: dict[str, OutOfFold],
    scored: dict[str, ProbabilityScores],
    libraries: Sequence[str],
    weights: np.ndarray,
    thresholds: np.ndarray,
    interval: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Return a row a label: how often it is, how well it is found, by what, above what.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    names : list of str
    systems : dict of str to OutOfFold
        What to show F1 and average precision of; the last is the stack.
    scored : dict of str to ProbabilityScores
        For each of them.
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
    columns |= {f"{name}_f1": f1_scores(y, system.labels) for name, system in systems.items()}
    columns |= {f"{name}_ap": scored[name].ap for name in systems}
    columns |= {f"{name}_weight": weights[number] for number, name in enumerate(libraries)}
    columns |= {
        "booster_weight": weights.sum(axis=0),
        "threshold": thresholds,
        "threshold_low": interval[0],
        "threshold_high": interval[1],
        "predicted": list(systems.values())[-1].labels.sum(axis=0).astype(int),
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="label"))
