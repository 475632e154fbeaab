"""Gradients: by hand, against scikit-image, degenerate, turned, ordered as one would."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import correlate
from skimage.feature import structure_tensor
from skimage.filters import sobel

from hpastack.errors import InputError
from hpastack.features.texture.gradients import MEANINGS, gradient_features

pytestmark = pytest.mark.core


@pytest.fixture
def image():
    noise = np.random.default_rng(0).random((61, 90)).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 2) * 255).astype(np.uint8)


def gradient(image, name):
    return gradient_features(image)[f"texture_{name}"]


def test_ramp_worked_by_hand():
    across = np.tile(np.arange(0, 60, 3, dtype=np.uint8), (10, 1))
    values = gradient_features(across)
    assert list(values) == list(MEANINGS)
    # 3 levels a pixel, everywhere and in one direction.
    assert list(values.values()) == pytest.approx([3 / 255, 0, 3 / 255, 1, 1], abs=1e-12)


def test_diagonal_ramp_is_as_steep_and_as_aligned():
    down, right = np.indices((20, 20))
    values = gradient_features((4 * down + 3 * right).astype(np.uint8))
    assert list(values.values()) == pytest.approx([5 / 255, 0, 5 / 255, 1, 1], abs=1e-12)


def test_two_directions_cancel_on_the_whole_but_not_in_windows():
    """Rising down below the diagonal, across above it; seamless."""
    values = gradient_features((2 * np.maximum(*np.indices((80, 80)))).astype(np.uint8))
    assert values["texture_alignment"] < 0.05 < 0.9 < values["texture_coherence"]


def test_agrees_with_scikit_image(image):
    """Its `sobel` is the root mean square of both directions, over a difference of 2 px."""
    inner = sobel(image / 255)[1:-1, 1:-1] / 2**0.5
    values = gradient_features(image)
    # 32-bit roots.
    assert values["texture_gradient_mean"] == pytest.approx(inner.mean(), rel=1e-6)
    assert values["texture_gradient_sd"] == pytest.approx(inner.std(), rel=1e-6)
    # Ours is taken from magnitudes in 64ths of a level.
    p95 = np.percentile(inner, 95)
    assert values["texture_gradient_p95"] == pytest.approx(p95, abs=1 / 64 / 255)


def test_structure_tensor_agrees_with_scikit_image(image):
    """Away from the border; a binomial window of 5 px is not quite a Gaussian of 9 px."""
    down, mixed, right = (part[3:-3, 3:-3] for part in structure_tensor(image / 255, sigma=1))
    coherence = np.hypot(down - right, 2 * mixed).sum() / (down + right).sum()
    assert gradient(image, "coherence") == pytest.approx(coherence, abs=0.02)


def test_coherence_is_that_of_binomial_windows(image):
    levels = image.astype(float)
    right, down = (cv2.Sobel(levels, cv2.CV_64F, *order)[1:-1, 1:-1] for order in ((1, 0), (0, 1)))
    window = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])
    across, mixed, along = (
        correlate(part, window)[2:-2, 2:-2] for part in (right * right, right * down, down * down)
    )
    tensors = np.stack([across, mixed, mixed, along], axis=-1).reshape(-1, 2, 2)
    small, large = np.linalg.eigvalsh(tensors).T
    expected = (large - small).sum() / (large + small).sum()
    assert gradient(image, "coherence") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("level", [0, 37, 255])
def test_constant_image(level):
    values = gradient_features(np.full((7, 9), level, dtype=np.uint8))
    assert set(values.values()) == {0.0}


def test_one_pixel_lit_is_finite():
    image = np.zeros((64, 64), dtype=np.uint8)
    image[30, 20] = 255
    values = gradient_features(image)
    assert np.isfinite(list(values.values())).all()
    # Alike on all sides.
    assert values["texture_alignment"] == 0
    image[:] = 0
    image[0, 0] = 255
    assert np.isfinite(list(gradient_features(image).values())).all()


def test_turning_and_mirroring_change_only_the_order_of_sums(image):
    values = gradient_features(image)
    for turned in (np.rot90(image), image.T, image[::-1], image[:, ::-1]):
        assert gradient_features(turned) == pytest.approx(values, rel=1e-12)
        for exact in ("texture_alignment", "texture_gradient_p95"):
            assert gradient_features(turned)[exact] == values[exact]


def test_strips_meet(monkeypatch, image):
    values = gradient_features(image)
    for n_pixels in (90, 1000):
        monkeypatch.setattr("hpastack.features.texture.gradients._STRIP_PIXELS", n_pixels)
        assert gradient_features(image) == pytest.approx(values, rel=1e-12)


def test_stripes_are_aligned_rings_are_coherent_noise_is_neither():
    down, right = np.indices((96, 96)) - 47.5
    waves = {"stripes": right + down / 3, "rings": np.hypot(down, right)}
    images = {name: np.round(120 + 100 * np.sin(at / 2)) for name, at in waves.items()}
    images["noise"] = np.random.default_rng(0).integers(0, 256, (96, 96))
    stripes, rings, noise = (
        gradient_features(images[name].astype(np.uint8)) for name in ("stripes", "rings", "noise")
    )
    assert stripes["texture_alignment"] > 0.98 > 0.05 > rings["texture_alignment"]
    assert rings["texture_coherence"] > 0.9 > 0.5 > noise["texture_coherence"]
    assert noise["texture_alignment"] < 0.05


def test_brighter_is_steeper(image):
    bright, dark = gradient_features(image), gradient_features(image // 2)
    assert dark["texture_gradient_mean"] == pytest.approx(
        bright["texture_gradient_mean"] / 2, rel=0.1
    )


def test_too_small_an_image_is_refused():
    with pytest.raises(InputError, match="does not fit an image of 6 x 9 px; .* 7 px"):
        gradient_features(np.zeros((6, 9), dtype=np.uint8))
