import numpy as np
import pytest

from hpastack.synthetic.drawing import smooth_noise, splat, stamp, walks


def test_a_point_is_shared_among_its_four_pixels():
    image = splat((3, 4), [0.5], [1.25], 8)
    assert image.tolist() == [[0, 3, 1, 0], [0, 3, 1, 0], [0, 0, 0, 0]]


def test_points_outside_are_left_out():
    assert splat((4, 4), [-1, 9, 1], [1, 1, -3]).sum() == 0


def test_a_stamp_has_its_area_and_the_brighter_one_wins():
    disc = stamp((41, 41), [20], [20], 8)
    assert disc.sum() == pytest.approx(np.pi * 64, rel=0.02)
    ring = stamp((41, 41), [20], [20], 8, ring=2)
    assert ring.sum() == pytest.approx(2 * np.pi * 8 * 2, rel=0.02)
    assert ring[20, 20] == 0
    both = stamp((41, 41), [20, 20], [20, 20], 8, weight=[0.5, 0.2])
    assert both.max() == pytest.approx(0.5)


def test_a_long_stamp_points_along_its_angle():
    bar = stamp((41, 41), [20], [20], 2, aspect=6, angle=np.pi / 2)
    rows, columns = np.nonzero(bar > 0.5)
    assert np.ptp(rows) > 4 * np.ptp(columns)


def test_no_stamps_leave_an_empty_image():
    assert stamp((5, 5), [], [], 2).max() == 0


def test_unbent_walks_are_straight():
    start = np.array([3.0]), np.array([4.0])
    y, x, angle = walks(np.random.default_rng(0), *start, np.array([0.0]), 7, bend=0)
    assert y.shape == x.shape == angle.shape == (1, 10)
    assert np.allclose(y, 3)
    assert x[0, -1] == pytest.approx(11)


def test_smooth_noise_is_standardised_and_smooth():
    noise = smooth_noise((60, 80), 8, np.random.default_rng(0))
    assert noise.shape == (60, 80)
    assert abs(noise.mean()) < 1e-4
    assert noise.std() == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.3
