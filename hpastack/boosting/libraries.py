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
from hpastack.boosting.tree_settings import TreeSettings
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
    """

    package: str
    suffix: str

    @staticmethod
    def bins(x: np.ndarray, settings: TreeSettings) -> Any:
        """Return what fits on columns like those of x share, such as the edges of bins."""

    @staticmethod
    def fit(
        x: np.ndarray,
        y: np.ndarray,
        margin: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        rounds: int,
        n_monotone: int,
        bins: Any,
    ) -> Any:
        """Grow `rounds` trees on a margin, in one thread; see `SharedBins.fit`.

        The first `n_monotone` columns may not lower the log-odds. `bins` is
        what `bins` returned.
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


def staged(name: str, model: Any, x: np.ndarray, stages: Sequence[int]) -> np.ndarray:
    """Return what a booster adds to the margin after some numbers of trees.

    Parameters
    ----------
    name : str
        A key of `LIBRARIES`.
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
