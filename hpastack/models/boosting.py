"""Boosters that start from a margin: LightGBM and XGBoost behind one face.

Trees are few, small and strongly regularised, and can only add evidence to the
margin they start from. Each fit uses one thread, so that the result does not
depend on the number of workers; work spreads over (label, fold) instead.
Models travel and are kept in their libraries' own formats, never pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from hpastack.errors import InputError


@dataclass(frozen=True)
class TreeSettings:
    """What the two libraries share.

    Parameters
    ----------
    rounds : int
        Trees.
    learning_rate : float
    leaves : int
        Leaves a tree; XGBoost gets the depth that holds as many.
    min_leaf : int
        Fields a leaf (LightGBM), or the least sum of Hessians (both: 1).
    l2 : float
        Pull of leaf values towards 0.
    column_share : float
        Share of the columns offered to each tree.
    bins : int
        Histogram bins a column.
    """

    rounds: int = 60
    learning_rate: float = 0.1
    leaves: int = 7
    min_leaf: int = 20
    l2: float = 20.0
    column_share: float = 0.8
    bins: int = 63

    def record(self) -> dict:
        """Return the settings as a dict."""
        return asdict(self)


def _fit_lightgbm(x, y, margin, settings: TreeSettings, seed: int) -> bytes:
    import lightgbm

    parameters = {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": settings.l2,
        "feature_fraction": settings.column_share,
        "max_bin": settings.bins,
        "boost_from_average": False,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(x, y, init_score=margin, params=parameters)
    booster = lightgbm.train(parameters, data, settings.rounds)
    return booster.model_to_string(num_iteration=-1).encode()


def _predict_lightgbm(model: bytes, x) -> np.ndarray:
    import lightgbm

    booster = lightgbm.Booster(model_str=model.decode())
    return np.asarray(booster.predict(x, raw_score=True, num_threads=1))


def _fit_xgboost(x, y, margin, settings: TreeSettings, seed: int) -> bytes:
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
    }
    data = xgboost.QuantileDMatrix(x, y, base_margin=margin, max_bin=settings.bins, nthread=1)
    booster = xgboost.train(parameters, data, settings.rounds)
    return bytes(booster.save_raw(raw_format="ubj"))


def _predict_xgboost(model: bytes, x) -> np.ndarray:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    data = xgboost.DMatrix(x, base_margin=np.zeros(len(x), dtype=np.float32), nthread=1)
    return booster.predict(data, output_margin=True)


@dataclass(frozen=True)
class Library:
    """How one boosting library fits, predicts and keeps its models.

    Parameters
    ----------
    fit : callable
        ``(x, y, margin, settings, seed) -> bytes``, the model in the
        library's own format.
    predict : callable
        ``(model, x) -> ndarray (n,)``, what the trees add to the margin.
    suffix : str
        File suffix of the format.
    """

    fit: Callable[..., bytes]
    predict: Callable[[bytes, np.ndarray], np.ndarray]
    suffix: str


#: The boosting libraries, by name.
LIBRARIES = {
    "lightgbm": Library(_fit_lightgbm, _predict_lightgbm, ".txt"),
    "xgboost": Library(_fit_xgboost, _predict_xgboost, ".ubj"),
}


def library(name: str) -> Library:
    """Return a boosting library by name.

    Parameters
    ----------
    name : {"lightgbm", "xgboost"}

    Returns
    -------
    Library

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in LIBRARIES:
        raise InputError(f"unknown booster {name!r}; it is one of {', '.join(LIBRARIES)}")
    return LIBRARIES[name]
