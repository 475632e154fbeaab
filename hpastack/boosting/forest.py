"""Extremely randomised trees: one forest for all labels, without a starting margin.

scikit-learn grows the trees; they are saved as plain arrays and applied here. The share of a
label in a leaf is shrunk towards the shares of its ancestors (hierarchical shrinkage), more
strongly the fewer fields they contain. A stage of the model is one of the shrinkage strengths
`PULLS`, from the strongest to the weakest, as the stage of a booster is its number of trees; all
stages use the same trees.

References
----------
P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Mach. Learn. 63, 3-42, 2006.
A. Agarwal et al., "Hierarchical Shrinkage: improving the accuracy and interpretability of
tree-based models", ICML 2022.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.special import logit

from hpastack.boosting.forest_file import ForestArrays, read_forest, write_forest
from hpastack.boosting.tree_settings import TreeSettings
from hpastack.errors import InputError, counted

#: Shrinkage strengths: a node with this many fields halves the changes of its children.
PULLS = (64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0)

N_TREES = 100

#: Largest number of fields per tree; larger training sets are bootstrapped to this size.
MAX_ROWS = 4000

#: Nodes with less than this share of a tree's fields are not split.
_LEAST_PART = 1 / 500
#: Maximum depth; deeper trees in a file are rejected.
MAX_DEPTH = 60
# Pairs of tree and field processed at a time.
_CHUNK = 500_000
# Smaller changes of a share are rounding errors.
_LEAST_MOVE = 1e-6


class Forest:
    """Fit, apply and save forests."""

    package = "scikit-learn"
    suffix = ".forest"
    ignores = tuple(setting.name for setting in fields(TreeSettings))

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return the numbers of `PULLS` from 1; the numbers of trees are ignored."""
        return list(range(1, len(PULLS) + 1))

    @staticmethod
    def fit(
        x: np.ndarray,
        y: np.ndarray,
        labels: list[int],
        *,
        seed: int,
        stage: int,
        sample_weight: np.ndarray | None = None,
    ) -> Trees:
        """Grow a forest in one thread.

        Parameters
        ----------
        x : ndarray of float32, shape (n, n_columns)
            NaN is replaced by the median of its column.
        y : ndarray of {0, 1}, shape (n, len(labels))
        labels : list of int
            Numbers of the labels, ascending.
        seed : int
        stage : int
            Number of the strength in `PULLS`, from 1, that is saved with the forest.
        sample_weight : ndarray of float, shape (n,), optional
            How often each field counts. As nodes count whole fields, a fraction is rounded
            up at random with its own probability. Weights of a mean below 1 are scaled to
            a mean of 1.

        Returns
        -------
        Trees
        """
        from sklearn.ensemble import ExtraTreesRegressor  # slow to import

        copies = None
        if sample_weight is not None:
            copies = _whole_copies(sample_weight, seed)
            x, y, copies = x[copies > 0], y[copies > 0], copies[copies > 0]
        known = ~np.isnan(x)
        medians = np.array(
            [np.median(x[rows, k]) if rows.any() else 0.0 for k, rows in enumerate(known.T)],
            dtype=np.float32,
        )
        is_sampled = len(x) > MAX_ROWS
        forest = ExtraTreesRegressor(
            N_TREES,
            max_features="sqrt",
            max_depth=MAX_DEPTH,
            min_samples_split=max(2, round(_LEAST_PART * min(len(x), MAX_ROWS))),
            bootstrap=is_sampled,
            max_samples=MAX_ROWS if is_sampled else None,
            n_jobs=1,
            random_state=seed,
        )
        targets = y.astype(float)
        forest.fit(
            _filled(x, medians),
            targets[:, 0] if len(labels) == 1 else targets,
            sample_weight=copies,
        )
        n_fields, positives = len(y), targets.sum(axis=0)
        if copies is not None:
            n_fields, positives = copies.sum(), copies @ targets
        grown = [tree.tree_ for tree in forest.estimators_]
        sizes = [tree.node_count for tree in grown]
        starts = np.cumsum([0, *sizes[:-1]])
        left, right = (
            np.concatenate(
                [np.where(of < 0, -1, of + start) for of, start in zip(children, starts)]
            )
            for children in (
                [tree.children_left for tree in grown],
                [tree.children_right for tree in grown],
            )
        )
        is_leaf = left < 0
        counts = np.rint(np.concatenate([tree.weighted_n_node_samples for tree in grown])[is_leaf])
        shares = np.concatenate([tree.value[:, :, 0] for tree in grown])[is_leaf]
        arrays = ForestArrays(
            pull=PULLS[stage - 1],
            labels=np.array(labels, dtype=np.int32),
            prevalence=(positives + 0.5) / (n_fields + 1),
            medians=medians,
            roots=starts.astype(np.int32),
            feature=np.concatenate([tree.feature for tree in grown])[~is_leaf].astype(np.int32),
            threshold=_rounded_down(np.concatenate([tree.threshold for tree in grown])[~is_leaf]),
            left=left.astype(np.int32),
            right=right.astype(np.int32),
            counts=counts.astype(np.int32),
            positives=np.rint(shares * counts[:, None]).astype(np.int32),
        )
        return Trees(arrays)

    @staticmethod
    def to_bytes(model: Trees) -> bytes:
        """Return the arrays of a forest, compressed."""
        return write_forest(model.arrays)

    @staticmethod
    def of_bytes(content: bytes) -> Trees:
        """Return the forest saved by `to_bytes`."""
        return Trees(read_forest(content, MAX_DEPTH))

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` if the content is not a valid forest."""
        read_forest(content, MAX_DEPTH)


def _whole_copies(sample_weight: np.ndarray, seed: int) -> np.ndarray:
    """Return weights as whole numbers of which they are the expectation; at least one is 1."""
    weight = sample_weight * max(1.0, len(sample_weight) / sample_weight.sum())
    whole = np.floor(weight)
    copies = whole + (np.random.default_rng(seed).random(len(weight)) < weight - whole)
    if not copies.any():
        copies[weight.argmax()] = 1.0
    return copies


class Trees:
    """A fitted forest.

    Parameters
    ----------
    arrays : ForestArrays
    """

    def __init__(self, arrays: ForestArrays) -> None:
        self.arrays = arrays
        levels = arrays.levels()
        # Ordered by level, so that the children of a level are contiguous: all left children,
        # then all right children.
        order = np.concatenate(levels)
        ends = np.cumsum([len(nodes) for nodes in levels])
        self._levels = [slice(*bounds) for bounds in zip(ends, ends[1:])]
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self._left, self._right = (
            np.where(of < 0, -1, place[of])[order] for of in (arrays.left, arrays.right)
        )
        inner = np.flatnonzero(self._left >= 0)
        self._parent = np.arange(len(order))
        self._parent[self._left[inner]] = self._parent[self._right[inner]] = inner
        is_leaf = arrays.left < 0
        self._feature = np.full(len(order), -1, dtype=np.int32)
        self._threshold = np.zeros(len(order), dtype=np.float32)
        self._feature[place[~is_leaf]] = arrays.feature
        self._threshold[place[~is_leaf]] = arrays.threshold
        self._counts = np.zeros(len(order))
        self._shares = np.zeros((len(order), len(arrays.labels)), dtype=np.float32)
        self._counts[place[is_leaf]] = arrays.counts
        self._shares[place[is_leaf]] = arrays.positives
        for level in reversed(self._levels):
            above = np.split(self._parent[level], 2)[0]
            for totals in (self._counts, self._shares):
                first, second = np.split(totals[level], 2)
                totals[above] = first + second
        self._shares /= self._counts[:, None].astype(np.float32)
        self._changes = self._shares - self._shares[self._parent]
        # Cache, as stages are evaluated in turn: the last columns, their leaves, and the
        # log-odds by shrinkage strength.
        self._last: tuple[np.ndarray, np.ndarray, dict[float, np.ndarray]] | None = None

    def log_odds(self, x: np.ndarray, pull: float) -> np.ndarray:
        """Return the log-odds of each label, shape (n, n_labels).

        Parameters
        ----------
        x : ndarray of float32, shape (n, n_columns)
        pull : float
            Shrinkage strength: one of `PULLS`, or any other number of at least 0.

        Returns
        -------
        ndarray of float
        """
        if self._last is None or self._last[0] is not x:
            self._last = (x, self._leaves(x), {})
        _, leaves, log_odds = self._last
        if pull not in log_odds:
            values = self._values(pull)
            total = np.zeros((len(x), len(self.arrays.labels)))
            for of_tree in leaves:
                total += values[of_tree]
            shares = total / len(leaves)
            log_odds[pull] = _log_odds(shares, self.arrays.prevalence, len(leaves), _stretch(pull))
        return log_odds[pull]

    def contributions(self, x: np.ndarray, position: int) -> np.ndarray:
        """Return the contribution of each column to the log-odds of a label.

        The contribution of a column is the sum of the changes of the share from
        node to child at the splits on it. All are scaled by the same factor so
        that they add up to the log-odds.

        Parameters
        ----------
        x : ndarray of float32, shape (n, n_columns)
        position : int
            Position of the label in `arrays.labels`.

        Returns
        -------
        ndarray of float, shape (n, n_columns + 1)
            The last column is the log-odds at the roots.
        """
        self._check_columns(x)
        d, n_trees = x.shape[1], len(self.arrays.roots)
        values = self._values(self.arrays.pull)[:, position].astype(float)
        added = np.zeros((len(x), d + 1))
        for rows in self._chunks(len(x)):
            part = x[rows]
            total = np.zeros(len(part) * d)
            for pairs, nodes, children in self._descents(part):
                places = pairs % len(part) * d + self._feature[nodes]
                total += np.bincount(places, values[children] - values[nodes], len(total))
            added[rows, :d] = total.reshape(-1, d) / n_trees
        root = values[:n_trees].mean()
        moved = added[:, :d].sum(axis=1)
        prior = self.arrays.prevalence[position]
        stretch = _stretch(self.arrays.pull)
        before, after = (_log_odds(of, prior, n_trees, stretch) for of in (root, root + moved))
        # Where the contributions cancel out, use the derivative at the roots.
        smoothed = (n_trees * root + prior) / (n_trees + 1)
        slope = np.full(len(x), stretch * n_trees / (n_trees + 1) / (smoothed * (1 - smoothed)))
        np.divide(after - before, moved, out=slope, where=np.abs(moved) > _LEAST_MOVE)
        added[:, :d] *= slope[:, None]
        added[:, d] = before
        return added

    def _values(self, pull: float) -> np.ndarray:
        """Return the shrunk shares of all nodes, shape (n_nodes, n_labels)."""
        kept = (self._counts / (self._counts + pull)).astype(np.float32)
        steps = self._changes * kept[self._parent, None]
        values = self._shares.copy()
        for level in self._levels:
            values[level] = values[self._parent[level]] + steps[level]
        return values

    def _leaves(self, x: np.ndarray) -> np.ndarray:
        """Return the leaf of each field in each tree, shape (n_trees, n)."""
        self._check_columns(x)
        n_trees = len(self.arrays.roots)
        leaves = np.empty((n_trees, len(x)), dtype=np.int32)
        for rows in self._chunks(len(x)):
            part = x[rows]
            reached = np.repeat(np.arange(n_trees), len(part))
            for pairs, _, children in self._descents(part):
                reached[pairs] = children
            leaves[:, rows] = reached.reshape(n_trees, -1)
        return leaves

    def _descents(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the paths of all fields down all trees, level by level.

        Yields
        ------
        pairs : ndarray of int
            Pairs that have not reached a leaf: index of the tree times the
            number of fields, plus the index of the field.
        nodes, children : ndarray of int
            Their current nodes, and the children that they move to.
        """
        columns = _filled(x, self.arrays.medians)
        nodes = np.repeat(np.arange(len(self.arrays.roots)), len(x))
        pairs = np.arange(len(nodes))
        while True:
            is_inner = self._left[nodes] >= 0
            nodes, pairs = nodes[is_inner], pairs[is_inner]
            if not len(nodes):
                return
            goes_left = columns[pairs % len(x), self._feature[nodes]] <= self._threshold[nodes]
            children = np.where(goes_left, self._left[nodes], self._right[nodes])
            yield pairs, nodes, children
            nodes = children

    def _chunks(self, n: int) -> list[slice]:
        size = max(1, _CHUNK // len(self.arrays.roots))
        return [slice(start, start + size) for start in range(0, n, size)]

    def _check_columns(self, x: np.ndarray) -> None:
        if x.shape[1] != len(self.arrays.medians):
            fitted = len(self.arrays.medians)
            raise InputError(
                f"x has {counted(x.shape[1], 'column')}; the model was fitted on {fitted}"
            )


def _stretch(pull: float) -> float:
    """Return the factor by which log-odds are stretched away from those of the prevalence.

    Averaging over trees and shrinkage both bias the mean share towards the
    prevalence. Without this correction, a strength that ranks fields well would
    lose to a weaker one that is merely more confident.
    """
    return 2.0 * math.sqrt(1.0 + pull / 8.0)


def _log_odds(shares: Any, prevalence: Any, n_trees: int, stretch: float) -> Any:
    """Convert mean shares to log-odds, adding the prevalence as one more tree."""
    start = logit(prevalence)
    smoothed = (n_trees * shares + prevalence) / (n_trees + 1)
    # Rounding may push the shares slightly outside [0, 1].
    smoothed = np.clip(smoothed, prevalence / (n_trees + 1), 1 - (1 - prevalence) / (n_trees + 1))
    return start + stretch * (logit(smoothed) - start)


def _filled(x: np.ndarray, medians: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), medians, x).astype(np.float32)


def _rounded_down(threshold: np.ndarray) -> np.ndarray:
    """Return single-precision thresholds that split single-precision columns identically."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
