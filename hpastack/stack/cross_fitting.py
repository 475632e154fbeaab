"""Nested cross-fitting: out-of-fold log-odds, also within the training part of each fold.

For K folds, two kinds of models are fitted, both for the consensus and for the
boosters: one with each fold held out, and one with each *pair* of folds held
out. The first predict their held-out fold. The second yield, for each fold k,
the log-odds of all other rows from models that were trained neither on these
rows nor on fold k. On them every later step (number of trees, blend,
calibration, thresholds) is chosen for fold k. So the scores of fold k are those
to expect for new data, at the cost of K (K + 1) / 2 fits instead of K.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from hpastack.boosting import SharedBins, TreeSettings
from hpastack.calibration import log_losses
from hpastack.parallel import Workers
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.columns import FoldColumns, LearnedColumns, Moments, learn_columns
from hpastack.stack.consensus import Consensus, log_odds_bound
from hpastack.stack.field_values import weights_of
from hpastack.stack.fitted import LeaveTwoOut, NestedBoosters, NestedConsensus
from hpastack.stack.members import (
    ALL_LABELS,
    OF_ALL_LABELS,
    POOLED,
    AllFields,
    AllPairs,
    OneLabel,
    Rows,
    maker_of,
)
from hpastack.stack.pairs import Pairs
from hpastack.stack.shared_choice import best_candidates
from hpastack.stack.staged_fits import fit_stages, fit_whole


class CrossFitter:
    """Fits consensus and boosters with each fold, and each pair of folds, held out.

    Parameters
    ----------
    inputs : ColumnBlocks
    y : ndarray of {0, 1}, shape (n, n_labels)
    clusters : ndarray of int, shape (n,)
    fold : ndarray of int, shape (n,)
        At least three folds, which do not split clusters.
    learnable : ndarray of bool, shape (n_folds, n_folds, n_labels)
        Labels that can be learned with each pair of folds held out. A label
        gets members for a fold if it can be learned with that fold and any
        other held out.
    n_components : int
        Number of principal components of an embedding.
    n_screened : int or None
        Maximum number of shared columns of a label.
    workers : Workers
    sample_weight : ndarray of float, shape (n,), optional
        Rows of weight 0 are predicted, but not trained on.
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
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self._inputs = inputs
        self._y = y
        self._clusters = clusters
        self._fold = fold
        self._without_pairs = learnable
        self._learnable = np.asarray(learnable.all(axis=1))
        self._n_components = n_components
        self._n_screened = n_screened
        self._workers: Workers = workers
        self._n_folds = int(fold.max()) + 1
        self._pairs = list(combinations(range(self._n_folds), 2))
        self._sample_weight = sample_weight
        self._trained = np.ones(len(y), bool) if sample_weight is None else sample_weight > 0
        rows = slice(None) if sample_weight is None else self._trained
        self._moments = {
            name: Moments(values[rows], fold[rows]) for name, values in inputs.embeddings.items()
        }
        self._bins: dict[tuple[int, ...], SharedBins] = {}
        # By the held-out folds: the same for all members and every trial.
        self._learned: dict[tuple[int, ...], LearnedColumns] = {}

    def fit_consensus(self) -> NestedConsensus:
        """Fit the consensus with each fold and each pair of folds held out."""
        held_out = [*((k,) for k in range(self._n_folds)), *self._pairs]
        tasks = (
            (self._inputs.logits, self._y, self._clusters, self._train(h), self._sample_weight)
            for h in held_out
        )
        fitted = list(self._workers.map(_fit_consensus, tasks, len(held_out), "consensus"))
        margins = dict(zip(held_out, (margin for _, margin in fitted)))
        return NestedConsensus(margins, [consensus for consensus, _ in fitted[: self._n_folds]])

    def columns(self, base: NestedConsensus) -> list[FoldColumns]:
        """Return the columns of the models with each fold held out."""
        return [
            FoldColumns(**vars(self._columns((k,), base)), consensus=base.consensus[k])
            for k in range(self._n_folds)
        ]

    def fit_without_two_folds(
        self,
        name: str,
        settings: TreeSettings,
        base: NestedConsensus,
        *,
        seeds: list[int],
        min_rounds: int,
        note: str = "",
    ) -> LeaveTwoOut:
        """Fit a member with each pair of folds held out, and choose the number of trees.

        The number is chosen for each label from its own losses and those of all
        labels, see `best_candidates`. Members that are fitted to all labels
        together have one number for all.

        Parameters
        ----------
        name : str
            One of `MEMBERS`.
        settings : TreeSettings
        base : NestedConsensus
        seeds : list of int
            One per bag; their models are averaged.
        min_rounds : int
            Minimum number of trees.
        note : str, default=""
            Suffix of the name in the progress bar.

        Returns
        -------
        LeaveTwoOut
        """
        stages = maker_of(name).stages(settings.rounds, min_rounds)
        n_folds, (n, n_labels) = self._n_folds, self._y.shape
        losses = np.zeros((n_folds, n_labels, len(stages)))
        start = np.zeros((n_folds, n_labels))
        # Last stage of the models, by held-out fold and label.
        reached = np.zeros((n_folds, n_labels), dtype=int)
        added: dict[tuple[int, int], np.ndarray] = {}  # by held-out and predicted fold
        pairs, parts = self._tasks(name, self._pairs, base)
        tasks = (
            (
                rows,
                self._train(pair),
                (self._rows(pair[0]), self._rows(pair[1])),
                settings,
                seeds,
                stages,
            )
            for pair, rows in parts
        )
        results = self._workers.map(fit_stages, tasks, len(pairs), f"{name}, nested{note}")
        for (pair, labels), (of_folds, grown) in zip(pairs, results):
            # Choices for a fold are made on the rows of the other fold of the pair.
            for mine, other, values, last in zip(pair, pair[::-1], of_folds[::-1], grown[::-1]):
                place = mine, other
                rows = self._rows(other)
                if place not in added:
                    added[place] = np.zeros((len(stages), len(rows), n_labels), dtype=np.float32)
                for column, label in enumerate(labels):
                    if not self._learnable[mine, label]:
                        continue
                    added[place][:, :, label] = values[:, :, column]
                    y, margin = self._y[rows, label], base.margins[pair][rows, label]
                    after = log_losses(y, margin + values[:, :, column])
                    before = log_losses(y, margin)
                    if self._sample_weight is not None:
                        after = after * self._sample_weight[rows]
                        before = before * self._sample_weight[rows]
                    losses[mine, label] += after.sum(axis=1)
                    start[mine, label] += before.sum()
                    reached[mine, label] = max(reached[mine, label], last)
        best = self._best_stages(name, losses, start)
        best = np.minimum(best, reached)
        nested = np.zeros((n_folds, n, n_labels), dtype=np.float32)
        for (mine, other), values in added.items():
            chosen = np.take_along_axis(values, best[mine][None, None, :], axis=0)[0]
            nested[mine, self._rows(other)] = chosen
        of_best = np.take_along_axis(losses, best[:, :, None], axis=2)[:, :, 0]
        relative = np.divide(of_best, start, out=np.ones_like(start), where=start > 0)
        return LeaveTwoOut(nested, np.array(stages)[best], relative)

    def fit_without_one_fold(
        self,
        name: str,
        settings: list[TreeSettings],
        leave_two_out: list[LeaveTwoOut],
        base: NestedConsensus,
        *,
        seeds: list[int],
    ) -> NestedBoosters:
        """Fit a member with each fold held out.

        Parameters
        ----------
        name : str
            One of `MEMBERS`.
        settings : list of TreeSettings
            One per fold.
        leave_two_out : list of LeaveTwoOut
            One per fold, fitted with its settings.
        base : NestedConsensus
        seeds : list of int

        Returns
        -------
        NestedBoosters
        """
        added = np.stack([leave_two_out[k].added[k] for k in range(self._n_folds)])
        rounds = np.stack([leave_two_out[k].rounds[k] for k in range(self._n_folds)])
        models: dict[tuple[int, int, int], bytes] = {}
        singles = [(k,) for k in range(self._n_folds)]
        places, parts = self._tasks(name, singles, base)
        tasks = (
            (
                name,
                rows,
                self._train(held_out),
                self._rows(held_out[0]),
                settings[held_out[0]],
                seeds,
                int(rounds[held_out[0], rows.labels[0]]),
            )
            for held_out, rows in parts
        )
        results = self._workers.map(fit_whole, tasks, len(places), name)
        for ((k,), labels), (fitted, values) in zip(places, results):
            for column, label in enumerate(labels):
                added[k, self._fold == k, label] = values[:, column]
            key = ALL_LABELS if name in OF_ALL_LABELS else labels[0]
            models |= {(k, key, bag): model for bag, model in enumerate(fitted)}
        return NestedBoosters(added, rounds, models)

    def _best_stages(self, name: str, losses: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the stage of each fold and label, chosen by the losses on the other folds."""
        best = np.zeros(start.shape, dtype=int)
        for k, learnable in enumerate(self._learnable):
            others = self._fold != k
            positives = self._y[others].sum(axis=0)
            if self._sample_weight is not None:
                positives = self._sample_weight[others] @ self._y[others]
            if name in OF_ALL_LABELS:
                positives = np.zeros_like(positives)  # so that all labels use the mean
            best[k] = best_candidates(losses[k], start[k], positives, learnable)
        return best

    def _labels(self, held_out: tuple[int, ...]) -> list[int]:
        """Return the labels for which models with these folds held out are fitted."""
        return np.flatnonzero(self._learnable[list(held_out)].any(axis=0)).tolist()

    def _rows(self, fold: int) -> np.ndarray:
        return np.flatnonzero(self._fold == fold)

    def _train(self, held_out: tuple[int, ...]) -> np.ndarray:
        return np.flatnonzero(~np.isin(self._fold, held_out) & self._trained)

    def _columns(self, held_out: tuple[int, ...], base: NestedConsensus) -> LearnedColumns:
        """Return the learned columns of models with these folds held out."""
        if held_out not in self._learned:
            self._learned[held_out] = learn_columns(
                self._inputs,
                base.margins[held_out],
                self._y,
                self._train(held_out),
                reductions={
                    name: moments.reduction(held_out, self._n_components)
                    for name, moments in self._moments.items()
                },
                n_screened=self._n_screened,
                sample_weight=self._sample_weight,
            )
        return self._learned[held_out]

    def _tasks(
        self, name: str, parts: Sequence[tuple[int, ...]], base: NestedConsensus
    ) -> tuple[list[tuple[tuple[int, ...], list[int]]], Iterator[tuple[tuple[int, ...], Rows]]]:
        """Return the fits of a member: held-out folds with labels, and held-out folds with rows."""
        places: list[tuple[tuple[int, ...], list[int]]] = []
        for held_out in parts:
            labels = self._labels(held_out)
            if name not in OF_ALL_LABELS:
                places += [(held_out, [label]) for label in labels]
                continue
            if len(held_out) == 2:
                # Fitted together, so the choice of labels must not use targets of either fold.
                labels = np.flatnonzero(self._without_pairs[held_out]).tolist()
            if len(labels) >= OF_ALL_LABELS[name]:
                places.append((held_out, labels))

        def rows() -> Iterator[tuple[tuple[int, ...], Rows]]:
            made: tuple[int, ...] | None = None
            weights = self._sample_weight
            for held_out, labels in places:
                if held_out != made:
                    made, margin = held_out, base.margins[held_out]
                    columns = self._columns(held_out, base)
                    shared = columns.shared(self._inputs, margin)
                if name == POOLED:
                    pairs = Pairs(columns.pairs, self._inputs, margin, shared)
                    yield held_out, AllPairs(labels, self._y, margin, pairs, sample_weight=weights)
                    continue
                if name in OF_ALL_LABELS:
                    yield (
                        held_out,
                        AllFields(labels, self._y, margin, shared, sample_weight=weights),
                    )
                    continue
                (label,) = labels
                yield (
                    held_out,
                    OneLabel(
                        name,
                        label,
                        self._shared_bins(held_out, shared),
                        self._inputs.own(label),
                        shared,
                        columns.chosen[label],
                        self._y[:, label],
                        margin[:, label],
                        weights,
                    ),
                )

        return places, rows()

    def _shared_bins(self, held_out: tuple[int, ...], shared: np.ndarray) -> SharedBins:
        if held_out not in self._bins:
            train, inputs = self._train(held_out), self._inputs
            self._bins[held_out] = SharedBins(
                shared[train], len(inputs.logits), log_odds_bound(), inputs.scores[:, train]
            )
        return self._bins[held_out]


def _fit_consensus(
    logits: np.ndarray,
    y: np.ndarray,
    clusters: np.ndarray,
    train: np.ndarray,
    sample_weight: np.ndarray | None,
) -> tuple[Consensus, np.ndarray]:
    weights = weights_of(sample_weight, train)
    consensus = Consensus.fit(logits[:, train], y[train], clusters[train], sample_weight=weights)
    return consensus, consensus.margin(logits).astype(np.float32)
