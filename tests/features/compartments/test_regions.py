"""Regions and rings: in a round cell their borders are circles; against the slow version."""

import numpy as np
import pytest
from drawn_cells import disc
from reference import compartments as slow

from hpastack.features import N_RINGS, REGIONS, CellMaps, cell_regions

pytestmark = pytest.mark.core

SIZE = 512  # a unit is a pixel


@pytest.fixture
def regions():
    """A nucleus of radius 40 px with a nucleolus of 8, in a cell of radius 100."""
    nuclei = disc((SIZE, SIZE), 250, 260, 40).astype(np.int32)
    cells = disc((SIZE, SIZE), 250, 260, 100).astype(np.int32)
    blue = np.where(nuclei, 100, 3).astype(np.uint8)
    blue[disc((SIZE, SIZE), 240, 260, 8)] = 20
    return cell_regions(CellMaps(nuclei, cells), blue)


def test_a_round_cell_is_parted_in_circles(regions):
    rows, columns = np.indices((SIZE, SIZE))
    away = np.hypot(rows - 250, columns - 260)
    expected = {
        "rim": (38.8, 40),
        "perinuclear": (41, 43.5),
        "cytoplasm": (45, 97),
        "edge": (98, 100),
    }
    for name, (low, high) in expected.items():
        inside = (away > low) & (away < high)
        assert (regions.region[inside] == REGIONS.index(name)).mean() > 0.93, name
    assert (regions.region[away > 100] == REGIONS.index("outside")).all()
    assert (regions.region[disc((SIZE, SIZE), 240, 260, 6)] == REGIONS.index("nucleoli")).all()
    assert regions.region[280, 260] == REGIONS.index("nucleus")


def test_rings_lie_around_each_other(regions):
    rows, columns = np.indices((SIZE, SIZE))
    away = np.hypot(rows - 250, columns - 260)
    for ring in range(N_RINGS):
        nuclear = (away > 10 * ring + 1) & (away < 10 * ring + 9)
        assert (regions.ring[nuclear] == ring).mean() > 0.95
        cytoplasmic = (away > 40 + 15 * ring + 1) & (away < 40 + 15 * ring + 14)
        assert (regions.ring[cytoplasmic] == N_RINGS + ring).mean() > 0.95


def test_touching_cells_have_an_edge_and_touching_nuclei_a_rim_between_them():
    nuclei = np.zeros((SIZE, SIZE), np.int32)
    nuclei[200:300, 150:200], nuclei[200:300, 200:250] = 1, 2
    cells = np.zeros((SIZE, SIZE), np.int32)
    cells[100:400, 50:200], cells[100:400, 200:350] = 1, 2
    blue = np.where(nuclei, 100, 0).astype(np.uint8)
    regions = cell_regions(CellMaps(nuclei, cells), blue)
    assert (regions.region[210:290, 198:202] == REGIONS.index("rim")).all()
    assert (regions.region[120:180, 198:202] == REGIONS.index("edge")).all()
    np.testing.assert_allclose(regions.depth[250, 197:203], [3, 2, 0.5, 0.5, 2, 3][:6], atol=1.01)


def test_agrees_with_the_slow_version():
    rng = np.random.default_rng(0)
    shape = (150, 200)
    nuclei, cells = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for number, (row, column) in enumerate([(20, 30), (40, 62), (100, 90), (140, 180)], start=1):
        cells[disc(shape, row, column, 33) & (cells == 0)] = number
        nuclei[disc(shape, row, column, 16) & (nuclei == 0)] = number
    cells[nuclei > 0] = nuclei[nuclei > 0]
    blue = np.where(nuclei, rng.integers(60, 160, shape), 2).astype(np.uint8)
    regions = cell_regions(CellMaps(nuclei, cells), blue)
    region, ring, depth, gap = slow.regions_of(nuclei, cells, blue)
    np.testing.assert_allclose(regions.depth, depth, atol=1e-4)
    np.testing.assert_allclose(regions.gap, gap, atol=1e-4)
    # A smoothed pixel may lie on either side of a threshold by rounding.
    assert (np.array(REGIONS)[regions.region] == region).mean() > 0.9995
    assert (regions.ring[cells > 0] == ring[cells > 0]).mean() > 0.999
