"""Spots and fibres: drawn by hand, against scikit-image and scipy, degenerate."""

import numpy as np
import pytest
from reference import spots as slow
from skimage.feature import hessian_matrix, hessian_matrix_eigvals

import hpastack as hs
from hpastack.features.grey_levels import grey_levels
from hpastack.features.spots import fibres, spots
from hpastack.features.spots.fibres import fibre_features, skeleton_length
from hpastack.features.spots.spots import SCALES, blob_peaks, blob_response, spot_features
from hpastack.fields import STAINS

pytestmark = pytest.mark.core


def discs(shape, centres, radius, level=0.8):
    rows, columns = np.indices(shape)
    image = np.zeros(shape)
    for row, column in centres:
        image[np.hypot(rows - row, columns - column) <= radius] = level
    return image


@pytest.mark.parametrize("scale", SCALES)
def test_dots_answer_at_their_own_scale(scale):
    centres = [(20, 20), (20, 70), (75, 30), (70, 75)]
    image = discs((100, 100), centres, 1.7 * scale)
    strongest = {s: blob_response(grey_levels(image), s)[0].max() for s in SCALES}
    assert max(strongest, key=strongest.get) == scale
    values = spot_features(image)
    assert values[f"spots_blobs_s{scale}"] == 4  # in 10,000 px
    assert values[f"spots_blob_contrast_s{scale}"] > 0.5
    assert values["spots_parts"] == 4 and values["spots_euler_number"] == 4


def test_a_plateau_of_equal_maxima_is_one_dot():
    image = np.zeros((50, 50), np.uint8)
    image[20:24, 30:34] = 200
    difference, _, least = blob_response(image, 2)
    rows, columns = blob_peaks(difference, least)
    assert len(rows) == 1 and 21 <= rows[0] <= 22 and 31 <= columns[0] <= 32


def test_parts_and_their_holes():
    image = np.zeros((100, 100))
    image[10:30, 10:30] = 1
    image[16:24, 16:24] = 0  # a hole
    image[50:54, 10:90] = 1  # a bar
    image[80, 80] = 1  # a speck
    values = spot_features(image)
    assert values["spots_parts"] == 2 and values["spots_euler_number"] == 1
    areas = 400 - 64, 320
    # Smoothing rounds corners: a few pixels.
    assert values["spots_part_area_p50"] == pytest.approx(np.mean(areas), abs=10)
    assert values["spots_part_area_max"] == pytest.approx(areas[0] / sum(areas), abs=0.01)
    # A bar of 20 to 1 has eccentricity 0.999, a square frame 0.
    assert values["spots_part_eccentricity"] == pytest.approx(areas[1] / sum(areas), abs=0.02)


def test_parallel_lines_are_aligned_and_crossing_ones_are_not():
    lines = np.zeros((120, 120))
    lines[10:-10:12] = 0.8
    crossing = np.maximum(lines, lines.T)
    along = fibre_features(lines)
    both = fibre_features(crossing)
    dots = fibre_features(discs((120, 120), [(r, c) for r in (30, 90) for c in (30, 90)], 2))
    assert along["spots_ridge_alignment_s1.5"] > 0.95 > 0.05 > both["spots_ridge_alignment_s1.5"]
    assert along["spots_ridge_anisotropy_s1.5"] > 0.95
    assert dots["spots_ridge_anisotropy_s1.5"] < 0.7
    # Nine lines of 120 px; the grid has 81 crossings.
    assert along["spots_skeleton_length"] == pytest.approx(9 * 119 / 1.44, rel=0.05)
    assert along["spots_branch_points"] == 0
    assert along["spots_fibre_length"] == pytest.approx(119, abs=6)
    assert both["spots_branch_points"] == pytest.approx(81 / 1.44, rel=0.05)


def test_alignment_is_the_same_whichever_way_the_lines_run():
    rows, columns = np.indices((150, 150))
    found = []
    for angle in np.deg2rad([0, 20, 45, 90, 110]):
        wave = np.cos(2 * np.pi / 12 * (rows * np.sin(angle) + columns * np.cos(angle)))
        found.append(fibre_features((wave + 1) / 2)["spots_ridge_alignment_s3"])
    assert min(found) > 0.9 and np.ptp(found) < 0.1  # borders and pixels play in


def test_length_of_a_skeleton_worked_by_hand():
    thin = np.zeros((6, 6), np.uint8)
    thin[1, 1:4] = 1  # two steps to the right,
    thin[2, 4] = thin[3, 5] = 1  # two diagonal ones
    assert skeleton_length(thin) == pytest.approx(2 + 2 * 2**0.5)
    corner = np.zeros((4, 4), np.uint8)
    corner[1, 1] = corner[1, 2] = corner[2, 2] = 1  # round a corner: two steps, no short cut
    assert skeleton_length(corner) == 2
    rng = np.random.default_rng(0)
    random = (rng.random((20, 30)) < 0.3).astype(np.uint8)
    assert skeleton_length(random) == pytest.approx(slow.skeleton_length(random))


def test_ridges_agree_with_the_hessian_of_scikit_image():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 200, (80, 90)).astype(np.float32)
    across, along, _ = fibres._ridges(levels, 3.0)
    matrix = hessian_matrix(levels, sigma=3.0, use_gaussian_derivatives=True, order="rc")
    high, low = hessian_matrix_eigvals(matrix)
    inner = (slice(15, -15),) * 2
    # Theirs differentiates the Gaussian, ours takes differences of the smoothed image.
    for found, expected in ((across, -low * 9), (along, -high * 9)):
        expected = np.clip(expected, 0, None)[inner]
        assert np.abs(found[inner] - expected).max() < 0.05 * expected.max()


@pytest.mark.parametrize("size", [96, 160])
def test_agrees_with_the_slow_version(size):
    field = hs.draw_field("7 23 14", size=size, seed=size)
    for image in field:
        values = spot_features(image) | fibre_features(image)
        expected = slow.spots_of_stain(image)
        assert list(values) == list(expected)
        # Theirs has double precision and no histogram under the median: a pixel more or less.
        for name, value in expected.items():
            assert values[name] == pytest.approx(value, rel=0.02, abs=0.003, nan_ok=True), name


def test_agrees_with_the_slow_version_on_real_fields(real_data):
    stain = real_data / "fields" / "hpa" / "57_F11_1_green.png"
    image = hs.read_field(dict.fromkeys(STAINS, stain), 512)[1]
    expected = slow.spots_of_stain(image)
    assert spot_features(image) | fibre_features(image) == pytest.approx(expected, rel=0.002)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_constant_image(level):
    values = spot_features(np.full((64, 64), level)) | fibre_features(np.full((64, 64), level))
    for name, value in values.items():
        meaning = (spots.MEANINGS | fibres.MEANINGS)[name]
        assert np.isnan(value) if "NaN" in meaning else value == 0, name


def test_one_pixel_lit():
    image = np.zeros((64, 64))
    image[30, 20] = 1
    values = spot_features(image)
    assert values["spots_blobs_s1"] == pytest.approx(10_000 / 64**2)
    assert values["spots_parts"] == pytest.approx(10_000 / 64**2)
