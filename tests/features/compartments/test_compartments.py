"""Compartments: proteins put in one place, against the slow version and cp_measure, degenerate."""

import cp_measure.core.measureobjectintensitydistribution as peer
import numpy as np
import pytest
from drawn_cells import disc, round_cells
from reference import compartments as slow
from scipy import ndimage
from skimage.graph import MCP_Geometric

import hpastack as hs
from hpastack.features import CellMaps, segment_cells
from hpastack.features.compartments.compartments import MAX_SIDE, MEANINGS, compartment_features
from hpastack.features.compartments.compartments import measure_compartments as measure
from hpastack.features.compartments.protein import ring_profile
from hpastack.features.grey_levels import grey_levels

pytestmark = pytest.mark.core

CENTRES = [(120, 130), (130, 380), (370, 250)]
NUCLEUS, CELL = 30, 75


@pytest.fixture(scope="module")
def cells():
    return round_cells(512, CENTRES, NUCLEUS, CELL)


def with_green(cells, low, high):
    """Put green at a distance between two radii from the centre of each nucleus."""
    field = cells.copy()
    rows, columns = np.indices(field.shape[1:])
    for row, column in CENTRES:
        away = np.hypot(rows - row, columns - column)
        field[1][(away >= low) & (away < high)] = 0.5
    return field


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ("nucleus", 0, 25),
        ("rim", 29, 31),
        ("perinuclear", 32, 34.5),
        ("cytoplasm", 40, 60),
    ],
)
def test_the_share_lies_where_the_protein_was_put(cells, place, low, high):
    values = compartment_features(with_green(cells, low, high))
    shares = {n: v for n, v in values.items() if n.startswith("compartments_share")}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[f"compartments_share_{place}__green"] > 0.6
    ratios = {n: v for n, v in values.items() if n.startswith("compartments_ratio")}
    ratios.pop("compartments_ratio_nucleoli__green")  # there are none
    assert max(ratios, key=ratios.get) == f"compartments_ratio_{place}__green"


def test_green_in_the_nucleus_worked_by_hand(cells):
    values = compartment_features(with_green(cells, 0, NUCLEUS + 0.5))
    assert values["compartments_nuclei__blue"] == values["compartments_whole_nuclei__blue"] == 3
    assert values["compartments_no_nucleus__blue"] == 0
    area = np.pi * NUCLEUS**2
    assert values["compartments_nucleus_area_mean__blue"] == pytest.approx(area, rel=0.05)
    assert values["compartments_nuclei_area__blue"] == pytest.approx(3 * area / 512**2, rel=0.05)
    apart = np.median([np.hypot(10, 250)] * 2 + [np.hypot(240, 130)])
    assert values["compartments_nuclei_apart__blue"] == pytest.approx(apart, rel=0.01)
    assert values["compartments_cell_nuclear_share_mean__green"] > 0.97
    # Level 128 against next to none.
    assert values["compartments_cell_nuclear_ratio_p50__green"] > 5
    assert values["compartments_cell_nuclear_cv_mean__green"] < 0.25
    assert values["compartments_cell_polarity_mean__green"] < 0.05
    assert values["compartments_cell_peak_to_rim_mean__green"] < -0.1
    means = [values[f"compartments_ring_mean_{k}__green"] for k in range(1, 9)]
    assert min(means[:3]) > 1 > 0 > max(means[5:])


def test_a_spot_beside_the_nucleus(cells):
    field = cells.copy()
    for row, column in CENTRES:
        field[1][disc((512, 512), row, column + 50, 2)] = 0.9
        field[0][disc((512, 512), row + 45, column, 3)] = 1  # where the microtubules meet
    values = compartment_features(field)
    assert values["compartments_cell_spots_mean__green"] == 1
    assert values["compartments_spots_nuclear__green"] == 0
    assert values["compartments_spots_to_rim__green"] == pytest.approx(50 - NUCLEUS, abs=2)
    rim = (50 - NUCLEUS) / NUCLEUS
    assert values["compartments_cell_peak_to_rim_mean__green"] == pytest.approx(rim, abs=0.1)
    focus = np.hypot(45, 50) / NUCLEUS
    assert values["compartments_cell_peak_to_focus_mean__green"] == pytest.approx(focus, rel=0.05)
    assert values["compartments_cell_polarity_mean__green"] == pytest.approx(50 / NUCLEUS, rel=0.05)


def test_the_focus_of_red_lies_outside_the_nucleus(cells):
    field = cells.copy()
    for row, column in CENTRES:
        field[0][disc((512, 512), row, column, 4)] = 1  # brighter, and in the nucleus
        field[0][disc((512, 512), row, column + 45, 3)] = 0.95
        field[1][disc((512, 512), row, column, 3)] = 0.9
    values = compartment_features(field)
    way = values["compartments_cell_peak_to_focus_mean__green"]
    assert way == pytest.approx(45 / NUCLEUS, rel=0.05)


def test_the_way_between_two_nuclei_and_none_of_one():
    two = round_cells(512, CENTRES[:2], NUCLEUS, CELL)
    apart = compartment_features(two)["compartments_nuclei_apart__blue"]
    assert apart == pytest.approx(np.hypot(10, 250), rel=0.01)
    one = round_cells(512, CENTRES[:1], NUCLEUS, CELL)
    assert np.isnan(compartment_features(one)["compartments_nuclei_apart__blue"])


def test_shares_are_zero_where_green_is_even(cells):
    field = cells.copy()
    field[1] = 0.2
    values = compartment_features(field)
    assert {v for n, v in values.items() if n.startswith("compartments_share")} == {0.0}


def test_a_protein_on_one_side_varies_around_its_rings(cells):
    field = with_green(cells, 35, 60)
    even = compartment_features(field)
    rows, columns = np.indices((512, 512))
    for row, column in CENTRES:
        field[1][(columns < column) & (np.hypot(rows - row, columns - column) < CELL)] = 0
    uneven = compartment_features(field)
    assert uneven["compartments_ring_cv_6__green"] > 0.8 > even["compartments_ring_cv_6__green"]
    assert uneven["compartments_cell_polarity_mean__green"] > 0.5


@pytest.mark.parametrize(("size", "labels"), [(128, "0 25"), (200, "16 21"), (256, "2 5 23")])
def test_agrees_with_the_slow_version(size, labels):
    levels = np.stack([grey_levels(s) for s in hs.draw_field(labels, size=size, seed=size)])
    maps = segment_cells(levels)
    assert maps.n_nuclei > 2
    values, expected = (
        measure(levels, maps),
        slow.compartments_of_maps(levels, maps.nuclei, maps.cells),
    )
    assert list(values) == list(expected) == list(MEANINGS)
    loose = ("solidity", "form_factor", "eccentricity")  # other definitions: see test_nuclei
    for name, value in expected.items():
        if not any(word in name for word in loose):
            # Sums in single and double precision put a pixel or two into another ring.
            assert values[name] == pytest.approx(value, rel=2e-3, abs=2e-3, nan_ok=True), name


def test_cells_found_the_straightforward_way_give_much_the_same():
    field = hs.draw_field("25 2", size=256, seed=5, cell_line="U-2 OS")
    values, expected = compartment_features(field), slow.compartments_of_field(field)
    for region in ("nucleus", "cytoplasm", "outside"):
        name = f"compartments_share_{region}__green"
        assert values[name] == pytest.approx(expected[name], abs=0.05)
    assert values["compartments_nuclei__blue"] == expected["compartments_nuclei__blue"]


def test_rings_agree_with_cp_measure():
    """Given the same rings: theirs run from the deepest pixel, along steps of 1 and 1.41."""
    rng = np.random.default_rng(0)
    shape = (90, 200)
    cells = np.zeros(shape, np.int32)
    cells[disc(shape, 45, 45, 40)], cells[disc(shape, 44, 140, 35)] = 1, 2
    levels = np.where(cells, rng.integers(100, 250, shape), 0).astype(np.uint8)
    ring = np.zeros(shape, np.uint8)
    centres = np.zeros((3, 2))
    for number in (1, 2):
        own = cells == number
        edge = ndimage.distance_transform_edt(own)
        centres[number] = np.unravel_index(np.argmax(edge), shape)
        cost = np.where(own, 1.0, -1.0)
        steps, _ = MCP_Geometric(cost).find_costs([centres[number].astype(int)])
        ring[own] = (4 * steps[own] / (steps[own] + edge[own] + 0.001)).astype(int)
    means, variations = ring_profile(levels, cells, ring, centres, 4)
    theirs = peer.get_radial_distribution(cells, levels.astype(float), bin_count=4)
    for k in range(4):
        for number in (1, 2):
            level = levels[cells == number].mean()
            found = means[number, k] / level
            # Propagation rounds steps: a pixel in a hundred lies in another ring.
            expected = theirs[f"RadialDistribution_MeanFrac_{k + 1}of4"][number - 1]
            assert found == pytest.approx(expected, rel=0.01)
            # Ours adds a grey level below, so that the dark is not noise.
            found = variations[number, k] * (means[number, k] + 1) / means[number, k]
            expected = theirs[f"RadialDistribution_RadialCV_{k + 1}of4"][number - 1]
            assert found == pytest.approx(expected, rel=0.1, abs=0.005)


@pytest.mark.parametrize("green", [0.0, 0.3, 1.0])
def test_without_a_nucleus_every_value_is_the_documented_one(green):
    field = np.zeros((4, 64, 64))
    field[1, :, 20:40] = green
    values = compartment_features(field)
    assert list(values) == list(MEANINGS)
    expected = {
        "compartments_no_nucleus__blue": 1,
        "compartments_share_outside__green": float(green > 0),
        "compartments_ratio_outside__green": 0,
    }
    for name, value in values.items():
        if "NaN" in MEANINGS[name] and name not in expected:
            assert np.isnan(value), name
        else:
            assert value == expected.get(name, 0), name


def test_a_cut_nucleus_counts_for_shares_and_not_for_cells(cells):
    field = with_green(cells, 0, NUCLEUS)[:, 120:200, 130:240]
    values = compartment_features(field)
    assert values["compartments_nuclei__blue"] == 1
    assert values["compartments_whole_nuclei__blue"] == 0
    assert values["compartments_share_outside__green"] < 0.1
    assert np.isnan(values["compartments_cell_level_mean__green"])
    assert np.isnan(values["compartments_nucleus_area_mean__blue"])


def test_a_cell_of_nothing_but_its_nucleus_has_no_cytoplasm():
    nuclei = disc((128, 128), 60, 60, 15).astype(np.int32)
    levels = np.zeros((4, 128, 128), np.uint8)
    levels[1:3, nuclei > 0] = 100
    values = measure(levels, CellMaps(nuclei, nuclei.copy()))
    assert np.isnan(values["compartments_cell_nuclear_ratio_mean__green"])
    assert np.isnan(values["compartments_cell_peak_to_focus_mean__green"])
    assert values["compartments_cell_nuclear_share_mean__green"] == 1


@pytest.mark.long
def test_a_field_of_another_size_gives_much_the_same_values():
    small = compartment_features(hs.draw_field("25 0", size=512, seed=4))
    large = hs.draw_field("25 0", size=512, seed=4).repeat(4, axis=1).repeat(4, axis=2)
    assert large.shape[1] > MAX_SIDE
    values = compartment_features(large)
    for name in ("share_nucleus", "share_cytoplasm", "cell_nuclear_share_mean"):
        name = f"compartments_{name}__green"
        assert values[name] == pytest.approx(small[name], abs=0.03)
    name = "compartments_nucleus_area_mean__blue"
    assert values[name] == pytest.approx(small[name], rel=0.05)
