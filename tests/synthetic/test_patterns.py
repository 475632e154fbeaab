import numpy as np
import pytest

from hpastack.labels import HPA_2018
from hpastack.synthetic import CELL_LINES, PATTERNS
from hpastack.synthetic.cells import grow_cells

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(8)
    line = CELL_LINES["A-431"]
    return grow_cells(rng, line, 288, 1.0, n_mitotic=1, n_bridges=1, touching=True)


@pytest.fixture(scope="module")
def maps(cells):
    return {name: draw(cells, np.random.default_rng(1)) for name, draw in PATTERNS.items()}


def share(pattern, region):
    """Share of a pattern's light that falls into a region."""
    return pattern[region].sum() / pattern.sum()


def test_every_label_of_the_vocabulary_has_a_pattern_and_no_other():
    assert set(PATTERNS) == set(HPA_2018)


@pytest.mark.parametrize("name", HPA_2018.names)
def test_a_pattern_is_a_finite_map_with_bright_places(cells, maps, name):
    pattern = maps[name]
    assert pattern.shape == cells.shape
    assert np.isfinite(pattern).all()
    assert pattern.min() >= 0
    assert 0.4 < pattern.max() < 3


def test_no_two_patterns_are_alike(maps):
    flat = np.stack([maps[name].ravel() for name in HPA_2018]).astype(float)
    likeness = np.corrcoef(flat) - np.eye(len(flat))
    # Likest are reticulum and cytosol (0.77): both fill the cytoplasm, one as a mesh.
    assert likeness.max() < 0.85


@pytest.mark.parametrize(
    "name",
    [
        "Nucleoplasm", "Nuclear membrane", "Nucleoli", "Nucleoli fibrillar center",
        "Nuclear speckles", "Nuclear bodies",
    ],
)  # fmt: skip
def test_nuclear_patterns_stay_in_the_nuclei(cells, maps, name):
    assert share(maps[name], cells.nucleus) > 0.95


@pytest.mark.parametrize(
    "name",
    [
        "Endoplasmic reticulum", "Golgi apparatus", "Peroxisomes", "Endosomes", "Lysosomes",
        "Lipid droplets", "Mitochondria", "Intermediate filaments", "Aggresome", "Cytosol",
        "Cytoplasmic bodies", "Rods & rings", "Plasma membrane", "Focal adhesion sites",
    ],
)  # fmt: skip
def test_cytoplasmic_patterns_stay_out_of_the_nuclei(cells, maps, name):
    assert share(maps[name], cells.nucleus) < 0.1


def test_the_inner_structure_of_the_nucleus(cells, maps):
    rim = (cells.depth > 0) & (cells.depth < 3)
    in_nucleolus = cells.nucleoli > 0.3
    assert share(maps["Nuclear membrane"], rim) > 0.5
    assert share(maps["Nucleoplasm"], rim) < 0.4
    assert share(maps["Nucleoplasm"], in_nucleolus) < 0.1
    assert share(maps["Nucleoli"], in_nucleolus) > 0.5
    assert share(maps["Nucleoli fibrillar center"], in_nucleolus) > 0.8
    assert share(maps["Nuclear speckles"], in_nucleolus) < 0.15


def test_the_border_of_the_cells(cells, maps):
    border = (cells.edge < 4) & (cells.label > 0)
    brim = (cells.edge < 11) & (cells.label > 0)
    assert share(maps["Plasma membrane"], border) > 0.6
    assert share(maps["Cytosol"], border) < 0.35
    assert share(maps["Focal adhesion sites"], brim) > 0.75
    assert share(maps["Cell junctions"], cells.contacts > 0) > 0.5


def test_the_places_around_the_centrosome(cells, maps):
    rows, columns = np.indices(cells.shape)
    poles = cells.mtoc[cells.resting]
    far = np.min([np.hypot(rows - y, columns - x) for y, x in poles], axis=0)
    assert share(maps["Centrosome"], far < 5) > 0.99
    assert share(maps["Microtubule organizing center"], far < 12) > 0.95
    assert share(maps["Golgi apparatus"], far < 22) > 0.9
    assert share(maps["Aggresome"], far < 12) > 0.5


def test_dividing_cells(cells, maps):
    assert share(maps["Mitotic spindle"], cells.mitotic[cells.label]) > 0.9
    (first, second), *_ = cells.bridges
    middle = (cells.centre[first] + cells.centre[second]) / 2
    rows, columns = np.indices(cells.shape)
    near = np.hypot(rows - middle[0], columns - middle[1]) < 30
    assert share(maps["Cytokinetic bridge"], near) > 0.9


def test_patterns_that_follow_a_reference_stain(cells, maps):
    def likeness(one, other):
        return np.corrcoef(one.ravel(), other.ravel())[0, 1]

    assert likeness(maps["Microtubules"], cells.microtubules) > 0.9
    assert likeness(maps["Endoplasmic reticulum"], cells.reticulum) > 0.9
    assert likeness(maps["Microtubules"], cells.reticulum) < 0.6


def test_a_field_without_dividing_cells_has_no_spindle_and_no_bridge():
    rng = np.random.default_rng(1)
    line = CELL_LINES["U-2 OS"]
    cells = grow_cells(rng, line, 200, 0.75, n_mitotic=0, n_bridges=0, touching=False)
    for name in ("Mitotic spindle", "Cytokinetic bridge"):
        assert PATTERNS[name](cells, rng).max() == 0
