"""Co-occurrences: by hand, against the slow version, scikit-image, mahotas; degenerate, turned."""

import mahotas.features
import numpy as np
import pytest
from reference import stain_statistics as slow
from skimage.feature import graycomatrix, graycoprops

from hpastack.errors import InputError
from hpastack.features.grey_levels import grey_levels
from hpastack.features.texture.glcm import DISTANCES, MEANINGS, cooccurrence_features

pytestmark = pytest.mark.core


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    noise = rng.random((14, 17))
    smooth = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)) / 3
    return smooth.astype(np.float32)


def of_stain(image, **options):
    return cooccurrence_features(grey_levels(image), **options)


def test_chessboard_worked_by_hand():
    # Beside each other 0 and 31, diagonally equal; two directions of each.
    values = of_stain(np.indices((8, 8)).sum(axis=0) % 2, distances=[1])
    half = pytest.approx
    assert values["texture_contrast_d1"] == half(31**2 / 2)
    assert values["texture_contrast_range_d1"] == half(31**2)
    assert values["texture_dissimilarity_d1"] == half(31 / 2)
    assert values["texture_dissimilarity_range_d1"] == half(31)
    assert values["texture_homogeneity_d1"] == half((1 + 1 / (1 + 31**2)) / 2)
    # -1 beside, 1 on the diagonals.
    assert values["texture_correlation_d1"] == half(0)
    assert values["texture_correlation_range_d1"] == half(2)
    # Beside: (0, 31) and (31, 0), half each. On the diagonals of the 7 x 7 pairs 25 are of one
    # kind and 24 of the other.
    diagonal = (25**2 + 24**2) / 49**2
    assert values["texture_asm_d1"] == half((0.5 + diagonal) / 2)
    assert values["texture_asm_range_d1"] == half(diagonal - 0.5)
    assert values["texture_energy_d1"] == half((0.5**0.5 + diagonal**0.5) / 2)
    entropy = -(25 / 49) * np.log2(25 / 49) - (24 / 49) * np.log2(24 / 49)
    assert values["texture_entropy_d1"] == half((1 + entropy) / 2)
    variances = (31 / 2) ** 2, 31**2 * (25 / 49) * (24 / 49)
    assert values["texture_variance_d1"] == half(sum(variances) / 2)


def test_stripes_differ_across_but_not_along():
    values = of_stain(np.tile([0, 1], (8, 4)), distances=[1])
    # Across and on both diagonals all pairs differ, along none does.
    assert values["texture_contrast_d1"] == pytest.approx(31**2 * 3 / 4)
    assert values["texture_contrast_range_d1"] == pytest.approx(31**2)


def test_agrees_with_the_slow_version(image):
    values = of_stain(image)
    assert list(values) == list(MEANINGS)
    for distance in DISTANCES:
        for name, expected in slow.texture(image, distance).items():
            assert values[f"texture_{name}_d{distance}"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("levels", [2, 32, 256])
def test_agrees_with_scikit_image(image, levels):
    """A distance for which no diagonal pair is counted twice, and two for which one is."""
    distances = (1, 2, 4, 5)
    values = of_stain(image, levels=levels, distances=distances)
    pairs = graycomatrix(
        grey_levels(image) // (256 // levels), distances, np.arange(4) * np.pi / 4,
        levels=levels, symmetric=True, normed=True,
    )  # fmt: skip
    properties = (
        "contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "variance",
    )  # fmt: skip
    for name in properties:
        by_direction = graycoprops(pairs, name)
        for column, expected in (
            (name.lower(), by_direction.mean(axis=1)),
            (f"{name.lower()}_range", np.ptp(by_direction, axis=1)),
        ):
            found = [values[f"texture_{column}_d{distance}"] for distance in distances]
            # Ranges are differences of two like values, so the rounding of these shows.
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("distance", "diagonal"), [(1, 1), (2, 1), (4, 3)])
def test_agrees_with_mahotas(image, distance, diagonal):
    """Its diagonals step by `distance` in both directions, ours by the nearest of equal length."""
    values = of_stain(image, distances=[distance])
    cut = grey_levels(image) // 8
    straight = mahotas.features.haralick(cut, distance=distance)[[0, 2]]
    diagonals = mahotas.features.haralick(cut, distance=diagonal)[[1, 3]]
    by_direction = np.concatenate([straight, diagonals])
    numbers = {"asm": 0, "contrast": 1, "correlation": 2, "variance": 3, "homogeneity": 4,
               "entropy": 8}  # fmt: skip
    for name, number in numbers.items():
        mean, spread = by_direction[:, number].mean(), np.ptp(by_direction[:, number])
        # Both count in whole numbers; what is left is the rounding of sums.
        assert values[f"texture_{name}_d{distance}"] == pytest.approx(mean, rel=1e-9)
        assert values[f"texture_{name}_range_d{distance}"] == pytest.approx(spread, abs=1e-9)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0])
def test_constant_image(level):
    ones = ["homogeneity", "asm", "energy", "correlation"]
    expected = {f"texture_{name}_d{distance}": 1.0 for name in ones for distance in DISTANCES}
    for name, value in of_stain(np.full((8, 9), level)).items():
        assert value == expected.get(name, 0.0), name


def test_one_pixel_lit_is_finite_and_hardly_correlated():
    image = np.zeros((64, 64))
    image[30, 20] = 1
    values = of_stain(image)
    assert np.isfinite(list(values.values())).all()
    assert abs(values["texture_correlation_d1"]) < 0.001


def test_one_pixel_lit_among_many_keeps_its_variance():
    image = np.full((1200, 1500), 250, dtype=np.uint8)
    image[600, 700] = 0
    lit = 1 / image.size
    variance = cooccurrence_features(image, distances=[1])["texture_variance_d1"]
    # Pairs leave out some pixels of the border, which moves the share of the dark one.
    assert variance == pytest.approx(31**2 * lit * (1 - lit), rel=2e-3)


def test_turning_and_mirroring_change_nothing(image):
    values = of_stain(image)
    for turned in (np.rot90(image), image.T, image[::-1], image[:, ::-1]):
        assert of_stain(turned) == values


def test_noise_is_less_homogeneous_than_a_gradient():
    gradient = np.tile(np.linspace(0, 1, 64), (64, 1))
    noise = np.random.default_rng(0).random((64, 64))
    smooth, rough = of_stain(gradient), of_stain(noise)
    assert smooth["texture_homogeneity_d1"] > 2 * rough["texture_homogeneity_d1"]
    # A gradient has a direction.
    assert smooth["texture_contrast_range_d4"] > smooth["texture_contrast_d4"]
    assert rough["texture_contrast_range_d4"] < 0.2 * rough["texture_contrast_d4"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 31}, "31 grey levels is not a power of two"),
        ({"levels": 512}, "512 grey levels"),
        ({"distances": [0]}, "distance 0 is below the minimum of 1 px"),
        ({"distances": [14]}, "distance 14 does not fit an image of 14 x 17 px"),
    ],
)
def test_what_does_not_fit_is_refused(image, options, message):
    with pytest.raises(InputError, match=message):
        of_stain(image, **options)


def test_a_stain_that_is_not_in_grey_levels_is_refused(image):
    with pytest.raises(InputError, match="must be 2-D and of uint8 .* not float32"):
        cooccurrence_features(image)
