"""Weights of fields in calibration: whole weights are copies within the cluster."""

import numpy as np
import pytest

from hpastack.calibration import CALIBRATORS, fit_calibration
from hpastack.errors import InputError

RNG = np.random.default_rng(0)
N = 1500
LOGITS = RNG.normal(size=N) * 2
Y = (RNG.random(N) < 1 / (1 + np.exp(1 - 0.5 * LOGITS))).astype(int)
CLUSTERS = np.arange(N) // 2
WEIGHT = RNG.integers(0, 4, size=N) + 2 * Y


@pytest.mark.parametrize("method", CALIBRATORS)
def test_whole_weights_are_copies(method):
    rows = np.repeat(np.arange(N), WEIGHT)
    copies = fit_calibration(LOGITS[rows], Y[rows], CLUSTERS[rows], method=method)
    weighted = fit_calibration(LOGITS, Y, CLUSTERS, method=method, sample_weight=WEIGHT)
    plain = fit_calibration(LOGITS, Y, CLUSTERS, method=method)
    assert weighted.method == copies.method == method
    grid = np.linspace(-4, 4, 50)
    # L-BFGS-B of the spline stops at a tolerance.
    np.testing.assert_allclose(weighted(grid), copies(grid), atol=1e-3)
    if method != "none":
        assert np.abs(weighted(grid) - plain(grid)).max() > 0.1


@pytest.mark.parametrize("method", CALIBRATORS)
def test_labels_of_fields_of_weight_0_do_not_matter(method):
    other = np.where(WEIGHT == 0, 1 - Y, Y)
    first, second = (
        fit_calibration(LOGITS, y, CLUSTERS, method=method, sample_weight=WEIGHT)
        for y in (Y, other)
    )
    assert first.record() == second.record()


@pytest.mark.parametrize("method", CALIBRATORS)
def test_weights_of_1_are_none(method):
    plain = fit_calibration(LOGITS, Y, CLUSTERS, method=method)
    ones = fit_calibration(LOGITS, Y, CLUSTERS, method=method, sample_weight=np.ones(N))
    np.testing.assert_allclose(ones(LOGITS), plain(LOGITS), atol=1e-6)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(N - 1), "one per field"),
        (np.r_[np.nan, np.ones(N - 1)], "finite"),
        (np.r_[-1, np.ones(N - 1)], "at least 0"),
    ],
)
def test_invalid_weights_are_rejected(weight, message):
    with pytest.raises(InputError, match=message):
        fit_calibration(LOGITS, Y, CLUSTERS, sample_weight=weight)
