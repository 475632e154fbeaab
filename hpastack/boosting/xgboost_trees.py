"""XGBoost: trees for one label that start from a margin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from hpastack.boosting.tree_settings import (
    AtStage,
    TreeSettings,
    doubled_rounds,
    grown_enough,
    monotone_constraints,
)
from hpastack.boosting.xgboost_ubjson import check_xgboost_ubjson
from hpastack.errors import InputError


class XGBoost:
    """Fit, apply and save XGBoost boosters."""

    package = "xgboost"
    suffix = ".ubj"
    # XGBoost bounds the Hessian sum of a leaf, not its number of fields. A bound of `min_leaf`
    # times the mean Hessian of a field was worse where the margin is undecided (docs/method.md).
    ignores: ClassVar[tuple[str, ...]] = ("min_leaf", "extra_trees")

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return numbers of trees, each about twice the previous one."""
        return doubled_rounds(rounds, min_rounds)

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return a matrix whose bin edges are shared by others."""
        import xgboost

        return xgboost.QuantileDMatrix(x, max_bin=settings.bins, nthread=1)

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
        import xgboost

        parameters = {
            "objective": "binary:logistic",
            "eta": settings.learning_rate,
            "max_depth": int(np.ceil(np.log2(settings.leaves))),
            "min_child_weight": 1.0,
            "reg_lambda": settings.l2,
            "colsample_bytree": settings.column_share,
            "max_bin": settings.bins,
            "base_score": 0.5,
            "tree_method": "hist",
            "seed": seed,
            "nthread": 1,
            "verbosity": 0,
            # No score is used during the fit; by default one is computed in each round.
            "disable_default_eval_metric": 1,
        }
        if n_monotone:
            parameters["monotone_constraints"] = tuple(monotone_constraints(n_monotone, x.shape[1]))
        data = xgboost.QuantileDMatrix(
            x,
            y,
            weight=sample_weight,
            base_margin=margin,
            max_bin=settings.bins,
            nthread=1,
            ref=bins,
        )
        booster = xgboost.Booster(parameters, [data])
        for number in range(stages[-1]):
            booster.update(data, number)
            if grown_enough(at_stage, booster, number + 1, stages):
                break
        return booster

    @staticmethod
    def added(model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the sum of the trees `start` to `stop` (log-odds), shape (n,)."""
        stop = min(stop, model.num_boosted_rounds())
        if start >= stop:
            return np.zeros(len(x))
        return np.asarray(
            model.inplace_predict(
                x,
                iteration_range=(start, stop),
                predict_type="margin",
                base_margin=np.zeros(len(x), dtype=np.float32),
            )
        )

    @staticmethod
    def to_bytes(model: Any) -> bytes:
        """Return a booster in the library's own format."""
        return bytes(model.save_raw(raw_format="ubj"))

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` if this is not a booster's file; see `check_xgboost_ubjson`."""
        import xgboost

        check_xgboost_ubjson(content)
        try:
            _xgboost_booster(content)
        except xgboost.core.XGBoostError as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"not an XGBoost booster: {reason}") from None

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return the sum of all trees of a saved booster (log-odds), shape (n,)."""
        booster = _xgboost_booster(content)
        return XGBoost.added(booster, x, 0, booster.num_boosted_rounds())

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the expected value."""
        import xgboost

        data = xgboost.DMatrix(x, base_margin=np.zeros(len(x), dtype=np.float32), nthread=1)
        return _xgboost_booster(content).predict(data, pred_contribs=True)


def _xgboost_booster(content: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    return booster
