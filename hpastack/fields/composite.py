"""Intensities for display: contrast-stretched and converted to 8 bits."""

from __future__ import annotations

import numpy as np


def stretched(image: np.ndarray, darkest: float = 1 / 255) -> np.ndarray:
    """Stretch the contrast of one stain so that its 99.9th percentile becomes white.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
    darkest : float, default=1/255
        Lower limit of the value that becomes white, so that noise stays dark.

    Returns
    -------
    ndarray of float, shape (H, W)
        In [0, 1].

    Examples
    --------
    >>> stretched(np.array([[0.0, 0.1], [0.2, 0.2]])).round(2).tolist()
    [[0.0, 0.5], [1.0, 1.0]]
    """
    return np.clip(image / max(float(np.quantile(image, 0.999)), darkest), 0, 1)


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Convert intensities in [0, 1] to 8-bit levels."""
    return np.rint(image * 255).astype(np.uint8)
