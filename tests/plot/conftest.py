"""Synthetic predictions for displays."""

import numpy as np
import pandas as pd
import pytest

from hpastack.stack import StackClassifier

# One that matplotlib would take for a formula, and a label that never occurs.
NAMES = ["a $\\frac$ b", "Golgi", "Rods", "none"]


@pytest.fixture(scope="package")
def predictions():
    """Annotated labels, probabilities and clusters of 200 fields, indexed by id."""
    rng = np.random.default_rng(0)
    ids = [f"field{number:03d}" for number in range(200)]
    y = pd.DataFrame((rng.random((200, 4)) < [0.5, 0.3, 0.1, 0]).astype(int), ids, NAMES)
    values = np.clip(0.5 * y.to_numpy() + 0.5 * rng.random(y.shape), 0, 1)
    clusters = pd.Series([f"cluster{number // 2}" for number in range(200)], ids)
    return y, pd.DataFrame(values, ids, NAMES), clusters


@pytest.fixture(scope="package")
def stack(predictions):
    """A stack that was fitted on them."""
    y, probabilities, clusters = predictions
    X = probabilities.set_axis([f"net__{number}" for number in range(4)], axis=1)
    settings = {"boosters": ["lightgbm"], "rounds": 5, "n_bootstrap": 5, "n_jobs": 1}
    return StackClassifier(["net"], **settings).fit(X, y, groups=clusters)
