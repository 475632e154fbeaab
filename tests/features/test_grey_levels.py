"""Grey levels, quantiles and thresholds: worked by hand, against scikit-image, smooth."""

import numpy as np
import pytest
from reference.block_mean import block_mean
from skimage.filters import threshold_otsu

from hpastack.errors import InputError
from hpastack.features import field_levels
from hpastack.features.grey_levels import (
    block_means,
    check_levels,
    grey_levels,
    histogram_quantiles,
    otsu_threshold,
    reduced_levels,
    row_strips,
    weights_above,
)

pytestmark = pytest.mark.core


def counts_of(*levels):
    return np.bincount(levels, minlength=256)


def test_every_8_bit_value_is_its_own_level_however_it_was_stored():
    values = np.arange(256)
    as_8_bit = (values / np.float32(255)).astype(np.float32)[None]
    as_16_bit = (values * 257 / np.float32(65535)).astype(np.float32)[None]
    np.testing.assert_array_equal(grey_levels(as_8_bit)[0], values)
    np.testing.assert_array_equal(grey_levels(as_16_bit)[0], values)


def test_rounding_to_16_bit_first_changes_no_level():
    # Multiples of a sixteenth: what a reduction by four leaves, ties included.
    image = (np.arange(255 * 16 + 1) / 16 / 255).astype(np.float32)[None]
    stored = (np.round(image * 65535) / 65535).astype(np.float32)
    np.testing.assert_array_equal(grey_levels(stored), grey_levels(image))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(4), r"shape \(H, W\), not \(4,\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\) is empty"),
        (np.array([[0.0, np.nan]]), "contains NaN"),
        (np.array([[0.0, 1.5]]), "from 0 to 1.5; scale it"),
        (np.array([[-0.1, 1.0]]), "from -0.1 to 1; scale it"),
    ],
)
def test_what_is_not_a_stain_is_refused(image, message):
    with pytest.raises(InputError, match=message):
        grey_levels(image)


def test_quantiles_lie_within_half_a_level_of_the_plain_ones():
    levels = np.random.default_rng(0).poisson(7, 4001)
    fractions = [0.01, 0.25, 0.5, 0.75, 0.99, 0.999]
    quantiles = histogram_quantiles(np.bincount(levels), fractions)
    plain = np.quantile(levels, fractions, method="inverted_cdf")
    assert np.abs(quantiles - plain).max() <= 0.5


def test_quantiles_move_smoothly_when_a_pixel_changes_its_level():
    levels = np.repeat([2, 3], [500, 500])
    medians = []
    for n_moved in range(3):
        levels[500 - n_moved : 500] = 3
        medians.append(histogram_quantiles(np.bincount(levels), [0.5])[0])
    assert np.abs(np.diff(medians)).max() < 0.01  # np.median goes from 2.5 to 3


def test_otsu_agrees_with_scikit_image_to_a_level():
    rng = np.random.default_rng(1)
    for _ in range(20):
        low = rng.normal(rng.uniform(5, 60), 6, 3000)
        high = rng.normal(rng.uniform(80, 200), 25, rng.integers(100, 3000))
        levels = np.clip(np.concatenate([low, high]), 0, 255).round().astype(int)
        levels = np.concatenate([levels, np.arange(256)])  # no gaps: theirs takes the first end
        # Theirs is the last level of the lower class, ours the border above it, refined.
        border = threshold_otsu(levels) + 0.5
        assert abs(otsu_threshold(np.bincount(levels, minlength=256)) - border) <= 0.5


def test_otsu_of_two_levels_lies_half_way_and_of_one_level_on_it():
    assert otsu_threshold(counts_of(10, 10, 200)) == 105
    assert otsu_threshold(counts_of(7, 7)) == 7


def test_otsu_moves_smoothly_where_two_levels_serve_equally():
    # Symmetric about 101, so thresholds on both sides of it tie; more on one side tips it.
    counts = np.zeros(256, dtype=int)
    counts[80:123] = 100 + 5 * np.abs(np.arange(-21, 22))
    thresholds = []
    for extra in (0, 1, 2):
        counts[122] += extra
        thresholds.append(otsu_threshold(counts))
    assert thresholds[0] == 101
    assert np.abs(np.diff(thresholds)).max() < 0.05


def test_weights_above_split_the_level_that_the_threshold_cuts():
    weights = weights_above(99.75)
    assert weights[99] == 0 and weights[100] == 0.75 and weights[101] == 1


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_whole_blocks_are_averaged_exactly(factor):
    # Few levels, so that many averages lie half way between two.
    levels = np.random.default_rng(0).integers(0, 4, (64, 48)).astype(np.uint8)
    expected = np.round(block_mean(levels, factor))
    np.testing.assert_array_equal(reduced_levels(levels, factor), expected)


def test_what_does_not_fill_a_block_is_left_out():
    levels = np.random.default_rng(0).integers(0, 256, (35, 18)).astype(np.uint8)
    np.testing.assert_array_equal(reduced_levels(levels, 4), reduced_levels(levels[:32, :16], 4))


def test_a_side_shorter_than_a_block_is_one_block():
    assert block_means(np.array([[1, 2, 6]], np.uint16), 4).tolist() == [[3.0]]


def test_means_of_16_bit_are_exact():
    image = np.random.default_rng(0).integers(0, 65536, (64, 48)).astype(np.uint16)
    for factor in (2, 4, 8):
        np.testing.assert_array_equal(block_means(image, factor), block_mean(image, factor))


@pytest.mark.parametrize("factor", [2, 4])
def test_a_turned_image_of_whole_blocks_is_reduced_to_the_turned_one(factor):
    levels = np.random.default_rng(0).integers(0, 3, (40, 32)).astype(np.uint8)
    reduced = reduced_levels(levels, factor)
    for turn in (np.rot90, np.flipud, np.fliplr, np.transpose):
        np.testing.assert_array_equal(reduced_levels(turn(levels), factor), turn(reduced))


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.zeros((3, 8, 8)), r"shape \(4, H, W\), not \(3, 8, 8\)"),
        ([np.zeros((8, 8)), *[np.zeros((8, 9))] * 3], "stains of a field differ in shape"),
        (None, r"not \(\)"),
        (np.zeros((4, 0, 8)), "is empty"),
        (np.full((4, 8, 8), "x"), "of numbers in"),
        (np.zeros((4, 8, 8), complex), "not of complex128"),
        (np.full((4, 8, 8), np.nan), "all stains of the field are NaN"),
        (np.full((4, 8, 8), np.inf), "from inf to inf; scale it"),
    ],
)
def test_what_is_not_a_field_is_refused(field, message):
    with pytest.raises(InputError, match=message):
        field_levels(field)


@pytest.mark.parametrize("window", [1, 3, 7])
@pytest.mark.parametrize("n_pixels", [1, 100, 10_000])
def test_strips_hold_each_window_once(window, n_pixels):
    strips = list(row_strips((50, 20), window, n_pixels))
    tops = [top for rows in strips for top in range(rows.start, rows.stop - window + 1)]
    assert tops == list(range(50 - window + 1))
    assert all(rows.stop - rows.start <= strips[0].stop for rows in strips)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (
            np.zeros((9, 9)),
            r"texture: the image must be 2-D and of uint8 .* not float64 of shape \(9, 9\)",
        ),
        (np.zeros((2, 9, 9), dtype=np.uint8), "not uint8 of shape"),
        (
            np.zeros((9, 7), dtype=np.uint8),
            "an image of 9 x 7 px; .* have at least 8 px",
        ),
    ],
)
def test_what_is_not_an_image_of_levels_is_refused(levels, message):
    with pytest.raises(InputError, match=message):
        check_levels(levels, 8, "texture")
