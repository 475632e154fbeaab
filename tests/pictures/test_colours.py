"""Colours that can be told apart, also under deuteranopia and protanopia."""

import re
from itertools import combinations

import numpy as np
import pytest
from colour_vision import VISIONS, as_seen, distance, hex_rgb

from hpastack.errors import InputError
from hpastack.fields import STAIN_INDEX, STAINS
from hpastack.pictures import (
    STAIN_COLOURS,
    SYMBOLS,
    group_styles,
    merged,
    stain_colours,
)
from hpastack.pictures.colours import COLOUR_NAMES, MOST_STYLES, OTHER_STYLE, SPLIT_STYLES
from hpastack.pictures.compartment_figure import REGION_COLOURS

pytestmark = pytest.mark.core

# Ten times what can just be noticed side by side.
APART = 20.0


def closest(one, other, vision):
    """How near two stains come at any brightness from half to full."""
    levels = np.linspace(0.5, 1, 6)
    return min(
        distance(a * np.array(one), b * np.array(other), vision) for a in levels for b in levels
    )


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("one, other", [*combinations(STAINS, 2)])
def test_safe_stains_are_told_apart_at_any_brightness(one, other, vision):
    colours = stain_colours("safe")
    assert closest(colours[one], colours[other], vision) >= APART


def test_microtubules_and_reticulum_of_hpa_look_alike_under_deuteranopia():
    colours = stain_colours("hpa")
    assert closest(colours["red"], colours["yellow"], "normal") >= APART
    assert closest(colours["red"], colours["yellow"], "deuteranopia") < APART / 2


def test_grey_looks_grey_to_everyone():
    for vision in VISIONS:
        np.testing.assert_allclose(as_seen([128, 128, 128], vision), 128, atol=1)


@pytest.mark.parametrize("palette", STAIN_COLOURS)
def test_a_stain_alone_has_its_colour_and_others_add_to_it(palette):
    colours = stain_colours(palette)
    assert set(COLOUR_NAMES[palette]) == set(colours) == set(STAINS)
    field = np.zeros((4, 1, 5))
    for place, stain in enumerate(STAINS):
        field[STAIN_INDEX[stain], 0, place] = 1
    field[:, 0, 4] = [0.2, 0.1, 0.3, 0.2]
    picture = merged(field, palette)[0]
    assert [tuple(colour) for colour in picture[:4].tolist()] == list(colours.values())
    table = np.array(list(colours.values()))
    np.testing.assert_allclose(picture[4], field[:, 0, 4] @ table, atol=0.51)
    assert (merged(np.ones((4, 1, 1)), palette) <= 255).all()


def test_the_protein_of_hpa_is_the_green_of_the_picture():
    field = np.full((4, 2, 2), 0.3)
    without = field.copy()
    without[STAIN_INDEX["green"]] = 0
    with_protein, without_protein = merged(field, "hpa"), merged(without, "hpa")
    changed = (with_protein != without_protein).any(axis=(0, 1))
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("vision", VISIONS)
def test_regions_of_cells_are_told_apart(vision):
    for one, other in combinations(REGION_COLOURS.values(), 2):
        assert distance(one, other, vision) >= APART


def test_an_unknown_palette_is_named():
    with pytest.raises(InputError, match="unknown palette 'rgb'; it must be one of safe, hpa"):
        stain_colours("rgb")


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("kind", ["domain", "fold", "cell_line", "split"])
def test_groups_are_told_apart_by_symbol_and_neighbours_by_colour(kind, vision):
    names = ["train", "test"] if kind == "split" else [f"g{k}" for k in range(MOST_STYLES)]
    styles = group_styles(names, kind)
    for one, other in combinations(styles.values(), 2):
        apart = distance(hex_rgb(one.colour), hex_rgb(other.colour), vision)
        assert one.symbol != other.symbol or apart >= APART
    for one, other in zip(list(styles.values()), list(styles.values())[1:]):
        assert one.symbol != other.symbol
        assert distance(hex_rgb(one.colour), hex_rgb(other.colour), vision) >= APART


def test_unlike_things_share_no_colour():
    names = [str(k) for k in range(7)]
    of_kinds = [{style.colour for style in group_styles(names, kind).values()}
                for kind in ("domain", "cell_line")]  # fmt: skip
    of_kinds += [{style.colour for style in SPLIT_STYLES.values()}, {OTHER_STYLE.colour}]
    for one, other in combinations(of_kinds, 2):
        assert not one & other


def test_groups_beyond_the_styles_are_others():
    styles = group_styles([str(k) for k in range(MOST_STYLES + 2)], "domain")
    assert len(set(styles.values())) == MOST_STYLES + 1
    assert styles[str(MOST_STYLES)] == OTHER_STYLE


def test_paths_of_symbols_stay_within_their_box():
    for symbol in (*SYMBOLS, OTHER_STYLE.symbol):
        numbers = [float(text) for text in re.findall(r"-?\d*\.?\d+", symbol.path)]
        assert max(map(abs, numbers)) <= 1 and symbol.path.startswith("M")
    assert len({symbol.marker for symbol in SYMBOLS}) == len(SYMBOLS)
