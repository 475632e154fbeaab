"""Fit a stack on each set of folds, reusing results of earlier fits from a cache."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd

from hpastack.boosting import TreeSettings
from hpastack.errors import InputError, shorten
from hpastack.files import package_versions
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.parallel import Workers
from hpastack.stack.cache import StackCache, digest
from hpastack.stack.cross_fitting import CrossFitter
from hpastack.stack.field_values import checked_folds, weights_of
from hpastack.stack.fitted import (
    CrossFitted,
    Fitted,
    LeaveTwoOut,
    NestedBoosters,
    NestedConsensus,
    NestedLogOdds,
)
from hpastack.stack.inputs import TrainingData
from hpastack.stack.members import POOLED, POOLED_TREES, maker_of
from hpastack.stack.meta_learner import MetaLearner, MetaLearners
from hpastack.stack.settings import StackSettings
from hpastack.stack.tuning import SPACE, candidates, tuned


def folds_of(inputs: TrainingData, settings: StackSettings) -> list[np.ndarray]:
    """Return the sets of folds: the user's, if any, and others made from the clusters.

    Parameters
    ----------
    inputs : TrainingData
    settings : StackSettings
        `repeats` is the number of sets.

    Returns
    -------
    list of ndarray of int, shape (n,)

    Raises
    ------
    InputError
        If there are too few clusters, or a fold has no field of positive weight.
    """
    sets = [] if inputs.fold is None else [inputs.fold]
    n_splits = settings.n_splits if inputs.fold is None else int(inputs.fold.max()) + 1
    while len(sets) < settings.repeats:
        splitter = MultilabelStratifiedGroupKFold(
            n_splits, random_state=settings.random_state + len(sets)
        )
        # No warning about rare labels: `label_table_` has the number of clusters of each.
        fold = splitter.fold_numbers(inputs.trained_y, inputs.clusters)
        sets.append(checked_folds(fold, inputs.clusters, inputs.image_ids))
    for fold in sets:
        empty = np.setdiff1d(fold, fold[inputs.trained])
        if len(empty):
            noun = "fold" if len(empty) == 1 else "folds"
            raise InputError(
                f"sample_weight is zero for all fields of {noun} {shorten(empty)}; every fold "
                "needs a field of positive weight"
            )
    return sets


def learnable_without_pairs(
    y: np.ndarray, clusters: np.ndarray, fold: np.ndarray, settings: StackSettings
) -> np.ndarray:
    """Return for each pair of folds which labels can be learned with both held out.

    A label is learned for a fold if it can be learned with that fold and any
    other held out, so the labels of the fold itself do not count.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters, fold : ndarray of int, shape (n,)
    settings : StackSettings

    Returns
    -------
    ndarray of bool, shape (n_folds, n_folds, n_labels)
        The diagonal is true if there are any members.
    """
    n_folds = fold.max() + 1
    if not settings.members:
        return np.zeros((n_folds, n_folds, y.shape[1]), dtype=bool)
    _, first = np.unique(clusters, return_index=True)
    holds = np.zeros((clusters.max() + 1, y.shape[1]), dtype=np.int64)
    np.maximum.at(holds, clusters, y)
    enough = np.ones((n_folds, n_folds, y.shape[1]), dtype=bool)
    for counted, where, least in (
        (y, fold, settings.least_positives),
        (holds, fold[first], settings.min_clusters),
    ):
        by_fold = np.stack([counted[where == k].sum(axis=0) for k in range(n_folds)])
        enough &= by_fold.sum(axis=0) - by_fold[:, None] - by_fold >= least
    enough[np.diag_indices(n_folds)] = True
    return enough


def cross_fit(
    inputs: TrainingData,
    fold: np.ndarray,
    settings: StackSettings,
    cache: StackCache,
    workers: Workers,
) -> CrossFitted:
    """Fit consensus, boosters and meta-learners on one set of folds.

    Parameters
    ----------
    inputs : TrainingData
    fold : ndarray of int, shape (n,)
    settings : StackSettings
    cache : StackCache
    workers : Workers

    Returns
    -------
    CrossFitted
    """
    if inputs.sample_weight is not None:
        _check_weights_are_supported(settings.members)
    blocks, y, clusters = inputs.blocks, inputs.y, inputs.clusters
    without_pairs = learnable_without_pairs(inputs.trained_y, clusters, fold, settings)
    learnable = np.asarray(without_pairs.all(axis=1))
    fitter = CrossFitter(
        blocks,
        y,
        clusters,
        fold,
        without_pairs,
        n_components=settings.n_components,
        n_screened=settings.n_screened,
        workers=workers,
        sample_weight=inputs.sample_weight,
    )
    # The key of each result covers all that it depends on, and nothing else.
    weights = [] if inputs.sample_weight is None else [inputs.sample_weight]
    key = digest(blocks.logits, y, clusters, fold, *weights)
    consensus = cache.remember("base", key, fitter.fit_consensus, NestedConsensus)
    keys = [key]
    if settings.members:
        _, *further = blocks.arrays()
        key = digest(
            key, *further, settings.n_components, settings.n_screened, without_pairs.tolist()
        )
    boosters: dict[str, NestedBoosters] = {}
    for name in settings.members:
        own = digest(*_booster_parts(key, name, _trees_of(name, settings), settings), settings.tune)
        make = partial(_fit_boosters, fitter, consensus, learnable, name, key, settings, cache)
        boosters[name] = cache.remember(name, own, make, NestedBoosters)
        keys.append(own)
    log_odds = NestedLogOdds(
        fold, consensus.nested_margin(fold), [of_library.added for of_library in boosters.values()]
    )
    key = digest(*keys, settings.calibration)
    meta_learners = fit_meta_learners(inputs, log_odds, learnable, settings, cache, key, workers)
    models = {
        (name, *place): model
        for name, of_library in boosters.items()
        for place, model in of_library.models.items()
    }
    trials = {name: of_library.trials for name, of_library in boosters.items()}
    # A fold has models of all labels that can be learned with it held out, or of none.
    has_models = sorted({fold for _, fold, _, _ in models})
    learned = np.flatnonzero(learnable[has_models].any(axis=0)).tolist()
    fitted = Fitted(fitter.columns(consensus), models, meta_learners.whole, learned)
    seconds = {name: of_library.seconds for name, of_library in boosters.items()}
    return CrossFitted(log_odds, trials, meta_learners.nested, fitted, seconds)


def fit_meta_learners(
    inputs: TrainingData,
    log_odds: NestedLogOdds,
    learnable: np.ndarray,
    settings: StackSettings,
    cache: StackCache,
    key: str,
    workers: Workers,
) -> MetaLearners:
    """Fit a meta-learner for each fold on the other folds, and one on all rows.

    Parameters
    ----------
    inputs : TrainingData
    log_odds : NestedLogOdds
    learnable : ndarray of bool, shape (n_folds, n_labels)
    settings : StackSettings
    cache : StackCache
    key : str
        Digest of all that blend and calibration depend on.
    workers : Workers

    Returns
    -------
    MetaLearners
    """
    y, fold, quiet = inputs.y, log_odds.fold, Workers(workers.n_jobs)
    weights, trained = inputs.sample_weight, inputs.trained
    parts: list[tuple[Any, ...]] = []  # rows, and their log-odds
    for k in range(log_odds.n_folds):
        others = (fold != k) & trained
        consensus, added = log_odds.without(k)
        parts.append((others, consensus[others], [values[others] for values in added]))
    consensus, added = log_odds.out_of_fold()
    every = slice(None) if weights is None else trained
    parts.append((every, consensus[every], [values[every] for values in added]))

    def make() -> MetaLearners:
        tasks = (
            (y[rows], *values, inputs.clusters[rows], fold[rows], labels, weights_of(weights, rows))
            for (rows, *values), labels in zip(parts, [*learnable, learnable.any(axis=0)])
        )
        blended = partial(MetaLearner.blended, calibration=settings.calibration)
        *nested, whole = quiet.map(blended, tasks, len(parts), "blend")
        return MetaLearners(nested, whole)

    blended = cache.remember("tops", key, make, MetaLearners)
    tasks = (
        (
            meta_learner,
            y[rows],
            *values,
            fold[rows],
            settings.thresholds,
            bool(settings.cnns),
            weights_of(weights, rows),
        )
        for meta_learner, (rows, *values) in zip([*blended.nested, blended.whole], parts)
    )
    *nested, whole = quiet.map(MetaLearner.thresholded, tasks, len(parts), "thresholds")
    return MetaLearners(nested, whole)


def tuning_table(runs: list[CrossFitted]) -> pd.DataFrame:
    """Return the tree settings that were tried, one row per set of folds, library and trial.

    Parameters
    ----------
    runs : list of CrossFitted

    Returns
    -------
    DataFrame
    """
    return pd.DataFrame(
        [
            {"set": number, "library": name, "trial": trial, **tried}
            for number, run in enumerate(runs)
            for name, trials in run.trials.items()
            for trial, tried in enumerate(trials)
        ]
    )


def _check_weights_are_supported(members: list[str]) -> None:
    """Raise `InputError` if libraries that users added do not take weights."""
    makers: dict[str, Any] = {name: maker_of(name) for name in members}
    unsupported = [
        name
        for name, maker in makers.items()
        if "sample_weight" not in signature(maker.fit).parameters
    ]
    if unsupported:
        raise InputError(
            f"members that do not support sample_weight: {shorten(unsupported)}; exclude them "
            "from boosters, or fit without weights"
        )


def _trees_of(name: str, settings: StackSettings) -> TreeSettings:
    if name == POOLED:
        return replace(POOLED_TREES, monotone=settings.monotone)
    return settings.trees


def _seeds(settings: StackSettings) -> list[int]:
    # Libraries accept seeds of 31 bits.
    return [(settings.random_state + 1000 * bag) % 2**31 for bag in range(settings.bags)]


def _booster_parts(
    key: str, name: str, trees: TreeSettings, settings: StackSettings
) -> tuple[Any, ...]:
    """Return all that the fit of a member depends on."""
    package = maker_of(name).package
    version = package_versions([package])[package]
    return key, name, version, trees.record(), settings.min_rounds, _seeds(settings)


def _fit_boosters(
    fitter: CrossFitter,
    consensus: NestedConsensus,
    learnable: np.ndarray,
    name: str,
    key: str,
    settings: StackSettings,
    cache: StackCache,
) -> NestedBoosters:
    """Fit one member, with tree settings chosen for each fold."""
    started = time.perf_counter()
    seeds = _seeds(settings)
    ignored = maker_of(name).ignores
    # The pooled booster has tree settings of its own.
    has_choice = name != POOLED and not set(SPACE) <= set(ignored)
    n_tried = settings.tune if has_choice else 1
    # An interrupted search resumes with the trials it has finished.
    trials = cache if n_tried > 1 else StackCache(None)

    def fit(trees: TreeSettings, note: str) -> LeaveTwoOut:
        make = partial(
            fitter.fit_without_two_folds,
            name,
            trees,
            consensus,
            seeds=seeds,
            min_rounds=settings.min_rounds,
            note=note,
        )
        own = digest(*_booster_parts(key, name, trees, settings))
        return trials.remember(f"{name}-trial", own, make, LeaveTwoOut)

    tried = candidates(_trees_of(name, settings), n_tried, settings.random_state, ignored)
    chosen = tuned(tried, fit, learnable)
    fitted = fitter.fit_without_one_fold(
        name, chosen.settings, chosen.leave_two_out, consensus, seeds=seeds
    )
    return replace(fitted, trials=chosen.trials, seconds=time.perf_counter() - started)
