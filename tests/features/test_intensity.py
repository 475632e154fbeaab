"""Intensity: worked by hand, against the slow version, degenerate, turned."""

import numpy as np
import pytest
from reference import stain_statistics as slow

from hpastack.features.intensity import MEANINGS, PERCENTILES, intensity_features

pytestmark = pytest.mark.core


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    cells = rng.gamma(2.0, 0.06, (24, 31))
    cells[5:12, 4:20] += 0.4
    return np.clip(cells, 0, 1).astype(np.float32)


def test_worked_by_hand():
    # Three pixels of 0 and one of 1.
    values = intensity_features(np.array([[0.0, 0.0], [0.0, 1.0]]))
    assert values["intensity_mean"] == 0.25
    assert values["intensity_sd"] == pytest.approx(np.sqrt(3) / 4)
    assert values["intensity_skewness"] == pytest.approx(2 / np.sqrt(3))
    assert values["intensity_kurtosis"] == pytest.approx(7 / 3 - 3)
    assert values["intensity_percentile_p1"] == 0
    assert values["intensity_percentile_p99"] == 1
    assert values["intensity_entropy"] == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2)
    assert values["intensity_saturated"] == 0.25
    assert values["intensity_otsu"] == 0.5
    assert values["intensity_above"] == 0.25
    assert values["intensity_mean_above"] == 1
    assert list(values) == list(MEANINGS)


def test_agrees_with_the_slow_version(image):
    values = intensity_features(image)
    names = ["mean", "sd", "skewness", "kurtosis"]
    for name, expected in zip(names, slow.moments(image)):
        assert values[f"intensity_{name}"] == pytest.approx(expected, rel=1e-9)
    levels = slow.to_levels(image)
    assert values["intensity_entropy"] == pytest.approx(slow.entropy(levels.ravel().tolist()))
    assert values["intensity_saturated"] == np.mean(levels >= 254)


def test_interpolated_values_lie_within_half_a_level_of_the_plain_ones(image):
    values = intensity_features(image)
    levels = slow.to_levels(image) / 255
    for q in PERCENTILES:
        plain = np.percentile(levels, q, method="inverted_cdf")
        assert abs(values[f"intensity_percentile_p{q}"] - plain) <= 0.5 / 255 + 1e-12
    mad = np.median(np.abs(levels - np.median(levels)))
    assert abs(values["intensity_mad"] - mad) <= 0.5 / 255
    threshold = (slow.otsu_level(slow.to_levels(image)) + 0.5) / 255
    assert abs(values["intensity_otsu"] - threshold) <= 0.5 / 255
    # Half a level of the threshold moves few pixels.
    assert values["intensity_above"] == pytest.approx(np.mean(levels > threshold), abs=0.01)
    assert values["intensity_mean_above"] == pytest.approx(
        levels[levels > threshold].mean(), abs=0.005
    )


def test_percentiles_ascend(image):
    values = intensity_features(image)
    assert slow.is_ascending(values[f"intensity_percentile_p{q}"] for q in PERCENTILES)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_constant_image_has_its_value_and_else_zero(level):
    values = intensity_features(np.full((9, 9), level))
    own = {"mean", "otsu", "mean_above", *(f"percentile_p{q}" for q in PERCENTILES)}
    expected = {
        name: level if name.removeprefix("intensity_") in own else 0.0 for name in values
    } | {"intensity_saturated": float(level == 1)}
    assert values == pytest.approx(expected, abs=1e-12)


def test_one_pixel_lit():
    image = np.zeros((64, 64))
    image[3, 5] = 1
    values = intensity_features(image)
    assert values["intensity_above"] == 1 / 64**2
    assert values["intensity_mean_above"] == 1
    assert np.isfinite(list(values.values())).all()


def test_turning_and_mirroring_change_nothing(image):
    values = intensity_features(image)
    for turned in (np.rot90(image), image.T, image[::-1], image[:, ::-1]):
        assert intensity_features(turned) == values
