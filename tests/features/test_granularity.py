"""Granularity: worked by hand, against slow versions and cp_measure, degenerate, turned."""

import cv2
import numpy as np
import pytest
from reference.granularity import granularity_of_stain
from skimage import morphology

from hpastack.errors import InputError
from hpastack.features import granularity
from hpastack.features.granularity import MEANINGS, granularity_features

pytestmark = pytest.mark.core

WHOLE = {"reduction": 1, "background_reduction": 1}


def draw(shape, seed=0):
    """Draw blobs of several sizes and noise, on a ground that varies."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.random(shape), (0, 0), 15)
    for sigma in (1, 2, 5):
        image += sigma * cv2.GaussianBlur(rng.random(shape) ** 8, (0, 0), sigma)
    image += 0.02 * rng.random(shape)
    return np.rint((image - image.min()) / np.ptp(image) * 255).astype(np.float32) / 255


def spiral(n):
    """Draw one path of 1 px that winds inwards, 1 px from itself."""
    image = np.zeros((n, n), dtype=np.uint16)
    row, column, step, length = 0, 0, (0, 1), n - 1
    image[0, 0] = 1
    while length > 0:
        for _ in range(2):
            for _ in range(length):
                row, column = row + step[0], column + step[1]
                image[row, column] = 1
            step = (step[1], -step[0])
        length -= 2
    return image


def test_squares_worked_by_hand():
    # A diamond of radius r fits in a square of side 2 r + 1, and in none that is smaller.
    for side, scale in ((1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (9, 5)):
        image = np.zeros((40, 40))
        image[8 : 8 + side, 20 : 20 + side] = 0.6
        values = granularity_features(image, **WHOLE)
        assert list(values) == list(MEANINGS)
        expected = dict.fromkeys(MEANINGS, 0.0) | {f"granularity_g{scale}": 100.0}
        assert values == expected


def test_a_grain_is_lost_as_a_whole():
    # A square of 5 x 5 with a tail keeps its tail until the square is lost; at half the
    # brightness the square holds 25 of 34 pixels, a lone pixel 1.
    image = np.zeros((30, 30))
    image[10:15, 10:15] = image[12, 15:23] = image[25, 3] = 0.5
    values = granularity_features(image, **WHOLE)
    assert values["granularity_g1"] == pytest.approx(100 / 34)
    assert values["granularity_g3"] == pytest.approx(3300 / 34)


def test_a_peak_is_cut_to_the_plateau_it_stands_on():
    image = np.zeros((30, 30))
    image[10:15, 10:15] = 0.4
    image[12, 12] = 1.0
    values = granularity_features(image, **WHOLE)
    total = 24 * 102 + 255
    assert values["granularity_g1"] == pytest.approx(100 * 153 / total)
    assert values["granularity_g3"] == pytest.approx(100 * 25 * 102 / total)


@pytest.mark.parametrize("shape", [(128, 128), (96, 161), (67, 50), (8, 8)])
@pytest.mark.parametrize("parts", [(2, 4), (1, 1), (3, 5)])
def test_agrees_with_the_slow_version(shape, parts):
    options = dict(zip(("reduction", "background_reduction"), parts))
    image = draw(shape)
    # Both round in the same places, so only the sums differ.
    assert granularity_features(image, **options) == pytest.approx(
        granularity_of_stain(image, **options), abs=1e-8
    )


def test_agrees_with_cp_measure_without_a_background():
    core = pytest.importorskip("cp_measure.core.measuregranularity")
    image = draw((120, 100))
    # Everything is narrower than the disk, so nothing is taken for background.
    image[::15] = image[:, ::15] = 0
    values = granularity_features(image, **WHOLE)
    theirs = core.get_granularity(
        np.ones(image.shape, dtype=int),
        np.rint(image * 255.0) / 255,
        subsample_size=1,
        image_sample_size=1,
    )
    expected = [float(v[0]) for v in theirs.values()]
    assert list(values.values()) == pytest.approx(expected, abs=1e-4)


def test_agrees_with_cp_measure_once_the_background_counts_alike():
    core = pytest.importorskip("cp_measure.core.measuregranularity")
    image = np.rint(draw((120, 100)) * 255.0) / 255
    # cp_measure takes percents of the image with its background, which is lost at scale 1.
    above = np.clip(image - morphology.opening(image, morphology.disk(10)), 0, None)
    share = above.mean() / image.mean()
    expected = share * np.array(list(granularity_features(image, **WHOLE).values()))
    expected[0] += 100 * (1 - share)
    theirs = core.get_granularity(
        np.ones(image.shape, dtype=int), image, subsample_size=1, image_sample_size=1
    )
    np.testing.assert_allclose([v[0] for v in theirs.values()], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["noise", "few levels", "spiral", "serpentine", "flat", "line"])
def test_reconstruction_agrees_with_scikit_image(kind):
    rng = np.random.default_rng(1)
    mask = {
        "noise": rng.integers(0, 65536, (60, 45)),
        "few levels": rng.integers(0, 3, (60, 45)),
        "spiral": spiral(61) * 500 + rng.integers(0, 3, (61, 61)),
        "serpentine": np.where(np.arange(60)[:, None] % 2, 9, 900) * np.ones((60, 45), int),
        "flat": np.full((60, 45), 7),
        "line": rng.integers(0, 20, (1, 80)),
    }[kind].astype(np.uint16)
    if kind == "serpentine":
        mask[1::4, -1] = mask[3::4, 0] = 900
    rounds = granularity._join_brightest(mask)
    for lit in (1, 20):
        marker = np.zeros_like(mask)
        at = rng.integers(0, mask.size, lit)
        marker.flat[at] = (mask.flat[at] * rng.random(lit)).astype(np.uint16)
        if kind == "spiral":
            marker[0, 0] = mask[0, 0]
        ours = granularity._reconstruct(marker.ravel(), rounds).reshape(mask.shape)
        cross = morphology.disk(1)
        np.testing.assert_array_equal(
            ours, morphology.reconstruction(marker, mask, footprint=cross)
        )


def test_a_spiral_grows_back_from_its_end():
    # A square at one end holds a path of more than 1,000 px until scale 2.
    image = np.zeros((80, 80))
    image[7:72, 7:72] = spiral(65)
    image[6:9, 6:9] = 1
    values = granularity_features(image, **WHOLE)
    assert values["granularity_g1"] == 0
    assert values["granularity_g2"] == 100


def test_no_signal_gives_zeros():
    for image in (np.zeros((64, 64)), np.ones((64, 50)), np.full((1, 1), 0.5), np.full((3, 9), 1)):
        values = granularity_features(image)
        assert list(values) == list(MEANINGS)
        assert set(values.values()) == {0.0}


def test_turning_and_mirroring_change_nothing():
    for shape in ((64, 48), (72, 40), (8, 8)):  # whole blocks
        image = draw(shape, seed=2)
        values = granularity_features(image)
        for turn in (np.rot90, np.transpose, np.flipud, np.fliplr):
            assert granularity_features(turn(image)) == values


def test_values_are_percents():
    values = np.array(list(granularity_features(draw((200, 120))).values()))
    assert (values >= 0).all() and 50 < values.sum() <= 100 + 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction 0 is not an integer from 1 to 8"),
        ({"background_reduction": 1.5}, "background_reduction 1.5"),
        ({"radius": "3"}, "radius '3' is not an integer from 1"),
        ({"n_scales": float("nan")}, "n_scales nan"),
    ],
)
def test_wrong_parameters_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        granularity_features(np.zeros((8, 8)), **options)


def test_what_is_not_a_stain_is_refused():
    with pytest.raises(InputError, match=r"shape \(H, W\), not \(4, 8, 8\)"):
        granularity_features(np.zeros((4, 8, 8)))
    with pytest.raises(InputError, match="scale it to"):
        granularity_features(np.full((8, 8), 255))
