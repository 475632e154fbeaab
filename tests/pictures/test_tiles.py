"""A field as a picture: merged stains beside the protein, with a scale bar of the right length."""

import numpy as np
import pytest
from colour_vision import VISIONS, distance

import hpastack as hs
from hpastack.fields import STAIN_INDEX, STAINS
from hpastack.pictures import (
    brightened,
    draw_scale_bar,
    field_tile,
    merged,
    protein_in_grey,
    scale_bar,
)
from hpastack.pictures.tiles import GAP, scale_text

pytestmark = pytest.mark.core


def test_the_merge_stands_beside_the_protein():
    field = hs.draw_field("25", size=96, seed=2)
    tile = field_tile(field)
    assert tile.shape == (96, 2 * 96 + GAP, 3) and tile.dtype == np.uint8
    bright = brightened(field)
    np.testing.assert_array_equal(tile[:, :96], merged(bright))
    np.testing.assert_array_equal(tile[:, 96 + GAP :], protein_in_grey(bright))
    plain = field_tile(field, palette="hpa", brighten=False)
    np.testing.assert_array_equal(plain[:, :96], merged(field, "hpa"))


def test_stains_are_brightened_but_not_noise():
    field = np.full((4, 50, 50), 0.001)
    field[STAIN_INDEX["green"], 10:20, 10:20] = 0.1
    bright = brightened(field)
    assert bright[STAIN_INDEX["green"]].max() == 1
    assert bright[STAIN_INDEX["red"]].max() < 0.05


@pytest.mark.parametrize("absent", [("yellow",), ("red", "blue", "yellow"), STAINS])
def test_fields_without_a_stain_are_drawn(absent):
    field = hs.draw_field("0", size=64, seed=1)
    for stain in absent:
        field[STAIN_INDEX[stain]] = 0
    tile = field_tile(field, pixel_size=0.2)
    present = [stain for stain in STAINS if stain not in absent]
    assert tile[:, :64].any() == bool(present)


@pytest.mark.parametrize("vision", VISIONS)
def test_stains_of_a_drawn_field_are_told_apart(vision):
    """Where one stain is alone and bright, its colour is that of no other."""
    bright = brightened(hs.draw_field("22", size=192, seed=4))
    tile = merged(bright)
    colours = {}
    for stain in ("red", "blue", "green"):
        others = np.delete(bright, STAIN_INDEX[stain], axis=0).max(axis=0)
        alone = (bright[STAIN_INDEX[stain]] > 0.5) & (others < 0.45)
        colours[stain] = np.median(tile[alone], axis=0)
        assert alone.sum() >= 10
    for one, other in (("red", "blue"), ("red", "green"), ("blue", "green")):
        assert distance(colours[one], colours[other], vision) > 15


@pytest.mark.parametrize(
    "width, pixel_size, expected",
    [(192, 0.43, (20.0, 47)), (512, 0.16, (20.0, 125)), (100, 0.02, (0.5, 25)),
     (128, 1.0, (20.0, 20)), (100, 20.0, (500.0, 25)), (1000, 20 / 350, (20.0, 350))],
)  # fmt: skip
def test_a_scale_bar_is_round_and_fits(width, pixel_size, expected):
    assert scale_bar(width, pixel_size) == expected


@pytest.mark.parametrize("length, text", [(20.0, "20 µm"), (0.5, "0.5 µm"), (2000.0, "2 mm")])
def test_its_length_is_written_with_a_unit(length, text):
    assert scale_text(length) == text


def test_the_bar_drawn_has_its_length():
    picture = np.full((192, 192, 3), 40, np.uint8)
    draw_scale_bar(picture, 0.43)
    # The thick line is the lowest row of white.
    rows = np.flatnonzero((picture == 255).all(axis=-1).sum(axis=1) >= 40)
    assert len(rows) == 2
    columns = np.flatnonzero((picture[rows[-1]] == 255).all(axis=-1))
    assert len(columns) == columns[-1] - columns[0] + 1 == 47
    assert (picture[: 192 // 2] == 40).all() and (picture[:, : 192 // 2] == 40).all()


def test_a_bar_is_readable_on_white():
    picture = np.full((96, 96, 3), 255, np.uint8)
    draw_scale_bar(picture, 0.5)
    rows = picture[80:, 50:].min(axis=(1, 2))
    assert rows.min() < 70


@pytest.mark.parametrize("shape", [(47, 200), (200, 47)])
def test_small_pictures_have_no_bar(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    draw_scale_bar(picture, 0.5)
    assert not picture.any()
