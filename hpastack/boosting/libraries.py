"""Boosters that start from a margin: LightGBM and XGBoost behind one face.

Trees are few, small and strongly regularised, and can only add evidence to the
margin they start from. Each fit uses one thread, so that the result does not
depend on the number of workers; work spreads over (label, fold) instead.
Models travel and are kept in their libraries' own formats, never pickled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpastack.boosting.lightgbm_trees import LightGBM
from hpastack.boosting.xgboost_trees import XGBoost
from hpastack.errors import InputError

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
