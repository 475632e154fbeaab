"""Texture: worked by hand, against the slow version and scikit-image, degenerate, turned."""

import numpy as np
import pytest
from reference import stain_statistics as slow
from skimage.feature import graycomatrix, graycoprops

from hpastack.errors import InputError
from hpastack.features.grey_levels import grey_levels
from hpastack.features.texture import DISTANCES, MEANINGS, texture_features


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    noise = rng.random((14, 17))
    smooth = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
    return smooth.astype(np.float32)


def test_chessboard_worked_by_hand():
    # Beside each other 0 and 31, diagonally equal; two directions of each.
    values = texture_features(np.indices((8, 8)).sum(axis=0) % 2, distances=[1])
    half = pytest.approx
    assert values["texture_contrast_d1"] == half(31**2 / 2)
    assert values["texture_dissimilarity_d1"] == half(31 / 2)
    assert values["texture_homogeneity_d1"] == half((1 + 1 / (1 + 31**2)) / 2)
    assert values["texture_correlation_d1"] == half(0)
    # Beside: (0, 31) and (31, 0), half each. On the diagonals of the 7 x 7 pairs 25 are of one
    # kind and 24 of the other.
    diagonal = (25**2 + 24**2) / 49**2
    assert values["texture_asm_d1"] == half((0.5 + diagonal) / 2)
    assert values["texture_energy_d1"] == half((0.5**0.5 + diagonal**0.5) / 2)
    entropy = -(25 / 49) * np.log2(25 / 49) - (24 / 49) * np.log2(24 / 49)
    assert values["texture_entropy_d1"] == half((1 + entropy) / 2)


def test_agrees_with_the_slow_version(image):
    values = texture_features(image)
    assert list(values) == list(MEANINGS)
    for distance in DISTANCES:
        for name, expected in slow.texture(image, distance).items():
            assert values[f"texture_{name}_d{distance}"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("levels", [2, 32, 256])
def test_agrees_with_scikit_image(image, levels):
    values = texture_features(image, levels=levels)
    pairs = graycomatrix(
        grey_levels(image) // (256 // levels), DISTANCES, np.arange(4) * np.pi / 4,
        levels=levels, symmetric=True, normed=True,
    )  # fmt: skip
    for name in ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation"):
        expected = graycoprops(pairs, name).mean(axis=1)
        found = [values[f"texture_{name.lower()}_d{distance}"] for distance in DISTANCES]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_constant_image(level):
    flat = {"homogeneity": 1.0, "asm": 1.0, "energy": 1.0, "correlation": 1.0}
    for name, value in texture_features(np.full((8, 9), level)).items():
        assert value == pytest.approx(flat.get(name.split("_")[1], 0.0), abs=1e-12)


def test_one_pixel_lit_is_finite_and_hardly_correlated():
    image = np.zeros((64, 64))
    image[30, 20] = 1
    values = texture_features(image)
    assert np.isfinite(list(values.values())).all()
    assert abs(values["texture_correlation_d1"]) < 0.001


def test_turning_and_mirroring_change_only_the_order_of_sums(image):
    values = texture_features(image)
    for turned in (np.rot90(image), image.T, image[::-1], image[:, ::-1]):
        assert texture_features(turned) == pytest.approx(values, rel=1e-12)


def test_noise_is_less_homogeneous_than_a_gradient():
    gradient = np.tile(np.linspace(0, 1, 64), (64, 1))
    noise = np.random.default_rng(0).random((64, 64))
    assert (
        texture_features(gradient)["texture_homogeneity_d1"]
        > 2 * texture_features(noise)["texture_homogeneity_d1"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 31}, "31 grey levels; take a power of two"),
        ({"levels": 512}, "512 grey levels"),
        ({"distances": [0]}, "distance 0 does not fit"),
        ({"distances": [14]}, "distance 14 does not fit an image of 14 x 17 px"),
    ],
)
def test_what_does_not_fit_is_refused(image, options, message):
    with pytest.raises(InputError, match=message):
        texture_features(image, **options)
