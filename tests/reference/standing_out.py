"""Slow, obvious version of how regions stand out: one by one, with exact distances."""

import numpy as np
from scipy import ndimage


def slow_regions(smooth, regions, unit):
    """Return contrast, explained share of variance, and sharpness of each region."""
    smooth = smooth.astype(float)
    gap, nearest = ndimage.distance_transform_edt(regions == 0, return_indices=True)
    depth = ndimage.distance_transform_edt(regions > 0)
    owner = regions[tuple(nearest)]
    contrasts, explained, sharpness = [], [], []
    for number in range(1, regions.max() + 1):
        inside = regions == number
        ring = (owner == number) & ~inside & (gap <= 8 * unit)
        contrast = smooth[inside].mean() - smooth[ring].mean()
        both = np.concatenate([smooth[inside], smooth[ring]])
        is_inside = np.arange(both.size) < inside.sum()
        correlation = np.corrcoef(both, is_inside)[0, 1]
        inner = smooth[inside & (depth <= 3 * unit)]
        outer = smooth[ring & (gap <= 3 * unit)]
        contrasts.append(contrast)
        explained.append(correlation**2)
        sharpness.append((inner.mean() - outer.mean()) / contrast)
    return contrasts, explained, sharpness
