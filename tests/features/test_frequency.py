"""Frequency: known spectra, against a slow version, degenerate, turned."""

import numpy as np
import pytest
from reference.frequency import frequency_of_stain
from scipy import fft

from hpastack.errors import InputError
from hpastack.features import frequency
from hpastack.features.frequency import MEANINGS, frequency_features

pytestmark = pytest.mark.core

BANDS = [f"frequency_band{band}" for band in range(1, 9)]


def bands(values):
    return [values[name] for name in BANDS]


def grating(shape, period, axis=1):
    along = np.arange(shape[axis]) * 2 * np.pi / period
    return np.broadcast_to(np.expand_dims(np.sin(along), 1 - axis), shape)


def coloured_noise(n, exponent, seed=0):
    """Draw noise whose power goes with a power of the frequency."""
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(n, n)))
    distance = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    distance[0, 0] = np.inf
    image = np.fft.ifft2(noise * distance ** (exponent / 2)).real
    return (image - image.min()) / np.ptp(image)


# Odd, prime, even, oblong, and with bands that no frequency falls in.
@pytest.mark.parametrize("shape", [(64, 64), (61, 47), (40, 101), (8, 8), (8, 64), (1, 30), (5, 1)])
def test_agrees_with_the_slow_version(shape):
    image = np.random.default_rng(0).random(shape) ** 2
    values = frequency_features(image)
    assert list(values) == list(MEANINGS)
    assert values == pytest.approx(frequency_of_stain(image), rel=1e-9, abs=1e-12)


def test_white_noise_fills_bands_by_their_area():
    values = frequency_features(np.random.default_rng(0).random((509, 509)))
    area = np.pi * (np.array([1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4]) ** 2)
    # Bands 4 to 7 and the rest of the square; the coarser ones hold too few frequencies.
    expected = [*np.diff(area[1:]), 1 - area[-1]]
    assert bands(values)[3:] == pytest.approx(expected, rel=0.1)
    assert sum(bands(values)) == pytest.approx(1)
    # The coarsest rings hold about 20 frequencies, so each strays by a fifth.
    assert values["frequency_slope"] == pytest.approx(0, abs=0.1)
    assert values["frequency_anisotropy_fine"] < 0.01
    # The geometric mean of the distance from the middle of a square.
    assert values["frequency_centroid"] == pytest.approx(0.3465, abs=0.002)


@pytest.mark.parametrize("exponent", [-1, -2, -3])
def test_slope_of_coloured_noise(exponent):
    values = frequency_features(coloured_noise(512, exponent))
    assert values["frequency_slope"] == pytest.approx(exponent, abs=0.1)
    assert values["frequency_anisotropy_fine"] < 0.1


@pytest.mark.parametrize(
    ("period", "band"), [(180, 2), (90, 3), (45, 4), (22, 5), (11, 6), (5.5, 7), (2.8, 8)]
)
def test_a_grating_lies_in_its_band_and_direction(period, band):
    for axis in (0, 1):
        values = frequency_features(0.5 + 0.4 * grating((1024, 700), period, axis))
        assert values[f"frequency_band{band}"] > (0.99 if period < 100 else 0.8)
        # In coarse bands the window spreads a grating over neighbouring frequencies.
        assert values["frequency_anisotropy"] == pytest.approx(1, abs=0.01 if band > 3 else 0.05)
        part = "coarse" if band < 5 else "fine"
        assert values[f"frequency_anisotropy_{part}"] > 0.95
        if band > 3:
            assert values["frequency_centroid"] == pytest.approx(1 / period, rel=0.01)


def test_crossed_gratings_have_no_direction():
    crossed = grating((256, 256), 12, 0) + grating((256, 256), 12, 1)
    values = frequency_features(0.5 + 0.2 * crossed)
    # Not quite 0, because halves between two levels are rounded by chance.
    assert values["frequency_anisotropy"] == pytest.approx(0, abs=1e-4)


def test_a_diagonal_grating_has_one_direction():
    y, x = np.indices((200, 200))
    values = frequency_features(0.5 + 0.4 * np.sin((y - x) / 3))
    assert values["frequency_anisotropy"] == pytest.approx(1, abs=0.01)


def test_coarse_and_fine_may_run_differently():
    image = 0.5 + 0.2 * grating((512, 512), 64, 0)
    image += 0.1 * (grating((512, 512), 6, 0) + grating((512, 512), 6, 1))
    values = frequency_features(image)
    assert values["frequency_anisotropy_coarse"] > 0.95
    assert values["frequency_anisotropy_fine"] < 0.01


@pytest.mark.parametrize("shape", [(32, 32), (31, 20), (20, 31)])
def test_power_is_that_of_the_windowed_image(shape):
    # Parseval: half a plane, folded, still holds the power of all of it.
    levels = np.random.default_rng(0).integers(0, 256, shape)
    rows, columns = windows = [frequency._hann(n) for n in shape]
    weights = np.outer(rows, columns)
    windowed = (levels - np.average(levels, weights=weights)) * weights
    both, apart = frequency._folded_power(levels, windows)
    assert both.sum() == pytest.approx(levels.size * (windowed**2).sum())
    assert (np.abs(apart) <= both).all()
    assert frequency._frequency_plane(*shape).ring_count.sum() == levels.size - 1


@pytest.mark.long
def test_prime_and_large_sizes():
    assert fft.next_fast_len(509) > 509
    for shape in ((509, 503), (3000, 1728)):
        image = np.zeros(shape, dtype=np.float32)
        image[::5] = 1
        values = frequency_features(image)
        assert np.isfinite(list(values.values())).all()
        assert values["frequency_anisotropy"] == pytest.approx(1, abs=0.01)


def test_constant_stain_is_as_white_noise():
    for image in (np.zeros((64, 50)), np.ones((64, 50)), np.full((64, 50), 0.3)):
        values = frequency_features(image)
        assert sum(bands(values)) == pytest.approx(1)
        assert values["frequency_band8"] == pytest.approx(1 - np.pi / 16, abs=0.01)
        assert values["frequency_slope"] == pytest.approx(0, abs=1e-9)
        for name in MEANINGS:
            if "anisotropy" in name:
                assert values[name] == pytest.approx(0, abs=1e-9)


def test_one_pixel_has_no_frequencies_and_one_frequency_no_slope():
    assert set(frequency_features(np.ones((1, 1))).values()) == {0.0}
    assert frequency_features(np.array([[0.0, 1.0]]))["frequency_slope"] == 0


def test_a_nearly_constant_stain_is_near_a_constant_one():
    image = np.full((512, 512), 100 / 255)
    constant = frequency_features(image)
    image[200, 300] = 101 / 255
    assert frequency_features(image) == pytest.approx(constant, abs=0.01)


def test_brightness_does_not_matter():
    levels = np.random.default_rng(0).integers(0, 100, (64, 64))
    values = frequency_features(levels / 255)
    assert frequency_features((levels + 100) / 255) == pytest.approx(values)
    assert frequency_features((levels * 2) / 255) == pytest.approx(values, abs=1e-3)


def test_turning_and_mirroring_change_nothing():
    for shape in ((61, 47), (64, 30), (16, 16)):
        image = np.random.default_rng(2).random(shape) ** 2
        values = frequency_features(image)
        for turn in (np.rot90, np.transpose, np.flipud, np.fliplr):
            assert frequency_features(turn(image)) == pytest.approx(values, rel=1e-10, abs=1e-12)


def test_what_is_not_a_stain_is_refused():
    with pytest.raises(InputError, match=r"shape \(H, W\), not \(4, 8, 8\)"):
        frequency_features(np.zeros((4, 8, 8)))
    with pytest.raises(InputError, match="contains NaN"):
        frequency_features(np.full((8, 8), np.nan))
