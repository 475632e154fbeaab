"""The search behind thresholds: labels sorted by score, and a policy over all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from hpastack.errors import InputError

#: Positives at which a label's own threshold and the global one weigh the same.
SHRINKAGE = 300.0

#: A label may be given to at most this many times the share of fields that carry it.
MAX_PREVALENCE_RATIO = 3.0

_EDGE = 1e-6


class ThresholdSearch:
    """The fields sorted once for each label, ready to choose thresholds for any row weights.

    Parameters
    ----------
    y, probabilities, policy, shrinkage, max_ratio
        As `hpastack.best_thresholds`, and so are the errors.

    Attributes
    ----------
    n : int
        Fields.
    shrinkage : float
    """

    def __init__(
        self,
        y: ArrayLike,
        probabilities: ArrayLike,
        policy: str,
        shrinkage: float = SHRINKAGE,
        max_ratio: float = MAX_PREVALENCE_RATIO,
    ) -> None:
        y, probabilities = np.asarray(y), np.asarray(probabilities, dtype=float)
        if policy not in POLICIES:
            known = ", ".join(POLICIES)
            raise InputError(f"unknown threshold policy {policy!r}; it is one of {known}")
        if y.shape != probabilities.shape or y.ndim != 2:
            raise InputError(
                f"labels {y.shape} and probabilities {probabilities.shape} do not match"
            )
        if not y.size:
            raise InputError("no fields to choose thresholds on")
        if not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise InputError("probabilities are not all in [0, 1]")
        self.n, self.shrinkage = len(y), shrinkage
        self._choose, self._max_ratio = POLICIES[policy], max_ratio
        self._labels = [RankedLabel(*columns) for columns in zip(y.T, probabilities.T)]

    @cached_property
    def _summed(self) -> SummedF1:
        return SummedF1(self._labels)

    def thresholds(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Return the thresholds of all labels for weights (n,); 1 if left out."""
        weights = np.ones(self.n) if weights is None else weights
        weighted = [WeightedLabel(label, weights) for label in self._labels]
        return np.array(
            [
                label.guarded(value, self._max_ratio)
                for label, value in zip(weighted, self._choose(self, weighted))
            ]
        )

    def without_folds(self, fold: np.ndarray) -> np.ndarray:
        """Return for each fold the thresholds chosen on the others.

        Parameters
        ----------
        fold : ndarray of int, shape (n,)
            0 and up.

        Returns
        -------
        ndarray of float, shape (n_folds, n_labels)
        """
        return np.stack([self.thresholds((fold != k) * 1.0) for k in range(fold.max() + 1)])

    def common(self, labels: list[WeightedLabel]) -> float:
        """Return the one threshold for all labels that has the highest sum of their F1."""
        if not any(label.positives for label in labels):
            return _just_above(max(label.highest() for label in labels))
        best = self._summed.best_score([label.f1 for label in labels])
        below = [label.next_below(best) for label in labels]
        return _half_way(best, max((score for score in below if score is not None), default=None))


def one_for_all(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return one threshold for all labels, of the best macro F1."""
    return np.full(len(labels), search.common(labels))


def own_best(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return each label's own threshold, of its best F1."""
    return np.array([label.cut(label.best_count()) for label in labels])


def shrunk(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return the mean of the two above on the logit scale, by the positives of the label."""
    common = search.common(labels)
    return _drawn_from_own(search, labels, _logit(common), common)


def combined(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return the same, but half way from the common threshold to that of `plug_in`."""
    common = search.common(labels)
    centre = (_logit(common) + _logit(plug_in(search, labels))) / 2
    return _drawn_from_own(search, labels, centre, common)


def _drawn_from_own(
    search: ThresholdSearch, labels: list[WeightedLabel], centre: np.ndarray, common: float
) -> np.ndarray:
    """Return own thresholds drawn to a centre, by the positives of the label; log-odds."""
    positives = np.array([label.positives for label in labels])
    weight = positives / np.maximum(positives + search.shrinkage, _EDGE)
    between = expit(weight * _logit(own_best(search, labels)) + (1 - weight) * centre)
    return np.where(positives > 0, between, common)


def as_frequent(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return thresholds that give a label to about as many fields as carry it."""
    return np.array([label.cut(label.nearest_count()) for label in labels])


def plug_in(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return half the best F1 that the probabilities lead one to expect."""
    return np.array([label.plug_in() for label in labels])


#: The policies, by name: from all labels, weighted, to a threshold for each.
POLICIES: dict[str, Callable[[ThresholdSearch, list[WeightedLabel]], np.ndarray]] = {
    "shrunk": shrunk,
    "combined": combined,
    "global": one_for_all,
    "per-label": own_best,
    "prevalence": as_frequent,
    "plug-in": plug_in,
}


class SummedF1:
    """The sum over labels of F1 as a step function of a common threshold.

    The F1 of a label rises only at scores of its positives. So only at the
    distinct scores of the positives of all labels can the sum be highest;
    each other score is counted with the next lower one of these.
    """

    def __init__(self, labels: list[RankedLabel]) -> None:
        falling = -np.unique(-np.concatenate([label.ranked[label.y > 0] for label in labels]))
        self._scores = falling
        self._position = np.concatenate(
            [np.searchsorted(-falling, label.ascending) for label in labels]
        )

    def best_score(self, f1: list[np.ndarray]) -> float:
        """Return the score to cut at, from the F1 of each label at each of its scores."""
        gains = np.concatenate([np.diff(values, prepend=0.0) for values in f1])
        # One place more, for scores below those of all positives.
        total = np.bincount(self._position, gains, minlength=len(self._scores) + 1)[:-1].cumsum()
        # The first of equal sums; they are equal up to the rounding of their additions.
        return self._scores[np.argmax(total >= total.max() - 1e-12)]


class RankedLabel:
    """The fields of one label, from the highest probability down."""

    def __init__(self, y: np.ndarray, probability: np.ndarray) -> None:
        self.order = np.argsort(-probability, kind="stable")
        self.ranked = ranked = probability[self.order]
        self.y = y[self.order].astype(float)
        # Where each distinct score is met last; everything where none is met twice.
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.last = slice(None) if len(last) == len(ranked) else last
        self.scores = ranked[self.last]
        self.ascending = -self.scores  # as np.searchsorted wants them


class WeightedLabel:
    """One label with weighted fields: each rule chooses how many fields get it.

    A score that only fields of weight 0 have adds nothing to the counts; the
    rules never end on one, so that they choose as if the field were absent.
    """

    def __init__(self, label: RankedLabel, weights: np.ndarray) -> None:
        weights = weights[label.order]
        self._label, self._weights = label, weights
        self.scores = label.scores  # (n_scores,), falling
        self.taken = np.cumsum(weights)[label.last]  # fields at or above each score
        self.hits = np.cumsum(weights * label.y)[label.last]  # and the positives among them
        self.positives = self.hits[-1]

    @cached_property
    def f1(self) -> np.ndarray:
        """F1 of giving the label at or above each score."""
        if not self.positives:
            return np.zeros(len(self.scores))
        return 2 * self.hits / (self.taken + self.positives)

    def best_count(self) -> float:
        """Return how many fields get the label at its best F1; 0 without positives."""
        return self.taken[np.argmax(self.f1)] if self.positives else 0.0

    def nearest_count(self) -> float:
        """Return the reachable number of fields that is nearest to that of the positives."""
        after = min(np.searchsorted(self.taken, self.positives), len(self.taken) - 1)
        below, above = self.taken[after - 1] if after else 0.0, self.taken[after]
        return above if above - self.positives < self.positives - below else below

    def plug_in(self) -> float:
        """Return half the best F1 to expect if the probabilities are calibrated."""
        expected = np.cumsum(self._weights * self._label.ranked)[self._label.last]
        if not expected[-1]:
            return _just_above(self.highest())
        return float((expected / (expected[-1] + self.taken)).max())

    def cut(self, count: float) -> float:
        """Return the threshold that gives the label to `count` fields, a reachable number."""
        if not count:
            return _just_above(self.highest())
        below = np.searchsorted(self.taken, count, side="right")
        return _half_way(
            self.scores[np.searchsorted(self.taken, count)],
            self.scores[below] if below < len(self.scores) else None,
        )

    def guarded(self, threshold: float, max_ratio: float) -> float:
        """Raise the threshold until at most `max_ratio` times the positives get the label."""
        if not self.positives:
            return threshold
        allowed = max_ratio * self.positives
        if self._count(threshold) <= allowed:
            return threshold
        position = np.searchsorted(self.taken, allowed, side="right")
        return self.cut(self.taken[position - 1] if position else 0.0)

    def highest(self) -> float:
        """Return the highest score."""
        return self.scores[np.searchsorted(self.taken, 0.0, side="right")]

    def next_below(self, score: float) -> float | None:
        """Return the next lower score, if there is one."""
        position = np.searchsorted(self.taken, self._count(score), side="right")
        return self.scores[position] if position < len(self.scores) else None

    def _count(self, threshold: float) -> float:
        above = np.searchsorted(self._label.ascending, -threshold, side="right")
        return self.taken[above - 1] if above else 0.0


def _half_way(here: float, below: float | None) -> float:
    # From a score to the next lower one. Where no number lies between, the score itself.
    below = max(0.0, here - _EDGE) if below is None else below
    middle = (here + below) / 2
    return float(middle if middle > below else here)


def _just_above(score: float) -> float:
    return float(min(1.0, score + _EDGE))


def _logit(probability: ArrayLike, edge: float = _EDGE) -> np.ndarray:
    return logit(np.clip(probability, edge, 1 - edge))
