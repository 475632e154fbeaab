"""Gradients: how steep a stain is, and whether its edges run in one direction."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hpastack.features.grey_levels import (
    N_LEVELS,
    check_levels,
    histogram_quantiles,
    row_strips,
)

#: What each value means, in the order of `gradient_features`; ``{stain}`` is filled in.
MEANINGS = {
    "texture_gradient_mean": "mean steepness of {stain}, in intensity per px",
    "texture_gradient_sd": "standard deviation of the steepness of {stain}",
    "texture_gradient_p95": "steepness of {stain} below which 95 % of its pixels lie",
    "texture_coherence": "whether edges of {stain} within a few px are parallel, 1 if all are",
    "texture_alignment": "whether edges of {stain} all over the field are parallel, 1 if all are",
}

# Sobel's kernels add up to 8 times the difference of neighbours.
_SOBEL_SUM = 8
# Parts of a level in which magnitudes are counted.
_PARTS = 64
# A Gaussian of standard deviation 1 px in whole numbers: the binomial coefficients.
_WINDOW = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
_MARGIN = len(_WINDOW) // 2
# A window of gradients, each of which needs a neighbour.
_MIN_SIDE = len(_WINDOW) + 2


def gradient_features(image: np.ndarray) -> dict[str, float]:
    """Summarise how steep one stain is, and how its edges are oriented.

    Gradients are Sobel's. Their structure tensor, averaged over a window,
    tells by its eigenvalues ``l1 >= l2`` how parallel the edges in the window are:
    ``(l1 - l2) / (l1 + l2)`` is 1 if all are, 0 if no direction prevails.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        One stain, as `grey_levels` gives it; 7 x 7 px or more.

    Returns
    -------
    dict of str to float
        ``texture_gradient_mean``, ``_sd`` and ``_p95``, of the magnitudes of the
        gradients, in intensity [0, 1] per pixel; ``texture_coherence``, the above of each
        Gaussian window of standard deviation 1 px (5 x 5 px), averaged with
        the energy ``l1 + l2`` as the weight; ``texture_alignment``, the same of all
        gradients as one window.

    Raises
    ------
    InputError
        If `image` is not 2-D and of uint8, or is smaller than 7 x 7 px.

    Notes
    -----
    Only gradients and windows that lie within the image count. The percentile is
    taken from magnitudes rounded to 1/64 grey level a pixel, and interpolated within these.
    A constant image has no gradients, so all five are 0.

    References
    ----------
    .. [1] J. Bigün, G. H. Granlund and J. Wiklund, "Multidimensional orientation
       estimation with applications to texture analysis and optical flow", IEEE Trans.
       Pattern Anal. Mach. Intell. 13(8), 775-790, 1991.
       :doi:`10.1109/34.85668`

    Examples
    --------
    A ramp that rises by 2 grey levels a pixel:

    >>> ramp = np.tile(np.arange(0, 40, 2, dtype=np.uint8), (20, 1))
    >>> values = gradient_features(ramp)
    >>> values["texture_gradient_mean"] == 2 / 255, values["texture_gradient_sd"]
    (True, 0.0)
    >>> values["texture_alignment"]
    1.0
    """
    check_levels(image, _MIN_SIDE, "texture: the window of gradients")
    right, down = (cv2.Sobel(image, cv2.CV_16S, *order)[1:-1, 1:-1] for order in ((1, 0), (0, 1)))
    magnitude = np.empty(right.shape, dtype=np.float32)  # in parts of a level
    whole, windows = np.zeros(3), np.zeros(2)
    for rows in row_strips(right.shape, len(_WINDOW), itemsize=8):
        tensor = _tensor(right[rows], down[rows])
        # Energies are whole numbers below 2**24, so exact in 32 bit.
        steepness = np.sqrt(tensor[0].astype(np.float32))
        np.multiply(steepness, np.float32(_PARTS / _SOBEL_SUM), out=magnitude[rows])
        # Strips overlap: all but the last leave their last rows to the next one.
        own = slice(None if rows.stop == len(right) else 1 - len(_WINDOW))
        whole += [part[own].sum() for part in tensor]
        windows += _over_windows(*tensor)
    energy, stretch, shear = whole.tolist()
    return {
        **_magnitudes(magnitude),
        "texture_coherence": _parallel(*windows.tolist()),
        "texture_alignment": _parallel(energy, math.hypot(stretch, shear)),
    }


def _tensor(right: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energy, stretch and shear of the structure tensor at each pixel.

    ``stretch + 1j * shear`` is the squared gradient as a complex number: its
    angle is twice that of the gradient, so opposite gradients add up. Of an
    average of tensors, ``l1 + l2`` is the energy and ``l1 - l2`` the length of
    this number.
    """
    right, down = right.astype(np.float64), down.astype(np.float64)
    across, along = right * right, down * down
    shear = right * down
    shear += shear
    return across + along, across - along, shear


def _over_windows(energy, stretch, shear) -> tuple[float, float]:
    """Sum ``l1 + l2`` and ``l1 - l2`` over all windows within a strip."""
    inner = slice(_MARGIN, -_MARGIN)
    stretch, shear = (
        cv2.sepFilter2D(part, -1, _WINDOW, _WINDOW)[inner, inner] for part in (stretch, shear)
    )
    # Energies only add up, so each pixel counts by its weight in all windows together.
    rows, columns = (np.convolve(np.ones(side - 2 * _MARGIN), _WINDOW) for side in energy.shape)
    return rows @ energy @ columns, cv2.magnitude(stretch, shear).sum()


def _magnitudes(magnitude: np.ndarray) -> dict[str, float]:
    """Return mean, standard deviation and 95th percentile, from parts of a level."""
    mean = magnitude.mean(dtype=np.float64)
    squares = 0.0
    counts = np.zeros(N_LEVELS * _PARTS, dtype=np.int64)
    for rows in row_strips(magnitude.shape, 1, itemsize=8):
        apart = (magnitude[rows] - mean).ravel()
        squares += float(apart @ apart)
        # 32-bit floats count exactly up to 2**24, more than the pixels of a strip.
        rounded = np.rint(magnitude[rows]).astype(np.uint16)
        counted = cv2.calcHist([rounded], [0], None, [len(counts)], [0, len(counts)])
        counts += counted.ravel().astype(np.int64)
    unit = (N_LEVELS - 1) * _PARTS
    return {
        "texture_gradient_mean": float(mean) / unit,
        "texture_gradient_sd": math.sqrt(squares / magnitude.size) / unit,
        "texture_gradient_p95": float(histogram_quantiles(counts, [0.95])[0]) / unit,
    }


def _parallel(total: float, difference: float) -> float:
    """Return ``(l1 - l2) / (l1 + l2)``; 0 where there are no gradients."""
    # At most 1, but for rounding.
    return min(difference / total, 1.0) if total else 0.0
