"""What a booster adds after some numbers of trees, one after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpastack.boosting import BoostingLibrary


def staged(of: BoostingLibrary, model: Any, x: np.ndarray, stages: Sequence[int]) -> np.ndarray:
    """Return what a booster adds to the margin after some numbers of trees.

    Parameters
    ----------
    of : BoostingLibrary
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
        total[number] = before + of.added(model, x, start, stop)
    return total
