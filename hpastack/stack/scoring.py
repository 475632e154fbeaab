"""Score a stack, its members and its CNNs, all out of fold and by the same rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from hpastack.calibration import (
    ThresholdSearch,
    apply_thresholds,
    best_thresholds,
    threshold_intervals,
)
from hpastack.metrics import cluster_draws
from hpastack.parallel import Workers
from hpastack.stack.cache import StackCache, digest
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.fitted import CrossFitted, NestedLogOdds
from hpastack.stack.inputs import TrainingData
from hpastack.stack.labelling import Labelling, thresholds_without_folds
from hpastack.stack.score_tables import (
    OutOfFold,
    ProbabilityScores,
    comparison_intervals,
    label_table,
    probability_scores,
    score_rows,
    summary,
)
from hpastack.stack.settings import StackSettings

#: Number of bootstrap draws for the intervals of thresholds.
_THRESHOLD_DRAWS = 50

# Probabilities of models fitted without the row's fold and fold k, as a function of k; or those of
# models that were not fitted on any of the rows.
_Nested = np.ndarray | Callable[[int], np.ndarray]


@dataclass(frozen=True)
class ScoresOfSystems:
    """Scores of the probabilities of several systems.

    Parameters
    ----------
    systems : list of ProbabilityScores
    """

    systems: list[ProbabilityScores]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of each system as ``<number>_<name>``."""
        return {
            f"{number}_{name}": values
            for number, scores in enumerate(self.systems)
            for name, values in vars(scores).items()
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ScoresOfSystems:
        """Return the object that `to_arrays` was called on."""
        names = [field.name for field in fields(ProbabilityScores)]
        return cls(
            [
                ProbabilityScores(**{name: arrays[f"{number}_{name}"] for name in names})
                for number in range(len(arrays) // len(names))
            ]
        )


@dataclass(frozen=True)
class Scores:
    """Out-of-fold predictions of a stack for its training fields, and their scores.

    Each field is the attribute of `hpastack.StackClassifier` of the same name.
    """

    oof_probabilities: pd.DataFrame
    oof_labels: pd.DataFrame
    oof_consensus: pd.DataFrame
    oof_members: dict[str, pd.DataFrame]
    cv_results: dict[str, Any]
    comparison: pd.DataFrame
    comparison_intervals: pd.DataFrame | None
    label_table: pd.DataFrame


def score(
    inputs: TrainingData,
    runs: list[CrossFitted],
    settings: StackSettings,
    cache: StackCache,
    workers: Workers,
) -> Scores:
    """Score a stack, its members and its CNNs out of fold.

    Parameters
    ----------
    inputs : TrainingData
    runs : list of CrossFitted
        One per set of folds.
    settings : StackSettings
    cache : StackCache
    workers : Workers

    Returns
    -------
    Scores
    """
    y, clusters, log_odds = inputs.y, inputs.clusters, runs[0].log_odds
    quiet = Workers(workers.n_jobs)
    start = "consensus" if settings.cnns else "prior"
    learners = [run.fitted.meta_learner for run in runs]
    labelling = Labelling.mean([learner.labelling for learner in learners])
    stack = _out_of_fold(y, runs, settings)
    # Blend, calibration and thresholds fitted on the rows that are scored.
    fitted_on_all = np.mean(
        [run.fitted.meta_learner.probabilities(*run.log_odds.out_of_fold()) for run in runs],
        axis=0,
    )
    base = np.mean([expit(run.log_odds.out_of_fold()[0].astype(float)) for run in runs], axis=0)
    naive = OutOfFold(
        fitted_on_all, labelling.labels(fitted_on_all, base, min_labels=settings.min_labels)
    )

    parts = _parts(inputs.blocks, log_odds, settings, start)
    source, weights = labelling.values(fitted_on_all, base), inputs.sample_weight
    tasks: list[tuple[Any, ...]] = [(_threshold_intervals, y, source, clusters, settings, weights)]
    tasks += [
        (thresholded, y, log_odds.fold, values, _policy_for(values, settings.thresholds), weights)
        for values in parts.values()
    ]
    interval, *results = quiet.map(_call, tasks, len(tasks), "scores")
    systems = dict(zip(parts, results)) | {"stack": stack, "naive": naive}
    draws = None
    if settings.n_bootstrap:
        draws = cluster_draws(clusters, n_draws=settings.n_bootstrap, seed=settings.random_state)
    # The optimistic scores have no intervals.
    shown = {name: system for name, system in systems.items() if name != "naive"}
    scored = _probability_scores(
        y, clusters, log_odds.fold, systems, draws, tuple(shown), cache, quiet
    )
    rows = score_rows(y, systems, scored)
    table = label_table(
        y,
        clusters,
        inputs.labels,
        {name: systems[name] for name in (start, *settings.members, "stack")},
        scored,
        settings.members,
        np.mean([learner.weights for learner in learners], axis=0),
        labelling.thresholds,
        interval,
    )

    def by_id(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, inputs.image_ids, inputs.labels)

    return Scores(
        oof_probabilities=by_id(stack.probabilities),
        oof_labels=by_id(stack.labels),
        oof_consensus=by_id(systems[start].probabilities),
        oof_members={name: by_id(systems[name].probabilities) for name in settings.members},
        cv_results=summary(y, clusters, systems, rows, scored, draws, start=start),
        comparison=pd.DataFrame({name: rows[name] for name in shown}).T,
        comparison_intervals=(
            None if draws is None else comparison_intervals(y, clusters, shown, scored, draws)
        ),
        label_table=table,
    )


def thresholded(
    y: np.ndarray,
    fold: np.ndarray,
    nested: _Nested,
    policy: str,
    sample_weight: np.ndarray | None = None,
) -> OutOfFold:
    """Return labels from thresholds that were chosen on the other folds.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    fold : ndarray of int, shape (n,)
    nested : callable, or ndarray of float, shape (n, n_labels)
        Takes a fold k and returns probabilities (n, n_labels) of models fitted
        without the row's fold and fold k. An array, if they are the same for
        all folds.
    policy : str
        Policy of the thresholds.
    sample_weight : ndarray of float, shape (n,), optional
        Weights for the choice of thresholds.

    Returns
    -------
    OutOfFold
    """
    if not callable(nested):
        search = ThresholdSearch(y, nested, policy)
        chosen = thresholds_without_folds(search, fold, sample_weight)
        return OutOfFold(nested, apply_thresholds(nested, chosen[fold]))
    probabilities, labels = np.zeros(y.shape), np.zeros(y.shape, dtype=np.uint8)
    for k in range(fold.max() + 1):
        values, others = nested(k), fold != k
        if sample_weight is None:
            chosen = best_thresholds(y[others], values[others], policy=policy)
        else:
            search = ThresholdSearch(y[others], values[others], policy)
            chosen = search.thresholds(sample_weight[others])
        probabilities[~others] = values[~others]
        labels[~others] = apply_thresholds(values[~others], chosen)
    return OutOfFold(probabilities, labels)


def _parts(
    blocks: ColumnBlocks, log_odds: NestedLogOdds, settings: StackSettings, start: str
) -> dict[str, _Nested]:
    """Return probabilities of CNNs, consensus and members, by their names in the comparison."""
    parts: dict[str, _Nested] = {
        cnn: expit(blocks.logits[number].astype(float)) for number, cnn in enumerate(settings.cnns)
    }
    if len(settings.cnns) > 1:
        parts["mean of CNNs"] = expit(blocks.logits.mean(axis=0, dtype=float))
    margin = log_odds.margin
    parts[start] = partial(_of_consensus, margin)
    for name, added in zip(settings.members, log_odds.added):
        parts[name] = partial(_of_library, margin, added)
    return parts


def _policy_for(values: _Nested, policy: str) -> str:
    """Return the policy of thresholds; ``combined`` requires calibrated probabilities."""
    is_calibrated = callable(values)
    return "shrunk" if policy == "combined" and not is_calibrated else policy


def _of_consensus(margin: np.ndarray, k: int) -> np.ndarray:
    return expit(margin[k].astype(float))


def _of_library(margin: np.ndarray, added: np.ndarray, k: int) -> np.ndarray:
    return expit(margin[k].astype(float) + added[k])


def _out_of_fold(y: np.ndarray, runs: list[CrossFitted], settings: StackSettings) -> OutOfFold:
    """Return predictions for each fold from a meta-learner fitted on the other folds."""
    of_sets, of_consensus, labellings = [], [], []
    for run in runs:
        probabilities, start = np.zeros(y.shape), np.zeros(y.shape)
        of_stack, of_start, by_consensus = start.copy(), start.copy(), np.zeros(len(y), dtype=bool)
        for k, meta_learner in enumerate(run.meta_learners):
            rows = run.log_odds.fold == k
            consensus, added = run.log_odds.without(k)
            probabilities[rows] = meta_learner.probabilities(
                consensus[rows], [values[rows] for values in added]
            )
            start[rows] = expit(consensus[rows].astype(float))
            labelling = meta_learner.labelling
            of_stack[rows], of_start[rows] = labelling.of_stack, labelling.of_consensus
            by_consensus[rows] = labelling.by_consensus
        of_sets.append(probabilities)
        of_consensus.append(start)
        labellings.append(Labelling(of_stack, of_start, by_consensus))
    mean, start = np.mean(of_sets, axis=0), np.mean(of_consensus, axis=0)
    labels = Labelling.mean(labellings).labels(mean, start, min_labels=settings.min_labels)
    return OutOfFold(mean, labels)


def _threshold_intervals(
    y: np.ndarray,
    probabilities: np.ndarray,
    clusters: np.ndarray,
    settings: StackSettings,
    sample_weight: np.ndarray | None,
) -> np.ndarray:
    """Return the ends of the intervals, shape (2, n_labels)."""
    if not settings.n_bootstrap:
        return np.full((2, y.shape[1]), np.nan)
    n_draws = min(settings.n_bootstrap, _THRESHOLD_DRAWS)
    if sample_weight is not None:
        kept = sample_weight > 0
        search = ThresholdSearch(y[kept], probabilities[kept], settings.thresholds)
        draws = cluster_draws(clusters[kept], n_draws=n_draws, seed=settings.random_state)
        chosen = [search.thresholds(draw * sample_weight[kept]) for draw in draws]
        return np.percentile(chosen, [2.5, 97.5], axis=0)
    return np.stack(
        threshold_intervals(
            y,
            probabilities,
            clusters,
            policy=settings.thresholds,
            n_draws=n_draws,
            seed=settings.random_state,
        )
    )


def _probability_scores(
    y: np.ndarray,
    clusters: np.ndarray,
    fold: np.ndarray,
    systems: dict[str, OutOfFold],
    draws: np.ndarray | None,
    drawn: tuple[str, ...],
    cache: StackCache,
    workers: Workers,
) -> dict[str, ProbabilityScores]:
    """Score the probabilities of each system, some with draws."""
    arrays = [system.probabilities for system in systems.values()]
    chosen = [draws if name in drawn else None for name in systems]
    key = digest(
        y, clusters, fold, *arrays, *(part for part in chosen if part is not None), list(drawn)
    )

    def make() -> ScoresOfSystems:
        tasks = ((y, values, clusters, fold, part) for values, part in zip(arrays, chosen))
        return ScoresOfSystems(list(workers.map(probability_scores, tasks, len(arrays), "scores")))

    return dict(zip(systems, cache.remember("scores", key, make, ScoresOfSystems).systems))


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
