"""What is unusual in a field: robust deviations, the rare ones first, none that say the same."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.similarity import unusual_features

pytestmark = pytest.mark.core


@pytest.fixture
def training():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(10, 2, (2000, 6)), columns=list("abcdef"))
    frame["b"] = frame["a"] * 3 + 0.01 * frame["b"]
    frame["skewed"] = np.exp(3 * rng.normal(size=2000))
    frame["constant"] = 1.0
    return frame


def test_the_planted_features_come_first(training):
    field = training.median()
    field["d"], field["e"] = 10 - 2 * 6, 10 + 2 * 4
    found = unusual_features(field, training)
    assert list(found.index[:2]) == ["d", "e"]
    assert found.loc["d", "deviations"] == pytest.approx(-6, abs=0.4)
    assert found.loc["e", "deviations"] == pytest.approx(4, abs=0.4)
    assert found.loc["d", "share_below"] == 0 and found.loc["e", "share_below"] == 1
    assert found.loc["d", "median"] == pytest.approx(10, abs=0.2)


def test_one_outlier_does_not_hide_behind_those_of_training(training):
    training.loc[:60, "c"] = 1e6  # would make a standard deviation of 170,000
    field = training.median()
    field["c"] = 20
    found = unusual_features(field, training)
    # More than 5 % of the fields would be further out if the outliers were not so few.
    assert found.index[0] == "c" and found.loc["c", "deviations"] > 4


def test_columns_that_say_the_same_are_named_once(training):
    field = training.median()
    field["a"], field["b"] = 18, 54
    found = unusual_features(field, training)
    assert ("a" in found.index[:1]) != ("b" in found.index[:1])
    assert len({"a", "b"} & set(found.index)) == 1


def test_a_large_deviation_that_many_have_is_less_unusual(training):
    field = training.median()
    field["skewed"] = training["skewed"].quantile(0.9)
    field["d"] = training["d"].quantile(0.99)
    found = unusual_features(field, training)
    assert found.loc["skewed", "deviations"] > found.loc["d", "deviations"]
    assert list(found.index[:2]) == ["d", "skewed"]


def test_what_cannot_be_compared_is_ignored(training):
    field = training.median() + 1
    field["c"] = np.nan
    training.loc[::2, "d"] = np.nan
    training["empty"], field["empty"] = np.nan, 1.0
    found = unusual_features(field, training, n_features=20)
    assert not {"c", "empty", "constant"} & set(found.index)
    assert "d" in found.index and np.isfinite(found.to_numpy()).all()
    assert len(unusual_features(field, training, n_features=2)) == 2


def test_mistakes_are_named(training):
    with pytest.raises(InputError, match="training is empty"):
        unusual_features(training.iloc[0], training.iloc[:0])
    with pytest.raises(InputError, match="the same columns"):
        unusual_features(training.iloc[0, 1:], training)
