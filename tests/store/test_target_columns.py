"""Columns of features that equal a target."""

import numpy as np
import pandas as pd
import pytest

from hpastack.store import columns_of_targets

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
Y = (RNG.random((60, 3)) < [0.5, 0.3, 0.01]).astype(int)


@pytest.mark.parametrize("low, high", [(0, 1), (1, 0), (-3.5, 200.0), (0.0005, 0.9995)])
def test_columns_of_two_values_that_equal_a_target_are_found(low, high):
    leak = np.where(Y[:, 1], high, low).astype(float)
    features = pd.DataFrame({"area": RNG.random(60), "leak": leak})
    assert columns_of_targets(features, Y) == {"leak": 1}
    leak[::4] = np.nan
    assert columns_of_targets(features.assign(leak=leak), Y) == {"leak": 1}


def test_other_columns_are_not():
    almost = Y[:, 0].astype(float)
    almost[0] = 1 - almost[0]
    three = Y[:, 0] + (np.arange(60) == np.flatnonzero(Y[:, 0])[0])
    features = pd.DataFrame(
        {"almost": almost, "three": three, "constant": 1.0, "unknown": np.nan, "rare": Y[:, 2]}
    )
    assert columns_of_targets(features, Y) == {}
    assert columns_of_targets(pd.DataFrame({"few": Y[:15, 0]}), Y[:15]) == {}
    assert columns_of_targets(features.iloc[:0], Y[:0]) == {}
