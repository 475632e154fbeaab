"""Members of the blend: models fitted on top of the consensus, for one label or for all.

A member adds log-odds to the consensus. Members of the boosting libraries are
fitted separately to each label, the pooled booster once to all pairs of field
and label, the forest once to all labels of a field.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from hpastack.boosting import (
    LIBRARIES,
    PULLS,
    AtStage,
    BoostingLibrary,
    Forest,
    SharedBins,
    Trees,
    TreeSettings,
    library,
)
from hpastack.stack.field_values import weights_of
from hpastack.stack.pairs import Pairs


class Maker(Protocol):
    """Fits and serialises the models of a member; see `BoostingLibrary`."""

    package: str
    suffix: str
    ignores: tuple[str, ...]

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return the candidate sizes of a model, ascending."""

    @staticmethod
    def to_bytes(model: Any) -> bytes:
        """Return a model in its file format."""

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` unless the content can be read safely."""


POOLED = "pooled"
_POOLED_LIBRARY = "lightgbm"
FOREST = "forest"

#: Members that are fitted to all labels together, with the fewest labels of a fit.
OF_ALL_LABELS = {POOLED: 2, FOREST: 1}

#: The makers of the members, by name.
MEMBERS = ChainMap[str, Maker](
    {POOLED: LIBRARIES[_POOLED_LIBRARY], FOREST: Forest},
    cast(MutableMapping[str, Maker], LIBRARIES),
)

#: Label id of models that are fitted to all labels.
ALL_LABELS = -1

#: Tree settings of the pooled booster, which has the rows of all labels, and few columns.
POOLED_TREES = TreeSettings(
    rounds=80, learning_rate=0.2, leaves=31, min_leaf=50, l2=20.0, extra_trees=False
)

# Most pairs have a very low consensus. Their negatives are subsampled, and the margin of all such
# pairs is raised to match, so that the fitted log-odds are not biased.
_RULED_OUT = -3.0
_PART_KEPT = 0.125


def maker_of(member: str) -> Maker:
    """Return the maker of the models of a member.

    Parameters
    ----------
    member : str
        One of `MEMBERS`.

    Returns
    -------
    Maker

    Raises
    ------
    InputError
        If the name is unknown, or its library is not installed.
    """
    return Forest if member == FOREST else library_of(member)


def library_of(member: str) -> BoostingLibrary:
    """Return the boosting library of a member other than the forest.

    Parameters
    ----------
    member : str

    Returns
    -------
    BoostingLibrary

    Raises
    ------
    InputError
        As in `maker_of`.
    """
    return library(_POOLED_LIBRARY if member == POOLED else member)


class Rows(Protocol):
    """Data of one fit of a member, for all fields.

    Attributes
    ----------
    labels : list of int
        Labels that it predicts.
    sample_weight : ndarray of float, shape (n,), or None
        Weight of each field; None if all are 1.
    """

    @property
    def labels(self) -> list[int]: ...  # noqa: D102

    @property
    def sample_weight(self) -> np.ndarray | None: ...  # noqa: D102

    def columns(self, rows: np.ndarray) -> Any:
        """Return the input of a model for some fields."""
        ...

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and margin of some fields, each of shape (n_rows, n_labels)."""
        ...

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None,
    ) -> Any:
        """Fit a model to some fields; see `BoostingLibrary.fit`."""
        ...

    def added(self, model: Any, x: Any, start: int, stop: int) -> np.ndarray:
        """Return the log-odds that a model adds from one size to another.

        Parameters
        ----------
        model : object
            From `fit`.
        x : object
            From `columns`.
        start, stop : int
            Sizes; 0 stands for the margin alone.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_labels)
        """
        ...


@dataclass(frozen=True)
class OneLabel:
    """Data of a member that is fitted to one label.

    Parameters
    ----------
    member : str
    label : int
    bins : SharedBins
        Histogram bins of the training part.
    own : ndarray of float32, shape (n, n_own)
    shared : ndarray of float32, shape (n, n_shared)
    chosen : ndarray of int
        Shared columns that the label uses.
    y : ndarray of {0, 1}, shape (n,)
    margin : ndarray of float32, shape (n,)
    sample_weight : ndarray of float, shape (n,), optional
    """

    member: str
    label: int
    bins: SharedBins
    own: np.ndarray
    shared: np.ndarray
    chosen: np.ndarray
    y: np.ndarray
    margin: np.ndarray
    sample_weight: np.ndarray | None = None

    @property
    def labels(self) -> list[int]:
        """The label alone."""
        return [self.label]

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Return own and chosen shared columns, shape (n_rows, n_columns)."""
        return np.concatenate([self.own[rows], self.shared[np.ix_(rows, self.chosen)]], axis=1)

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and margin, each of shape (n_rows, 1)."""
        return self.y[rows, None], self.margin[rows, None]

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None = None,
    ) -> Any:
        """Fit a model of the library to some fields."""
        return self.bins.fit(
            self.member,
            self.columns(rows),
            self.y[rows].astype(np.float32),
            self.margin[rows],
            self.chosen,
            settings,
            seed=seed,
            stages=stages,
            at_stage=at_stage,
            sample_weight=weights_of(self.sample_weight, rows),
        )

    def added(self, model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the log-odds added from one number of trees to another, shape (n_rows, 1)."""
        values = library_of(self.member).added(model, x, start, stop)
        return values[:, None].astype(np.float32)


@dataclass(frozen=True)
class _OfAllLabels:
    """Targets and margin of a member that is fitted to all labels together.

    Parameters
    ----------
    labels : list of int
    y : ndarray of {0, 1}, shape (n, n_labels)
        Of all labels, like `margin`.
    margin : ndarray of float32, shape (n, n_labels)
    sample_weight : ndarray of float, shape (n,), optional
    """

    labels: list[int]
    y: np.ndarray
    margin: np.ndarray
    sample_weight: np.ndarray | None = field(default=None, kw_only=True)

    def truth(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return targets and margin of `labels`, each of shape (n_rows, n_labels)."""
        return self.y[rows][:, self.labels], self.margin[rows][:, self.labels]


@dataclass(frozen=True)
class AllPairs(_OfAllLabels):
    """Data of the pooled booster.

    Parameters
    ----------
    labels, y, margin, sample_weight
        As in `_OfAllLabels`.
    pairs : Pairs
    """

    pairs: Pairs

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Return the columns of all pairs, shape (n_labels * n_rows, n_columns)."""
        return np.concatenate([self.pairs.of_label(label, rows) for label in self.labels])

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None = None,
    ) -> Any:
        """Fit one booster to all pairs, with negatives of very low consensus subsampled."""
        rng = np.random.default_rng(seed)
        x, y, margin, weights = [], [], [], []
        for label in self.labels:
            of_label, target = self.margin[rows, label], self.y[rows, label]
            ruled_out = of_label < _RULED_OUT
            kept = ~ruled_out | (target == 1) | (rng.random(len(rows)) < _PART_KEPT)
            x.append(self.pairs.of_label(label, rows[kept]))
            y.append(target[kept])
            margin.append(of_label[kept] - np.log(_PART_KEPT) * ruled_out[kept])
            if self.sample_weight is not None:
                weights.append(self.sample_weight[rows[kept]])
        weighted = {"sample_weight": np.concatenate(weights)} if weights else {}
        return library_of(POOLED).fit(
            np.concatenate(x),
            np.concatenate(y).astype(np.float32),
            np.concatenate(margin).astype(np.float32),
            settings,
            seed=seed,
            stages=stages,
            at_stage=at_stage,
            n_monotone=self.pairs.n_logits if settings.monotone else 0,
            bins=None,
            **weighted,
        )

    def added(self, model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the log-odds added from one number of trees to another, (n_rows, n_labels)."""
        values = library_of(POOLED).added(model, x, start, stop)
        return values.reshape(len(self.labels), -1).T.astype(np.float32)


class SharedAndMargin(NamedTuple):
    """Input of a forest.

    Parameters
    ----------
    shared : ndarray of float32, shape (n, n_shared)
    margin : ndarray of float32, shape (n, n_labels)
        Of the predicted labels.
    """

    shared: np.ndarray
    margin: np.ndarray


@dataclass(frozen=True)
class AllFields(_OfAllLabels):
    """Data of the forest.

    Parameters
    ----------
    labels, y, margin, sample_weight
        As in `_OfAllLabels`.
    shared : ndarray of float32, shape (n, n_shared)
    """

    shared: np.ndarray

    def columns(self, rows: np.ndarray) -> SharedAndMargin:
        """Return the shared columns, and the margin of `labels`."""
        return SharedAndMargin(self.shared[rows], self.margin[rows][:, self.labels])

    def fit(
        self,
        rows: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: list[int],
        at_stage: AtStage | None = None,
    ) -> Trees:
        """Grow one forest, which serves all stages."""
        y, _ = self.truth(rows)
        return Forest.fit(
            self.shared[rows],
            y,
            self.labels,
            seed=seed,
            stage=stages[-1],
            sample_weight=weights_of(self.sample_weight, rows),
        )

    def added(self, model: Trees, x: SharedAndMargin, start: int, stop: int) -> np.ndarray:
        """Return the log-odds added from one shrinkage to another, shape (n_rows, n_labels)."""
        before = x.margin if start == 0 else model.log_odds(x.shared, PULLS[start - 1])
        return (model.log_odds(x.shared, PULLS[stop - 1]) - before).astype(np.float32)
