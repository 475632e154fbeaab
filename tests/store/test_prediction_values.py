"""Probabilities, logits and label sets, told by their values."""

import numpy as np
import pytest
from scipy.special import expit

from hpastack.errors import InputError
from hpastack.store import (
    binarised,
    binary,
    check_plausible,
    equal_targets,
    is_binary,
    is_label_like,
    is_unlike_labels,
)

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(-1, 2, size=(40, 3))


def test_values_that_look_like_something_else_are_rejected():
    check_plausible(LOGITS, "logits", "t.csv")
    check_plausible(expit(LOGITS), "probabilities", "t.csv")
    check_plausible(expit(LOGITS), "scores", "t.csv")
    with pytest.raises(InputError, match="all logits .* content='probabilities'.*as_is=True"):
        check_plausible(expit(LOGITS), "logits", "t.csv")
    with pytest.raises(InputError, match="t.csv: all probabilities .* sigmoid .*as_is=True"):
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


LABELS = (RNG.random((100, 3)) < 0.3).astype(float)


@pytest.mark.parametrize(
    ("values", "are_logits"),
    [
        (LABELS, False),
        (np.clip(LABELS, 0.0005, 0.9995), False),
        (np.clip(LABELS, 0.2, 0.8), False),  # smoothed labels
        (np.abs(LABELS - RNG.uniform(0, 0.009, LABELS.shape)), False),
        (np.where(LABELS == 1, 7.6, -7.6), True),
        (np.where(LABELS == 1, 3.0, 1.0), False),  # scores
        (np.where(RNG.random(LABELS.shape) < 0.1, np.nan, np.clip(LABELS, 0.001, 0.999)), False),
    ],
)
def test_what_is_practically_a_label_set(values, are_logits):
    assert is_label_like(values, are_logits=are_logits)
    assert not is_unlike_labels(values, are_logits=are_logits)
    known = ~np.isnan(values)
    np.testing.assert_array_equal(binary(values)[known], LABELS[known])


@pytest.mark.parametrize(
    ("values", "are_logits"),
    [
        (expit(LOGITS), False), (LOGITS, True), (LABELS / 2, False),
        (LABELS * 3 + LOGITS[0], False), (np.where(LABELS == 1, 0.4, 0.3), False),
        (np.full((20, 3), 0.5), False),
    ],
)  # fmt: skip
def test_what_is_no_label_set(values, are_logits):
    assert not is_label_like(values, are_logits=are_logits)
    assert is_unlike_labels(values, are_logits=are_logits)


def test_of_too_few_values_nothing_is_said():
    values = np.array([[0.01, 0.99]])
    assert not is_label_like(values) and not is_unlike_labels(values)
    assert is_label_like(np.array([[0.0, 1.0]]))


def test_predictions_that_are_the_targets():
    with_faults = LABELS.copy()
    with_faults[0, 0] = 1 - with_faults[0, 0]
    for values in (LABELS, np.clip(LABELS, 0.0005, 0.9995), with_faults):
        assert equal_targets(values, LABELS)
    with_faults[:3, 0] = 1 - LABELS[:3, 0]
    assert not equal_targets(with_faults, LABELS)
    in_sample = 2 * LABELS - 1 + RNG.uniform(-0.9, 0.9, LABELS.shape)
    assert equal_targets(in_sample, LABELS, are_logits=True)
    assert equal_targets(expit(in_sample), LABELS)
    assert not equal_targets(in_sample + RNG.normal(size=LABELS.shape), LABELS, are_logits=True)
    assert not equal_targets(LABELS[:20], LABELS[:20])
    assert not equal_targets(np.zeros_like(LABELS), np.zeros_like(LABELS))
