"""Boosters that start from a margin: LightGBM and XGBoost behind one face.

Trees are few, small and strongly regularised, and can only add evidence to the
margin they start from. Each fit uses one thread, so that the result does not
depend on the number of workers; work spreads over (label, fold) instead.
Models travel and are kept in their libraries' own formats, never pickled.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hpastack.errors import InputError

#: Fields that bins are made from; more of them hardly move a quantile.
_MAX_EXAMPLES = 20_000


@dataclass(frozen=True)
class TreeSettings:
    """What the two libraries share.

    Parameters
    ----------
    rounds : int
        Most trees.
    learning_rate : float
    leaves : int
        Leaves a tree; XGBoost gets the depth that holds as many.
    min_leaf : int
        Fields a leaf (LightGBM), or the least sum of Hessians (both: 1).
    l2 : float
        Pull of leaf values towards 0.
    column_share : float
        Share of the columns offered to each tree.
    monotone : bool
        Whether more of a label's own predictions may never lower its log-odds.
    bins : int
        Histogram bins a column.
    """

    rounds: int = 60
    learning_rate: float = 0.2
    leaves: int = 7
    min_leaf: int = 20
    l2: float = 20.0
    column_share: float = 0.8
    monotone: bool = False
    bins: int = 63

    def record(self) -> dict:
        """Return the settings as a dict."""
        return asdict(self)


class LightGBM:
    """Fit, apply and keep LightGBM boosters."""

    suffix = ".txt"

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return a data set whose bins others share."""
        import lightgbm

        parameters = _lightgbm_parameters(settings, 0, 0, x.shape[1])
        return lightgbm.Dataset(x, params=parameters).construct()

    @staticmethod
    def fit(x, y, margin, settings: TreeSettings, *, seed, rounds, n_monotone, bins) -> Any:
        """Grow trees on a margin; see `SharedBins.fit`."""
        import lightgbm

        parameters = _lightgbm_parameters(settings, seed, n_monotone, x.shape[1])
        data = lightgbm.Dataset(x, y, init_score=margin, params=parameters, reference=bins)
        booster = lightgbm.Booster(parameters, data)
        for _ in range(rounds):
            if booster.update():
                break  # no split is worth its leaves any more
        return booster

    @staticmethod
    def added(model, x, start: int, stop: int) -> np.ndarray:
        """Return what the trees `start` to `stop` add to the margin, shape (n,)."""
        if start >= model.current_iteration():
            return np.zeros(len(x))
        return np.asarray(
            model.predict(
                x, raw_score=True, start_iteration=start, num_iteration=stop - start, num_threads=1
            )
        )

    @staticmethod
    def to_bytes(model) -> bytes:
        """Return a booster in the library's own format."""
        return model.model_to_string(num_iteration=-1).encode()

    @staticmethod
    def predict(model: bytes, x) -> np.ndarray:
        """Return what all trees of a kept booster add to the margin, shape (n,)."""
        import lightgbm

        booster = lightgbm.Booster(model_str=model.decode())
        return np.asarray(booster.predict(x, raw_score=True, num_threads=1))

    @staticmethod
    def contributions(model: bytes, x) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the mean."""
        import lightgbm

        booster = lightgbm.Booster(model_str=model.decode())
        return np.asarray(booster.predict(x, pred_contrib=True, num_threads=1))


class XGBoost:
    """Fit, apply and keep XGBoost boosters."""

    suffix = ".ubj"

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return a matrix whose cuts others share."""
        import xgboost

        return xgboost.QuantileDMatrix(x, max_bin=settings.bins, nthread=1)

    @staticmethod
    def fit(x, y, margin, settings: TreeSettings, *, seed, rounds, n_monotone, bins) -> Any:
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
            # No score is looked at while it grows; the default would compute one each round.
            "disable_default_eval_metric": 1,
        }
        if n_monotone:
            parameters["monotone_constraints"] = tuple(_monotone(n_monotone, x.shape[1]))
        data = xgboost.QuantileDMatrix(
            x, y, base_margin=margin, max_bin=settings.bins, nthread=1, ref=bins
        )
        booster = xgboost.Booster(parameters, [data])
        for number in range(rounds):
            booster.update(data, number)
        return booster

    @staticmethod
    def added(model, x, start: int, stop: int) -> np.ndarray:
        """Return what the trees `start` to `stop` add to the margin, shape (n,)."""
        return np.asarray(
            model.inplace_predict(
                x,
                iteration_range=(start, stop),
                predict_type="margin",
                base_margin=np.zeros(len(x), dtype=np.float32),
            )
        )

    @staticmethod
    def to_bytes(model) -> bytes:
        """Return a booster in the library's own format."""
        return bytes(model.save_raw(raw_format="ubj"))

    @staticmethod
    def predict(model: bytes, x) -> np.ndarray:
        """Return what all trees of a kept booster add to the margin, shape (n,)."""
        booster = _xgboost_booster(model)
        return XGBoost.added(booster, x, 0, booster.num_boosted_rounds())

    @staticmethod
    def contributions(model: bytes, x) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the mean."""
        import xgboost

        data = xgboost.DMatrix(x, base_margin=np.zeros(len(x), dtype=np.float32), nthread=1)
        return _xgboost_booster(model).predict(data, pred_contribs=True)


def _lightgbm_parameters(settings: TreeSettings, seed: int, n_monotone: int, n_columns: int):
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
        # Bins are shared by labels, so that none may be dropped for the sake of one.
        "feature_pre_filter": False,
        "metric": "none",
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    if n_monotone:
        parameters["monotone_constraints"] = _monotone(n_monotone, n_columns)
    return parameters


def _monotone(n_monotone: int, n_columns: int) -> list[int]:
    return [1] * n_monotone + [0] * (n_columns - n_monotone)


def _xgboost_booster(model: bytes):
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    return booster


Library = type[LightGBM] | type[XGBoost]

#: The boosting libraries, by name.
LIBRARIES: dict[str, Library] = {"lightgbm": LightGBM, "xgboost": XGBoost}


def library(name: str) -> Library:
    """Return a boosting library by name.

    Parameters
    ----------
    name : {"lightgbm", "xgboost"}

    Returns
    -------
    class
        `LightGBM` or `XGBoost`.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in LIBRARIES:
        raise InputError(f"unknown booster {name!r}; it is one of {', '.join(LIBRARIES)}")
    return LIBRARIES[name]


class SharedBins:
    """Histogram bins made once from a training part and shared by all labels.

    What the labels have in common is binned by its quantiles. A label's own
    columns are log-odds within a known range and get bins of equal width, the
    same for every label.

    Parameters
    ----------
    shared : ndarray of float32, shape (n, d)
        The columns that all labels see, of the training fields only.
    n_logits : int
        Own columns that are log-odds.
    bound : float
        They lie within plus and minus this.
    scores : ndarray of float32, shape (n_scores, n, n_labels)
        Own columns of any other range, of the training fields.
    """

    def __init__(self, shared, n_logits: int, bound: float, scores):
        rows = np.unique(np.linspace(0, len(shared) - 1, _MAX_EXAMPLES).astype(np.int64))
        grid = np.linspace(-bound, bound, len(rows), dtype=np.float32)
        own = [np.repeat(grid[:, None], n_logits, axis=1)]
        if len(scores):
            # Each row shows the score of another label, so that all have their share in the bins.
            own.append(scores[:, rows, np.arange(len(rows)) % scores.shape[2]].T)
        self._examples = np.concatenate([*own, shared[rows]], axis=1)
        self._n_logits = n_logits
        self._n_own = n_logits + len(scores)
        self._made: dict[tuple, Any] = {}
        self._lock = threading.Lock()

    def __getstate__(self):
        # The libraries' own objects do not travel; a worker process makes them again.
        return {**self.__dict__, "_made": {}, "_lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _of(self, name: str, columns: np.ndarray, settings: TreeSettings):
        if self._n_own + len(columns) < self._examples.shape[1]:
            # Screened: columns of this label alone.
            wanted = np.concatenate([np.arange(self._n_own), self._n_own + columns])
            return library(name).bins(self._examples[:, wanted], settings)
        with self._lock:
            key = (name, settings.bins)
            if key not in self._made:
                self._made[key] = library(name).bins(self._examples, settings)
            return self._made[key]

    def fit(
        self, name: str, x, y, margin, columns, settings: TreeSettings, *, seed: int, rounds: int
    ) -> Any:
        """Fit one label with one library.

        Parameters
        ----------
        name : {"lightgbm", "xgboost"}
        x : ndarray of float32, shape (n, n_own + len(columns))
            The label's own columns, then `columns` of the shared ones.
        y : ndarray of float32 {0, 1}, shape (n,)
        margin : ndarray of float32, shape (n,)
            Log-odds the trees start from.
        columns : ndarray of int
            Which of the shared columns `x` holds.
        settings : TreeSettings
        seed, rounds : int

        Returns
        -------
        object
            A booster of the library.
        """
        return library(name).fit(
            x,
            y,
            margin,
            settings,
            seed=seed,
            rounds=rounds,
            n_monotone=self._n_logits if settings.monotone else 0,
            bins=self._of(name, columns, settings),
        )


def staged(name: str, model, x, stages: Sequence[int]) -> np.ndarray:
    """Return what a booster adds to the margin after some numbers of trees.

    Parameters
    ----------
    name : {"lightgbm", "xgboost"}
    model : object
        Of `SharedBins.fit`.
    x : ndarray of float32, shape (n, n_columns)
    stages : sequence of int
        Numbers of trees, ascending.

    Returns
    -------
    ndarray of float32, shape (len(stages), n)
    """
    total = np.zeros((len(stages), len(x)), dtype=np.float32)
    for number, (start, stop) in enumerate(zip([0, *stages], stages)):
        before = total[number - 1] if number else 0.0
        total[number] = before + library(name).added(model, x, start, stop)
    return total
