"""The picture of cells: four panels that show what was found."""

import numpy as np
import pytest

import hpastack as hs
from hpastack.features import segment_cells
from hpastack.pictures.compartment_figure import REGION_COLOURS, compartment_figure

pytestmark = pytest.mark.core


def test_four_panels_show_outlines_and_regions():
    field = hs.draw_field("25 0", size=128, seed=1)
    picture = compartment_figure(field)
    assert picture.shape == (128, 4 * 128, 3) and picture.dtype == np.uint8
    maps = segment_cells(field)
    panels = np.split(picture, 4, axis=1)
    white = (panels[0] == 255).all(axis=-1)
    assert white.any() and (maps.nuclei[white] > 0).mean() > 0.9
    found = {tuple(colour) for colour in panels[2].reshape(-1, 3).tolist()}
    assert found <= set(REGION_COLOURS.values()) and len(found) >= 6
    assert ((panels[3] > 0).any(axis=-1) == (maps.cells > 0)).all()


def test_a_field_without_nuclei_has_no_outlines():
    picture = compartment_figure(np.zeros((4, 32, 40)))
    assert picture.shape == (32, 160, 3) and not picture.any()
