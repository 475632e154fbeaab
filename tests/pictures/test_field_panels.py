"""One field in all its aspects, from its files."""

import cv2
import numpy as np
import pytest

import hpastack as hs
from hpastack.fields import STAINS
from hpastack.pictures import scale_bar
from hpastack.pictures.field_panels import field_panels

pytestmark = pytest.mark.core


@pytest.fixture
def row(tmp_path):
    field = hs.draw_field("25 0", size=96, seed=3)
    row = {"height": 96, "width": 96}
    for stain, pixels in zip(STAINS, field):
        row[stain] = str(tmp_path / f"f_{stain}.png")
        cv2.imwrite(row[stain], np.rint(255 * pixels).astype(np.uint8))
    return row


def captions(panels):
    return [panel.lines[0].partition(",")[0].partition(";")[0] for panel in panels]


def test_a_field_is_merged_and_each_stain_alone_and_its_cells(row):
    panels = field_panels(row, 96)
    assert captions(panels) == [
        "stains merged", "protein of interest", "microtubules", "nucleus",
        "endoplasmic reticulum", "microtubules", "regions: nucleus blue", "rings",
    ]  # fmt: skip
    assert all(panel.picture.shape == (96, 96, 3) for panel in panels)
    for panel in panels[1:5]:
        assert (panel.picture == panel.picture[..., :1]).all() and panel.picture.max() == 255


def test_small_fields_are_enlarged_by_a_whole_number_and_large_ones_reduced(row):
    small, large = field_panels(row, 96), field_panels(row, 300)
    assert large[0].picture.shape == (288, 288, 3)
    for one, other in zip(small, large):
        np.testing.assert_array_equal(other.picture[::3, ::3], one.picture)
    assert field_panels(row, 60)[0].picture.shape == (60, 60, 3)


def test_the_scale_bar_counts_the_enlargement(row):
    plain = field_panels(row, 300)[0].picture
    merge = field_panels(row | {"pixel_size": 0.6}, 300)[0].picture
    changed = (merge != plain).any(axis=-1)
    white = (merge == 255).all(axis=-1) & changed
    assert white.sum(axis=1).max() == scale_bar(288, 0.2)[1] == 100
    others = zip(field_panels(row, 300)[1:], field_panels(row | {"pixel_size": 0.6}, 300)[1:])
    assert all((one.picture == other.picture).all() for one, other in others)


def test_stains_that_a_field_lacks_are_not_shown(row):
    three = row | {"stains": "red green blue", "yellow": ""}
    assert captions(field_panels(three, 96))[:4] == captions(field_panels(row, 96))[:4]
    assert len(field_panels(three, 96)) == 7
    without_nucleus = row | {"stains": "red green", "blue": "", "yellow": ""}
    assert captions(field_panels(without_nucleus, 96)) == [
        "stains merged", "protein of interest", "microtubules"
    ]  # fmt: skip
