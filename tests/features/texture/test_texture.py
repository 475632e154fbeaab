"""Texture at three scales: against the slow version; degenerate, turned, large and small images."""

import cv2
import numpy as np
import pytest
from reference.texture_scales import texture_of_stain

from hpastack.errors import InputError
from hpastack.features.grey_levels import grey_levels, reduced_levels
from hpastack.features.texture.glcm import cooccurrence_features
from hpastack.features.texture.gradients import gradient_features
from hpastack.features.texture.local_binary_patterns import lbp_features
from hpastack.features.texture.texture import MEANINGS, MIN_SIDE, texture_features

pytestmark = pytest.mark.core


@pytest.fixture
def image():
    noise = np.random.default_rng(0).random((96, 120)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def constant_values(name):
    """Return what a constant image has for a column."""
    with_one = ("homogeneity_d", "asm_d", "energy_d", "correlation_d", "lbp_8_")
    return float(name.removeprefix("texture_").startswith(with_one))


def test_agrees_with_the_slow_version(image):
    values, expected = texture_features(image), texture_of_stain(image)
    assert list(values) == list(expected) == list(MEANINGS)
    for name, value in values.items():
        # Each tolerance is explained where the part is compared by itself. At quarter scale,
        # one of 18 x 24 pixels with another pattern is 0.0023.
        if "_lbp_" in name:
            tolerance = {"abs": 0.005}
        elif "_p95" in name:
            tolerance = {"abs": 1 / 64 / 255}
        elif "_coherence" in name:
            tolerance = {"abs": 0.02}
        elif "_gradient_" in name:
            tolerance = {"rel": 1e-6}
        else:
            tolerance = {"rel": 1e-9, "abs": 1e-11}
        assert value == pytest.approx(expected[name], **tolerance), name


def test_each_scale_is_measured_on_the_reduced_image(image):
    values = texture_features(image)
    for suffix, factor in (("", 1), ("_half", 2), ("_quarter", 4)):
        reduced = reduced_levels(grey_levels(image), factor)
        for part in (cooccurrence_features, lbp_features, gradient_features):
            for name, value in part(reduced).items():
                assert values[name + suffix] == value


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_constant_image(level):
    for name, value in texture_features(np.full((32, 33), level)).items():
        assert value == constant_values(name), name


def test_one_pixel_lit_is_finite():
    image = np.zeros((64, 64))
    image[30, 20] = 1
    assert np.isfinite(list(texture_features(image).values())).all()


@pytest.mark.parametrize("shape", [(96, 120), (60, 92)])
def test_turning_and_mirroring_change_nothing(image, shape):
    """Of sides that are a multiple of 4: of others a turned image leaves out other pixels."""
    image = image[: shape[0], : shape[1]]
    values = texture_features(image)
    for turned in (np.rot90(image), image.T, image[::-1], image[:, ::-1]):
        found = texture_features(turned)
        assert found == pytest.approx(values, rel=1e-12)
        # But for gradients, of which sums may be rounded differently, to the last bit.
        assert all(
            found[name] == value
            for name, value in values.items()
            if "_gradient_" not in name and "_coherence" not in name
        )


def test_half_scale_is_coarser():
    fine = np.tile(np.arange(96) // 2 % 2, (96, 1)) * 0.5
    coarse = np.tile(np.arange(96) // 16 % 2, (96, 1)) * 0.5
    fine, coarse = texture_features(fine), texture_features(coarse)
    assert fine["texture_contrast_d2"] > coarse["texture_contrast_d2"]
    assert fine["texture_contrast_d2_quarter"] == 0 < coarse["texture_contrast_d2_quarter"]
    assert fine["texture_alignment"] == coarse["texture_alignment_quarter"] == 1
    assert fine["texture_alignment_quarter"] == 0


@pytest.mark.long
def test_a_field_of_3000_px():
    image = np.zeros((3000, 2000), dtype=np.float32)
    image[1000:2000, 500:1500] = 1
    values = texture_features(image)
    assert np.isfinite(list(values.values())).all()
    # The edges are 4 x 1000 of the pixels.
    assert values["texture_lbp_8_r1"] == pytest.approx(1, abs=0.001)


def test_options_reach_the_co_occurrences(image):
    values = texture_features(image, distances=[3], levels=16)
    assert len(values) == 3 * (16 + 30 + 5)
    reduced = reduced_levels(grey_levels(image), 2)
    expected = cooccurrence_features(reduced, [3], 16)["texture_contrast_d3"]
    assert values["texture_contrast_d3_half"] == expected


def test_too_small_an_image_is_refused():
    smallest = np.zeros((MIN_SIDE, MIN_SIDE + 5))
    assert list(texture_features(smallest)) == list(MEANINGS)
    with pytest.raises(InputError, match="31 x 37 px is too small; .* 32 px: use a larger size"):
        texture_features(smallest[1:])


def test_distance_that_does_not_fit_the_quarter_scale_is_refused(image):
    with pytest.raises(InputError, match="distance 24 does not fit an image of 24 x 30 px"):
        texture_features(image, distances=[24])
