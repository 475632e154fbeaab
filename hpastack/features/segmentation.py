"""Segmentation of nuclei (in blue) and cells (grown over red and yellow) of a field.

Lengths are relative to the field, in units of 1/512 of its longer side: the
atlas shows the same part of the slide at every image size. A unit is
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

# Radii of the smallest nucleus and of the largest hole that is filled, in units.
_SMALLEST_NUCLEUS = 5.0
_LARGEST_HOLE = 8.0
# A region smaller than this fraction of the median nucleus is not a nucleus either.
_SMALLEST_SHARE = 0.1
# Logarithmic above this grey level, linear below it, where noise dominates.
_LINEAR_UP_TO = np.float32(4.0)
# Minimum smoothing and minimum nuclear area in pixels, for images whose unit is below one pixel.
_LEAST_SMOOTHING = 0.75
_LEAST_AREA = 16.0
# A nucleus ends where blue falls below this fraction of its mean.
_EDGE_AT = 0.4
# Minimum contrast of the nuclei to their background, in grey levels.
_LEAST_CONTRAST = 4.0
# Otsu's classes explain 0.64 of the variance of pure noise, and more for a field with nuclei.
_LEAST_EXPLAINED = 0.8
# If they explain less, each region is tested individually: the variance that the split into region
# and surrounding ring explains, the fraction of its contrast at its edge (0.25 for out-of-focus
# spots, 0.3 for noise of the size of nuclei, 0.5 or more for nuclei), and its contrast to the
# noise.
_LEAST_EXPLAINED_BY_REGION = 0.6
_LEAST_SHARPNESS = 0.4
_LEAST_TIMES_NOISE = 3.0
# Two parts are one nucleus if the neck between them is wider than this fraction of the smaller.
_WIDEST_NECK = 0.82
# Cells end where red and yellow fall below this fraction of Otsu's threshold, which separates
# bright cell bodies from everything else.
_CELL_THRESHOLD = 0.75


@dataclass(frozen=True)
class CellMaps:
    """Label maps of the nuclei and cells of a field.

    Attributes
    ----------
    nuclei : ndarray of int32, shape (H, W)
        Number of the nucleus, from 1; 0 outside.
    cells : ndarray of int32, shape (H, W)
        Number of the cell, equal to that of its nucleus; 0 outside. Includes all pixels
        of the nuclei.
    """

    nuclei: np.ndarray
    cells: np.ndarray

    @property
    def n_nuclei(self) -> int:
        """Number of nuclei."""
        return int(self.nuclei.max(initial=0))


def field_unit(shape: tuple[int, ...]) -> float:
    """Return the unit of length in pixels: 1/512 of the longer side of an image.

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
    """Segment the nuclei of a field, and the cells around them.

    Nuclei: blue is smoothed and thresholded by Otsu's method on its logarithm (so that
    dim nuclei are not missed beside bright ones), holes are filled, and touching nuclei are
    split at their necks by a watershed of the distance transform. Cells: grown from the
    nuclei by a watershed on the combined brightness of red (microtubules) and yellow (ER),
    within the foreground of these stains.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1].

    Returns
    -------
    CellMaps
        Label maps ``nuclei`` and ``cells``, in which a cell has the number of its nucleus,
        and their number, ``n_nuclei``.

    Raises
    ------
    InputError
        If `field` does not have this shape or range.

    Notes
    -----
    Nuclei and cells cut by the image border are kept. If blue has no foreground,
    as in a black or a uniformly bright field, there are no nuclei and hence no cells.
    If Otsu's two classes explain less than 0.8 of the variance, as with an out-of-focus
    bright spot or in a dense field, the slowly varying background is subtracted, and the
    remaining regions are nuclei if they have a sharp edge and stand out sufficiently from
    noise and surroundings.

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
    """Segment the nuclei in the nuclear stain.

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
        If `image` is not 2-D, is empty, is not finite or has values outside [0, 1].
    """
    levels = grey_levels(image)
    unit = field_unit(levels.shape)
    mask = _nuclear_mask(levels, unit)
    if not mask.any():
        return np.zeros(levels.shape, np.int32)
    nuclei = _split_at_necks(mask, unit)
    areas = np.bincount(nuclei.ravel())[1:]
    smallest = max(_smallest_area(unit), _SMALLEST_SHARE * float(np.median(areas)))
    return _numbered(nuclei, np.concatenate([[False], areas >= smallest]))


def distance_inside(mask: np.ndarray) -> np.ndarray:
    """Return the Euclidean distance of each pixel of a mask to the nearest pixel outside it.

    Parameters
    ----------
    mask : ndarray of uint8, shape (H, W)
        Non-zero inside.

    Returns
    -------
    ndarray of float32, shape (H, W)
        In pixels, exact; 0 outside. The image border does not count as outside:
        objects are assumed to continue beyond it. If no pixel is outside, the longer side
        of the image.
    """
    if mask.all():
        return np.full(mask.shape, max(mask.shape), np.float32)
    distances = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # The last digit depends on threads and on the memory alignment of the mask; the square of a
    # distance is an integer.
    return np.sqrt(np.rint(distances * distances))


def _smallest_area(unit: float) -> float:
    return max(np.pi * (_SMALLEST_NUCLEUS * unit) ** 2, _LEAST_AREA)


def _nuclear_mask(levels: np.ndarray, unit: float) -> np.ndarray:
    """Return the mask of nuclei, with holes filled and small objects removed (uint8)."""
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
    """Return the mask of nuclei if no single threshold separates them, region by region (uint8)."""
    flat = without_slow_light(smooth, unit)
    logarithm = np.log1p(flat / _LINEAR_UP_TO)
    threshold, _ = _threshold(logarithm)
    mask = _with_own_edges(logarithm > threshold, flat, unit)
    _, parts = cv2.connectedComponents(mask, connectivity=8)
    regions = measure_regions(smooth, parts, unit)
    is_nucleus = regions.contrast >= max(_LEAST_CONTRAST, _LEAST_TIMES_NOISE * noise)
    is_nucleus &= regions.explained >= _LEAST_EXPLAINED_BY_REGION
    is_nucleus &= regions.sharpness >= _LEAST_SHARPNESS
    return np.concatenate([[False], is_nucleus])[parts].astype(np.uint8)


def _with_own_edges(mask: np.ndarray, smooth: np.ndarray, unit: float) -> np.ndarray:
    """Refine the edge of each component of a mask, fill holes and remove small objects (uint8)."""
    # A single threshold that detects dim nuclei lies too far out for bright ones.
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    areas = np.bincount(parts.ravel())
    means = np.bincount(parts.ravel(), smooth.ravel()) / areas
    means[0] = np.inf
    mask = smooth > (_EDGE_AT * means).astype(np.float32)[parts]
    filled = fill_holes(mask.astype(np.uint8), np.pi * (_LARGEST_HOLE * unit) ** 2)
    return remove_specks(filled, _smallest_area(unit))


def _threshold(values: np.ndarray) -> tuple[float, float]:
    """Return Otsu's threshold of float values, and the fraction of variance it explains."""
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
    """Remove the connected components of a mask below a size.

    Parameters
    ----------
    mask : ndarray of uint8, shape (H, W)
        0 or 1; components are 8-connected.
    smallest : float
        Area of the smallest component that is kept, in pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    _, parts, table, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = table[:, cv2.CC_STAT_AREA] >= smallest
    kept[0] = False
    return kept[parts].astype(np.uint8)


def _split_at_necks(mask: np.ndarray, unit: float) -> np.ndarray:
    """Split the nuclei of a mask (uint8) at their necks, and number them."""
    depth = cv2.GaussianBlur(distance_inside(mask), (0, 0), max(1.5 * unit, 0.5)) * mask
    reach = 2 * max(1, round(3 * unit)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    peaks = (depth >= cv2.dilate(depth, disc)) & (mask > 0)
    _, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    parts = watershed(-depth, seeds, mask=mask > 0).astype(np.int32)
    # A thin region close to a thicker one has no local maximum.
    without_seed = ((mask > 0) & (parts == 0)).astype(np.uint8)
    _, others = cv2.connectedComponents(without_seed, connectivity=8)
    parts[others > 0] = others[others > 0] + parts.max()
    return _merged(parts, depth)


def _merged(parts: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Merge the parts of a nucleus: those whose neck is nearly as wide as the smaller part."""
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
    """Return the pairs of touching parts, and the largest depth along their border."""
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
    """Renumber the kept labels of a label map consecutively from 1, in the same order."""
    present = np.zeros(len(kept), bool)
    present[labels.ravel()] = True
    present &= kept
    return np.where(present, np.cumsum(present), 0).astype(np.int32)[labels]


def _grow_cells(nuclei: np.ndarray, bodies: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Grow cells from their nuclei, at half size: their outlines are not sharper than that."""
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
