"""Distribution of the protein within each cell: regions, rings, intensity maximum, puncta."""

from __future__ import annotations

import cv2
import numpy as np

from hpastack.features.compartments.regions import N_RINGS, REGIONS, CellRegions
from hpastack.features.grey_levels import N_LEVELS
from hpastack.features.spots.spots import blob_peaks, blob_response

#: Properties measured for each cell.
CELL_PROPERTIES = (
    "level",
    "nuclear_share",
    "nuclear_ratio",
    "rim_ratio",
    "nucleoli_ratio",
    "perinuclear_ratio",
    "edge_ratio",
    "nuclear_cv",
    "cytoplasmic_cv",
    "polarity",
    "spots",
    "peak_to_rim",
    "peak_to_focus",
)

_N_WEDGES = 8
_NUCLEAR = [REGIONS.index(name) for name in ("nucleus", "rim", "nucleoli")]
_CYTOPLASMIC = [REGIONS.index(name) for name in ("perinuclear", "cytoplasm", "edge")]

# Standard deviations of the Gaussian smoothing before finding maxima, in units.
_SPOT = 1.5
_FOCUS = 2.0


def log_ratio(above: np.ndarray, below: np.ndarray | float) -> np.ndarray:
    """Return the log2 ratio of mean grey levels, with one level added to both.

    Parameters
    ----------
    above, below : ndarray of float

    Returns
    -------
    ndarray of float
        Close to 0 for dark regions, where a plain ratio would be dominated by noise.
    """
    return np.log2((above + 1.0) / (below + 1.0))


def cell_table(
    green: np.ndarray,
    red: np.ndarray,
    regions: CellRegions,
    nuclei: dict[str, np.ndarray],
    spots: tuple[np.ndarray, np.ndarray],
    unit: float,
) -> dict[str, np.ndarray]:
    """Measure the distribution of the protein in each cell.

    Parameters
    ----------
    green, red : ndarray of uint8, shape (H, W)
        Grey levels of the protein and of the microtubules.
    regions : CellRegions
    nuclei : dict
        From `nucleus_table`.
    spots : pair of ndarray of int, shape (n,)
        From `protein_spots`.
    unit : float
        Pixels in 1/512 of the longer side of the field.

    Returns
    -------
    dict of str to ndarray of float, shape (n_cells + 1,)
        `CELL_PROPERTIES` indexed by number of the cell; number 0 is the background. ``level``:
        mean, in [0, 1]. ``nuclear_share``: sum in the nucleus divided by the sum in the cell.
        ``*_ratio``: `log_ratio` of mean levels: nucleus to cytoplasm, rim and
        nucleoli to the rest of the nucleus, perinuclear ring and
        cell edge to the cytoplasm between them. ``*_cv``: standard deviation divided by the mean
        plus one level. ``polarity``: distance between the centroids of the nucleus and of the
        protein, in nuclear radii. ``spots``: number of puncta. ``peak_to_rim``,
        ``peak_to_focus``: distance of the brightest point of the protein to the edge of the
        nucleus (negative inside), and to the brightest point of the microtubules
        outside the nucleus, in nuclear radii. A ratio or CV of an empty region is NaN, and so is
        a distance to a point in a stain that is dark throughout; in a cell without protein,
        share and polarity are 0.
    """
    centres = np.stack([nuclei["row"], nuclei["column"]], axis=1)
    radii = np.sqrt(nuclei["area"] / np.pi) * unit
    table = _levels(green, regions, centres, radii)
    table["spots"] = np.bincount(regions.maps.cells[spots], minlength=len(radii)).astype(float)
    table.update(_peaks(green, red, regions, radii, unit))
    return table


def _levels(
    green: np.ndarray, regions: CellRegions, centres: np.ndarray, radii: np.ndarray
) -> dict[str, np.ndarray]:
    n_cells, n_regions = len(radii), len(REGIONS)
    inside = np.flatnonzero(regions.maps.cells)
    cell = regions.maps.cells.ravel()[inside]
    key = cell.astype(np.intp) * n_regions + regions.region.ravel()[inside]
    level = green.ravel()[inside].astype(np.float64)

    def total(weights: np.ndarray | None = None) -> np.ndarray:
        size = n_cells * n_regions
        return np.bincount(key, weights, size).reshape(n_cells, n_regions).astype(float)

    counts, sums, squares = total(), total(level), total(level**2)

    def mean(*of: int) -> np.ndarray:
        n = counts[:, of].sum(axis=1)
        return np.where(n > 0, sums[:, of].sum(axis=1) / np.maximum(n, 1), np.nan)

    def variation(*of: int) -> np.ndarray:
        n = np.maximum(counts[:, of].sum(axis=1), 1)
        variance = squares[:, of].sum(axis=1) / n - (sums[:, of].sum(axis=1) / n) ** 2
        return np.sqrt(np.maximum(variance, 0)) / (mean(*of) + 1)

    of_region = {name: mean(position) for position, name in enumerate(REGIONS)}
    in_cell = sums.sum(axis=1)
    weight = np.where(in_cell > 0, in_cell, 1)
    rows, columns = np.divmod(inside, green.shape[1])
    off = np.hypot(
        np.bincount(cell, level * rows, n_cells) / weight - centres[:, 0],
        np.bincount(cell, level * columns, n_cells) / weight - centres[:, 1],
    )
    return {
        "level": mean(*range(n_regions)) / (N_LEVELS - 1),
        "nuclear_share": sums[:, _NUCLEAR].sum(axis=1) / weight,
        "nuclear_ratio": log_ratio(mean(*_NUCLEAR), mean(*_CYTOPLASMIC)),
        "rim_ratio": log_ratio(of_region["rim"], of_region["nucleus"]),
        "nucleoli_ratio": log_ratio(of_region["nucleoli"], of_region["nucleus"]),
        "perinuclear_ratio": log_ratio(of_region["perinuclear"], of_region["cytoplasm"]),
        "edge_ratio": log_ratio(of_region["edge"], of_region["cytoplasm"]),
        "nuclear_cv": variation(*_NUCLEAR),
        "cytoplasmic_cv": variation(*_CYTOPLASMIC),
        "polarity": np.where(in_cell > 0, off / radii, 0.0),
    }


def protein_spots(green: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the puncta of the protein in a field.

    Parameters
    ----------
    green : ndarray of uint8, shape (H, W)
        In grey levels.
    unit : float
        Pixels in 1/512 of the longer side of the field.

    Returns
    -------
    rows, columns : ndarray of int, shape (n,)
    """
    difference, _, least = blob_response(green, max(_SPOT * unit, 0.7))
    return blob_peaks(difference, least)


def _peaks(
    green: np.ndarray, red: np.ndarray, regions: CellRegions, radii: np.ndarray, unit: float
) -> dict[str, np.ndarray]:
    """Return the distances of the brightest point of the protein to nuclear edge and red focus."""
    cells = regions.maps.cells
    peak = _brightest(green, cells, _SPOT * unit, len(radii))
    outside = np.where(regions.maps.nuclei > 0, 0, cells)
    focus = _brightest(red, outside, _FOCUS * unit, len(radii))
    known = ~np.isnan(peak[:, 0])
    rows, columns = np.where(known[:, None], peak, 0).astype(np.intp).T
    distance = regions.gap[rows, columns] - regions.depth[rows, columns]
    return {
        "peak_to_rim": np.where(known, distance, np.nan) / radii,
        "peak_to_focus": np.hypot(*(peak - focus).T) / radii,
    }


def _brightest(levels: np.ndarray, labels: np.ndarray, sd: float, n_labels: int) -> np.ndarray:
    """Return row and column of the brightest smoothed pixel of each label; NaN if all are 0.

    Shape (n_labels, 2); label 0 is the background.
    """
    smooth = cv2.GaussianBlur(levels.astype(np.float32), (0, 0), max(sd, 0.5))
    inside = np.flatnonzero(labels)
    numbers, values = labels.ravel()[inside], smooth.ravel()[inside]
    highest = np.zeros(n_labels, np.float32)
    np.maximum.at(highest, numbers, values)
    top = inside[(values == highest[numbers]) & (values > 0)]
    first, where = np.unique(labels.ravel()[top], return_index=True)
    places = np.full((n_labels, 2), np.nan)
    places[first] = np.stack(np.divmod(top[where], labels.shape[1]), axis=1)
    return places


def ring_profile(
    levels: np.ndarray, cells: np.ndarray, ring: np.ndarray, centres: np.ndarray, n_rings: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the radial profile of a stain from the centre of each cell outwards.

    Parameters
    ----------
    levels : ndarray of uint8, shape (H, W)
    cells : ndarray of int32, shape (H, W)
        Number of the cell, from 1; 0 outside.
    ring : ndarray of uint8, shape (H, W)
        Below `n_rings` within cells.
    centres : ndarray of float, shape (n_cells + 1, 2)
        Row and column of the centre, indexed by number of the cell.
    n_rings : int

    Returns
    -------
    means : ndarray of float, shape (n_cells + 1, n_rings)
        Mean level of each ring; NaN if it has no pixels.
    variations : ndarray of float, shape (n_cells + 1, n_rings)
        Radial CV: standard deviation of the means of the ring's eight wedges of 45
        degrees, divided by their mean plus one level; NaN if it has no pixels.

    References
    ----------
    .. [1] D. R. Stirling et al., "CellProfiler 4: improvements in speed,
       utility and usability", BMC Bioinformatics 22, 433, 2021.
       :doi:`10.1186/s12859-021-04344-9`
    """
    inside = np.flatnonzero(cells)
    cell = cells.ravel()[inside]
    rows, columns = np.divmod(inside, levels.shape[1])
    down, right = rows - centres[cell, 0], columns - centres[cell, 1]
    wedge = (down > 0) + 2 * (right > 0) + 4 * (np.abs(down) > np.abs(right))
    shape = (len(centres), n_rings, _N_WEDGES)
    key = (cell.astype(np.intp) * n_rings + ring.ravel()[inside]) * _N_WEDGES + wedge
    size = int(np.prod(shape))
    counts = np.bincount(key, minlength=size).reshape(shape)
    sums = np.bincount(key, levels.ravel()[inside].astype(np.float64), size).reshape(shape)

    in_ring = counts.sum(axis=2)
    means = np.where(in_ring > 0, sums.sum(axis=2) / np.maximum(in_ring, 1), np.nan)
    present = counts > 0
    n_wedges = np.maximum(present.sum(axis=2), 1)
    of_wedges = sums / np.maximum(counts, 1)
    middle = of_wedges.sum(axis=2) / n_wedges
    apart = np.where(present, of_wedges - middle[..., None], 0.0)
    variations = np.sqrt((apart**2).sum(axis=2) / n_wedges) / (middle + 1)
    return means, np.where(in_ring > 0, variations, np.nan)


def cell_rings(
    green: np.ndarray, regions: CellRegions, nuclei: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the radial profile of the protein from the centre of each nucleus to its cell edge.

    Parameters
    ----------
    green : ndarray of uint8, shape (H, W)
    regions : CellRegions
    nuclei : dict
        From `nucleus_table`.

    Returns
    -------
    means, variations : ndarray of float, shape (n_cells + 1, 2 * N_RINGS)
        As `ring_profile`.
    """
    centres = np.stack([nuclei["row"], nuclei["column"]], axis=1)
    return ring_profile(green, regions.maps.cells, regions.ring, centres, 2 * N_RINGS)
