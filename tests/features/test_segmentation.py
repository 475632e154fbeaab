"""Nuclei and cells: counted where they were drawn, against scipy, on real fields."""

import cv2
import numpy as np
import pytest
from drawn_cells import disc, round_cells
from reference.standing_out import slow_regions
from scipy import ndimage
from skimage import morphology

import hpastack as hs
from hpastack.errors import InputError
from hpastack.features import segment_cells
from hpastack.features.segmentation import (
    _borders,
    _merged,
    _split_at_necks,
    distance_inside,
    fill_holes,
    remove_specks,
    segment_nuclei,
)
from hpastack.features.standing_out import measure_regions, noise_left, without_slow_light
from hpastack.fields import STAINS, read_stain, resize_field

pytestmark = pytest.mark.core


@pytest.mark.parametrize("size", [128, 512, 700])
def test_each_drawn_nucleus_is_found_where_it_is(size):
    unit = size / 512
    centres = [(100 * unit, 100 * unit), (100 * unit, 400 * unit), (380 * unit, 250 * unit)]
    field = round_cells(size, centres, 24 * unit, 60 * unit)
    maps = segment_cells(field)
    assert maps.n_nuclei == 3
    for row, column in centres:
        nucleus = disc((size, size), row, column, 24 * unit)
        number = maps.nuclei[round(row), round(column)]
        own = maps.nuclei == number
        assert (own & nucleus).sum() / (own | nucleus).sum() > 0.85
        cell = disc((size, size), row, column, 60 * unit)
        own = maps.cells == number
        assert (own & cell).sum() / (own | cell).sum() > 0.8
    assert (maps.cells[maps.nuclei > 0] == maps.nuclei[maps.nuclei > 0]).all()


def test_forty_touching_nuclei_are_parted():
    field = np.zeros((4, 512, 512), np.float32)
    rng = np.random.default_rng(0)
    for row in range(5):
        for column in range(8):
            # 50 px apart, 52 wide: each overlaps its neighbours.
            centre = 60 + 50 * row, 60 + 50 * column
            field[2][disc((512, 512), *centre, 26)] = rng.uniform(0.3, 0.7)
    assert segment_nuclei(field[2]).max() == 40


def test_a_dumbbell_with_a_thick_neck_is_one_nucleus_and_with_a_thin_neck_two():
    for neck, expected in ((14, 1), (5, 2)):
        image = np.zeros((256, 256))
        image[disc(image.shape, 128, 105, 16)] = image[disc(image.shape, 128, 150, 16)] = 0.5
        image[128 - neck : 129 + neck, 105:150] = 0.5
        assert segment_nuclei(image).max() == expected, neck


def drawn_parts(*columns):
    """Lay parts of one row of pixels side by side; return their numbers and depths."""
    parts = np.concatenate([np.full((3, len(c)), k) for k, c in enumerate(columns, 1)], axis=1)
    return parts.astype(np.int32), np.tile(np.concatenate(columns), (3, 1)).astype(np.float32)


@pytest.mark.parametrize(("neck", "expected"), [(8.0, 2), (8.4, 1)])
def test_parts_are_joined_from_a_neck_of_0_82_of_the_smaller_one_on(neck, expected):
    assert _merged(*drawn_parts([12, 12, 12], [neck, 10, 5])).max() == expected


def test_a_joined_nucleus_is_as_deep_as_its_deepest_part():
    # A small part belongs to its neighbour; the neck to the third is too thin for both together.
    for columns, expected in (
        (([10, 10, 10], [3.6, 4, 3.5], [10, 10, 10]), [1] * 6 + [2] * 3),
        (([4, 4, 3.6], [3.6, 10, 3.6], [3.6, 10, 10]), [1] * 6 + [2] * 3),
    ):
        assert _merged(*drawn_parts(*columns))[0].tolist() == expected


def test_parts_touch_across_corners_too():
    for flip in (np.array, np.fliplr):
        parts = flip(np.array([[1, 0], [0, 2]], np.int32))
        pairs, necks = _borders(parts, np.ones((2, 2), np.float32), 3)
        assert pairs.tolist() == [[1, 2]] and necks.tolist() == [1]


def test_what_is_small_beside_the_others_is_no_nucleus():
    for radius, expected in ((7, 2), (14, 3)):  # 0.04 and 0.16 of the area of the median
        image = np.zeros((512, 512))
        image[disc(image.shape, 128, 128, 35)] = image[disc(image.shape, 128, 380, 35)] = 0.5
        image[disc(image.shape, 380, 250, radius)] = 0.5
        assert segment_nuclei(image).max() == expected, radius


def test_the_smallest_nucleus_has_a_radius_of_five_units():
    for radius, expected in ((4, 0), (6, 1)):
        image = np.zeros((512, 512))
        image[disc(image.shape, 200, 200, radius)] = 0.5
        assert segment_nuclei(image).max() == expected, radius


def test_a_nucleus_stands_out_by_four_grey_levels():
    for level, expected in ((3, 0), (8, 1)):
        image = np.zeros((256, 256), np.uint8)
        image[disc(image.shape, 100, 100, 25)] = level
        assert segment_nuclei(image).max() == expected, level


def test_a_ramp_is_no_nucleus():
    # Nor is one that is even to the logarithm, in which nuclei are looked for.
    for ramp in (np.linspace(0, 1, 256), np.expm1(np.linspace(0, np.log(64), 256)) * 4 / 255):
        assert not segment_nuclei(np.tile(ramp, (256, 1))).any()


def test_a_thin_part_close_beside_a_thick_one_is_kept():
    shape = (200, 200)
    sickle = disc(shape, 100, 100, 34) & ~disc(shape, 100, 100, 31.5)
    sickle[:, :100] = False
    mask = (disc(shape, 100, 100, 30) | sickle).astype(np.uint8)
    nuclei = _split_at_necks(mask, 1.0)
    np.testing.assert_array_equal(nuclei > 0, mask > 0)
    assert nuclei.max() == 2 and len(set(nuclei[sickle])) == 1


def test_cells_are_found_by_either_stain_however_bright_it_is():
    field = round_cells(512, [(150, 150), (350, 350)], 24, 60)
    one, other = disc((512, 512), 150, 150, 60), disc((512, 512), 350, 350, 60)
    field[0], field[3] = 0.9 * one, 0.06 * other
    maps = segment_cells(field)
    for cell in (one, other):
        assert (maps.cells[cell] > 0).mean() > 0.9


def test_small_gaps_in_a_cell_belong_to_it_and_large_ones_do_not():
    field = round_cells(512, [(250, 250)], 30, 90)
    small, large = disc((512, 512), 250, 310, 8.5), disc((512, 512), 250, 195, 16)
    field[0][small | large] = field[3][small | large] = 0
    cells = segment_cells(field).cells
    assert (cells[small] == 1).all()
    assert (cells[disc((512, 512), 250, 195, 10)] == 0).all()


@pytest.mark.parametrize("size", [333, 256])
def test_cells_hold_every_pixel_of_their_nuclei(size):
    maps = segment_cells(hs.draw_field("25", size=size, seed=1, cell_line="HEK 293"))
    inside = maps.nuclei > 0
    assert maps.n_nuclei > 10
    np.testing.assert_array_equal(maps.cells[inside], maps.nuclei[inside])


def test_a_nucleolus_is_no_hole_in_a_nucleus():
    image = np.zeros((256, 256))
    image[disc(image.shape, 128, 128, 25)] = 0.6
    image[disc(image.shape, 120, 130, 4)] = 0.05
    nuclei = segment_nuclei(image)
    assert nuclei.max() == 1 and nuclei[120, 130] == 1


def test_a_dim_nucleus_is_found_beside_bright_ones():
    image = np.full((256, 256), 0.02)
    for column, level in ((50, 0.9), (125, 0.8), (200, 0.2)):
        image[disc(image.shape, 128, column, 20)] = level
    assert segment_nuclei(image).max() == 3


@pytest.mark.parametrize("name", ["black", "white", "noise", "dim", "one pixel", "speck"])
def test_where_there_is_no_nucleus_none_is_found(name):
    rng = np.random.default_rng(0)
    image = {
        "black": np.zeros((128, 128)),
        "white": np.ones((128, 128)),
        "noise": rng.random((128, 128)),
        "dim": rng.poisson(2, (128, 128)) / 255,
        "one pixel": np.zeros((128, 128)),
        "speck": np.zeros((512, 512)),
    }[name]
    if name == "one pixel":
        image[50, 50] = 1
    if name == "speck":
        image[50:55, 50:55] = 1
    maps = segment_cells(np.stack([image] * 4))
    assert maps.n_nuclei == 0 and not maps.cells.any()


def test_the_border_of_the_image_is_not_the_edge_of_what_it_cuts():
    mask = np.zeros((20, 30), np.uint8)
    mask[:10] = 1
    np.testing.assert_allclose(distance_inside(mask)[:10, 0], np.arange(10, 0, -1))
    assert (distance_inside(np.ones((4, 6), np.uint8)) == 6).all()


def test_distances_are_exact():
    mask = (np.random.default_rng(0).random((400, 500)) < 0.999).astype(np.uint8)
    expected = ndimage.distance_transform_edt(mask).astype(np.float32)
    n_threads = cv2.getNumThreads()
    try:
        for number in (1, 2, 3):
            cv2.setNumThreads(number)
            np.testing.assert_array_equal(distance_inside(mask), expected)
    finally:
        cv2.setNumThreads(n_threads)


def test_holes_and_specks_as_scipy_and_scikit_image_see_them():
    mask = ndimage.gaussian_filter(np.random.default_rng(1).random((120, 150)), 2) > 0.5
    filled = ndimage.binary_fill_holes(mask)
    np.testing.assert_array_equal(fill_holes(mask.astype(np.uint8), mask.size), filled)
    holes = ndimage.label(filled & ~mask)[0]
    largest = int(np.median(np.bincount(holes.ravel())[1:]))
    expected = mask | np.isin(holes, 1 + np.flatnonzero(np.bincount(holes.ravel())[1:] <= largest))
    np.testing.assert_array_equal(fill_holes(mask.astype(np.uint8), largest), expected)
    kept = morphology.remove_small_objects(mask, max_size=39, connectivity=2)
    np.testing.assert_array_equal(remove_specks(mask.astype(np.uint8), 40), kept)


@pytest.mark.parametrize("cell_line", ["U-2 OS", "HEK 293", "BJ"])
def test_nuclei_of_synthetic_fields_fill_the_blue_stain(cell_line):
    field = hs.draw_field("25", size=256, seed=3, cell_line=cell_line)
    maps = segment_cells(field)
    inside, outside = field[2][maps.nuclei > 0], field[2][maps.nuclei == 0]
    assert maps.n_nuclei >= 4
    assert np.median(inside) > 2 * np.quantile(outside, 0.95)


# Field, how many of its known cells are matched by half, and how well the cells cover theirs.
KNOWN = [
    ("000a6c98-bb9b-11e8-b2b9-ac1f6b6435d0", 19, 0.85),
    ("94e33c64-bb9b-11e8-b2b9-ac1f6b6435d0", 12, 0.80),
    ("f0ac7116-bb99-11e8-b2b9-ac1f6b6435d0", 42, 0.90),
]


@pytest.mark.parametrize(("image_id", "n_matched", "cover"), KNOWN)
def test_cells_agree_with_a_neural_network_on_real_fields(image_id, n_matched, cover, real_data):
    """Their maps come from HPA-Cell-Segmentation: of 19, 17 and 46 cells."""
    folder = real_data / "fields" / "kaggle"
    field = hs.read_field({s: folder / f"{image_id}_{s}.png" for s in STAINS}, 512)
    theirs = cv2.imread(str(folder / f"{image_id}_cellmask.png"), cv2.IMREAD_UNCHANGED)
    theirs = cv2.resize(theirs, (512, 512), interpolation=cv2.INTER_NEAREST)
    ours = segment_cells(field).cells
    assert (ours[theirs > 0] > 0).sum() / ((ours > 0) | (theirs > 0)).sum() > cover
    matched = 0
    for number in np.unique(theirs[theirs > 0]):
        cell = theirs == number
        best = np.bincount(ours[cell & (ours > 0)], minlength=1).argmax()
        if best:
            matched += (cell & (ours == best)).sum() / (cell | (ours == best)).sum() > 0.5
    assert matched >= n_matched


def dimmed(blue, spot=0.0, noise=3.0, seed=0):
    """The stain at 0.15 of its brightness over a background of 10, with noise, in 8 bits.

    `spot` is the height in the middle of what is bright out of focus, of 40 px.
    """
    rows, columns = np.indices(blue.shape)
    away = np.hypot(rows - blue.shape[0] / 2, columns - blue.shape[1] / 2)
    levels = 0.15 * 255 * blue + 10 + spot * np.exp(-((away / 40) ** 2) / 2)
    levels += np.random.default_rng(seed).normal(0, noise, blue.shape)
    return np.clip(np.round(levels), 0, 255) / 255


def real_blue(real_data, name):
    (path,) = (real_data / "fields").glob(f"*/{name}*_blue.*")
    return resize_field(read_stain(path, "blue")[np.newaxis], 512)[0]


# Field, its nuclei when dim, and those found at least beside a bright spot: of the others most lie
# under it.
DIM = [("000a6c98", 20, 16), ("94e33c64", 21, 17), ("f0ac7116", 48, 36), ("57_F11", 11, 8),
       ("800_A6", 17, 14)]  # fmt: skip


@pytest.mark.parametrize(("name", "n_dim", "n_least"), DIM)
@pytest.mark.parametrize("spot", [60, 120, 240])
def test_a_spot_out_of_focus_does_not_erase_the_nuclei(real_data, name, n_dim, n_least, spot):
    blue = real_blue(real_data, name)
    assert abs(segment_nuclei(dimmed(blue)).max() - n_dim) <= 1
    assert n_least <= segment_nuclei(dimmed(blue, spot)).max() <= 1.35 * n_dim


def test_nuclei_beside_a_spot_lie_where_they_did(real_data):
    blue = real_blue(real_data, "f0ac7116")
    there, now = segment_nuclei(dimmed(blue)) > 0, segment_nuclei(dimmed(blue, 120)) > 0
    rows, columns = np.indices(blue.shape)
    far = np.hypot(rows - 256, columns - 256) > 150
    assert (there & now & far).sum() / ((there | now) & far).sum() > 0.8


def test_drawn_nuclei_beside_a_spot():
    image = np.zeros((512, 512))
    for row in range(4):
        for column in range(4):
            image[disc(image.shape, 80 + 115 * row, 80 + 115 * column, 24)] = 0.5
    # The four that lie within two of its standard deviations may be lost.
    assert 12 <= segment_nuclei(dimmed(image, 150)).max() <= 17
    assert segment_nuclei(dimmed(image)).max() == 16


def dense(level, background, seed=0):
    """Nuclei that cover two thirds of a field, of many levels, textured."""
    rng = np.random.default_rng(seed)
    image = np.full((512, 512), float(background))
    centres = []
    for row in range(30, 512, 52):
        for column in range(30 + 26 * (row // 52 % 2), 512, 52):
            centres.append((row, column))
            nucleus = disc(image.shape, row, column, 23)
            image[nucleus] = background + rng.uniform(0.25, 1) * (level - background)
    image *= 1 + 0.1 * ndimage.gaussian_filter(rng.normal(size=image.shape), 2) * 7
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255) / 255, len(centres)


@pytest.mark.parametrize("background", [40, 80, 100])  # one threshold does at 40 only
def test_dense_nuclei_of_many_levels(background):
    image, n_nuclei = dense(200, background)
    assert segment_nuclei(image).max() >= 0.75 * n_nuclei


def smooth_noise(rng, sd, spread=15.0):
    field = ndimage.gaussian_filter(rng.normal(size=(512, 512)), sd)
    return 60 + spread * (field - field.mean()) / field.std()


NOISE = {
    "normal": lambda rng: rng.normal(100, 30, (512, 512)),
    "normal, dim": lambda rng: rng.normal(20, 3, (512, 512)),
    "counts": lambda rng: 4.0 * rng.poisson(8, (512, 512)),
    "uniform": lambda rng: rng.uniform(0, 255, (512, 512)),
    "as wide as specks": lambda rng: smooth_noise(rng, 4),
    "as wide as nuclei": lambda rng: smooth_noise(rng, 12),
    "as wide as cells": lambda rng: smooth_noise(rng, 40) + rng.normal(0, 3, (512, 512)),
    "on a ramp": lambda rng: np.linspace(10, 60, 512) + rng.normal(0, 3, (512, 512)),
}


@pytest.mark.parametrize("name", NOISE)
def test_noise_has_no_nuclei(name):
    for seed in range(4):
        levels = np.clip(np.round(NOISE[name](np.random.default_rng(seed))), 0, 255)
        assert segment_nuclei(levels / 255).max() <= 1


def test_regions_as_a_slow_version_measures_them(real_data):
    smooth = ndimage.gaussian_filter(255 * real_blue(real_data, "94e33c64"), 1).astype(np.float32)
    regions = ndimage.label(smooth > 40, np.ones((3, 3)))[0].astype(np.int32)
    found = measure_regions(smooth, regions, 1.0)
    for fast, slow in zip(found, slow_regions(smooth, regions, 1.0), strict=True):
        # Distances of the fast one are off by up to a twentieth of a pixel.
        np.testing.assert_allclose(fast, slow, rtol=0.03, atol=0.03)
    everywhere = measure_regions(smooth, np.ones(smooth.shape, np.int32), 1.0)
    assert [figures.tolist() for figures in everywhere] == [[0.0]] * 3
    assert measure_regions(smooth, np.zeros(smooth.shape, np.int32), 1.0).contrast.size == 0


def test_slow_light_is_taken_away_and_nuclei_are_not():
    rows, columns = np.indices((512, 512))
    light = (60 + 40 * np.sin(rows / 100) + columns / 10).astype(np.float32)
    assert np.median(without_slow_light(light, 1.0)) < 2
    nucleus = disc(light.shape, 200, 300, 22)
    above = without_slow_light(light + 30 * nucleus.astype(np.float32), 1.0)
    assert 27 < above[nucleus].mean() < 36


def test_noise_left_by_smoothing():
    levels = np.random.default_rng(0).normal(100, 20, (512, 512)).astype(np.float32)
    for smoothing in (1.0, 2.0, 4.0):
        smooth = ndimage.gaussian_filter(levels, smoothing)
        # What little smoothing leaves is missing from the difference: an eighth at 1 px.
        assert noise_left(levels, smooth, smoothing) == pytest.approx(smooth.std(), rel=0.13)


def test_what_is_not_a_field_is_refused():
    with pytest.raises(InputError, match=r"shape \(4, H, W\), not \(3, 8, 8\)"):
        segment_cells(np.zeros((3, 8, 8)))
