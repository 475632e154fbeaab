"""Scores, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from hpastack.metrics import (
    average_precisions,
    cluster_bootstrap,
    expected_calibration_error,
    macro_average_precision,
    macro_f1,
)

RNG = np.random.default_rng(0)
Y = (RNG.random((200, 5)) < [0.5, 0.2, 0.1, 0.02, 0]).astype(int)
P = (0.3 * Y + 0.7 * RNG.random(Y.shape)).round(2)  # rounded: ties
WEIGHTS = RNG.integers(0, 4, size=200)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_f1_agrees_with_scikit_learn(weights):
    theirs = f1_score(Y, P > 0.5, average="macro", zero_division=0, sample_weight=weights)
    assert macro_f1(Y, P > 0.5, weights) == pytest.approx(theirs)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_average_precision_agrees_with_scikit_learn(weights):
    ours = average_precisions(Y, P, weights)
    for label in range(4):
        theirs = average_precision_score(Y[:, label], P[:, label], sample_weight=weights)
        assert ours[label] == pytest.approx(theirs)
    assert np.isnan(ours[4])
    assert macro_average_precision(Y, P, weights) == pytest.approx(ours[:4].mean())


def test_a_label_nobody_has_or_predicts_scores_zero_and_counts():
    assert macro_f1([[1, 0], [1, 0]], [[1, 0], [1, 0]]) == 0.5


def test_calibration_error_by_hand():
    # 30 fields in 15 bins of 2; each bin says 0.5 and holds one of two: no error.
    y = np.tile([[0], [1]], (15, 1))
    assert expected_calibration_error(y, np.full((30, 1), 0.5)) == 0
    # Always 0.2 too high.
    assert expected_calibration_error(y, np.full((30, 1), 0.7)) == pytest.approx(0.2)


def test_whole_clusters_are_drawn():
    clusters = np.repeat(np.arange(20), 10)
    value = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    by_cluster = cluster_bootstrap(lambda w: (w @ value) / w.sum(), clusters, n_draws=300)
    by_field = cluster_bootstrap(lambda w: (w @ value) / w.sum(), np.arange(200), n_draws=300)
    width, narrow = np.diff(by_cluster)[0], np.diff(by_field)[0]
    # Ten copies of a field are one field: the interval is about sqrt(10) times as wide.
    assert 2 < width / narrow < 5
    assert by_cluster == cluster_bootstrap(lambda w: (w @ value) / w.sum(), clusters, n_draws=300)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="two matrices"):
        macro_f1([[1, 0]], [[1]])
