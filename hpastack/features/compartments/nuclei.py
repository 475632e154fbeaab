"""Shape and blue intensity of each nucleus."""

from __future__ import annotations

import cv2
import numpy as np

from hpastack.features.compartments.regions import REGIONS, CellRegions
from hpastack.features.grey_levels import N_LEVELS
from hpastack.features.shapes import part_shapes

#: Properties measured by `nucleus_table`, besides the position.
NUCLEUS_PROPERTIES = ("area", "eccentricity", "solidity", "form_factor", "level", "cv", "nucleoli")


def whole_nuclei(nuclei: np.ndarray) -> np.ndarray:
    """Return which nuclei are not cut by the image border.

    Parameters
    ----------
    nuclei : ndarray of int32, shape (H, W)
        Numbered from 1.

    Returns
    -------
    ndarray of bool, shape (n_nuclei + 1,)
        Indexed by number; False for 0, the background.
    """
    whole = np.ones(int(nuclei.max()) + 1, bool)
    for side in (nuclei[0], nuclei[-1], nuclei[:, 0], nuclei[:, -1]):
        whole[side] = False
    whole[0] = False
    return whole


def nucleus_table(
    regions: CellRegions, blue_levels: np.ndarray, unit: float
) -> dict[str, np.ndarray]:
    """Measure each nucleus.

    Parameters
    ----------
    regions : CellRegions
    blue_levels : ndarray of uint8, shape (H, W)
    unit : float
        Pixels in 1/512 of the longer side of the field.

    Returns
    -------
    dict of str to ndarray of float, shape (n_nuclei + 1,)
        Indexed by number of the nucleus; number 0 is the background. ``row`` and ``column`` of
        the centroid, in pixels; ``area`` in square units; ``eccentricity`` of the
        ellipse with the same second moments; ``solidity`` (area divided by the area of
        the convex hull of its pixels' corners; holes reduce it); ``form_factor`` (4 pi
        area divided by the squared length of the outer contour, half a pixel outside; about 1 for
        a disc, smaller for elongated or ragged shapes; from the contour only, so holes have no
        effect); ``level`` (mean of blue, in [0, 1]); ``cv`` (standard
        deviation of blue divided by its mean plus one grey level); ``nucleoli`` (fraction of the
        area that is nucleoli).
    """
    nuclei = regions.maps.nuclei
    n = int(nuclei.max()) + 1
    shapes = part_shapes(nuclei, n)
    inside = np.flatnonzero(nuclei)
    number = nuclei.ravel()[inside]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, values, n) / shapes.area

    levels = blue_levels.ravel()[inside].astype(float)
    level = mean(levels)
    deviation = np.sqrt(np.maximum(mean(levels**2) - level**2, 0))
    nucleoli = regions.region.ravel()[inside] == REGIONS.index("nucleoli")
    solidity, form_factor = _outlines(inside, number, nuclei.shape[1], n)
    return {
        "row": shapes.row,
        "column": shapes.column,
        "area": shapes.area / unit**2,
        "eccentricity": shapes.eccentricity,
        "solidity": solidity,
        "form_factor": form_factor,
        "level": level / (N_LEVELS - 1),
        "cv": deviation / (level + 1),
        "nucleoli": mean(nucleoli.astype(float)),
    }


def _outlines(
    inside: np.ndarray, number: np.ndarray, width: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return solidity and form factor by number, from the pixels inside and their numbers."""
    solidity, form_factor = np.ones(n), np.ones(n)
    rows, columns = np.divmod(inside, width)
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(np.bincount(number, minlength=n))
    for nucleus in range(1, n):
        own = order[ends[nucleus - 1] : ends[nucleus]]
        top, left = rows[own].min(), columns[own].min()
        bottom, right = rows[own].max(), columns[own].max()
        mask = np.zeros((bottom - top + 3, right - left + 3), np.uint8)
        mask[rows[own] - top + 1, columns[own] - left + 1] = 1
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        points = np.concatenate(contours)
        hull = cv2.convexHull(points)
        # Contours pass through pixel centres; half a pixel is added all around.
        around = cv2.arcLength(hull, True)
        hull_area = cv2.contourArea(hull) + around / 2 + 1
        solidity[nucleus] = min(len(own) / hull_area, 1.0)
        length = sum(cv2.arcLength(contour, True) for contour in contours)
        area = sum(cv2.contourArea(contour) for contour in contours) + length / 2 + 1
        form_factor[nucleus] = 4 * np.pi * area / (length + np.pi) ** 2
    return solidity, form_factor
