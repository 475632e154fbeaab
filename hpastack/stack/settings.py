"""Settings of a stack: keys of its recipe, and parameters of `hpastack.StackClassifier`."""

from __future__ import annotations

from dataclasses import asdict, field, fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator

from hpastack.boosting.tree_settings import (
    L2,
    ColumnShare,
    ExtraTrees,
    LearningRate,
    Leaves,
    MinLeaf,
    Monotone,
    Rounds,
    TreeSettings,
)
from hpastack.calibration import CALIBRATORS, POLICIES
from hpastack.settings import Field, Must, distinct, one_of, settings
from hpastack.stack.members import MEMBERS

_Count = Annotated[int, Field(ge=1)]
_NotNegative = Annotated[int, Field(ge=0)]
_Members = Annotated[list[Annotated[str, one_of(MEMBERS)]], AfterValidator(distinct)]

# With CNNs the consensus explains most, so there is little left to learn and much to overfit. Both
# sets of defaults were chosen on several data sets, see docs/benchmarks.md.
_WITH_CNNS: dict[str, Any] = {
    "boosters": ["lightgbm", "xgboost", "pooled", "linear"],
    "rounds": 80,
    "learning_rate": 0.2,
    "leaves": 7,
    "min_leaf": 10,
    "l2": 10.0,
    "max_columns": 48,
    "min_positives": 20,
}
_WITHOUT_CNNS: dict[str, Any] = {
    "boosters": ["lightgbm", "xgboost", "pooled", "linear", "forest"],
    "rounds": 320,
    "learning_rate": 0.1,
    "leaves": 15,
    "min_leaf": 5,
    "l2": 1.0,
    "max_columns": 200,
    "min_positives": 8,
}

# Random seeds are below this, as in scikit-learn.
_MAX_SEED = np.iinfo(np.int32).max


@settings
class FitSettings:
    """Settings that recipes of stacks and `hpastack.StackClassifier` share."""

    boosters: _Members | Literal["auto"] = "auto"
    """Members of the blend; an empty list leaves the calibrated consensus. Boosted trees of a
    library, logistic regression (`linear`), one booster for all labels together (`pooled`), or one
    forest of random trees for all labels (`forest`). `auto`: lightgbm, xgboost, pooled, linear,
    without CNNs also forest.
    """
    rounds: Rounds | Literal["auto"] = "auto"
    """Maximum number of trees, chosen per label out of fold. `auto`: 80, without CNNs 320."""
    min_rounds: _Count = 5
    """Minimum number of trees."""
    learning_rate: LearningRate | Literal["auto"] = "auto"
    """Shrinkage of each tree. `auto`: 0.2, without CNNs 0.1."""
    leaves: Leaves | Literal["auto"] = "auto"
    """Leaves per tree. `auto`: 7, without CNNs 15. Other libraries get the corresponding depth."""
    min_leaf: MinLeaf | Literal["auto"] = "auto"
    """Minimum number of fields per leaf (LightGBM only). `auto`: 10, without CNNs 5."""
    l2: L2 | Literal["auto"] = "auto"
    """L2 regularisation of the leaf values. `auto`: 10, without CNNs 1."""
    column_share: ColumnShare = TreeSettings.column_share
    monotone: Monotone = TreeSettings.monotone
    extra_trees: ExtraTrees = True
    bags: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of boosters with different seeds that are averaged."""
    tune: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of tree settings to try, chosen for each fold on the others. They are those of
    the recipe and others sampled around them; with 0 or 1, only those of the recipe. Needs the
    extra `tune`.
    """
    max_columns: Annotated[int, Field(ge=1)] | Literal["auto"] | None = "auto"
    """Maximum number of columns that a label uses besides its own; null for all. They are
    those that, each alone, would improve most on the consensus in the training rows. `auto`: 48,
    without CNNs 200.
    """
    n_components: _Count = 32
    """Number of principal components of an embedding."""
    min_positives: _Count | Literal["auto"] = "auto"
    """Number of positive fields of a label below which its consensus is used. They are
    counted in the smallest training part of a fold. `auto`: 20, without CNNs 8.
    """
    min_clusters: _Count = 5
    """Number of clusters with positive fields below which the consensus is used. They are
    counted as for `min_positives`.
    """
    calibration: Annotated[str, one_of(CALIBRATORS)] = "platt"
    """Calibration method. See `hpastack.fit_calibration`."""
    thresholds: Annotated[str, one_of(POLICIES)] = "combined"
    """Threshold policy. See `hpastack.best_thresholds`."""
    min_labels: _NotNegative = 0
    """Minimum number of labels of a field."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of sets of folds that are averaged. Those after the first are made anew from the
    clusters.
    """
    n_bootstrap: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Number of bootstrap draws for the intervals; 0 for none."""


@settings
class _Stores:
    """Keys of a recipe that choose stores."""

    cnns: list[str] | Literal["auto"] = "auto"
    """Stores of predictions, by name; `auto` for all in `features/`."""
    features: list[str] | Literal["auto"] = "auto"
    """All other stores, by name; `auto` for all in `features/`. They contain features, scores or
    embeddings.
    """
    accept_fold_plans: list[str] = field(default_factory=list)
    """Out-of-fold stores to use even if their fold plan is unknown or splits clusters, or `[all]`.
    """


@settings
class StackRecipe(FitSettings, _Stores):
    """Boosters on the CNN consensus, calibrated; the keys of a recipe of type ``stack``."""

    prior_shift: str = "none"
    """Correction for other prevalences: `none`, `em` or a table. Use it if labels are
    rarer or more common among new fields than in training. `em` estimates the prevalences from the
    new fields; a table (`label,prevalence`) is named by its path from the workspace.
    """
    drop_columns: list[str] = field(default_factory=list)
    """Columns of features, `STORE__COLUMN`, that the stack does not use."""
    seed: Annotated[int, Field(ge=0, le=int(_MAX_SEED))] = 0
    """Seed of the trees, and of sets of folds after the first."""

    def record(self) -> dict[str, Any]:
        """Return the settings as a dict of JSON types, in the order of stack.json."""
        values = asdict(self)
        if not self.drop_columns:
            del values["drop_columns"]  # as in stacks saved before this key existed
        for key in ("repeats", "n_bootstrap", "seed"):
            values[key] = values.pop(key)
        return values

    def parameters(self) -> dict[str, Any]:
        """Return the settings that are parameters of `hpastack.StackClassifier`."""
        return {setting.name: getattr(self, setting.name) for setting in fields(FitSettings)}


def _drawn(random_state: Any) -> Any:
    """Return a seed; one drawn as in scikit-learn if `random_state` is not a number."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_MAX_SEED))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        # Imported here, as scikit-learn is slow to import and not needed to read recipes.
        from sklearn.utils import check_random_state

        return int(check_random_state(random_state).randint(_MAX_SEED))
    return random_state


_SEED = Must(
    lambda seed: 0 <= seed <= _MAX_SEED,
    f"a whole number from 0 to {_MAX_SEED}, None, or a RandomState or Generator of NumPy",
)


@settings
class StackSettings(FitSettings):
    """The validated parameters of `hpastack.StackClassifier`."""

    cnns: list[str] = field(default_factory=list)
    logits: list[str] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)
    embeddings: list[str] = field(default_factory=list)
    n_splits: Annotated[int, Field(ge=3)] = 5
    random_state: Annotated[int, BeforeValidator(_drawn), _SEED] = 0
    n_jobs: int | None = None
    cache: str | None = None
    verbose: bool | int = False

    @property
    def trees(self) -> TreeSettings:
        """Settings of the trees."""
        shared = {setting.name for setting in fields(TreeSettings)}
        values = {k: v for k, v in asdict(self).items() if k in shared}
        return TreeSettings(**{k: self._chosen(k, v) for k, v in values.items()})

    @property
    def members(self) -> list[str]:
        """Members of the blend."""
        return list(self._chosen("boosters", self.boosters))

    @property
    def n_screened(self) -> int | None:
        """Maximum number of shared columns of a label."""
        return self._chosen("max_columns", self.max_columns)

    @property
    def least_positives(self) -> int:
        """Number of positive fields of a label below which its consensus is used."""
        return self._chosen("min_positives", self.min_positives)

    def _chosen(self, key: str, value: Any) -> Any:
        """Return a value, or the default with or without CNNs if it is `auto`."""
        if value != "auto":
            return value
        return (_WITH_CNNS if self.cnns else _WITHOUT_CNNS)[key]

    @classmethod
    def of(cls, stack: Any) -> StackSettings:
        """Return the checked parameters of a stack."""
        return cls(**{setting.name: getattr(stack, setting.name) for setting in fields(cls)})
