"""The search for thresholds: fields sorted by score for each label, and the policies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from hpastack.errors import InputError

#: Number of positives at which a label's own threshold and the global one have equal weight.
SHRINKAGE = 300.0

#: A label is predicted for at most this many times the number of fields annotated with it.
MAX_PREVALENCE_RATIO = 3.0

_EDGE = 1e-6


class ThresholdSearch:
    """A threshold search that sorts the fields once per label, for any field weights.

    Parameters
    ----------
    y, probabilities, policy, shrinkage, max_ratio
        As in `hpastack.best_thresholds`, with the same errors.

    Attributes
    ----------
    n : int
        Number of fields.
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
            raise InputError(f"unknown threshold policy {policy!r}; choose from {known}")
        if y.shape != probabilities.shape or y.ndim != 2:
            raise InputError(
                f"y {y.shape} and probabilities {probabilities.shape} must have the same shape "
                "(n_fields, n_labels)"
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
        """Return the thresholds of all labels; `weights` have shape (n,), default: all 1."""
        weights = np.ones(self.n) if weights is None else weights
        weighted = [WeightedLabel(label, weights) for label in self._labels]
        return np.array(
            [
                label.guarded(value, self._max_ratio)
                for label, value in zip(weighted, self._choose(self, weighted))
            ]
        )

    def without_folds(self, fold: np.ndarray) -> np.ndarray:
        """Return for each fold the thresholds chosen on the other folds.

        Parameters
        ----------
        fold : ndarray of int, shape (n,)
            Fold of each field, from 0.

        Returns
        -------
        ndarray of float, shape (n_folds, n_labels)
        """
        return np.stack([self.thresholds((fold != k) * 1.0) for k in range(fold.max() + 1)])

    def common(self, labels: list[WeightedLabel]) -> float:
        """Return the single threshold for all labels with the highest sum of their F1."""
        if not any(label.positives for label in labels):
            return _just_above(max(label.highest() for label in labels))
        best = self._summed.best_score([label.f1 for label in labels])
        below = [label.next_below(best) for label in labels]
        return _half_way(best, max((score for score in below if score is not None), default=None))


def one_for_all(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return one threshold for all labels, with the best macro F1."""
    return np.full(len(labels), search.common(labels))


def own_best(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return each label's own threshold, with its best F1."""
    return np.array([label.cut(label.best_count()) for label in labels])


def shrunk(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return own thresholds shrunk towards the common one on the logit scale."""
    common = search.common(labels)
    return _shrunk_towards(search, labels, _logit(common), common)


def combined(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return own thresholds shrunk towards the mean of the common and the `plug_in` one."""
    common = search.common(labels)
    centre = (_logit(common) + _logit(plug_in(search, labels))) / 2
    return _shrunk_towards(search, labels, centre, common)


def _shrunk_towards(
    search: ThresholdSearch, labels: list[WeightedLabel], centre: np.ndarray, common: float
) -> np.ndarray:
    """Return own thresholds shrunk towards `centre` (log-odds), less with more positives."""
    positives = np.array([label.positives for label in labels])
    weight = positives / np.maximum(positives + search.shrinkage, _EDGE)
    between = expit(weight * _logit(own_best(search, labels)) + (1 - weight) * centre)
    return np.where(positives > 0, between, common)


def as_frequent(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return thresholds that predict a label about as often as it is annotated."""
    return np.array([label.cut(label.nearest_count()) for label in labels])


def plug_in(search: ThresholdSearch, labels: list[WeightedLabel]) -> np.ndarray:
    """Return half the maximum of the F1 expected from the probabilities."""
    return np.array([label.plug_in() for label in labels])


#: The policies, by name: functions from all labels, with their weights, to a threshold per label.
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

    The F1 of a label increases only at scores of its positives, so the maximum of
    the sum is at one of the distinct scores of the positives of all labels. Each
    other score is assigned to the next lower one of these.
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
        # One more bin, for scores below those of all positives.
        total = np.bincount(self._position, gains, minlength=len(self._scores) + 1)[:-1].cumsum()
        # Ties are broken by the highest score; sums are equal up to rounding errors.
        return self._scores[np.argmax(total >= total.max() - 1e-12)]


class RankedLabel:
    """The fields sorted by one label's probability, in descending order."""

    def __init__(self, y: np.ndarray, probability: np.ndarray) -> None:
        self.order = np.argsort(-probability, kind="stable")
        self.ranked = ranked = probability[self.order]
        self.y = y[self.order].astype(float)
        # Last position of each distinct score; a slice if all scores are distinct.
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.last = slice(None) if len(last) == len(ranked) else last
        self.scores = ranked[self.last]
        self.ascending = -self.scores  # as np.searchsorted wants them


class WeightedLabel:
    """One label with weighted fields: each rule chooses for how many fields to predict it.

    A score that only occurs in fields of weight 0 does not change the counts and
    is never chosen as a cut, so the rules choose as if the field were absent.
    """

    def __init__(self, label: RankedLabel, weights: np.ndarray) -> None:
        weights = weights[label.order]
        self._label, self._weights = label, weights
        self.scores = label.scores  # (n_scores,), descending
        self.taken = np.cumsum(weights)[label.last]  # fields at or above each score
        self.hits = np.cumsum(weights * label.y)[label.last]  # and the positives among them
        self.positives = self.hits[-1]

    @cached_property
    def f1(self) -> np.ndarray:
        """F1 of predicting the label at or above each score."""
        if not self.positives:
            return np.zeros(len(self.scores))
        return 2 * self.hits / (self.taken + self.positives)

    def best_count(self) -> float:
        """Return the number of predicted fields at the best F1; 0 without positives."""
        return self.taken[np.argmax(self.f1)] if self.positives else 0.0

    def nearest_count(self) -> float:
        """Return the achievable number of fields closest to the number of positives."""
        after = min(np.searchsorted(self.taken, self.positives), len(self.taken) - 1)
        below, above = self.taken[after - 1] if after else 0.0, self.taken[after]
        return above if above - self.positives < self.positives - below else below

    def plug_in(self) -> float:
        """Return half the maximum of the expected F1, for calibrated probabilities."""
        expected = np.cumsum(self._weights * self._label.ranked)[self._label.last]
        if not expected[-1]:
            return _just_above(self.highest())
        return float((expected / (expected[-1] + self.taken)).max())

    def cut(self, count: float) -> float:
        """Return the threshold that predicts the label for `count` fields (achievable)."""
        if not count:
            return _just_above(self.highest())
        below = np.searchsorted(self.taken, count, side="right")
        return _half_way(
            self.scores[np.searchsorted(self.taken, count)],
            self.scores[below] if below < len(self.scores) else None,
        )

    def guarded(self, threshold: float, max_ratio: float) -> float:
        """Return the threshold, raised to predict at most `max_ratio` times the positives."""
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
    # Midpoint of a score and the next lower one; the score itself if no float lies between.
    below = max(0.0, here - _EDGE) if below is None else below
    middle = (here + below) / 2
    return float(middle if middle > below else here)


def _just_above(score: float) -> float:
    return float(min(1.0, score + _EDGE))


def _logit(probability: ArrayLike, edge: float = _EDGE) -> np.ndarray:
    return logit(np.clip(probability, edge, 1 - edge))
