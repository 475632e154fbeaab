"""Thresholds: from probabilities to labels, chosen for macro F1.

Per-label thresholds that are best in hindsight overfit rare labels, so they
are drawn towards one global threshold by the number of positives, and no
threshold may label far more fields than carry the label.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import expit, logit

from hpastack.errors import InputError
from hpastack.metrics import cluster_draws

POLICIES = ("shrunk", "global", "per-label", "prevalence", "plug-in")

#: Positives at which a label's own threshold and the global one weigh the same.
SHRINKAGE = 300.0

#: A label may be given to at most this many times the share of fields that carry it.
MAX_PREVALENCE_RATIO = 3.0

_EDGE = 1e-6


def best_thresholds(
    y,
    probabilities,
    *,
    policy="shrunk",
    shrinkage=SHRINKAGE,
    max_ratio=MAX_PREVALENCE_RATIO,
    weights=None,
) -> np.ndarray:
    """Choose a threshold a label for the best macro F1.

    The search is exact: every midpoint between two distinct probabilities is
    a candidate. A field gets a label when its probability is at or above the
    threshold.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    policy : str, default="shrunk"
        - ``"global"``: one threshold for all labels, of the best macro F1.
        - ``"per-label"``: each label's own, of its best F1.
        - ``"shrunk"``: the mean of the two on the logit scale with weight
          ``positives / (positives + shrinkage)`` on the label's own.
        - ``"prevalence"``: as many fields get a label as carry it, or the
          nearest number that ties leave reachable (of two, the smaller).
        - ``"plug-in"``: half the best F1 that the probabilities themselves
          lead one to expect. It is the best threshold if they are calibrated
          [1]_, and looks at no labels.
    shrinkage : float, default=300
    max_ratio : float, default=3
        Whatever the policy, the threshold of a label is raised until at most
        `max_ratio` times as many fields get the label as carry it. Labels
        without positives have no such bound.
    weights : array-like of float, shape (n,), optional
        Non-negative weight of each field; 1 if left out. A field of weight 0
        counts as absent, one of weight 2 as two.

    Returns
    -------
    ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        If the policy is unknown, shapes differ, there is no field, a
        probability is not in [0, 1] or weights are negative or all 0.

    Notes
    -----
    A label without positives keeps the common threshold where there is one
    ("global", "shrunk") and what its probabilities say with "plug-in". With
    "per-label" and "prevalence" nothing gets it: its threshold lies just above
    its highest probability. The same holds for the common threshold if no
    label has a positive. As no threshold is above 1, a label of probability 1
    is always given.

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan and B. Narayanaswamy, "Optimal thresholding
       of classifiers to maximize F1 measure", ECML PKDD 2014, 225-239.
       :doi:`10.1007/978-3-662-44851-9_15`

    Examples
    --------
    >>> best_thresholds([[1], [1], [0]], [[0.9], [0.6], [0.2]], policy="per-label")
    array([0.4])
    """
    search = _Search(y, probabilities, policy, shrinkage, max_ratio)
    if weights is None:
        return search.thresholds(np.ones(search.n))
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (search.n,):
        raise InputError(f"weights of shape ({search.n},) wanted, got {weights.shape}")
    if not (weights.min() >= 0 and weights.any()):
        raise InputError("weights are at least 0, and some are above it")
    return search.thresholds(weights)


def threshold_intervals(
    y,
    probabilities,
    clusters,
    *,
    policy="shrunk",
    shrinkage=SHRINKAGE,
    max_ratio=MAX_PREVALENCE_RATIO,
    n_draws=100,
    seed=0,
    coverage=0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the chosen thresholds depend on the fields they were chosen on.

    Whole clusters are drawn with replacement, thresholds are chosen anew in
    each draw, and their percentiles taken. A wide interval says that another
    sample would have given another threshold: shrink more, or read little into
    the F1 of that label.

    Parameters
    ----------
    y, probabilities, policy, shrinkage, max_ratio
        As `best_thresholds`.
    clusters : array-like, shape (n,)
        Cluster of each field.
    n_draws : int, default=100
    seed : int, default=0
    coverage : float, default=0.95

    Returns
    -------
    low, high : ndarray of float, shape (n_labels,)

    Raises
    ------
    InputError
        As `best_thresholds`, or if there is not one cluster a field, `n_draws`
        is below 1 or `coverage` not between 0 and 1.

    Examples
    --------
    >>> y, probabilities = [[1], [1], [0], [0]], [[0.9], [0.7], [0.4], [0.2]]
    >>> low, high = threshold_intervals(y, probabilities, [0, 1, 2, 3], policy="per-label")
    >>> bool(low[0] < best_thresholds(y, probabilities, policy="per-label")[0] < high[0])
    True
    """
    search = _Search(y, probabilities, policy, shrinkage, max_ratio)
    if len(clusters) != search.n:
        raise InputError(f"{len(clusters)} clusters given for {search.n} fields")
    if not 0 < coverage < 1:
        raise InputError(f"coverage is {coverage}; it lies between 0 and 1")
    draws = cluster_draws(clusters, n_draws=n_draws, seed=seed)
    chosen = [search.thresholds(draw.astype(float)) for draw in draws]
    tail = 50 * (1 - coverage)
    low, high = np.percentile(chosen, [tail, 100 - tail], axis=0)
    return low, high


def thresholds_without_folds(y, probabilities, fold, *, policy="shrunk") -> np.ndarray:
    """Choose thresholds on the other folds, for each fold.

    The same as `best_thresholds` on the rows of the other folds, but the
    fields are sorted only once.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels)
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    fold : ndarray of int, shape (n,)
        0 and up.
    policy : str, default="shrunk"
        As `best_thresholds`.

    Returns
    -------
    ndarray of float, shape (n_folds, n_labels)

    Raises
    ------
    InputError
        As `best_thresholds`.
    """
    search = _Search(y, probabilities, policy, SHRINKAGE, MAX_PREVALENCE_RATIO)
    return np.stack([search.thresholds((fold != k) * 1.0) for k in range(fold.max() + 1)])


def apply_thresholds(probabilities, thresholds, *, min_labels=0) -> np.ndarray:
    """Give labels to fields.

    Parameters
    ----------
    probabilities : array-like of float in [0, 1], shape (n, n_labels)
    thresholds : array-like of float, shape (n_labels,) or (n, n_labels)
        Of all fields, or of each.
    min_labels : int, default=0
        A field with fewer labels at or above their thresholds also gets those
        that come nearest to theirs, until it has so many. How near is the
        difference of the log-odds of probability and threshold; of equally
        near labels the first is given.

    Returns
    -------
    ndarray of uint8, shape (n, n_labels)

    Raises
    ------
    InputError
        If the shapes do not match or `min_labels` is not between 0 and the
        number of labels.

    Examples
    --------
    >>> apply_thresholds([[0.9, 0.3], [0.2, 0.1]], [0.5, 0.2], min_labels=1)
    array([[1, 1],
           [0, 1]], dtype=uint8)
    """
    probabilities = np.asarray(probabilities, dtype=float)
    thresholds = np.asarray(thresholds, dtype=float)
    if probabilities.ndim != 2 or thresholds.shape not in (
        probabilities.shape[1:],
        probabilities.shape,
    ):
        raise InputError(
            f"probabilities {probabilities.shape} and thresholds {thresholds.shape} do not match"
        )
    n_labels = probabilities.shape[1]
    if not 0 <= min_labels <= n_labels:
        raise InputError(f"min_labels is {min_labels}; there are {n_labels} labels")
    given = (probabilities >= thresholds).astype(np.uint8)
    few = np.flatnonzero(given.sum(axis=1) < min_labels)
    if len(few):
        # Labels that the field has come first, whatever rounding does to the difference.
        own = np.broadcast_to(thresholds, probabilities.shape)[few]
        distance = _logit(own, edge=1e-15) - _logit(probabilities[few], edge=1e-15)
        distance[given[few] == 1] = -np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :min_labels]
        given[few[:, np.newaxis], nearest] = 1
    return given


class _Search:
    """The fields sorted once for each label, ready to choose thresholds for any row weights."""

    def __init__(self, y, probabilities, policy, shrinkage, max_ratio):
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
        self.n = len(y)
        self._policy, self._shrinkage, self._max_ratio = policy, shrinkage, max_ratio
        self._labels = [_Label(*columns) for columns in zip(y.T, probabilities.T)]
        if policy in ("global", "shrunk"):
            self._steps = _Steps(self._labels)

    def thresholds(self, weights) -> np.ndarray:
        """Return the thresholds of all labels for weights (n,)."""
        ranked = [_Weighted(label, weights) for label in self._labels]
        if self._policy == "per-label":
            thresholds = np.array([label.cut(label.best_count()) for label in ranked])
        elif self._policy == "prevalence":
            thresholds = np.array([label.cut(label.nearest_count()) for label in ranked])
        elif self._policy == "plug-in":
            thresholds = np.array([label.plug_in() for label in ranked])
        else:
            common = self._common(ranked)
            thresholds = np.full(len(ranked), common)
            if self._policy == "shrunk":
                own = np.array([label.cut(label.best_count()) for label in ranked])
                positives = np.array([label.positives for label in ranked])
                weight = positives / np.maximum(positives + self._shrinkage, _EDGE)
                between = expit(weight * _logit(own) + (1 - weight) * _logit(common))
                thresholds = np.where(positives > 0, between, common)
        return np.array(
            [label.guarded(value, self._max_ratio) for label, value in zip(ranked, thresholds)]
        )

    def _common(self, ranked) -> float:
        if not any(label.positives for label in ranked):
            return _just_above(max(label.highest() for label in ranked))
        best = self._steps.best_score([label.f1 for label in ranked])
        below = [label.next_below(best) for label in ranked]
        return _half_way(best, max((score for score in below if score is not None), default=None))


class _Steps:
    """The sum over labels of F1 as a step function of a common threshold.

    The F1 of a label rises only at scores of its positives. So only at the
    distinct scores of the positives of all labels can the sum be highest;
    each other score is counted with the next lower one of these.
    """

    def __init__(self, labels: list[_Label]):
        falling = -np.unique(-np.concatenate([label.ranked[label.y > 0] for label in labels]))
        self._scores = falling
        self._position = np.concatenate(
            [np.searchsorted(-falling, label.ascending) for label in labels]
        )

    def best_score(self, f1) -> float:
        """Return the score to cut at, from the F1 of each label at each of its scores."""
        gains = np.concatenate([np.diff(values, prepend=0.0) for values in f1])
        # One place more, for scores below those of all positives.
        total = np.bincount(self._position, gains, minlength=len(self._scores) + 1)[:-1].cumsum()
        # The first of equal sums; they are equal up to the rounding of their additions.
        return self._scores[np.argmax(total >= total.max() - 1e-12)]


class _Label:
    """The fields of one label, from the highest probability down."""

    def __init__(self, y, probability):
        self.order = np.argsort(-probability, kind="stable")
        self.ranked = ranked = probability[self.order]
        self.y = y[self.order].astype(float)
        # Where each distinct score is met last; everything where none is met twice.
        last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        self.last = slice(None) if len(last) == len(ranked) else last
        self.scores = ranked[self.last]
        self.ascending = -self.scores  # as np.searchsorted wants them


class _Weighted:
    """One label with weighted fields: each rule chooses how many fields get it.

    A score that only fields of weight 0 have adds nothing to the counts; the
    rules never end on one, so that they choose as if the field were absent.
    """

    def __init__(self, label: _Label, weights):
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

    def cut(self, count) -> float:
        """Return the threshold that gives the label to `count` fields, a reachable number."""
        if not count:
            return _just_above(self.highest())
        below = np.searchsorted(self.taken, count, side="right")
        return _half_way(
            self.scores[np.searchsorted(self.taken, count)],
            self.scores[below] if below < len(self.scores) else None,
        )

    def guarded(self, threshold, max_ratio) -> float:
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

    def next_below(self, score) -> float | None:
        """Return the next lower score, if there is one."""
        position = np.searchsorted(self.taken, self._count(score), side="right")
        return self.scores[position] if position < len(self.scores) else None

    def _count(self, threshold) -> float:
        above = np.searchsorted(self._label.ascending, -threshold, side="right")
        return self.taken[above - 1] if above else 0.0


def _half_way(here, below) -> float:
    # From a score to the next lower one. Where no number lies between, the score itself.
    below = max(0.0, here - _EDGE) if below is None else below
    middle = (here + below) / 2
    return float(middle if middle > below else here)


def _just_above(score) -> float:
    return float(min(1.0, score + _EDGE))


def _logit(probability, edge=_EDGE):
    return logit(np.clip(probability, edge, 1 - edge))
