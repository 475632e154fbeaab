"""Scenes that fields are cut from, and copies of them."""

import numpy as np
import pytest

from hpastack.synthetic import draw_field

SIDE = 160


def _photograph(scene, rng, down=0, right=0, noise=0.02, brightness=1.0):
    """Cut a field from the middle of a larger scene, shifted, noisy and brighter."""
    top, left = ((length - SIDE) // 2 + by for length, by in zip(scene.shape[1:], (down, right)))
    field = scene[:, top : top + SIDE, left : left + SIDE] * brightness
    field = field + rng.normal(0, noise, field.shape) * (field.max((1, 2), keepdims=True) > 0)
    return np.clip(field, 0, 1).astype(np.float32)


@pytest.fixture(scope="session")
def photograph():
    return _photograph


@pytest.fixture(scope="session")
def scenes():
    """Wells of two: same labels, same look, other cells."""
    return [
        draw_field("25" if number % 4 else "0 2", size=256, seed=number, well_seed=number // 2)
        for number in range(16)
    ]
