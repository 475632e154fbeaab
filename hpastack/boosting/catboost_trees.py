"""CatBoost: symmetric trees for one label that start from a margin.

All nodes of a level split on the same column. This regularises differently from trees that
grow node by node, so the errors of the two are less correlated.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hpastack.boosting.catboost_file import MAX_BORDERS, check_catboost_file
from hpastack.boosting.tree_settings import (
    AtStage,
    TreeSettings,
    doubled_rounds,
    monotone_constraints,
)
from hpastack.errors import InputError

_MAX_DEPTH = 16


class CatBoost:
    """Fit, apply and save CatBoost boosters."""

    package = "catboost"
    suffix = ".cbm"
    # Symmetric trees have no minimum number of fields per leaf.
    ignores: ClassVar[tuple[str, ...]] = ("min_leaf", "extra_trees")

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return numbers of trees, each about twice the previous one."""
        return doubled_rounds(rounds, min_rounds)

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> None:
        """Return None: CatBoost reads shared bins from files only, so each fit bins anew."""

    @staticmethod
    def fit(
        x: np.ndarray,
        y: np.ndarray,
        margin: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: Sequence[int],
        at_stage: AtStage | None,
        n_monotone: int,
        bins: Any,
        sample_weight: np.ndarray | None = None,
    ) -> Any:
        """Grow trees on a margin; see `SharedBins.fit`."""
        import catboost

        parameters = {
            # As Logloss, but accepts fractional and constant labels.
            "loss_function": "CrossEntropy",
            "allow_const_label": True,
            "iterations": stages[-1],
            "learning_rate": settings.learning_rate,
            "depth": min(_MAX_DEPTH, int(np.ceil(np.log2(settings.leaves)))),
            "l2_leaf_reg": settings.l2,
            "rsm": settings.column_share,
            "border_count": min(settings.bins, MAX_BORDERS),
            "leaf_estimation_method": "Newton",
            "leaf_estimation_iterations": 1,
            "boost_from_average": False,
            "boosting_type": "Plain",
            # The seed only selects columns, as in the other libraries.
            "bootstrap_type": "No",
            "random_strength": 0,
            "random_seed": seed,
            "thread_count": 1,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if n_monotone:
            constraints = monotone_constraints(n_monotone, x.shape[1])
            # Shrinkage, the default with constraints, cannot start from a margin.
            parameters |= {"monotone_constraints": constraints, "model_shrink_rate": 0}
        if not _varies(x):
            # CatBoost needs a column to split on; with y = 0.5 at margin 0 all leaves are 0.
            x = np.repeat(np.array([[0], [1]], dtype=np.float32), x.shape[1], axis=1)
            y, margin, sample_weight = np.full(2, 0.5), np.zeros(2), None
        booster = catboost.CatBoost(parameters)
        booster.fit(catboost.Pool(x, y, weight=sample_weight, baseline=margin, thread_count=1))
        return booster

    @staticmethod
    def added(model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the sum of the trees `start` to `stop` (log-odds), shape (n,)."""
        stop = min(stop, model.tree_count_)
        if start >= stop or not len(x):
            return np.zeros(len(x))
        return np.asarray(
            model.predict(
                x,
                prediction_type="RawFormulaVal",
                ntree_start=start,
                ntree_end=stop,
                thread_count=1,
            )
        )

    @staticmethod
    def to_bytes(model: Any) -> bytes:
        """Return a booster in the library's own format, without its metadata (date, settings)."""
        information = model.get_metadata()
        for key in list(information.keys()):
            del information[key]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "booster.cbm"
            model.save_model(str(path), format="cbm")
            return path.read_bytes()

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` if this is not a booster's file; see `check_catboost_file`."""
        import catboost

        check_catboost_file(content)
        try:
            _catboost_booster(content)
        except catboost.CatBoostError as error:
            raise InputError(f"not a CatBoost booster: {error}") from None

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return the sum of all trees of a saved booster (log-odds), shape (n,)."""
        booster = _catboost_booster(content)
        return CatBoost.added(booster, x, 0, booster.tree_count_)

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the expected value."""
        import catboost

        if not len(x):
            return np.zeros((0, x.shape[1] + 1))
        data = catboost.Pool(x, thread_count=1)
        return _catboost_booster(content).get_feature_importance(
            data, type="ShapValues", thread_count=1
        )


def _varies(x: np.ndarray) -> bool:
    """Return whether any column has two distinct values (NaN counts as one)."""
    return bool(((x != x[:1]) & ~(np.isnan(x) & np.isnan(x[:1]))).any())


def _catboost_booster(content: bytes) -> Any:
    import catboost

    booster = catboost.CatBoost()
    booster.load_model(blob=content)
    return booster
