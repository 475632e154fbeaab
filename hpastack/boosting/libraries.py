"""Boosters that start from a margin: several libraries with a common interface.

Trees are few, small and strongly regularised, and can only add evidence to the
margin they start from. Each fit uses one thread, so that the result does not
depend on the number of workers; (label, fold) pairs run in parallel instead.
Models are sent between processes and saved in their libraries' own formats,
never pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from hpastack.boosting.catboost_trees import CatBoost
from hpastack.boosting.lightgbm_trees import LightGBM
from hpastack.boosting.linear import Linear
from hpastack.boosting.tree_settings import AtStage, TreeSettings
from hpastack.boosting.xgboost_trees import XGBoost
from hpastack.errors import InputError


class BoostingLibrary(Protocol):
    """The interface of a library of boosted trees, as a stack uses it.

    Each booster predicts one label. An implementation is a class of static
    methods that imports the library only when it is used. To add a library,
    write a module and add a line to `LIBRARIES`;
    ``tests/boosting/test_libraries.py`` has the contract test.

    Attributes
    ----------
    package : str
        The package to install; its version is recorded in stacks.
    suffix : str
        Suffix of its files, with the dot; unique to the library.
    ignores : tuple of str
        Names of the `TreeSettings` that have no effect, so that they are not tuned.
    """

    package: str
    suffix: str
    ignores: tuple[str, ...]

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return what fits on columns distributed like `x` share, such as bin edges."""

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return the model sizes to compare, ascending, up to `rounds` trees."""

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
        """Fit a model of size ``stages[-1]`` on a margin, in one thread; see `SharedBins.fit`.

        The log-odds are constrained to be non-decreasing in the first
        `n_monotone` columns. The argument `bins` is the result of the method
        `bins`, or None. `at_stage` is called after each stage with the model and
        the number of the stage; if it returns true, fitting stops. A library that
        cannot stop early never calls it. `sample_weight` multiplies the loss of
        each row; it is passed only if there are weights. A library without this
        parameter can be used in fits without weights only.
        """

    @staticmethod
    def added(model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return the sum of the trees `start` to `stop` (log-odds), shape (n,)."""

    @staticmethod
    def to_bytes(model: Any) -> bytes:
        """Return a booster in the library's own format."""

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` unless the library can read the content safely.

        The content is untrusted input. What the library itself does not check is
        checked here, before the library reads it.
        """

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return the sum of all trees of a saved booster (log-odds), shape (n,)."""

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the expected value."""


#: The boosting libraries, by name.
LIBRARIES: dict[str, BoostingLibrary] = {
    "lightgbm": LightGBM,
    "xgboost": XGBoost,
    "catboost": CatBoost,
    "linear": Linear,
}


def library(name: str) -> BoostingLibrary:
    """Return a boosting library by name.

    Parameters
    ----------
    name : str
        A key of `LIBRARIES`.

    Returns
    -------
    BoostingLibrary

    Raises
    ------
    InputError
        If the name is unknown, or the library is not installed.
    """
    if name not in LIBRARIES:
        raise InputError(f"unknown booster {name!r}; choose from {', '.join(LIBRARIES)}")
    if not _is_installed(LIBRARIES[name].package):
        raise InputError(
            f"booster {name!r} needs the package {LIBRARIES[name].package}; "
            f"run: pip install 'hpastack[{name}]'"
        )
    return LIBRARIES[name]


@cache
def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
