"""Regions and rings of a cell, from the centre of its nucleus to its edge."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hpastack.features.segmentation import CellMaps, distance_inside, field_unit

#: The regions that partition a field, by their code in `CellRegions.region`.
REGIONS = (
    "outside",
    "nucleus",
    "rim",
    "nucleoli",
    "perinuclear",
    "cytoplasm",
    "edge",
)

#: Number of rings from the centre to the rim of a nucleus, and from there to the cell edge.
N_RINGS = 4

# Widths, in 1/512 of the field's longer side: about 0.6, 1.3 and 1 micrometre.
_RIM = 2.0
_PERINUCLEAR = 4.0
_EDGE = 3.0

# A nucleolus is darker than this fraction of the median of its nucleus in blue, lies inside the
# rim, and has at least this area in square units.
_HOLE_DARKNESS = 0.72
_SMALLEST_HOLE = 5.0


@dataclass(frozen=True)
class CellRegions:
    """Region, ring and distances to nuclear edges of the pixels of a field.

    Attributes
    ----------
    maps : CellMaps
    region : ndarray of uint8, shape (H, W)
        Index in `REGIONS`.
    ring : ndarray of uint8, shape (H, W)
        From 0 at the centre of a nucleus to `N_RINGS` - 1 at its rim, and on to
        ``2 * N_RINGS - 1`` at the edge of its cell; arbitrary outside cells.
    depth : ndarray of float32, shape (H, W)
        Distance to the nearest pixel outside the nucleus, in pixels; 0 outside.
    gap : ndarray of float32, shape (H, W)
        Distance to the nearest nucleus, in pixels; 0 inside.
    """

    maps: CellMaps
    region: np.ndarray
    ring: np.ndarray
    depth: np.ndarray
    gap: np.ndarray


def cell_regions(maps: CellMaps, blue_levels: np.ndarray) -> CellRegions:
    """Partition cells into nucleus, rim, nucleoli, perinuclear ring, cytoplasm, edge, and rings.

    Parameters
    ----------
    maps : CellMaps
        With at least one nucleus.
    blue_levels : ndarray of uint8, shape (H, W)
        The nuclear stain in grey levels; nucleoli are its dark holes.

    Returns
    -------
    CellRegions

    Notes
    -----
    Each pixel belongs to one region: within a nucleus the rim takes precedence over the
    nucleoli, in the cytoplasm the perinuclear ring over the edge of the cell. The
    rim is at least one pixel wide.
    """
    unit = field_unit(blue_levels.shape)
    nucleus = maps.nuclei > 0
    cell = maps.cells > 0
    depth = _depth(maps.nuclei)
    edge = _depth(maps.cells)
    gap = distance_inside((~nucleus).astype(np.uint8))

    region = np.zeros(nucleus.shape, np.uint8)
    region[cell] = REGIONS.index("cytoplasm")
    region[cell & (edge <= max(_EDGE * unit, 1))] = REGIONS.index("edge")
    region[cell & (gap <= max(_PERINUCLEAR * unit, 1))] = REGIONS.index("perinuclear")
    region[nucleus] = REGIONS.index("nucleus")
    region[_nucleoli(maps.nuclei, blue_levels, unit)] = REGIONS.index("nucleoli")
    region[nucleus & (depth <= max(_RIM * unit, 1))] = REGIONS.index("rim")
    return CellRegions(maps, region, _rings(maps.nuclei, depth, gap, edge), depth, gap)


def _depth(labels: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel to the nearest pixel of another label or of background."""
    inner = labels > 0
    # In a binary mask, touching labels would merge: their border pixels are set to outside.
    for here, there in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        touch = (labels[here] != labels[there]) & (labels[here] > 0) & (labels[there] > 0)
        inner[here] &= ~touch
        inner[there] &= ~touch
    depth = distance_inside(inner.astype(np.uint8))
    depth[(labels > 0) & ~inner] = 0.5
    return depth


def _nucleoli(nuclei: np.ndarray, blue_levels: np.ndarray, unit: float) -> np.ndarray:
    smooth = cv2.GaussianBlur(blue_levels.astype(np.float32), (0, 0), max(unit, 0.5))
    inside = np.flatnonzero(nuclei)
    numbers, values = nuclei.ravel()[inside], smooth.ravel()[inside]
    order = np.lexsort((values, numbers))
    counts = np.bincount(numbers, minlength=int(nuclei.max()) + 1)
    starts = np.cumsum(counts) - counts
    medians = np.zeros(len(counts), np.float32)
    medians[1:] = values[order][(starts + counts // 2)[1:]]
    dark = np.zeros(nuclei.size, np.uint8)
    dark[inside] = values < _HOLE_DARKNESS * medians[numbers]
    _, parts, table, _ = cv2.connectedComponentsWithStats(
        dark.reshape(nuclei.shape), connectivity=4
    )
    large = table[:, cv2.CC_STAT_AREA] >= _SMALLEST_HOLE * unit**2
    large[0] = False
    return large[parts]


def _rings(nuclei: np.ndarray, depth: np.ndarray, gap: np.ndarray, edge: np.ndarray) -> np.ndarray:
    deepest = np.ones(int(nuclei.max()) + 1, np.float32)
    np.maximum.at(deepest, nuclei.ravel(), depth.ravel())
    inside = 1 - depth / deepest[nuclei]
    outside = 1 + gap / np.maximum(gap + edge, 1e-6)
    position = np.where(nuclei > 0, inside, outside)
    return np.minimum(position * N_RINGS, 2 * N_RINGS - 1).astype(np.uint8)
