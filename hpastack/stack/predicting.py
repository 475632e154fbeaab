"""Apply fitted models to new fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from hpastack.parallel import Workers
from hpastack.stack.cache import StackCache, digest
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.fitted import BaseLogOdds, Fitted
from hpastack.stack.seen_columns import Seen, SeenColumns


def predict_probabilities(
    sets: Sequence[Fitted],
    blocks: ColumnBlocks,
    boosters: Sequence[str],
    cache: StackCache,
    workers: Workers,
) -> np.ndarray:
    """Return calibrated probabilities, averaged over sets of folds.

    Parameters
    ----------
    sets : sequence of Fitted
        One per set of folds.
    blocks : ColumnBlocks
        Columns of the new fields.
    boosters : sequence of str
        Members, in the order of the weights.
    cache : StackCache
    workers : Workers

    Returns
    -------
    ndarray of float, shape (n, n_labels)
    """
    of_sets = []
    # One thread: sums must not depend on the number of cores, which the workers use anyway.
    with threadpool_limits(limits=1, user_api="blas"):
        for fitted in sets:
            make = partial(base_log_odds, fitted, blocks, boosters, workers)
            if cache.keeps:
                key = _key(fitted, blocks, boosters)
                log_odds = cache.remember("predicted", key, make, BaseLogOdds)
            else:  # a digest of all inputs would be wasted
                log_odds = make()
            of_sets.append(fitted.meta_learner.probabilities(log_odds.consensus, log_odds.added))
    return np.mean(of_sets, axis=0)


def consensus_probabilities(sets: Sequence[Fitted], blocks: ColumnBlocks) -> np.ndarray:
    """Return probabilities of the consensus, averaged over sets of folds.

    Parameters
    ----------
    sets : sequence of Fitted
        One per set of folds.
    blocks : ColumnBlocks
        Columns of the new fields.

    Returns
    -------
    ndarray of float, shape (n, n_labels)
    """
    of_sets = [expit(np.mean(_margins(fitted, blocks), axis=0)) for fitted in sets]
    return np.mean(of_sets, axis=0)


def base_log_odds(
    fitted: Fitted,
    blocks: ColumnBlocks,
    boosters: Sequence[str],
    workers: Workers,
) -> BaseLogOdds:
    """Return log-odds of new fields from consensus and members, averaged over folds.

    Parameters
    ----------
    fitted : Fitted
    blocks, boosters, workers
        As in `predict_probabilities`.

    Returns
    -------
    BaseLogOdds
    """
    weights, n_folds = fitted.meta_learner.weights, len(fitted.columns)
    margins = _margins(fitted, blocks)
    consensus = np.mean(margins, axis=0)
    added = np.zeros((len(boosters), *consensus.shape))

    def tasks() -> Iterator[tuple[Any, ...]]:
        for fold, columns in enumerate(fitted.columns):
            seen = SeenColumns(columns, blocks, margins[fold], boosters)
            for number, name in enumerate(boosters):
                for labels in seen.by_model(name, np.flatnonzero(weights[number]).tolist()):
                    models = fitted.models_of(name, fold, labels[0])
                    if models:
                        yield number, labels, models, seen.of(name, labels)

    n_tasks = n_folds * int(np.count_nonzero(weights))  # at most
    for number, labels, values in workers.map(_apply, tasks(), n_tasks, "predict"):
        added[number][:, labels] += values / n_folds
    return BaseLogOdds(consensus, added)


def _margins(fitted: Fitted, blocks: ColumnBlocks) -> list[np.ndarray]:
    return [columns.consensus.margin(blocks.logits) for columns in fitted.columns]


def _key(fitted: Fitted, blocks: ColumnBlocks, boosters: Sequence[str]) -> str:
    models = [model for _, model in sorted(fitted.models.items())]
    parts = [part for columns in fitted.columns for part in columns.arrays()]
    has_weight = (fitted.meta_learner.weights > 0).tolist()
    return digest(*models, *blocks.arrays(), *parts, has_weight, list(boosters))


def _apply(
    number: int, labels: list[int], models: list[bytes], seen: Seen
) -> tuple[int, list[int], np.ndarray]:
    total = sum(seen.added(model) for model in models)
    return number, labels, np.asarray(total / len(models))
