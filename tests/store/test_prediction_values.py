"""Probabilities, logits and label sets, told by their values."""

import numpy as np
import pytest
from scipy.special import expit

from hpastack.errors import InputError
from hpastack.store import binarised, check_plausible, is_binary

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(-1, 2, size=(40, 3))


def test_values_that_look_like_something_else_are_rejected():
    check_plausible(LOGITS, "logits", "t.csv")
    check_plausible(expit(LOGITS), "probabilities", "t.csv")
    check_plausible(expit(LOGITS), "scores", "t.csv")
    with pytest.raises(InputError, match="t.csv: all logits .* --content probabilities.*--as-is"):
        check_plausible(expit(LOGITS), "logits", "t.csv")
    with pytest.raises(InputError, match="t.csv: all probabilities .* sigmoid .*--as-is"):
        check_plausible(expit(expit(LOGITS)), "probabilities", "t.csv")


def test_labels_are_as_frequent_as_wanted():
    values = RNG.random((1000, 2))
    labels = binarised(values, np.array([0.3, 0.0]))
    np.testing.assert_array_equal(labels.mean(axis=0), [0.3, 0])
    assert values[labels[:, 0] == 1, 0].min() > values[labels[:, 0] == 0, 0].max()


def test_equal_values_get_the_same_label():
    mostly_zero = np.r_[np.zeros(90), np.full(10, 0.5)][:, None]
    assert binarised(mostly_zero, 0.2).sum() == 10  # not all 100
    assert binarised(mostly_zero, 0.05).sum() == 10  # not none
    assert binarised(mostly_zero, 0.9).sum() == 100


def test_missing_values_stay_missing():
    labels = binarised(np.array([[np.nan], [0.2], [0.9]]), 0.5)
    np.testing.assert_array_equal(labels, [[np.nan], [0], [1]])
    assert is_binary(labels) and not is_binary(np.array([[0.5]]))
