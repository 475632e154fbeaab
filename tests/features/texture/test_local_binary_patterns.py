"""Local binary patterns: by hand, against the slow version, scikit-image and mahotas; turned."""

import numpy as np
import pytest
import scipy.ndimage
from mahotas.features.lbp import lbp_transform
from skimage.feature import local_binary_pattern

from hpastack.errors import InputError
from hpastack.features.texture.local_binary_patterns import MEANINGS, RADII, lbp_features

pytestmark = pytest.mark.core

BINS = [*range(9), "other"]
AROUND = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (96, 120)).astype(np.uint8)


def shares(image, radius):
    values = lbp_features(image, radii=[radius])
    return np.array([values[f"texture_lbp_{pattern}_r{radius}"] for pattern in BINS])


def histogram(patterns, radius):
    inner = patterns[radius:-radius, radius:-radius].astype(int)
    return np.bincount(inner.ravel(), minlength=len(BINS)) / inner.size


def slow_shares(image, radius):
    """Pixel by pixel, in whole 256ths as the fast version has them."""
    fraction = radius * 0.5**0.5 % 1
    side, far = round(256 * fraction * (1 - fraction)), round(256 * fraction**2)
    near = 256 - 2 * side - far
    inner = int(radius * 0.5**0.5)
    outer = inner + 1
    counts = dict.fromkeys(BINS, 0)
    image = image.astype(int)
    for y in range(radius, image.shape[0] - radius):
        for x in range(radius, image.shape[1] - radius):
            bits = []
            for down, right in AROUND:
                if down and right:
                    point = (
                        near * image[y + down * inner, x + right * inner]
                        + side * image[y + down * inner, x + right * outer]
                        + side * image[y + down * outer, x + right * inner]
                        + far * image[y + down * outer, x + right * outer]
                    )
                else:
                    point = 256 * image[y + down * radius, x + right * radius]
                bits.append(point >= 256 * image[y, x])
            changes = sum(bits[i] != bits[i - 1] for i in range(8))
            counts[sum(bits) if changes <= 2 else "other"] += 1
    return np.array(list(counts.values())) / sum(counts.values())


def uniform_patterns(codes):
    """Turn codes of 8 bits into the number of bits set, or 9 if they change more than twice."""
    bits = codes.astype(int)[..., np.newaxis] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=-1)).sum(axis=-1)
    return np.where(changes <= 2, bits.sum(axis=-1), 9)


def test_bright_and_dark_spot_worked_by_hand():
    spot = np.zeros((9, 9), dtype=np.uint8)
    spot[4, 4] = 255
    # 49 inner pixels. Around the spot, all 8 points are darker; elsewhere none is.
    assert shares(spot, 1)[[0, 8]] * 49 == pytest.approx([1, 48])
    # Around a dark spot, a pixel at its corner has one darker point, half of which is the spot. A
    # pixel beside it has three: the spot itself, and the two diagonal points at either side,
    # a fifth of which is the spot.
    beside, corner = 8 - 3, 8 - 1
    assert shares(255 - spot, 1)[[beside, corner, 8]] * 49 == pytest.approx([4, 4, 41])


def test_step_worked_by_hand():
    step = np.repeat([[0, 0, 0, 200, 200, 200]], 6, axis=0).astype(np.uint8)
    # Of 4 inner columns one lies at the bright side, with three darker points.
    assert shares(step, 1)[[5, 8]] == pytest.approx([1 / 4, 3 / 4])


@pytest.mark.parametrize("radius", RADII)
def test_agrees_with_the_slow_version(radius):
    rng = np.random.default_rng(radius)
    for top in (2, 4, 256):  # many ties, few ties
        image = rng.integers(0, top, (17, 14)).astype(np.uint8)
        np.testing.assert_array_equal(shares(image, radius), slow_shares(image, radius))


@pytest.mark.parametrize("radius", RADII)
def test_agrees_with_scikit_image(noise, radius):
    patterns = local_binary_pattern(noise, 8, radius, method="uniform")
    # Its weights are exact to 5 digits, ours to 1/512: a point within half a level of the pixel
    # may fall to the other side. That is so for less than 1 point in 256, but changes a pattern.
    np.testing.assert_allclose(shares(noise, radius), histogram(patterns, radius), atol=2e-3)


@pytest.mark.parametrize("radius", RADII)
def test_agrees_with_mahotas(noise, radius, monkeypatch):
    """With SciPy's shift: that of mahotas 1.4.19 does not interpolate and is off by a pixel.

    There a point as bright as the pixel counts as darker, so the negative is compared.
    """
    monkeypatch.setattr("mahotas.interpolate.shift", scipy.ndimage.shift)
    codes = lbp_transform(255 - noise, radius, 8)
    not_brighter = 8 - np.arange(9)
    expected = histogram(uniform_patterns(codes), radius)[[*not_brighter, 9]]
    # The tolerance is that of scikit-image.
    np.testing.assert_allclose(shares(noise, radius), expected, atol=2e-3)


@pytest.mark.parametrize("level", range(0, 256, 15))
def test_flat_image_is_all_ties(level):
    values = lbp_features(np.full((8, 9), level, dtype=np.uint8))
    assert list(values) == list(MEANINGS)
    assert {name for name, share in values.items() if share} == {
        f"texture_lbp_8_r{radius}" for radius in RADII
    }


def test_shares_add_up_to_one_and_ignore_brightness(noise):
    darker = noise // 2 + 60
    for radius in RADII:
        assert shares(noise, radius).sum() == pytest.approx(1)
        np.testing.assert_array_equal(shares(darker, radius), shares(noise // 2, radius))


def test_turning_and_mirroring_change_nothing(noise):
    noise = noise // 16 * 16  # with ties
    values = lbp_features(noise)
    for turned in (np.rot90(noise), noise.T, noise[::-1], noise[:, ::-1]):
        assert lbp_features(turned) == values


def test_strips_meet(monkeypatch, noise):
    values = lbp_features(noise)
    monkeypatch.setattr("hpastack.features.texture.local_binary_patterns._STRIP_PIXELS", 1000)
    assert lbp_features(noise) == values


def test_noise_is_less_regular_than_stripes(noise):
    stripes = np.tile(np.arange(64) // 8 % 2 * 200, (64, 1)).astype(np.uint8)
    for radius in RADII:
        assert shares(noise, radius)[-1] > 0.2
        assert shares(stripes, radius)[-1] == 0


@pytest.mark.parametrize(
    ("radius", "message"),
    [
        (0, "radius 0 is below the minimum"),
        (4, "radius 4 does not fit an image of 8 x 9 px"),
    ],
)
def test_radius_that_does_not_fit_is_refused(radius, message):
    with pytest.raises(InputError, match=message):
        lbp_features(np.zeros((8, 9), dtype=np.uint8), radii=[radius])
