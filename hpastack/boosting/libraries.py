"""Boosters that start from a margin: several libraries behind one face.

Trees are few, small and strongly regularised, and can only add evidence to the
margin they start from. Each fit uses one thread, so that the result does not
depend on the number of workers; work spreads over (label, fold) instead.
Models travel and are kept in their libraries' own formats, never pickled.
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
    """What a stack needs of a library of boosted trees.

    Each booster is of one label. A class of static methods, which imports the
    library only when it is used. A new library is a module and a line of `LIBRARIES`;
    ``tests/boosting/test_libraries.py`` says what it must keep to.

    Attributes
    ----------
    package : str
        What is to be installed; its version is recorded in stacks.
    suffix : str
        Ending of its files, with the dot; no other library has it.
    ignores : tuple of str
        Those of `TreeSettings` that make no difference, so that none is searched.
    """

    package: str
    suffix: str
    ignores: tuple[str, ...]

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return what fits on columns like those of x share, such as the edges of bins."""

    @staticmethod
    def stages(rounds: int, min_rounds: int) -> list[int]:
        """Return the sizes of a model that are compared, ascending, from most and least trees."""

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
    ) -> Any:
        """Fit a model of the last of `stages` on a margin, in one thread; see `SharedBins.fit`.

        The first `n_monotone` columns may not lower the log-odds. `bins` is
        what `bins` returned, or None. `at_stage` is called after each stage
        with the model and the number of the stage; if it returns true, the
        model grows no more. A library that cannot stop under way never calls it.
        """

    @staticmethod
    def added(model: Any, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Return what the trees `start` to `stop` add to the margin, shape (n,)."""

    @staticmethod
    def to_bytes(model: Any) -> bytes:
        """Return a booster in the library's own format."""

    @staticmethod
    def check(content: bytes) -> None:
        """Raise `InputError` unless the library can read the content safely.

        The file may come from anyone. What the library itself does not check
        is checked here, before it sees the file.
        """

    @staticmethod
    def predict(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return what all trees of a kept booster add to the margin, shape (n,)."""

    @staticmethod
    def contributions(content: bytes, x: np.ndarray) -> np.ndarray:
        """Return SHAP values, shape (n, n_columns + 1); the last column is the mean."""


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
        If there is none of that name, or it is not installed.
    """
    if name not in LIBRARIES:
        raise InputError(f"unknown booster {name!r}; it is one of {', '.join(LIBRARIES)}")
    if not _is_installed(LIBRARIES[name].package):
        raise InputError(
            f"booster {name!r} needs the package {LIBRARIES[name].package}; "
            f"pip install 'hpastack[{name}]'"
        )
    return LIBRARIES[name]


@cache
def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
