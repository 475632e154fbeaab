"""Shapes of nuclei: discs and ellipses, against scikit-image."""

import cv2
import numpy as np
import pytest
from drawn_cells import disc
from skimage.measure import regionprops

from hpastack.features import CellMaps, cell_regions
from hpastack.features.compartments.nuclei import NUCLEUS_PROPERTIES, nucleus_table, whole_nuclei

pytestmark = pytest.mark.core


def table_of(nuclei, blue=None, unit=1.0):
    blue = np.where(nuclei, 120, 0).astype(np.uint8) if blue is None else blue
    return nucleus_table(cell_regions(CellMaps(nuclei, nuclei), blue), blue, unit)


def test_a_disc():
    table = table_of(disc((200, 200), 90, 110, 40).astype(np.int32), unit=2.0)
    found = {name: table[name][1] for name in NUCLEUS_PROPERTIES}
    assert (table["row"][1], table["column"][1]) == pytest.approx((90, 110))
    assert found["area"] == pytest.approx(np.pi * 20**2, rel=0.01)
    assert found["eccentricity"] < 0.02
    assert found["solidity"] > 0.97
    # A contour of pixels has corners: its length is 1.05 times that of the circle.
    assert 0.85 < found["form_factor"] < 1
    assert found["level"] == pytest.approx(120 / 255)
    assert found["cv"] == 0 and found["nucleoli"] == 0


def test_a_square_fills_its_hull_to_the_pixel():
    square = np.zeros((60, 60), np.int32)
    square[10:40, 15:45] = 1
    assert table_of(square)["solidity"][1] == 1
    square[20:30, 25:35] = 0  # a hole is missing from the area and not from the contour
    table = table_of(square)
    assert table["solidity"][1] == pytest.approx(8 / 9)
    assert table["form_factor"][1] > 0.7


def test_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    nuclei = np.zeros((300, 300), np.uint8)
    for number in range(1, 6):
        centre = (40 + 55 * (number - 1), int(rng.integers(60, 240)))
        axes = tuple(int(a) for a in rng.integers(8, 26, 2))
        cv2.ellipse(nuclei, centre, axes, int(rng.integers(180)), 0, 360, number, -1)
    nuclei = nuclei.astype(np.int32)
    blue = (rng.integers(50, 150, nuclei.shape) * (nuclei > 0)).astype(np.uint8)
    table = table_of(nuclei, blue)
    for one in regionprops(nuclei, blue):
        n = one.label
        assert table["area"][n] == one.area
        assert (table["row"][n], table["column"][n]) == pytest.approx(one.centroid)
        # They take a pixel for a point, we for a square of variance 1/12.
        assert table["eccentricity"][n] == pytest.approx(one.eccentricity, abs=0.003)
        # The hull of the corners of pixels here, of their centres widened there.
        assert table["solidity"][n] == pytest.approx(one.solidity, abs=0.01)
        assert table["level"][n] == pytest.approx(one.intensity_mean / 255)
        # They weigh steps by corners, we add up the length of the contour: up to a tenth more.
        factor = 4 * np.pi * one.area / one.perimeter**2
        assert table["form_factor"][n] == pytest.approx(factor, rel=0.1)


def test_a_ragged_nucleus_is_less_solid_and_less_round():
    smooth = disc((100, 100), 50, 50, 25)
    ragged = smooth.copy()
    ragged[45:55, 50:] = False
    table = table_of((smooth + 0).astype(np.int32)), table_of((ragged + 0).astype(np.int32))
    assert table[1]["solidity"][1] < table[0]["solidity"][1] - 0.1
    assert table[1]["form_factor"][1] < table[0]["form_factor"][1] - 0.2


def test_cut_nuclei_are_not_whole():
    nuclei = np.zeros((50, 60), np.int32)
    nuclei[0:5, 10:15], nuclei[20:30, 20:30], nuclei[40:50, 55:60] = 1, 2, 3
    assert whole_nuclei(nuclei).tolist() == [False, False, True, False]
