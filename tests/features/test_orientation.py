"""The position: one for all turns, whatever decides it, and no pixel changed."""

import numpy as np
import pytest

from hpastack.features import canonical_position

pytestmark = pytest.mark.core


def turns(levels):
    for turned in (levels, levels.transpose(0, 2, 1)):
        for down in (1, -1):
            for right in (1, -1):
                yield turned[:, ::down, ::right]


def lopsided(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def balanced():
    """Every centre of mass in the middle, but not symmetric."""
    levels = np.zeros((2, 6, 6), np.uint8)
    levels[0, 0, 1] = levels[0, 5, 4] = 9
    return levels


@pytest.mark.parametrize(
    "levels",
    [
        lopsided(4, 12, 12),
        lopsided(4, 12, 7),
        lopsided(4, 1, 5),
        balanced(),
        np.zeros((4, 5, 5), np.uint8),
        np.full((4, 5, 8), 255, np.uint8),
    ],
    ids=["square", "oblong", "a row", "balanced", "black", "white"],
)
def test_every_turn_comes_to_the_same_array(levels):
    expected = canonical_position(levels)
    assert expected.shape[1] <= expected.shape[2] and expected.flags.c_contiguous
    for turned in turns(levels):
        np.testing.assert_array_equal(canonical_position(turned), expected)


def test_stains_are_turned_together():
    levels = lopsided(4, 9, 9)
    found = canonical_position(levels)
    assert any(np.array_equal(found, turned) for turned in turns(levels))


def test_a_first_stain_in_balance_leaves_it_to_the_next():
    levels = balanced()
    levels[1, 0, 0] = 1
    expected = canonical_position(levels)
    assert expected[1, 5, 5] == 1  # its centre of mass comes to lie below and to the right
    for turned in turns(levels):
        np.testing.assert_array_equal(canonical_position(turned), expected)
