import numpy as np
import pytest

from hpastack.clusters.spectra import FACING, WINDOWS, _spectra, max_code_distance, spectral_codes

pytestmark = pytest.mark.core


def test_windows_face_each_other():
    names = list(WINDOWS)
    facing = {names[one]: names[other] for one, other in FACING}
    assert facing["whole"] == "whole"
    assert facing["top left"] == "bottom right"
    assert facing["bottom left"] == "top right"
    assert facing["left"] == "right"
    assert {facing[other] for other in facing.values()} == set(names)


def test_bits_differ_by_the_angle_between_the_spectra():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (40, 4, 48, 48)).astype(np.uint8)
    noise = rng.integers(0, 256, one.shape)
    share = np.linspace(0, 1, 40)[:, None, None, None]
    other = np.rint((1 - share) * one + share * noise).astype(np.uint8)
    valid = np.ones((40, 4), dtype=bool)
    codes = [spectral_codes(part, valid) for part in (one, other)]
    differ = np.unpackbits(codes[0] ^ codes[1], axis=2).mean(2)[:, 0]
    cosine = (
        _spectra(one, valid, WINDOWS["whole"]) * _spectra(other, valid, WINDOWS["whole"])
    ).sum(1) / 4
    # A share of 512 coin tosses: its standard deviation is at most 0.022.
    assert np.abs(differ - np.arccos(np.clip(cosine, -1, 1)) / np.pi).max() < 4 * 0.022
    assert max_code_distance(0.5) == 512 // 3


def test_a_shift_by_a_fifth_brings_facing_windows_together():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (4, 58, 58)).astype(np.uint8)
    fields = np.stack([scene[:, 10:, 10:], scene[:, :48, :48]])
    codes = spectral_codes(fields, np.ones((2, 4), dtype=bool))
    names = list(WINDOWS)
    first, second = names.index("top left"), names.index("bottom right")
    assert np.array_equal(codes[0, first], codes[1, second])


def test_stains_that_do_not_count_leave_the_codes_alone():
    rng = np.random.default_rng(0)
    fields = rng.integers(0, 256, (2, 4, 48, 48)).astype(np.uint8)
    fields[1, :3] = fields[0, :3]
    valid = np.array([[True, True, True, False]] * 2)
    codes = spectral_codes(fields, valid)
    assert np.array_equal(codes[0], codes[1])
