"""Fit a member to a training part, and predict the held-out fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpastack.boosting import TreeSettings
from hpastack.calibration import log_losses
from hpastack.stack.field_values import weights_of
from hpastack.stack.members import Rows, maker_of

#: A model stops growing if the loss of the held-out fields has not fallen for this many stages.
PATIENCE = 2


def fit_stages(
    rows: Rows,
    train: np.ndarray,
    tests: tuple[np.ndarray, np.ndarray],
    settings: TreeSettings,
    seeds: list[int],
    stages: list[int],
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, int]]:
    """Fit a member with two folds held out, and predict both after each stage.

    Parameters
    ----------
    rows : Rows
    train : ndarray of int
        Training fields.
    tests : pair of ndarray of int
        Fields of the two held-out folds.
    settings : TreeSettings
    seeds : list of int
        One model is fitted per seed; their outputs are averaged.
    stages : list of int
        Numbers of trees, ascending.

    Returns
    -------
    added : pair of ndarray of float32, shape (n_stages, n_test, n_labels of `rows`)
        Log-odds that are added to the margin, for each fold.
    reached : pair of int
        The stage after which the values of a fold are repeated, because its
        loss had not fallen for `PATIENCE` stages. So the values of one fold
        depend on its own labels only, not on those of the other fold.
    """
    both = np.concatenate(tests)
    x = rows.columns(both)
    added = np.zeros((len(stages), len(both), len(rows.labels)), dtype=np.float32)
    growths = []
    for seed in seeds:
        weights = weights_of(rows.sample_weight, both)
        growth = _Growth(rows, x, len(tests[0]), stages, *rows.truth(both), weights)
        model = rows.fit(train, settings, seed=seed, stages=stages, at_stage=growth)
        added += growth.finished(model) / np.float32(len(seeds))
        growths.append(growth)
    reached = tuple(max(growth.reached[part] for growth in growths) for part in (0, 1))
    first, second = np.split(added, [len(tests[0])], axis=1)
    return (first, second), (reached[0], reached[1])


def fit_whole(
    member: str,
    rows: Rows,
    train: np.ndarray,
    test: np.ndarray,
    settings: TreeSettings,
    seeds: list[int],
    rounds: int,
) -> tuple[list[bytes], np.ndarray]:
    """Fit a member with one fold held out, and predict the fold.

    Parameters
    ----------
    member : str
    rows, train, settings, seeds
        As in `fit_stages`.
    test : ndarray of int
        Fields of the held-out fold.
    rounds : int

    Returns
    -------
    models : list of bytes
        One per seed.
    added : ndarray of float32, shape (n_test, n_labels of `rows`)
    """
    x, models = rows.columns(test), []
    added = np.zeros((len(test), len(rows.labels)), dtype=np.float32)
    for seed in seeds:
        model = rows.fit(train, settings, seed=seed, stages=[rounds], at_stage=None)
        added += rows.added(model, x, 0, rounds) / np.float32(len(seeds))
        models.append(maker_of(member).to_bytes(model))
    return models, added


class _Growth:
    """Monitors the held-out loss of a model while it grows, and stops it early."""

    def __init__(
        self,
        rows: Rows,
        x: Any,
        n_first: int,
        stages: list[int],
        y: np.ndarray,
        margin: np.ndarray,
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self._rows, self._x, self._y, self._margin = rows, x, y, margin
        self._sample_weight = sample_weight
        self._parts = (slice(0, n_first), slice(n_first, None))
        self._stages = stages
        self._added: list[np.ndarray] = []
        self._best = [np.inf, np.inf]
        self._waited = [0, 0]
        #: Last stage that counts, by part.
        self.reached = [len(stages) - 1, len(stages) - 1]

    def __call__(self, model: Any, number: int) -> bool:
        """Record a stage; return whether neither part improves any more."""
        start = self._stages[number - 1] if number else 0
        values = self._rows.added(model, self._x, start, self._stages[number])
        self._added.append(self._added[-1] + values if self._added else values)
        loss = log_losses(self._y, self._margin + self._added[-1])
        if self._sample_weight is not None:
            loss = loss * self._sample_weight[:, None]
        for k, part in enumerate(self._parts):
            if self._waited[k] == PATIENCE:
                continue  # its values no longer change, even if the other part needs more stages
            of_part = loss[part].sum()
            self._waited[k] = 0 if of_part < self._best[k] else self._waited[k] + 1
            self._best[k] = min(self._best[k], of_part)
            if self._waited[k] == PATIENCE:
                self.reached[k] = number
        return min(self._waited) == PATIENCE

    def finished(self, model: Any) -> np.ndarray:
        """Return the log-odds added after each stage, (n_stages, n_rows, n_labels)."""
        # For a library without early stopping, or if growth ended between two stages.
        while len(self._added) < len(self._stages) and min(self._waited) < PATIENCE:
            self(model, len(self._added))
        missing = len(self._stages) - len(self._added)
        added = np.stack([*self._added, *[self._added[-1]] * missing])
        for part, reached in zip(self._parts, self.reached):
            added[reached:, part] = added[reached, part]
        return added
