"""Contrast of regions to their surroundings, under uneven illumination.

For a field with an out-of-focus bright spot, or with few background pixels,
no single threshold separates all nuclei from everything else. The slowly varying
background is then subtracted, and each region is tested individually.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

# Lengths in units of `hpastack.features.segmentation.field_unit`. Radius of the opening that
# estimates the background, somewhat larger than a nucleus; it is computed on an image downsampled
# to pixels of width _STEP.
_BACKGROUND = 30.0
_STEP = 4.0
_BACKGROUND_SMOOTHING = 10.0
# Width of the ring around a region, and of the bands on both sides of its edge.
_RING = 8.0
_BAND = 3.0
# Factor from the median absolute deviation to the standard deviation of normal noise.
_TO_SD = 1.4826


class Regions(NamedTuple):
    """Contrast of each region to its surroundings; one value per region, ordered by number.

    Attributes
    ----------
    contrast : ndarray of float
        Mean of the region minus mean of the ring around it, which excludes
        other regions.
    explained : ndarray of float
        Fraction of the variance of region and ring that is between the two.
    sharpness : ndarray of float
        Contrast of the two bands along the edge, divided by `contrast`: close to 1
        for a sharp edge, small for a smooth bump.
    """

    contrast: np.ndarray
    explained: np.ndarray
    sharpness: np.ndarray


def without_slow_light(smooth: np.ndarray, unit: float) -> np.ndarray:
    """Subtract the background: everything wider than a nucleus.

    Parameters
    ----------
    smooth : ndarray of float32, shape (H, W)
        A smoothed stain.
    unit : float
        Pixels in a unit of length.

    Returns
    -------
    ndarray of float32, shape (H, W)
        `smooth` minus its (smoothed) morphological opening, at least 0.
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
    """Return the standard deviation of white noise after smoothing.

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
    """Measure the contrast of the regions of a label map in a smoothed stain.

    Parameters
    ----------
    smooth : ndarray of float32, shape (H, W)
    regions : ndarray of int32, shape (H, W)
        Number of the region, from 1; 0 outside. Regions are 8-connected and do not touch.
    unit : float
        Pixels in a unit of length.

    Returns
    -------
    Regions
        All 0 for a region without surroundings.
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
    """Divide, with 0 where the divisor is not positive."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
