"""Intensities for the eye: stretched by stain, rounded."""

import numpy as np
import pytest

from hpastack.fields import stretched, to_8_bit

pytestmark = pytest.mark.core


def test_the_brightest_thousandth_is_white_and_noise_stays_dark():
    image = np.linspace(0, 0.5, 10_000).reshape(100, 100)
    bright = stretched(image)
    assert bright.min() == 0 and 5 <= (bright == 1).sum() <= 15
    np.testing.assert_allclose(bright[bright < 1], image[bright < 1] / np.quantile(image, 0.999))
    faint = np.full((4, 4), 1 / 510)
    np.testing.assert_allclose(stretched(faint), 0.5)
    np.testing.assert_allclose(stretched(faint, darkest=1 / 1020), 1)
    assert not stretched(np.zeros((4, 4))).any()


def test_levels_are_rounded_to_the_nearest():
    assert to_8_bit(np.array([0, 0.49 / 255, 0.51 / 255, 1])).tolist() == [0, 0, 1, 255]
