"""What boosters see: components as scikit-learn finds them, telling columns first."""

import numpy as np
import pytest
from reference.column_gains import column_gain
from sklearn.decomposition import PCA

from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.columns import Moments, column_gains, learn_columns
from hpastack.stack.pairs import MAX_SHARED

pytestmark = pytest.mark.core


def test_components_are_those_of_the_rows_that_are_left():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(300, 8)) * np.arange(1, 9) + 100).astype(np.float32)
    fold = np.arange(300) % 5
    reduction = Moments(values, fold).reduction((1, 3), 3)
    rows = ~np.isin(fold, (1, 3))
    pca = PCA(3).fit(values[rows].astype(float))
    np.testing.assert_allclose(reduction.mean, pca.mean_, rtol=1e-6)
    wanted, found = pca.transform(values.astype(float)), reduction(values)
    # The sign of a component is free: here its largest entry is positive.
    assert (np.abs(reduction.components).max(axis=0) == reduction.components.max(axis=0)).all()
    signs = np.sign((wanted * found).sum(axis=0))
    np.testing.assert_allclose(found, wanted * signs, atol=2e-3)  # float32 values around 100


def test_there_are_no_more_components_than_dimensions_or_rows():
    values = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    fold = np.arange(12) % 3
    assert Moments(values, fold).reduction((0,), 32).components.shape == (4, 4)
    assert Moments(values, fold).reduction((0, 1), 32).components.shape == (4, 3)


def test_gains_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(200, 4))
    columns[:, 1] = rng.integers(3, size=200)
    columns[::7, 2] = np.nan
    columns[:, 3] = np.nan
    y = rng.integers(2, size=(200, 3))
    margin = rng.normal(size=(200, 3))
    found = column_gains(columns, y, margin)
    for column in range(4):
        for label in range(3):
            wanted = column_gain(columns[:, column], y[:, label], margin[:, label])
            assert found[column, label] == pytest.approx(wanted)


def test_a_label_sees_the_columns_that_tell_it_most():
    rng = np.random.default_rng(0)
    n, n_labels = 400, 2
    y = rng.integers(2, size=(n, n_labels))
    features = rng.normal(size=(n, 6)).astype(np.float32)
    features[:, 4] += 2 * y[:, 0]
    features[:, 1] += 2 * y[:, 1]
    none = np.empty((0, n, n_labels), dtype=np.float32)
    inputs = ColumnBlocks(none, none, features)
    margin = np.zeros((n, n_labels), dtype=np.float32)
    learned = learn_columns(inputs, margin, y, np.arange(n), reductions={}, n_screened=2)
    np.testing.assert_array_equal(learned.shared(inputs, margin), features)
    chosen = learned.chosen
    assert 4 in chosen[0] and 1 in chosen[1]
    assert all(len(own) == 2 and (np.diff(own) > 0).all() for own in chosen)
    every = learn_columns(inputs, margin, y, np.arange(n), reductions={}, n_screened=None)
    assert every.chosen[0].tolist() == every.pairs.chosen.tolist() == list(range(6))


def test_the_pooled_booster_sees_the_columns_that_tell_most_over_all_labels():
    rng = np.random.default_rng(0)
    n, n_labels, n_features = 300, 3, MAX_SHARED + 8
    y = rng.integers(2, size=(n, n_labels))
    features = rng.normal(size=(n, n_features)).astype(np.float32)
    features[:, -1] += y[:, 2]
    features[:, 3] += y[:, 0]
    logits = rng.normal(size=(1, n, n_labels)).astype(np.float32)
    inputs = ColumnBlocks(logits, np.empty((0, n, n_labels), dtype=np.float32), features)
    margin, train = logits[0], np.arange(200)
    learned = learn_columns(inputs, margin, y, train, reductions={}, n_screened=None)
    # The consensus of every label is not among them.
    gains = column_gains(features[train], y[train], margin[train]).sum(axis=1)
    assert learned.pairs.chosen.tolist() == sorted(np.argsort(-gains)[:MAX_SHARED].tolist())
    assert {3, n_features - 1} <= set(learned.pairs.chosen.tolist())
    # What is not of the training part does not count.
    other = np.where(np.arange(n)[:, None] < 200, y, 1 - y)
    again = learn_columns(inputs, margin, other, train, reductions={}, n_screened=None)
    for one, two in zip(learned.pairs.arrays(), again.pairs.arrays()):
        np.testing.assert_array_equal(one, two)
