"""Slow, obvious version of the granularity spectrum, step by step with scikit-image."""

import numpy as np
from scipy import ndimage
from skimage import morphology
from skimage.transform import downscale_local_mean

CROSS = morphology.disk(1)


def rounded(image):
    """Round to whole parts, halves up, also those that come out a hair below."""
    return np.floor(image + 0.5 + 1e-9)


def block_means(image, factor):
    """Average whole blocks; what does not fill one is left out."""
    down, across = (min(factor, n) for n in image.shape)
    rows, columns = image.shape[0] // down, image.shape[1] // across
    return downscale_local_mean(image[: rows * down, : columns * across], (down, across))


def background(signal, factor, radius):
    """Open a reduced image with a disk and enlarge it again."""
    small = rounded(block_means(signal, factor))
    # Reflected at the border, as is the default, an image smaller than the disk would erode to 0.
    opened = morphology.opening(small, morphology.disk(radius), mode="ignore")
    # Linear between the centres of blocks, constant outside them.
    centres = [
        np.clip((np.arange(n) + 0.5) / factor - 0.5, 0, m - 1)
        for n, m in zip(signal.shape, small.shape)
    ]
    return rounded(
        ndimage.map_coordinates(
            opened, np.meshgrid(*centres, indexing="ij"), order=1, mode="nearest"
        )
    )


def granularity_of_stain(image, reduction=2, background_reduction=4, radius=10, n_scales=16):
    """Return the percent of the signal that is lost at each scale."""
    levels = np.rint(np.asarray(image) * np.float32(255)).astype(np.float64)
    signal = rounded(256 * block_means(levels, reduction))
    signal = np.maximum(signal - background(signal, background_reduction, radius), 0)
    eroded, before, values = signal, signal.mean(), {}
    for scale in range(1, n_scales + 1):
        eroded = morphology.erosion(eroded, CROSS)
        left = morphology.reconstruction(eroded, signal, footprint=CROSS).mean()
        lost = 100 * (before - left) / signal.mean() if signal.any() else 0.0
        values[f"granularity_g{scale}"] = float(lost)
        before = left
    return values
