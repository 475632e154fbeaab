"""Subcellular distribution of the protein: regions, rings, and statistics of cells and nuclei."""

from __future__ import annotations

import cv2
import numpy as np

from hpastack.features.compartments.nuclei import NUCLEUS_PROPERTIES, nucleus_table, whole_nuclei
from hpastack.features.compartments.protein import (
    CELL_PROPERTIES,
    cell_rings,
    cell_table,
    log_ratio,
    protein_spots,
)
from hpastack.features.compartments.regions import N_RINGS, REGIONS, CellRegions, cell_regions
from hpastack.features.grey_levels import N_LEVELS, field_levels, histogram_quantiles
from hpastack.features.segmentation import CellMaps, field_unit, segment_cells
from hpastack.fields import STAIN_INDEX

#: Maximum longer side of a field in pixels; larger fields are downsampled.
MAX_SIDE = 1024

_SUMMARIES = {
    "mean": "mean",
    "sd": "sd",
    "p10": "10th percentile",
    "p50": "median",
    "p90": "90th percentile",
}

_REGION_WORDS = {
    "outside": "outside cells",
    "nucleus": "in nuclei without rims and nucleoli",
    "rim": "in nuclear rims",
    "nucleoli": "in nucleoli",
    "perinuclear": "in the perinuclear rings",
    "cytoplasm": "in the cytoplasm without perinuclear rings and edges",
    "edge": "at cell edges",
}

_NUCLEUS_WORDS = {
    "area": "area in (field/512)^2",
    "eccentricity": "eccentricity, 0 for a circle",
    "solidity": "solidity",
    "form_factor": "form factor, 1 for a disc",
    "level": "mean intensity of blue",
    "cv": "coefficient of variation (CV) of blue",
    "nucleoli": "area fraction of nucleoli",
}

_CELL_WORDS = {
    "level": "mean intensity of green",
    "nuclear_share": "fraction of green in the nucleus",
    "nuclear_ratio": "log2 ratio of green, nucleus to cytoplasm",
    "rim_ratio": "log2 ratio of green, nuclear rim to inner nucleus",
    "nucleoli_ratio": "log2 ratio of green, nucleoli to inner nucleus",
    "perinuclear_ratio": "log2 ratio of green, perinuclear ring to cytoplasm",
    "edge_ratio": "log2 ratio of green, cell edge to cytoplasm",
    "nuclear_cv": "CV of green in the nucleus",
    "cytoplasmic_cv": "CV of green in the cytoplasm",
    "polarity": "centroid distance, nucleus to green, in nuclear radii",
    "spots": "number of puncta of green",
    "peak_to_rim": "green maximum to nuclear edge in radii, < 0 inside",
    "peak_to_focus": "distance, green maximum to red maximum, in nuclear radii",
}


def _meanings() -> dict[str, str]:
    meanings = {
        "compartments_no_nucleus__blue": "1 if no nucleus was found in blue, else 0",
        "compartments_nuclei__blue": "number of nuclei in blue, including those cut by the border",
        "compartments_whole_nuclei__blue": "number of nuclei in blue not cut by the border",
        "compartments_nuclei_area__blue": "area fraction of the field covered by nuclei (blue)",
        "compartments_cells_area__field": "area fraction of the field covered by cells",
        "compartments_nuclei_apart__blue": (
            "median nearest-neighbour distance of nuclei in blue, in field/512 (NaN below two)"
        ),
    }
    for name in NUCLEUS_PROPERTIES:
        for summary, words in _SUMMARIES.items():
            meanings[f"compartments_nucleus_{name}_{summary}__blue"] = (
                f"whole nuclei in blue: {_NUCLEUS_WORDS[name]}, {words} (NaN if none)"
            )
    for region in REGIONS:
        meanings[f"compartments_share_{region}__green"] = (
            f"fraction of the signal of green {_REGION_WORDS[region]}"
        )
    for region in REGIONS:
        meanings[f"compartments_ratio_{region}__green"] = (
            f"log2 ratio of green {_REGION_WORDS[region]} to the field (NaN if none)"
        )
    for ring in range(2 * N_RINGS):
        kind = "nuclear" if ring < N_RINGS else "cytoplasmic"
        place = f"{kind} ring {ring % N_RINGS + 1} of {N_RINGS}"
        meanings[f"compartments_ring_mean_{ring + 1}__green"] = (
            f"whole cells: log2 ratio of green in {place} to the cell, mean (NaN if none)"
        )
        meanings[f"compartments_ring_cv_{ring + 1}__green"] = (
            f"whole cells: radial CV of green in {place}, mean (NaN if none)"
        )
    meanings["compartments_spots_nuclear__green"] = (
        "fraction of the puncta of green in cells that are in nuclei (NaN if none)"
    )
    meanings["compartments_spots_to_rim__green"] = (
        "mean distance of puncta of green to nuclear edges, < 0 inside, in field/512 (NaN if none)"
    )
    for name in CELL_PROPERTIES:
        for summary, words in _SUMMARIES.items():
            meanings[f"compartments_cell_{name}_{summary}__green"] = (
                f"whole cells: {_CELL_WORDS[name]}, {words} (NaN if none)"
            )
    return meanings


#: Description of each value, in the order of `compartment_features`. A cell is whole if its nucleus
#: is not cut by the border.
MEANINGS = _meanings()

#: Columns that are NaN for a field without the measured object.
UNDEFINED = frozenset(
    name
    for name in MEANINGS
    if name.removeprefix("compartments_").startswith(
        ("nuclei_apart", "nucleus_", "ratio_", "ring_", "spots_", "cell_")
    )
)


def compartment_features(field: np.ndarray) -> dict[str, float]:
    """Measure the subcellular distribution of the protein in the cells of a field.

    Nuclei and cells are segmented by `segment_cells`, and partitioned into regions and
    rings by `cell_regions`. Fields larger than 1,024 px are downsampled first.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1].

    Returns
    -------
    dict of str to float
        The columns of `MEANINGS`: whether there is no nucleus, counts and
        areas; summary statistics of `nucleus_table` over nuclei; the fraction of the signal of
        green (minus its 1st percentile, which removes a uniform background) in
        each region, and ``log2((a + 1) / (b + 1))`` of the mean grey levels `a` of the region
        and `b` of the field; the same for each ring and its cell, and
        the radial CV of the ring; the positions of puncta; summary statistics of
        `cell_table` over cells. Lengths are in 1/512 of the longer side of the field, or in radii
        of the disc with the area of the cell's nucleus.

    Raises
    ------
    InputError
        If `field` does not have that shape or range.

    Notes
    -----
    Statistics of cells, nuclei and rings exclude cells whose nucleus is cut by the border;
    fractions, ratios, puncta and distances between nuclei include all. A value is NaN if there
    is nothing to measure: no such cell, no pixel of such a region, no punctum. Fractions sum to
    1, and are all 0 if green has no signal above its 1st percentile. Without any nucleus,
    `no_nucleus` is 1, all counts, areas and fractions are 0 (except the fraction outside
    cells), the ratio outside is 0, and everything else is NaN.
    """
    levels = field_levels(field)
    scale = MAX_SIDE / max(levels.shape[1:])
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in levels.shape[1:])
        levels = np.stack(
            [cv2.resize(stain, (width, height), None, 0, 0, cv2.INTER_AREA) for stain in levels]
        )
    return measure_compartments(levels, segment_cells(levels))


def measure_compartments(levels: np.ndarray, maps: CellMaps) -> dict[str, float]:
    """Measure the subcellular distribution of the protein in segmented cells.

    Parameters
    ----------
    levels : ndarray of uint8, shape (4, H, W)
        Grey levels of the stains red, green, blue, yellow.
    maps : CellMaps
        Nuclei and cells, from `segment_cells` or from elsewhere.

    Returns
    -------
    dict of str to float
        As `compartment_features`.
    """
    red, green, blue = (levels[STAIN_INDEX[stain]] for stain in ("red", "green", "blue"))
    values = dict.fromkeys(MEANINGS, np.nan)
    values["compartments_no_nucleus__blue"] = float(maps.n_nuclei == 0)
    values["compartments_nuclei__blue"] = float(maps.n_nuclei)
    values["compartments_whole_nuclei__blue"] = 0.0
    values["compartments_nuclei_area__blue"] = float(np.count_nonzero(maps.nuclei) / green.size)
    values["compartments_cells_area__field"] = float(np.count_nonzero(maps.cells) / green.size)
    if maps.n_nuclei == 0:
        return values | _shares(green, np.zeros(green.shape, np.uint8))
    regions = cell_regions(maps, blue)
    return values | _shares(green, regions.region) | _of_cells(red, green, blue, regions)


def _shares(green: np.ndarray, region: np.ndarray) -> dict[str, float]:
    """Return the fraction of the signal in each region, and its level relative to the field."""
    joint = np.bincount(
        region.ravel().astype(np.intp) * N_LEVELS + green.ravel(),
        minlength=len(REGIONS) * N_LEVELS,
    ).reshape(len(REGIONS), N_LEVELS)
    background = float(histogram_quantiles(joint.sum(axis=0), [0.01])[0])
    levels = np.arange(N_LEVELS)
    signal = joint @ np.maximum(levels - background, 0)
    shares = signal / signal.sum() if signal.any() else signal
    counts = joint.sum(axis=1)
    means = joint @ levels / np.maximum(counts, 1)
    overall = float((joint @ levels).sum() / counts.sum())
    ratios = np.where(counts > 0, log_ratio(means, overall), np.nan)
    return {
        **{f"compartments_share_{n}__green": float(v) for n, v in zip(REGIONS, shares)},
        **{f"compartments_ratio_{n}__green": float(v) for n, v in zip(REGIONS, ratios)},
    }


def _of_cells(
    red: np.ndarray, green: np.ndarray, blue: np.ndarray, regions: CellRegions
) -> dict[str, float]:
    unit = field_unit(green.shape)
    whole = whole_nuclei(regions.maps.nuclei)
    nuclei = nucleus_table(regions, blue, unit)
    values = {"compartments_whole_nuclei__blue": float(np.count_nonzero(whole))}
    if len(whole) > 2:
        rows, columns = (nuclei[axis][1:] for axis in ("row", "column"))
        apart = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
        np.fill_diagonal(apart, np.inf)
        values["compartments_nuclei_apart__blue"] = float(np.median(apart.min(axis=1)) / unit)
    for name in NUCLEUS_PROPERTIES:
        values |= _summarise(f"compartments_nucleus_{name}", "blue", nuclei[name][whole])

    spots = protein_spots(green, unit)
    cells = cell_table(green, red, regions, nuclei, spots, unit)
    for name in CELL_PROPERTIES:
        values |= _summarise(f"compartments_cell_{name}", "green", cells[name][whole])
    means, variations = cell_rings(green, regions, nuclei)
    logs = log_ratio(means, cells["level"][:, None] * (N_LEVELS - 1))
    for ring in range(2 * N_RINGS):
        for name, table in (("mean", logs), ("cv", variations)):
            known = table[whole, ring]
            known = known[~np.isnan(known)]
            if len(known):
                values[f"compartments_ring_{name}_{ring + 1}__green"] = float(known.mean())
    return values | _of_spots(spots, regions, unit)


def _of_spots(
    spots: tuple[np.ndarray, np.ndarray], regions: CellRegions, unit: float
) -> dict[str, float]:
    rows, columns = spots
    in_cell = regions.maps.cells[rows, columns] > 0
    rows, columns = rows[in_cell], columns[in_cell]
    if not len(rows):
        return {}
    distance = (regions.gap[rows, columns] - regions.depth[rows, columns]) / unit
    return {
        "compartments_spots_nuclear__green": float((regions.maps.nuclei[rows, columns] > 0).mean()),
        "compartments_spots_to_rim__green": float(distance.mean()),
    }


def _summarise(name: str, stain: str, values: np.ndarray) -> dict[str, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    statistics = (known.mean(), known.std(), *np.quantile(known, (0.1, 0.5, 0.9)))
    return {f"{name}_{summary}__{stain}": float(v) for summary, v in zip(_SUMMARIES, statistics)}
