"""Columns that tell where in the table a field is, and honest ones that do not."""

import numpy as np
import pandas as pd
import pytest

from hpastack.files import read_id_table
from hpastack.similarity import telling_columns

N_TRAIN, N_TEST = 300, 100
N = N_TRAIN + N_TEST
RNG = np.random.default_rng(0)
LABELS = np.sort(RNG.integers(4, size=N_TRAIN))


def told(**columns):
    frame = pd.DataFrame(columns)
    is_test = pd.Series(np.arange(N) >= N_TRAIN, frame.index)
    return telling_columns(frame, is_test).set_index("column")


@pytest.mark.core
@pytest.mark.parametrize(
    "values",
    [
        np.arange(N),
        -3.5 * np.arange(N) + RNG.normal(size=N),
        np.arange(N) // 8,
        np.abs(np.arange(N) - 150.0),
        np.sin(np.arange(N) / 40),
    ],
)
def test_the_order_of_training_fields_is_seen(values):
    found = told(row=values, noise=RNG.normal(size=N))
    assert list(found.index) == ["row"] and found.loc["row", "order"] > 0.95


@pytest.mark.core
def test_train_against_test_is_seen_in_values_and_in_gaps():
    is_test = np.arange(N) >= N_TRAIN
    found = told(
        later=RNG.random(N) + 2 * is_test,
        lower=RNG.random(N) - 2 * is_test,
        missing=np.where(is_test, np.nan, RNG.random(N)),
        partly=np.where(RNG.random(N) < 0.7, np.nan, RNG.random(N)),
    )
    assert list(found.index) == ["later", "lower", "missing"]
    np.testing.assert_array_equal(found["auc"], 1)
    np.testing.assert_array_equal(found["order"], 0)


@pytest.mark.core
def test_honest_columns_of_a_table_sorted_by_label_pass():
    labels = np.r_[LABELS, RNG.integers(4, size=N_TEST)]
    sources = np.repeat([0, 1, 0], [150, 150, 100])  # images of another size behind the first
    columns = {f"noise{k}": RNG.normal(size=N) for k in range(300)}
    found = told(
        good=(labels == 1) + 0.1 * RNG.normal(size=N), source=sources, constant=np.ones(N),
        missing=np.full(N, np.nan), **columns,
    )  # fmt: skip
    assert found.empty


@pytest.mark.core
def test_few_fields_tell_nothing_by_chance():
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 9, 9]})
    assert telling_columns(frame, pd.Series([False] * 5 + [True] * 2)).empty
    assert telling_columns(frame.iloc[:0], pd.Series([], dtype=bool)).empty


@pytest.mark.core
def test_a_sample_of_many_fields_is_enough(monkeypatch):
    monkeypatch.setattr("hpastack.similarity.order._MOST_ROWS", 60)
    found = told(row=np.arange(N), noise=RNG.normal(size=N))
    assert list(found.index) == ["row"]


def test_measured_features_of_real_fields_pass(real_data):
    stats = real_data / "field_stats"
    train, test = (
        read_id_table(stats / f"{split}_meta.csv").astype(float) for split in ("train", "test")
    )
    targets = read_id_table(real_data / "labels" / "train.csv")["Target"].loc[train.index]
    is_test = pd.Series([False] * len(train) + [True] * len(test), [*train.index, *test.index])
    for order in (train.index, targets.sort_values(kind="stable").index):
        features = pd.concat([train.loc[order], test])
        assert telling_columns(features, is_test).empty
    features["row"] = np.arange(len(features))
    assert list(telling_columns(features, is_test)["column"]) == ["row"]
