"""Fit a member to a training part, and say what it adds to the fields that were left out."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpastack.boosting import TreeSettings
from hpastack.calibration import log_losses
from hpastack.stack.members import Rows, maker_of

#: A model stops growing when the loss of the fields left out has not fallen for so many stages.
PATIENCE = 2


def fit_stages(
    rows: Rows,
    train: np.ndarray,
    tests: tuple[np.ndarray, np.ndarray],
    settings: TreeSettings,
    seeds: list[int],
    stages: list[int],
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, int]]:
    """Fit a member without two folds; return what it adds to each after each stage.

    Parameters
    ----------
    rows : Rows
    train : ndarray of int
        Fields to fit to.
    tests : pair of ndarray of int
        Fields of the one fold, and of the other.
    settings : TreeSettings
    seeds : list of int
        What is fitted with each is averaged.
    stages : list of int
        Numbers of trees, ascending.

    Returns
    -------
    added : pair of ndarray of float32, shape (n_stages, n_test, n_labels of `rows`)
    reached : pair of int
        The stage after which a fold's values are repeated: where its loss
        had not fallen for `PATIENCE` stages. What is said of one fold so
        depends on its own labels alone, not on those of the other.
    """
    both = np.concatenate(tests)
    x = rows.columns(both)
    added = np.zeros((len(stages), len(both), len(rows.labels)), dtype=np.float32)
    growths = []
    for seed in seeds:
        growth = _Growth(rows, x, len(tests[0]), stages, *rows.truth(both))
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
    """Fit a member without one fold.

    Parameters
    ----------
    member : str
    rows, train, settings, seeds
        As `fit_stages`.
    test : ndarray of int
        Fields of the fold.
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
    """Follows a model while it grows, and says when it need not grow on."""

    def __init__(
        self,
        rows: Rows,
        x: Any,
        n_first: int,
        stages: list[int],
        y: np.ndarray,
        margin: np.ndarray,
    ) -> None:
        self._rows, self._x, self._y, self._margin = rows, x, y, margin
        self._parts = (slice(0, n_first), slice(n_first, None))
        self._stages = stages
        self._added: list[np.ndarray] = []
        self._best = [np.inf, np.inf]
        self._waited = [0, 0]
        #: Last stage that counts, by part.
        self.reached = [len(stages) - 1, len(stages) - 1]

    def __call__(self, model: Any, number: int) -> bool:
        """Take up a stage; return whether neither part gains any more."""
        start = self._stages[number - 1] if number else 0
        values = self._rows.added(model, self._x, start, self._stages[number])
        self._added.append(self._added[-1] + values if self._added else values)
        loss = log_losses(self._y, self._margin + self._added[-1])
        for k, part in enumerate(self._parts):
            if self._waited[k] == PATIENCE:
                continue  # its values stay what they were, whatever the other part still needs
            of_part = loss[part].sum()
            self._waited[k] = 0 if of_part < self._best[k] else self._waited[k] + 1
            self._best[k] = min(self._best[k], of_part)
            if self._waited[k] == PATIENCE:
                self.reached[k] = number
        return min(self._waited) == PATIENCE

    def finished(self, model: Any) -> np.ndarray:
        """Return what was added after each stage, (n_stages, n_rows, n_labels)."""
        # A library that does not stop under way, or trees that ended between two stages.
        while len(self._added) < len(self._stages) and min(self._waited) < PATIENCE:
            self(model, len(self._added))
        missing = len(self._stages) - len(self._added)
        added = np.stack([*self._added, *[self._added[-1]] * missing])
        for part, reached in zip(self._parts, self.reached):
            added[reached:, part] = added[reached, part]
        return added
