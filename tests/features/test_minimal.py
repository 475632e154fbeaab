"""The fifteen figures: worked by hand, against numpy, degenerate."""

import numpy as np
import pytest

import hpastack as hs
from hpastack.features.grey_levels import grey_levels
from hpastack.features.minimal import MEANINGS, minimal_features

pytestmark = pytest.mark.core


def test_worked_by_hand():
    field = np.zeros((4, 2, 4))
    field[0, 0] = 1  # red above
    field[1, :, :2] = 0.2  # green at the left
    field[2, :, 0] = 1  # blue at its left edge
    expected = {
        "minimal_mean__red": 0.5, "minimal_mean__green": 0.1, "minimal_mean__blue": 0.25,
        "minimal_sd__red": 0.5, "minimal_sd__green": 0.1, "minimal_sd__blue": 0.1875**0.5,
        "minimal_non_zero_mean__red": 1, "minimal_non_zero_mean__green": 0.2,
        "minimal_non_zero_mean__blue": 1,
        "minimal_luminosity__field": 0.2125 * 0.5 + 0.7154 * 0.1 + 0.0721 * 0.25,
        "minimal_correlation_red__green": 0, "minimal_correlation_blue__green": 3**-0.5,
        "minimal_mean_on_red__green": 0.1, "minimal_mean_on_blue__green": 0.2,
        "minimal_size__field": 4,
    }  # fmt: skip
    values = minimal_features(field)
    assert list(values) == list(MEANINGS) and len(values) == 15
    assert values == pytest.approx(expected, abs=1e-12)


def test_agrees_with_numpy():
    field = (np.random.default_rng(0).random((4, 30, 20)) ** 2).astype(np.float32)
    field[1] = (field[1] + field[0]) / 2
    red, green = (grey_levels(stain).ravel() / 255 for stain in field[:2])
    values = minimal_features(field)
    assert values["minimal_correlation_red__green"] == pytest.approx(np.corrcoef(red, green)[0, 1])
    assert values["minimal_non_zero_mean__green"] == pytest.approx(green[green > 0].mean())
    assert values["minimal_sd__red"] == pytest.approx(red.std())


def test_a_stain_that_is_all_but_another_correlates_by_no_more_than_one():
    field = np.ones((4, 64, 500))
    field[:, 20, 30] = 0
    assert minimal_features(field)["minimal_correlation_red__green"] == 1


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_constant_field(level):
    values = minimal_features(np.full((4, 8, 8), level))
    for name, value in values.items():
        if "correlation" in name or "sd" in name or "mean_on" in name:
            assert value == 0
    assert values["minimal_luminosity__field"] == pytest.approx(level, abs=1e-4)


def test_it_is_not_among_the_default_families():
    assert not any(name.startswith("minimal") for name in hs.feature_columns())
    assert len(hs.feature_columns(["minimal"])) == 15
