"""Log-odds that no model made for rows whose labels it saw, and the same once more within.

For K folds two kinds of models are fitted, both for the consensus and for the
boosters: one without each fold, and one without each *pair* of folds. The first
predict the fold they were fitted without. The second give, for each fold k, the
log-odds of all other rows by models that saw neither these rows nor fold k: on
them everything that comes after (number of trees, blend, calibration,
thresholds) is chosen for fold k. So each score of fold k is one that new data
would give, at the cost of K (K + 1) / 2 fits instead of K.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from hpastack.boosting import SharedBins, TreeSettings, library, staged
from hpastack.calibration import log_losses
from hpastack.parallel import Workers
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.columns import (
    FoldColumns,
    Moments,
    Reduction,
    choose_columns,
    shared_columns,
)
from hpastack.stack.consensus import Consensus, log_odds_bound
from hpastack.stack.fitted import LeaveTwoOut, NestedBoosters, NestedConsensus

#: With fewer positives in the other folds the number of trees is not looked for: the middle stage
#: is taken.
MIN_STOPPING_POSITIVES = 100

#: Numbers of trees that are compared.
_N_STAGES = 5


class CrossFitter:
    """Fit consensus and boosters without each fold and without each pair of folds.

    Parameters
    ----------
    inputs : ColumnBlocks
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    fold : ndarray of int, shape (n,)
        At least three folds, which keep clusters whole.
    learnable : ndarray of bool, shape (n_folds, n_labels)
        Labels that get boosters for each fold.
    n_components : int
        Principal components an embedding is reduced to.
    n_screened : int or None
        Shared columns that a label sees at most.
    workers : Workers
    """

    def __init__(
        self,
        inputs: ColumnBlocks,
        y: np.ndarray,
        clusters: np.ndarray,
        fold: np.ndarray,
        learnable: np.ndarray,
        *,
        n_components: int,
        n_screened: int | None,
        workers: Workers,
    ) -> None:
        self._inputs = inputs
        self._y = y
        self._clusters = clusters
        self._fold = fold
        self._learnable = learnable
        self._n_components = n_components
        self._n_screened = n_screened
        self._workers: Workers = workers
        self._n_folds = int(fold.max()) + 1
        self._pairs = list(combinations(range(self._n_folds), 2))
        self._moments = {name: Moments(v, fold) for name, v in inputs.embeddings.items()}
        self._bins: dict[tuple[int, ...], SharedBins] = {}
        # By the folds left out: the same for both libraries and every trial.
        self._learned: dict[tuple[int, ...], tuple[dict[str, Reduction], list[np.ndarray]]] = {}

    def fit_consensus(self) -> NestedConsensus:
        """Fit the consensus."""
        held_out = [*((k,) for k in range(self._n_folds)), *self._pairs]
        tasks = ((self._inputs.logits, self._y, self._clusters, self._train(h)) for h in held_out)
        fitted = list(self._workers.map(_fit_consensus, tasks, len(held_out), "consensus"))
        margins = dict(zip(held_out, (margin for _, margin in fitted)))
        return NestedConsensus(margins, [consensus for consensus, _ in fitted[: self._n_folds]])

    def columns(self, base: NestedConsensus) -> list[FoldColumns]:
        """Return the columns of the models that are fitted without each fold."""
        return [
            FoldColumns(base.consensus[k], *self._columns((k,), base.margins)[:2])
            for k in range(self._n_folds)
        ]

    def fit_without_two_folds(
        self,
        name: str,
        settings: TreeSettings,
        margins: dict[tuple[int, ...], np.ndarray],
        *,
        seeds: list[int],
        min_rounds: int,
        note: str = "",
    ) -> LeaveTwoOut:
        """Fit boosters without pairs of folds, and choose the number of trees.

        Parameters
        ----------
        name : str
            A key of `LIBRARIES`.
        settings : TreeSettings
        margins : dict
            Of `NestedConsensus`.
        seeds : list of int
            One a bag; their boosters are averaged.
        min_rounds : int
            Least number of trees to choose.
        note : str, default=""
            Put behind the name in the progress bar.

        Returns
        -------
        LeaveTwoOut
        """
        stages = stages_of(settings.rounds, min_rounds)
        n_folds, (n, n_labels) = self._n_folds, self._y.shape
        losses = np.zeros((n_folds, n_labels, len(stages)))
        start = np.zeros((n_folds, n_labels))
        added_without: dict[tuple[tuple[int, int], int], np.ndarray] = {}
        tasks = self._tasks(name, self._pairs, margins, settings, seeds, stages)
        results = self._workers.map(
            _fit_stages, tasks, self._n_tasks(self._pairs), f"{name}, nested{note}"
        )
        for pair in self._pairs:
            held = np.isin(self._fold, pair)
            fold, margin, y = self._fold[held], margins[pair][held], self._y[held]
            for label in self._labels(pair):
                added = added_without[pair, label] = next(results)
                loss = log_losses(y[:, label], margin[:, label] + added)
                base_loss = log_losses(y[:, label], margin[:, label])
                # What is chosen for a fold is chosen on the rows of the other one.
                for mine, other in self._learned_for(pair, label):
                    losses[mine, label] += loss[:, fold == other].sum(axis=1)
                    start[mine, label] += base_loss[fold == other].sum()
        best = losses.argmin(axis=2)
        seen = np.stack([self._y[self._fold != k].sum(axis=0) for k in range(n_folds)])
        best[seen < MIN_STOPPING_POSITIVES] = len(stages) // 2
        nested = np.zeros((n_folds, n, n_labels), dtype=np.float32)
        for (folds, label), added in added_without.items():
            rows = np.flatnonzero(np.isin(self._fold, folds))
            for mine, other in self._learned_for(folds, label):
                is_other = self._fold[rows] == other
                nested[mine, rows[is_other], label] = added[best[mine, label], is_other]
        chosen = np.take_along_axis(losses, best[:, :, None], axis=2)[:, :, 0]
        relative = np.divide(chosen, start, out=np.ones_like(chosen), where=start > 0)
        return LeaveTwoOut(nested, np.array(stages)[best], relative)

    def fit_without_one_fold(
        self,
        name: str,
        settings: list[TreeSettings],
        leave_two_out: list[LeaveTwoOut],
        margins: dict[tuple[int, ...], np.ndarray],
        *,
        seeds: list[int],
    ) -> NestedBoosters:
        """Fit boosters without each fold.

        Parameters
        ----------
        name : str
            A key of `LIBRARIES`.
        settings : list of TreeSettings
            One a fold.
        leave_two_out : list of LeaveTwoOut
            One per fold, made with its settings.
        margins : dict
            Of `NestedConsensus`.
        seeds : list of int

        Returns
        -------
        NestedBoosters
        """
        added = np.stack([leave_two_out[k].added[k] for k in range(self._n_folds)])
        rounds = np.stack([leave_two_out[k].rounds[k] for k in range(self._n_folds)])
        models: dict[tuple[int, int, int], bytes] = {}
        singles = [(k,) for k in range(self._n_folds)]
        tasks = self._tasks(name, singles, margins, settings, seeds, rounds)
        results = self._workers.map(_fit_whole, tasks, self._n_tasks(singles), name)
        for k in range(self._n_folds):
            for label in self._labels((k,)):
                fitted, values = next(results)
                added[k, self._fold == k, label] = values
                models |= {(k, label, bag): model for bag, model in enumerate(fitted)}
        return NestedBoosters(added, rounds, models)

    def _labels(self, held_out: tuple[int, ...]) -> list[int]:
        """Return the labels that models without these folds are fitted for."""
        return np.flatnonzero(self._learnable[list(held_out)].any(axis=0)).tolist()

    def _n_tasks(self, parts: Sequence[tuple[int, ...]]) -> int:
        return sum(len(self._labels(held_out)) for held_out in parts)

    def _learned_for(self, pair: tuple[int, int], label: int) -> list[tuple[int, int]]:
        """Return (fold, the other) for the folds of a pair that a label is learned for."""
        return [both for both in (pair, pair[::-1]) if self._learnable[both[0], label]]

    def _train(self, held_out: tuple[int, ...]) -> np.ndarray:
        return np.flatnonzero(~np.isin(self._fold, held_out))

    def _columns(
        self, held_out: tuple[int, ...], margins: dict[tuple[int, ...], np.ndarray]
    ) -> tuple[dict[str, Reduction], list[np.ndarray], np.ndarray]:
        """Return the reductions, the shared columns that each label sees, and all of these."""
        if held_out in self._learned:
            reductions, chosen = self._learned[held_out]
            return reductions, chosen, shared_columns(self._inputs, margins[held_out], reductions)
        reductions = {
            name: moments.reduction(held_out, self._n_components)
            for name, moments in self._moments.items()
        }
        chosen, shared = choose_columns(
            self._inputs,
            margins[held_out],
            self._y,
            self._train(held_out),
            reductions=reductions,
            n_screened=self._n_screened,
        )
        self._learned[held_out] = reductions, chosen
        return reductions, chosen, shared

    def _tasks(
        self,
        name: str,
        parts: Sequence[tuple[int, ...]],
        margins: dict[tuple[int, ...], np.ndarray],
        settings: TreeSettings | list[TreeSettings],
        seeds: list[int],
        trees: list[int] | np.ndarray,
    ) -> Iterator[tuple[Any, ...]]:
        inputs = self._inputs
        for number, held_out in enumerate(parts):
            train, test = self._train(held_out), np.flatnonzero(np.isin(self._fold, held_out))
            _, chosen, shared = self._columns(held_out, margins)
            if held_out not in self._bins:
                self._bins[held_out] = SharedBins(
                    shared[train], len(inputs.logits), log_odds_bound(), inputs.scores[:, train]
                )
            for label in self._labels(held_out):
                yield (
                    name,
                    settings[number] if isinstance(settings, list) else settings,
                    self._bins[held_out],
                    inputs.own(label),
                    shared,
                    chosen[label],
                    self._y[:, label].astype(np.float32),
                    margins[held_out][:, label],
                    train,
                    test,
                    seeds,
                    trees if isinstance(trees, list) else int(trees[number, label]),
                )


def stages_of(rounds: int, min_rounds: int) -> list[int]:
    """Return the numbers of trees that are compared.

    Parameters
    ----------
    rounds, min_rounds : int
        Most and least.

    Returns
    -------
    list of int
        Up to five, ascending, each about the same number of times the one before.

    Examples
    --------
    >>> stages_of(100, 20)
    [20, 30, 45, 67, 100]
    >>> stages_of(5, 20)
    [5]
    """
    least = min(rounds, min_rounds)
    return np.unique(np.rint(np.geomspace(least, rounds, _N_STAGES)).astype(int)).tolist()


def _fit_consensus(
    logits: np.ndarray, y: np.ndarray, clusters: np.ndarray, train: np.ndarray
) -> tuple[Consensus, np.ndarray]:
    consensus = Consensus.fit(logits[:, train], y[train], clusters[train])
    return consensus, consensus.margin(logits).astype(np.float32)


def _fit_stages(
    name: str,
    settings: TreeSettings,
    bins: SharedBins,
    own: np.ndarray,
    shared: np.ndarray,
    columns: np.ndarray,
    y: np.ndarray,
    margin: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    seeds: list[int],
    stages: list[int],
) -> np.ndarray:
    """Return what the boosters add on the test rows after each stage, (n_stages, n_test)."""
    x = np.concatenate([own, shared[:, columns]], axis=1)
    x_test, added = x[test], np.zeros((len(stages), len(test)), dtype=np.float32)
    for seed in seeds:
        model = bins.fit(
            name, x[train], y[train], margin[train], columns, settings, seed=seed, rounds=stages[-1]
        )
        added += staged(name, model, x_test, stages) / np.float32(len(seeds))
    return added


def _fit_whole(
    name: str,
    settings: TreeSettings,
    bins: SharedBins,
    own: np.ndarray,
    shared: np.ndarray,
    columns: np.ndarray,
    y: np.ndarray,
    margin: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    seeds: list[int],
    rounds: int,
) -> tuple[list[bytes], np.ndarray]:
    """Return the boosters and what they add on the test rows, (n_test,)."""
    x = np.concatenate([own, shared[:, columns]], axis=1)
    x_test, added, models = x[test], np.zeros(len(test), dtype=np.float32), []
    for seed in seeds:
        model = bins.fit(
            name, x[train], y[train], margin[train], columns, settings, seed=seed, rounds=rounds
        )
        added += staged(name, model, x_test, [rounds])[0] / np.float32(len(seeds))
        models.append(library(name).to_bytes(model))
    return models, added
