"""Which regions of a stain stand out of what surrounds them, in uneven light.

A field with an out-of-focus bright spot, or with few pixels of background, has
no threshold that parts all its nuclei from all else. Then light that changes
slowly is taken away, and each region is judged by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

# Lengths in units of `hpastack.features.segmentation.field_unit`. The radius of the opening that
# leaves slow light, somewhat above that of a nucleus; it is done where a pixel is a step wide.
_BACKGROUND = 30.0
_STEP = 4.0
_BACKGROUND_SMOOTHING = 10.0
# The ring around a region, and the bands at both sides of its edge.
_RING = 8.0
_BAND = 3.0
# Median absolute deviation to standard deviation, of normal noise.
_TO_SD = 1.4826


class Regions(NamedTuple):
    """How each region stands out; one figure a region, in the order of their numbers.

    Attributes
    ----------
    contrast : ndarray of float
        Mean of the region less mean of the ring around it, which holds no
        other region.
    explained : ndarray of float
        Share of the variance of region and ring that lies between the two.
    sharpness : ndarray of float
        The contrast of the two bands along the edge, over `contrast`: near 1
        where the region ends at an edge, small for a bump.
    """

    contrast: np.ndarray
    explained: np.ndarray
    sharpness: np.ndarray


def without_slow_light(smooth: np.ndarray, unit: float) -> np.ndarray:
    """Take away what is wider than a nucleus.

    Parameters
    ----------
    smooth : ndarray of float32, shape (H, W)
        A smoothed stain.
    unit : float
        Pixels in a unit of length.

    Returns
    -------
    ndarray of float32, shape (H, W)
        What rises above the morphological opening, at least 0.
    """
    height, width = smooth.shape
    step = max(1, round(_STEP * unit))
    small = (-(-width // step), -(-height // step))
    reduced = cv2.resize(smooth, small, interpolation=cv2.INTER_AREA)
    reach = 2 * max(1, round(_BACKGROUND * unit / step)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    opened = cv2.morphologyEx(reduced, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REPLICATE)
    opened = cv2.GaussianBlur(opened, (0, 0), max(_BACKGROUND_SMOOTHING * unit / step, 0.5))
    background = cv2.resize(opened, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.maximum(smooth - background, 0)


def noise_left(levels: np.ndarray, smooth: np.ndarray, smoothing: float) -> float:
    """Return the standard deviation of white noise that smoothing leaves.

    Parameters
    ----------
    levels, smooth : ndarray, shape (H, W)
        A stain before and after smoothing.
    smoothing : float
        Standard deviation of the Gaussian, in pixels.

    Returns
    -------
    float
        In the units of `levels`.
    """
    noise = _TO_SD * float(np.median(np.abs(levels - smooth)))
    return noise / (2 * np.sqrt(np.pi) * smoothing)


def measure_regions(smooth: np.ndarray, regions: np.ndarray, unit: float) -> Regions:
    """Measure how the regions of a label map stand out of a smoothed stain.

    Parameters
    ----------
    smooth : ndarray of float32, shape (H, W)
    regions : ndarray of int32, shape (H, W)
        Number of the region, from 1, 8-connected and apart from each other;
        0 outside.
    unit : float
        Pixels in a unit of length.

    Returns
    -------
    Regions
        All 0 of a region without anything around it.
    """
    n = int(regions.max(initial=0))
    inside = regions > 0
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    gap, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_CCOMP
    )
    number = np.zeros(int(nearest.max(initial=0)) + 1, np.int32)
    number[nearest[inside]] = regions[inside]
    owner = number[nearest]
    values = smooth.astype(np.float64)

    def sums(chosen: np.ndarray, power: int) -> np.ndarray:
        total = np.bincount(owner[chosen], values[chosen] ** power, n + 1)
        return np.asarray(total[1:], dtype=np.float64)

    ring = ~inside & (gap <= _RING * unit)
    n_inside, n_ring = sums(inside, 0), sums(ring, 0)
    has_ring = n_ring > 0
    mean_inside, mean_ring = sums(inside, 1) / n_inside, _over(sums(ring, 1), n_ring)
    n_both = n_inside + n_ring
    mean = (sums(inside, 1) + sums(ring, 1)) / n_both
    variance = (sums(inside, 2) + sums(ring, 2)) / n_both - mean**2
    contrast = np.where(has_ring, mean_inside - mean_ring, 0.0)
    between = n_inside * n_ring / n_both**2 * contrast**2
    inner, outer = inside & (depth <= _BAND * unit), ~inside & (gap <= _BAND * unit)
    step = _over(sums(inner, 1), sums(inner, 0)) - _over(sums(outer, 1), sums(outer, 0))
    return Regions(
        contrast, _over(between, variance), np.where(contrast > 0, _over(step, contrast), 0.0)
    )


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide, with 0 where nothing is to be divided by."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
