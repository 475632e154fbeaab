"""Curves against scikit-learn and scipy, and what must hold of their points."""

import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.metrics import precision_recall, reliability_bins, thinned_curve, wilson_interval

pytestmark = pytest.mark.core


def test_precision_and_recall_agree_with_scikit_learn():
    from sklearn.metrics import precision_recall_curve

    rng = np.random.default_rng(2)
    y, scores = rng.integers(0, 2, 300), rng.integers(0, 40, 300) / 40
    recall, precision = precision_recall(y, scores)
    theirs = precision_recall_curve(y, scores)
    np.testing.assert_allclose(precision, theirs[0][-2::-1])
    np.testing.assert_allclose(recall, theirs[1][-2::-1])


def test_intervals_are_wilsons():
    from scipy.stats import binomtest

    for positives, count in [(0, 7), (3, 11), (50, 60), (9, 9)]:
        expected = binomtest(positives, count).proportion_ci(method="wilson")
        low, high = wilson_interval([positives], [count])
        # The point of the normal distribution is written to seven figures.
        np.testing.assert_allclose([low[0], high[0]], expected, atol=1e-6)


def test_bins_have_equal_width_and_hold_every_field():
    rng = np.random.default_rng(3)
    probabilities = np.append(rng.random(1000) ** 4, [0.0, 1.0])
    y = rng.random(1002) < probabilities
    bins = reliability_bins(y, probabilities, n_bins=10)
    assert bins.count.sum() == 1002
    edges = np.floor(bins.predicted * 10).clip(max=9)
    assert np.all(np.diff(edges) > 0), "the mean of a bin lies in it, and there is one point a bin"
    assert bins.count[0] > bins.count[-1]
    first = probabilities < 0.1
    assert bins.observed[0] == pytest.approx(y[first].mean())
    assert np.all((bins.low <= bins.observed) & (bins.observed <= bins.high))


def test_a_thinned_curve_keeps_its_ends_and_its_extremes():
    rng = np.random.default_rng(4)
    x, y = np.sort(rng.random(5000)), rng.random(5000)
    thin_x, thin_y = thinned_curve(x, y, max_points=100)
    assert len(thin_x) <= 102
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
    assert (thin_y.min(), thin_y.max()) == (y.min(), y.max())
    assert np.all(np.diff(thin_x) >= 0)
    np.testing.assert_array_equal(thinned_curve(x[:50], y[:50])[1], y[:50])


def test_what_has_no_curve_is_an_error():
    with pytest.raises(InputError, match="no positives"):
        precision_recall([0, 0], [0.1, 0.2])
    with pytest.raises(InputError, match=r"both must be \(n,\)"):
        reliability_bins([0, 1], [0.1])
    with pytest.raises(InputError, match="n_bins is 0"):
        reliability_bins([0], [0.1], n_bins=0)
