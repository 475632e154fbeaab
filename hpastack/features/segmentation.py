"""Nuclei and cells of a field: found in blue, grown over red and yellow.

Lengths are relative to the field, in units of 1/512 of its longer side: the
atlas shows the same part of the slide at every size of its images. A unit is
0.3 micrometres, and a nucleus is about 50 units wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.segmentation import watershed

from hpastack.features.grey_levels import (
    N_LEVELS,
    block_means,
    field_levels,
    grey_levels,
    level_counts,
    otsu_threshold,
)
from hpastack.features.standing_out import measure_regions, noise_left, without_slow_light
from hpastack.fields import STAIN_INDEX

# The smallest nucleus, and the largest hole that is filled, as radii in units.
_SMALLEST_NUCLEUS = 5.0
_LARGEST_HOLE = 8.0
# Nor is a nucleus what is smaller than this share of the median one.
_SMALLEST_SHARE = 0.1
# Logarithmic above this grey level, linear below it, where there is little but noise.
_LINEAR_UP_TO = np.float32(4.0)
# Smoothing in pixels where a unit is less than one; and the smallest nucleus then, as an area.
_LEAST_SMOOTHING = 0.75
_LEAST_AREA = 16.0
# A nucleus ends where blue falls below this share of its mean.
_EDGE_AT = 0.4
# Least contrast of the nuclei to their background, in grey levels.
_LEAST_CONTRAST = 4.0
# Otsu's classes explain 0.64 of the variance of mere noise; of a field with nuclei more.
_LEAST_EXPLAINED = 0.8
# Where they explain less, each region is judged by itself: what it and the ring around it explain
# together, how much of its contrast lies at its edge (0.25 for spots out of focus, 0.3 for noise of
# the size of nuclei, from 0.5 on for nuclei), and how far it rises out of the noise.
_LEAST_EXPLAINED_BY_REGION = 0.6
_LEAST_SHARPNESS = 0.4
_LEAST_TIMES_NOISE = 3.0
# Two parts are one nucleus where the neck between them is wider than this share of the smaller.
_WIDEST_NECK = 0.82
# Cells end where red and yellow fall below this share of Otsu's threshold, which parts bright
# cell bodies from all else.
_CELL_THRESHOLD = 0.75


@dataclass(frozen=True)
class CellMaps:
    """Which pixel belongs to which nucleus and cell.

    Attributes
    ----------
    nuclei : ndarray of int32, shape (H, W)
        Number of the nucleus, from 1; 0 outside.
    cells : ndarray of int32, shape (H, W)
        Number of the cell, that of its nucleus; 0 outside. Holds every pixel
        of the nuclei.
    """

    nuclei: np.ndarray
    cells: np.ndarray

    @property
    def n_nuclei(self) -> int:
        """How many nuclei there are."""
        return int(self.nuclei.max(initial=0))


def field_unit(shape: tuple[int, ...]) -> float:
    """Return the pixels in 1/512 of the longer side of an image.

    Parameters
    ----------
    shape : tuple of int
        Its last two entries are height and width.

    Returns
    -------
    float
    """
    return max(shape[-2:]) / 512


def segment_cells(field: np.ndarray) -> CellMaps:
    """Find the nuclei of a field, and the cells around them.

    Nuclei: blue, smoothed, above Otsu's threshold of its logarithm (so that
    a dim nucleus is not lost beside bright ones), holes filled; parted at their necks
    by a watershed of the distance to the background. Cells: grown from the
    nuclei by a watershed over the brightness of red and yellow together, as
    far as these reach.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1].

    Returns
    -------
    CellMaps

    Raises
    ------
    InputError
        If `field` is not of that shape or range.

    Notes
    -----
    Nuclei and cells that are cut by the border are kept. Where blue shows
    nothing that stands out there are no nuclei, and so no cells: not in a black field, and
    not in an evenly bright one. Where the two classes of Otsu explain less
    than 0.8 of the variance, as with a bright spot out of focus or in a dense
    field, light that changes slowly is taken away, and the regions that remain
    are nuclei if they stand out of noise and surroundings, with an edge.

    Examples
    --------
    >>> field = np.zeros((4, 128, 128))
    >>> field[2, 40:60, 50:70] = 0.5
    >>> segment_cells(field).n_nuclei
    1
    """
    levels = field_levels(field)
    nuclei = segment_nuclei(levels[STAIN_INDEX["blue"]])
    if not nuclei.any():
        return CellMaps(nuclei, nuclei.copy())
    bodies = (levels[STAIN_INDEX["red"]], levels[STAIN_INDEX["yellow"]])
    return CellMaps(nuclei, _grow_cells(nuclei, bodies))


def segment_nuclei(image: np.ndarray) -> np.ndarray:
    """Find the nuclei in the stain of the nucleus.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].

    Returns
    -------
    ndarray of int32, shape (H, W)
        Number of the nucleus, from 1; 0 outside.

    Raises
    ------
    InputError
        If `image` is not 2-D or is empty, is not finite or leaves [0, 1].
    """
    levels = grey_levels(image)
    unit = field_unit(levels.shape)
    mask = _nuclear_mask(levels, unit)
    if not mask.any():
        return np.zeros(levels.shape, np.int32)
    nuclei = _parted(mask, unit)
    areas = np.bincount(nuclei.ravel())[1:]
    smallest = max(_smallest_area(unit), _SMALLEST_SHARE * float(np.median(areas)))
    return _numbered(nuclei, np.concatenate([[False], areas >= smallest]))


def distance_inside(mask: np.ndarray) -> np.ndarray:
    """Measure how far each pixel of a mask is from the nearest pixel outside it.

    Parameters
    ----------
    mask : ndarray of uint8, shape (H, W)
        Not 0 inside.

    Returns
    -------
    ndarray of float32, shape (H, W)
        In pixels, exact; 0 outside. The border of the image is not outside:
        what it cuts goes on beyond it. If nothing is outside, the longer side.
    """
    if mask.all():
        return np.full(mask.shape, max(mask.shape), np.float32)
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # The last digit depends on threads and on where in memory the mask lies; the square of a
    # distance is a whole number.
    return np.sqrt(np.rint(distances * distances))


def _smallest_area(unit: float) -> float:
    return max(np.pi * (_SMALLEST_NUCLEUS * unit) ** 2, _LEAST_AREA)


def _nuclear_mask(levels: np.ndarray, unit: float) -> np.ndarray:
    """Part nuclei from background, with holes filled and specks removed (uint8)."""
    smoothing = max(unit, _LEAST_SMOOTHING)
    smooth = cv2.GaussianBlur(levels.astype(np.float32), (0, 0), smoothing)
    logarithm = np.log1p(smooth / _LINEAR_UP_TO)
    threshold, explained = _threshold(logarithm)
    mask = logarithm > threshold
    if not mask.any() or mask.all():
        return np.zeros(levels.shape, np.uint8)
    if explained < _LEAST_EXPLAINED:
        return _outstanding_mask(smooth, unit, noise_left(levels, smooth, smoothing))
    if smooth[mask].mean() - smooth[~mask].mean() < _LEAST_CONTRAST:
        return np.zeros(levels.shape, np.uint8)
    return _with_own_edges(mask, smooth, unit)


def _outstanding_mask(smooth: np.ndarray, unit: float, noise: float) -> np.ndarray:
    """Find nuclei where no threshold parts all of them from all else, one by one (uint8)."""
    flat = without_slow_light(smooth, unit)
    logarithm = np.log1p(flat / _LINEAR_UP_TO)
    threshold, _ = _threshold(logarithm)
    mask = _with_own_edges(logarithm > threshold, flat, unit)
    _, parts = cv2.connectedComponents(mask, connectivity=8)
    found = measure_regions(smooth, parts, unit)
    is_nucleus = found.contrast >= max(_LEAST_CONTRAST, _LEAST_TIMES_NOISE * noise)
    is_nucleus &= found.explained >= _LEAST_EXPLAINED_BY_REGION
    is_nucleus &= found.sharpness >= _LEAST_SHARPNESS
    return np.concatenate([[False], is_nucleus])[parts].astype(np.uint8)


def _with_own_edges(mask: np.ndarray, smooth: np.ndarray, unit: float) -> np.ndarray:
    """Give each part of a mask its own edge, fill holes and remove specks (uint8)."""
    # One threshold finds dim nuclei, and lies at the foot of bright ones.
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    areas = np.bincount(parts.ravel())
    means = np.bincount(parts.ravel(), smooth.ravel()) / areas
    means[0] = np.inf
    mask = smooth > (_EDGE_AT * means).astype(np.float32)[parts]
    filled = fill_holes(mask.astype(np.uint8), np.pi * (_LARGEST_HOLE * unit) ** 2)
    return remove_specks(filled, _smallest_area(unit))


def _threshold(values: np.ndarray) -> tuple[float, float]:
    """Return Otsu's threshold of float values, and the share of variance it explains."""
    top = float(values.max())
    if top <= 0:
        return 0.0, 0.0
    scale = (N_LEVELS - 1) / top
    counts = level_counts((values * scale + 0.5).astype(np.uint8))
    threshold = otsu_threshold(counts)
    levels = np.arange(N_LEVELS)
    above = levels > threshold
    n, n_above = counts.sum(), counts[above].sum()
    mean = (counts * levels).sum() / n
    variance = (counts * (levels - mean) ** 2).sum() / n
    if variance == 0 or n_above in (0, n):
        return threshold / scale, 0.0
    mean_above = (counts * levels)[above].sum() / n_above
    between = n_above / (n - n_above) * (mean_above - mean) ** 2
    return threshold / scale, float(between / variance)


def fill_holes(mask: np.ndarray, largest: float) -> np.ndarray:
    """Fill the holes of a mask up to a size.

    Parameters
    ----------
    mask : ndarray of uint8, shape (H, W)
        0 or 1.
    largest : float
        Area of the largest hole that is filled, in pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    _, parts, table, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    left, top, width, height, area = table.T
    inside = (left > 0) & (top > 0)
    inside &= (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    hole = inside & (area <= largest)
    hole[0] = False
    return mask | hole[parts].astype(np.uint8)


def remove_specks(mask: np.ndarray, smallest: float) -> np.ndarray:
    """Remove the parts of a mask below a size.

    Parameters
    ----------
    mask : ndarray of uint8, shape (H, W)
        0 or 1; parts hang together along sides and corners.
    smallest : float
        Area of the smallest part that is kept, in pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    _, parts, table, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = table[:, cv2.CC_STAT_AREA] >= smallest
    kept[0] = False
    return kept[parts].astype(np.uint8)


def _parted(mask: np.ndarray, unit: float) -> np.ndarray:
    """Part the nuclei of a mask (uint8) at their necks, and number them."""
    depth = cv2.GaussianBlur(distance_inside(mask), (0, 0), max(1.5 * unit, 0.5)) * mask
    reach = 2 * max(1, round(3 * unit)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    peaks = (depth >= cv2.dilate(depth, disc)) & (mask > 0)
    _, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    parts = watershed(-depth, seeds, mask=mask > 0).astype(np.int32)
    # What lies close beside something thicker has no peak of its own.
    left_out = ((mask > 0) & (parts == 0)).astype(np.uint8)
    _, others = cv2.connectedComponents(left_out, connectivity=8)
    parts[others > 0] = others[others > 0] + parts.max()
    return _joined(parts, depth)


def _joined(parts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Join parts of one nucleus: those whose neck is nearly as wide as the smaller part."""
    n_parts = int(parts.max()) + 1
    peaks = np.zeros(n_parts, np.float32)
    np.maximum.at(peaks, parts.ravel(), depth.ravel())
    pairs, necks = _borders(parts, depth, n_parts)
    owner = np.arange(n_parts)
    while len(pairs):
        ratios = necks / peaks[pairs].min(axis=1)
        widest = int(np.argmax(ratios))
        if ratios[widest] < _WIDEST_NECK:
            break
        kept, gone = pairs[widest]
        owner[owner == gone] = kept
        peaks[kept] = max(peaks[kept], peaks[gone])
        pairs[pairs == gone] = kept
        apart = pairs[:, 0] != pairs[:, 1]
        pairs, necks = pairs[apart], necks[apart]
    return _numbered(owner.astype(np.int32)[parts], np.arange(n_parts) > 0)


def _borders(parts: np.ndarray, depth: np.ndarray, n_parts: int) -> tuple[np.ndarray, np.ndarray]:
    """List the pairs of parts that touch, with the largest depth along their border."""
    keys, heights = [], []
    for here, there in (
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[1:], np.s_[:-1]),
        (np.s_[1:, 1:], np.s_[:-1, :-1]),
        (np.s_[1:, :-1], np.s_[:-1, 1:]),
    ):
        first, second = parts[here], parts[there]
        touch = np.nonzero((first != second) & (first > 0) & (second > 0))
        low = np.minimum(first[touch], second[touch]).astype(np.int64)
        keys.append(low * n_parts + np.maximum(first[touch], second[touch]))
        heights.append(np.minimum(depth[here][touch], depth[there][touch]))
    unique, which = np.unique(np.concatenate(keys), return_inverse=True)
    necks = np.zeros(len(unique), np.float32)
    np.maximum.at(necks, which, np.concatenate(heights))
    return np.stack([unique // n_parts, unique % n_parts], axis=1), necks


def _numbered(labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Number what is kept of a label map from 1 on, in the old order."""
    present = np.zeros(len(kept), bool)
    present[labels.ravel()] = True
    present &= kept
    return np.where(present, np.cumsum(present), 0).astype(np.int32)[labels]


def _grow_cells(nuclei: np.ndarray, bodies: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Grow cells from their nuclei, at half the size: their outlines are no sharper."""
    unit = field_unit(nuclei.shape)
    height, width = nuclei.shape
    to_even = ((0, height % 2), (0, width % 2))
    seeds = np.pad(nuclei, to_even, "edge")[::2, ::2]
    brightness = np.zeros(seeds.shape, np.float32)
    for levels in bodies:
        small = block_means(np.pad(levels, to_even, "edge"), 2)
        root = np.sqrt(cv2.GaussianBlur(small, (0, 0), max(1.5 * unit, 0.5)))
        brightness += root / max(float(root.max()), 1e-6)
    threshold, _ = _threshold(brightness)
    body = ((brightness > _CELL_THRESHOLD * threshold) | (seeds > 0)).astype(np.uint8)
    body = fill_holes(body, np.pi * (_LARGEST_HOLE * unit / 2) ** 2)
    grown = watershed(-brightness, seeds, mask=body > 0).astype(np.int32)
    cells = grown.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(nuclei > 0, nuclei, cells)
