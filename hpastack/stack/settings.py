"""What a stack is fitted with: keys of its recipe, and parameters of `hpastack.StackClassifier`."""

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

# Where the consensus says most there is little left to learn, and much to overfit. Both were
# chosen on several data sets, see docs/benchmarks.md.
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

# Seeds that are drawn are below this, as those of scikit-learn.
_MAX_SEED = np.iinfo(np.int32).max


@settings
class FitSettings:
    """What recipes of stacks and `hpastack.StackClassifier` have in common."""

    boosters: _Members | Literal["auto"] = "auto"
    """What is blended with the consensus; none leaves the calibrated consensus. Boosted trees of a
    library, logistic regression (`linear`), one booster for all labels together (`pooled`), or one
    forest of random trees for all labels (`forest`). `auto`: lightgbm, xgboost, pooled, linear,
    without CNNs also forest.
    """
    rounds: Rounds | Literal["auto"] = "auto"
    """Most trees; each label's own number is chosen out of fold. `auto`: 80, without CNNs 320."""
    min_rounds: _Count = 5
    """Fewest trees."""
    learning_rate: LearningRate | Literal["auto"] = "auto"
    """Share of each tree that is added. `auto`: 0.2, without CNNs 0.1."""
    leaves: Leaves | Literal["auto"] = "auto"
    """Leaves per tree. `auto`: 7, without CNNs 15. Other libraries get that depth."""
    min_leaf: MinLeaf | Literal["auto"] = "auto"
    """Fewest fields per leaf (LightGBM alone). `auto`: 10, without CNNs 5."""
    l2: L2 | Literal["auto"] = "auto"
    """L2 regularisation of the leaf values. `auto`: 10, without CNNs 1."""
    column_share: ColumnShare = TreeSettings.column_share
    monotone: Monotone = TreeSettings.monotone
    extra_trees: ExtraTrees = True
    bags: Annotated[int, Field(ge=1, le=100)] = 1
    """Boosters with different seeds that are averaged."""
    tune: Annotated[int, Field(ge=0, le=1000)] = 0
    """Settings of the trees to try, chosen for each fold on the others. The ones of the recipe, and
    others drawn around them; 0 or 1: only the ones of the recipe. Needs the extra `tune`.
    """
    max_columns: Annotated[int, Field(ge=1)] | Literal["auto"] | None = "auto"
    """Columns that a label sees besides its own; null for all. Those which alone could tell most
    beyond the consensus on the training rows. `auto`: 48, without CNNs 200.
    """
    n_components: _Count = 32
    """Principal components that an embedding is reduced to."""
    min_positives: _Count | Literal["auto"] = "auto"
    """Positive fields of a label below which its consensus is used. Counted in the smallest
    training part of a fold. `auto`: 20, without CNNs 8.
    """
    min_clusters: _Count = 5
    """Clusters with positive fields below which the consensus is used. Counted likewise."""
    calibration: Annotated[str, one_of(CALIBRATORS)] = "platt"
    """Calibration method. See `hpastack.fit_calibration`."""
    thresholds: Annotated[str, one_of(POLICIES)] = "combined"
    """Threshold policy. See `hpastack.best_thresholds`."""
    min_labels: _NotNegative = 0
    """Fewest labels of a field."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Sets of folds that are averaged. Those after the first are made anew from the clusters."""
    n_bootstrap: Annotated[int, Field(ge=0, le=10_000)] = 200
    """Draws behind the intervals; 0 for none."""


@settings
class _Stores:
    """The keys of a recipe that choose stores."""

    cnns: list[str] | Literal["auto"] = "auto"
    """Stores of predictions, by name; `auto` for all in `features/`."""
    features: list[str] | Literal["auto"] = "auto"
    """Stores of anything else, by name; `auto` for all in `features/`. Features, scores and
    embeddings.
    """
    accept_fold_plans: list[str] = field(default_factory=list)
    """Out-of-fold stores to use though their fold plan is unknown or splits clusters; `[all]`: any.
    """


@settings
class StackRecipe(FitSettings, _Stores):
    """Boosters on the CNN consensus, calibrated; the keys of a recipe of type ``stack``."""

    prior_shift: str = "none"
    """Correction for other prevalences: `none`, `em` or a table. For labels that are rarer or
    commoner among new fields than in training. A table (`label,prevalence`) is named by its path
    from the workspace.
    """
    drop_columns: list[str] = field(default_factory=list)
    """Columns of features, `STORE__COLUMN`, that the stack does not see."""
    seed: Annotated[int, Field(ge=0, le=int(_MAX_SEED))] = 0
    """Seed of the trees, and of sets of folds after the first."""

    def record(self) -> dict[str, Any]:
        """Return the settings as a JSON-able dict, in the order of stack.json."""
        values = asdict(self)
        if not self.drop_columns:
            del values["drop_columns"]  # as in stacks of before there was this key
        for key in ("repeats", "n_bootstrap", "seed"):
            values[key] = values.pop(key)
        return values

    def parameters(self) -> dict[str, Any]:
        """Return those that are parameters of `hpastack.StackClassifier` of the same name."""
        return {one.name: getattr(self, one.name) for one in fields(FitSettings)}


def _drawn(random_state: Any) -> Any:
    """Draw a seed as scikit-learn does, where none is given."""
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_MAX_SEED))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        # Where recipes are read no scikit-learn is needed, which is slow to import.
        from sklearn.utils import check_random_state

        return int(check_random_state(random_state).randint(_MAX_SEED))
    return random_state


_SEED = Must(
    lambda seed: 0 <= seed <= _MAX_SEED,
    f"a whole number from 0 to {_MAX_SEED}, None, or a RandomState or Generator of NumPy",
)


@settings
class StackSettings(FitSettings):
    """The parameters of `hpastack.StackClassifier`, checked."""

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
        shared = {one.name for one in fields(TreeSettings)}
        given = {k: v for k, v in asdict(self).items() if k in shared}
        return TreeSettings(**{k: self._chosen(k, v) for k, v in given.items()})

    @property
    def members(self) -> list[str]:
        """What is blended with the consensus."""
        return list(self._chosen("boosters", self.boosters))

    @property
    def n_screened(self) -> int | None:
        """Shared columns that a label sees at most."""
        return self._chosen("max_columns", self.max_columns)

    @property
    def least_positives(self) -> int:
        """Positive fields of a label below which its consensus is used."""
        return self._chosen("min_positives", self.min_positives)

    def _chosen(self, key: str, value: Any) -> Any:
        """Return a value, where it is `auto` by whether there are CNNs to start from."""
        if value != "auto":
            return value
        return (_WITH_CNNS if self.cnns else _WITHOUT_CNNS)[key]

    @classmethod
    def of(cls, stack: Any) -> StackSettings:
        """Check the parameters of a stack."""
        return cls(**{one.name: getattr(stack, one.name) for one in fields(cls)})
