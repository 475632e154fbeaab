"""LightGBM: trees for one label that start from a margin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from hpastack.boosting.lightgbm_text import check_lightgbm_text, trees_of
from hpastack.boosting.tree_settings import (
    AtStage,
    TreeSettings,
    doubled_rounds,
    grown_enough,
    monotone_constraints,
)


class LightGBM:
    """Fit, apply and save LightGBM boosters."""

    package = "lightgbm"
    suffix = ".txt"
    ignores: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return numbers of trees, each about twice the previous one."""
        return doubled_rounds(rounds, min_rounds)

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return a data set whose bins are shared by others."""
        import lightgbm

        parameters = _lightgbm_parameters(settings, 0, 0, x.shape[1])
        return lightgbm.Dataset(x, params=parameters).construct()

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
        import lightgbm

        parameters = _lightgbm_parameters(settings, seed, n_monotone, x.shape[1])
        data = lightgbm.Dataset(
            x, y, weight=sample_weight, init_score=margin, params=parameters, reference=bins
        )
        booster = lightgbm.Booster(parameters, data)
        for number in range(stages[-1]):
            if booster.update():
                break  # no further split improves the loss
            if grown_enough(at_stage, booster, number + 1, stages):
                break
        return booster

    @staticmethod
    def added(model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the sum of the trees `start` to `stop` (log-odds), shape (n,)."""
        if start >= model.current_iteration():
            return np.zeros(len(x))
        return np.asarray(
            model.predict(
                x, raw_score=True, start_iteration=start, num_iteration=stop - start, num_threads=1
            )
        )

    @staticmethod
    def to_bytes(model: Any) -> bytes:
        """Return a booster in the library's own format."""
        return model.model_to_string(num_iteration=-1).encode()

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` if this is not a booster's text; see `check_lightgbm_text`."""
        check_lightgbm_text(content.decode("latin-1"))

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return the sum of all trees of a saved booster (log-odds), shape (n,)."""
        booster = _lightgbm_booster(content)
        return np.asarray(booster.predict(x, raw_score=True, num_threads=1))

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the expected value."""
        booster = _lightgbm_booster(content)
        return np.asarray(booster.predict(x, pred_contrib=True, num_threads=1))


# A booster shared by all labels is applied to one label after another, and parsing its text takes
# longer than predicting a few fields. Caching one is enough and takes little memory.
@lru_cache(maxsize=1)
def _lightgbm_booster(content: bytes) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=trees_of(content.decode()))


def _lightgbm_parameters(
    settings: TreeSettings, seed: int, n_monotone: int, n_columns: int
) -> dict[str, Any]:
    parameters = {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": settings.l2,
        "feature_fraction": settings.column_share,
        "max_bin": settings.bins,
        "extra_trees": settings.extra_trees,
        "boost_from_average": False,
        # Labels share the bins, so no column may be dropped because of one label.
        "feature_pre_filter": False,
        "metric": "none",
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    if n_monotone:
        parameters["monotone_constraints"] = monotone_constraints(n_monotone, n_columns)
    return parameters
