"""What a stack says of its columns before it is fitted."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.stack import (
    GatheredStores,
    PredictionWarning,
    StackClassifier,
    notes_on_columns,
    without_columns,
)
from hpastack.stack.stores import MemberValues

pytestmark = pytest.mark.core

TRAIN = [f"a{number}" for number in range(100)]
TEST = [f"t{number}" for number in range(40)]
RNG = np.random.default_rng(0)


def gathered(train, test, cnns=("net",), **features):
    values = np.concatenate([train, test])
    table = pd.DataFrame(values, [*TRAIN, *TEST], [f"net__{k}" for k in range(values.shape[1])])
    scores = [name for name in ("net",) if name not in cnns]
    return GatheredStores(table.assign(**features), list(cnns), [], {}, scores=scores)


LABELS = RNG.integers(2, size=(100, 2)).astype(float)
TRAIN_VALUES, TEST_VALUES = RNG.random((100, 2)), RNG.random((40, 2))


def test_features_that_tell_the_order_are_named_with_the_remedy():
    inputs = gathered(TRAIN_VALUES, TEST_VALUES, f__row=np.arange(140.0), f__area=RNG.random(140))
    order, split = notes_on_columns(inputs, TRAIN, TEST)
    assert "f__row (1.000) predicts the order of the training fields" in order
    assert "f__row (1.000) separates train from test" in split
    assert "(drop_columns: ['f__row'])" in order and "f__area" not in order + split
    assert len(notes_on_columns(inputs, TRAIN, [])) == 1
    assert notes_on_columns(without_columns(inputs, ["f__row"]), TRAIN, TEST) == []


@pytest.mark.parametrize("cnns", [("net",), ()])
def test_labels_of_one_split_beside_values_of_the_other_are_named(cnns):
    (note,) = notes_on_columns(gathered(LABELS, TEST_VALUES, cnns), TRAIN, TEST)
    assert "net: training fields have only 0 and 1, test fields other values" in note
    assert "--threshold" in note
    (note,) = notes_on_columns(gathered(TRAIN_VALUES, LABELS[:40], cnns), TRAIN, TEST)
    assert "net: training fields have other values, test fields only 0 and 1" in note
    assert notes_on_columns(gathered(LABELS, LABELS[:40], cnns), TRAIN, TEST) == []


def test_values_that_are_practically_labels_and_those_that_are_the_targets_are_named():
    clipped = np.clip(LABELS, 0.0005, 0.9995)
    (note,) = notes_on_columns(gathered(clipped, TEST_VALUES), TRAIN, TEST)
    assert "net: training fields have practically only 0 and 1, test fields other values" in note
    assert notes_on_columns(gathered(clipped, LABELS[:40]), TRAIN, TEST, 1 - LABELS) == []
    notes = notes_on_columns(gathered(clipped, LABELS[:40]), TRAIN, TEST, LABELS)
    assert len(notes) == 1 and "net: the values of training fields equal their targets" in notes[0]
    inputs = gathered(10 * LABELS - 5, np.log(TEST_VALUES / (1 - TEST_VALUES)))
    inputs.logits.append("net")
    assert len(notes_on_columns(inputs, TRAIN, TEST, LABELS)) == 2


def test_a_mean_of_label_sets_is_judged_by_its_members():
    inputs = gathered(LABELS, TEST_VALUES)
    members = RNG.integers(2, size=(3, 40, 2)).astype(np.float32)
    inputs.members["net"] = MemberValues(np.arange(100, 140), ["net__0", "net__1"], members)
    assert notes_on_columns(inputs, TRAIN, TEST) == []
    inputs.members["net"] = inputs.members["net"]._replace(values=members / 2)
    assert len(notes_on_columns(inputs, TRAIN, TEST)) == 1


def test_only_columns_of_features_are_dropped():
    inputs = gathered(TRAIN_VALUES, TEST_VALUES, f__area=0.0)
    assert list(without_columns(inputs, ["f__area"]).table) == ["net__0", "net__1"]
    with pytest.raises(InputError, match="no store has a column 'area'"):
        without_columns(inputs, ["area"])
    with pytest.raises(InputError, match="no store has columns 'area', 'size'"):
        without_columns(inputs, ["area", "f__area", "size"])
    with pytest.raises(InputError, match="net__1 belong to stores with one column per label"):
        without_columns(inputs, ["net__1"])
    features = gathered(TRAIN_VALUES, TEST_VALUES, cnns=()).table
    with pytest.raises(InputError, match="leaves no column"):
        without_columns(GatheredStores(features, [], [], {}), list(features))


def test_a_feature_that_equals_a_target_is_named_with_the_remedy():
    leak = np.append(LABELS[:, 1], TEST_VALUES[:, 0])
    inputs = gathered(TRAIN_VALUES, TEST_VALUES, f__leak=leak, f__area=RNG.random(140))
    (note,) = notes_on_columns(inputs, TRAIN, TEST, LABELS)
    assert "f__leak (label 1): the values of training fields equal a target" in note
    assert "(drop_columns: ['f__leak'])" in note
    assert notes_on_columns(without_columns(inputs, ["f__leak"]), TRAIN, TEST, LABELS) == []


def test_a_stack_warns_before_it_is_fitted_to_a_target():
    X = pd.DataFrame({"net__0": TRAIN_VALUES[:, 0], "net__1": TRAIN_VALUES[:, 1], "area": 0.0})
    stack = StackClassifier(["net"], boosters=["linear"], n_bootstrap=2, n_splits=3, n_jobs=1)
    y = LABELS.astype(int)
    with pytest.warns(PredictionWarning, match=r"leak \(label 0\): .* fit without it"):
        stack.fit(X.assign(leak=2 * y[:, 0]), y)
