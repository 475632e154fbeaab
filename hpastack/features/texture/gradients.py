"""Gradient magnitude of a stain, and the coherence and alignment of its edges."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hpastack.features.grey_levels import (
    N_LEVELS,
    check_levels,
    histogram_quantiles,
    level_counts,
    row_strips,
)

#: Description of each value, in the order of `gradient_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    "texture_gradient_mean": "mean gradient magnitude of {stain}, per px",
    "texture_gradient_sd": "standard deviation of the gradient magnitude of {stain}, per px",
    "texture_gradient_p95": "95th percentile of the gradient magnitude of {stain}, per px",
    "texture_coherence": "local coherence of edges of {stain} (1 if parallel within a few px)",
    "texture_alignment": "alignment of edges of {stain} over the field (1 if all are parallel)",
}

# The Sobel kernels return 8 times the intensity difference per pixel.
_SOBEL_SUM = 8
# Histogram bins of the magnitude per grey level.
_PARTS = 64
# A Gaussian of standard deviation 1 px in integers: the binomial coefficients.
_WINDOW = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
_MARGIN = len(_WINDOW) // 2
# A window of gradients, each of which needs its neighbours.
_MIN_SIDE = len(_WINDOW) + 2
# Few enough for the arrays of a strip to fit into the cache of a core.
_STRIP_PIXELS = 2**14


def gradient_features(image: np.ndarray) -> dict[str, float]:
    """Summarise the gradient magnitudes of one stain and the orientation of its edges.

    Gradients are computed with the Sobel operator. The eigenvalues ``l1 >= l2`` of the structure
    tensor, averaged over a window, measure the coherence of the edges in the window:
    ``(l1 - l2) / (l1 + l2)`` is 1 if all are parallel, 0 if no direction prevails.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        One stain, from `grey_levels`; at least 7 x 7 px.

    Returns
    -------
    dict of str to float
        ``texture_gradient_mean``, ``_sd`` and ``_p95`` of the gradient magnitude,
        in intensity [0, 1] per pixel; ``texture_coherence``, the coherence of each
        Gaussian window of standard deviation 1 px (5 x 5 px), averaged with
        the energy ``l1 + l2`` as weight; ``texture_alignment``, the coherence of all
        gradients as one window.

    Raises
    ------
    InputError
        If `image` is not 2-D of dtype uint8, or is smaller than 7 x 7 px.

    Notes
    -----
    Only gradients and windows within the image are used. The percentile is
    computed from magnitudes rounded to 1/64 grey level per pixel, and interpolated within bins.
    A constant image has no gradients, so all five values are 0.

    References
    ----------
    .. [1] J. Bigün, G. H. Granlund and J. Wiklund, "Multidimensional orientation
       estimation with applications to texture analysis and optical flow", IEEE Trans.
       Pattern Anal. Mach. Intell. 13(8), 775-790, 1991.
       :doi:`10.1109/34.85668`

    Examples
    --------
    A ramp that rises by 2 grey levels per pixel:

    >>> ramp = np.tile(np.arange(0, 40, 2, dtype=np.uint8), (20, 1))
    >>> values = gradient_features(ramp)
    >>> values["texture_gradient_mean"] == 2 / 255, values["texture_gradient_sd"]
    (True, 0.0)
    >>> values["texture_alignment"]
    1.0
    """
    check_levels(image, _MIN_SIDE, "texture: the window of gradients")
    right, down = (cv2.Sobel(image, cv2.CV_16S, *order)[1:-1, 1:-1] for order in ((1, 0), (0, 1)))
    rounded = np.empty(right.shape, dtype=np.uint16)
    sums, whole, windows = np.zeros(2), np.zeros(3), np.zeros(2)
    work = origin = None
    for rows in row_strips(right.shape, len(_WINDOW), _STRIP_PIXELS):
        if work is None:  # the first strip is the largest
            work = np.empty((4, rows.stop, right.shape[1]))
        tensor = _tensor(right[rows], down[rows], work)
        windows += _over_windows(*tensor)
        # Strips overlap: in all but the last, the last rows belong to the next strip.
        own = slice(None if rows.stop == len(right) else 1 - len(_WINDOW))
        energy, stretch, shear = (part[own] for part in tensor)
        whole += energy.sum(), stretch.sum(), shear.sum()
        # In bins. Energies are integers below 2**24, so exact in single precision.
        magnitude = np.sqrt(energy.astype(np.float32)) * np.float32(_PARTS / _SOBEL_SUM)
        np.rint(magnitude, out=rounded[rows][own], casting="unsafe")
        # The origin is close to the mean, so that the difference of squares loses no digits.
        if origin is None:
            origin = magnitude.mean(dtype=np.float64)
        apart = np.subtract(magnitude, origin, dtype=np.float64).ravel()
        # No dot product: its last digit depends on the number of threads.
        sums += apart.sum(), np.square(apart).sum()
    unit = (N_LEVELS - 1) * _PARTS
    mean, square = (sums / right.size).tolist()
    p95 = histogram_quantiles(level_counts(rounded, N_LEVELS * _PARTS), [0.95])[0]
    all_energy, all_stretch, all_shear = whole.tolist()
    return {
        "texture_gradient_mean": float(origin + mean) / unit,
        "texture_gradient_sd": math.sqrt(max(square - mean**2, 0.0)) / unit,
        "texture_gradient_p95": float(p95) / unit,
        "texture_coherence": _parallel(*windows.tolist()),
        "texture_alignment": _parallel(all_energy, math.hypot(all_stretch, all_shear)),
    }


def _tensor(right: np.ndarray, down: np.ndarray, work: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return energy, stretch and shear of the structure tensor at each pixel, as views of `work`.

    ``stretch + 1j * shear`` is the squared gradient as a complex number: its
    angle is twice that of the gradient, so opposite gradients add up. For an
    average of tensors, ``l1 + l2`` is the energy and ``l1 - l2`` the modulus of
    this number.
    """
    across, along, energy, shear = work[:, : len(right)]
    across[...], along[...] = right, down
    np.multiply(across, along, out=shear)
    shear += shear
    across *= across
    along *= along
    np.add(across, along, out=energy)
    stretch = np.subtract(across, along, out=across)
    return energy, stretch, shear


def _over_windows(
    energy: np.ndarray, stretch: np.ndarray, shear: np.ndarray
) -> tuple[float, float]:
    """Sum ``l1 + l2`` and ``l1 - l2`` over all windows within a strip."""
    inner = slice(_MARGIN, -_MARGIN)
    stretch, shear = (
        cv2.sepFilter2D(part, -1, _WINDOW, _WINDOW)[inner, inner] for part in (stretch, shear)
    )
    # Energies are summed only, so each pixel is weighted by its total weight in all windows.
    rows, columns = (np.convolve(np.ones(side - 2 * _MARGIN), _WINDOW) for side in energy.shape)
    # Not `cv2.magnitude`: its last digit depends on the memory alignment of the arrays.
    return rows @ energy @ columns, np.sqrt(stretch * stretch + shear * shear).sum()


def _parallel(total: float, difference: float) -> float:
    """Return ``(l1 - l2) / (l1 + l2)``; 0 where there are no gradients."""
    # At most 1, except for rounding.
    return min(difference / total, 1.0) if total else 0.0
