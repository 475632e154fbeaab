"""Frequency: power spectrum of a stain by spatial scale, and its anisotropy."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import fft

from hpastack.features.grey_levels import grey_levels

#: Description of each value, in the order of `frequency_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    "frequency_band1": "share of the power of {stain} at periods longer than 256 px",
    **{
        f"frequency_band{band}": (
            f"share of the power of {{stain}} at periods from {2 ** (9 - band)} to "
            f"{2 ** (10 - band)} px"
        )
        for band in range(2, 8)
    },
    "frequency_band8": "share of the power of {stain} at periods of at most 4 px",
    "frequency_slope": "slope of log power against log frequency of {stain}: 0 for white noise",
    "frequency_centroid": "power-weighted geometric mean frequency of {stain}, in cycles per px",
    "frequency_anisotropy": "anisotropy of the power of {stain}: 0 isotropic, 1 one direction",
    "frequency_anisotropy_coarse": "anisotropy of the power of {stain} at periods over 32 px",
    "frequency_anisotropy_fine": "anisotropy of the power of {stain} at periods up to 32 px",
}

# Each ring spans a quarter of an octave: ring 0 contains everything below 1 / 430 cycles per
# pixel, ring 4 starts at 1 / 256, ring 28 at 1 / 4. From 1 / 2 on, rings lie in the corners of the
# frequency plane and are cut by its edge.
_N_RINGS = 35
_RING_OF_HALF = 32
_BAND_RINGS = range(0, _RING_OF_HALF, 4)
_SLOPE_RINGS = slice(8, _RING_OF_HALF)
_COARSE, _FINE = slice(0, 16), slice(16, None)

# Variance of the rounding to whole levels, in squared levels.
_ROUNDING = 1 / 12


def frequency_features(image: np.ndarray) -> dict[str, float]:
    """Summarise the power spectrum of one stain.

    The mean is subtracted from the grey levels, a Hann window is applied against
    boundary effects, and the image is Fourier transformed. Power is then
    summed over bands, rings and directions. Bands are fixed in cycles per
    pixel, so images of different size and shape are comparable.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].

    Returns
    -------
    dict of str to float
        13 values: ``frequency_band1`` (coarsest, below 1/256 cycles per pixel)
        to ``frequency_band8`` (finest, from 1/4), each an octave, shares that
        sum to 1; ``frequency_slope``, from a least-squares fit of the log mean
        power of quarter-octave rings, from 1/128 to 1/2 cycles per
        pixel, against their log frequency; ``frequency_centroid``, the
        power-weighted geometric mean frequency, in cycles per pixel;
        ``frequency_anisotropy``, the modulus of the power-weighted mean of
        exp(2 i angle), 0 if no direction prevails and 1 for a grating; and
        the same for bands 1 to 4 (``_coarse``) and 5 to 8 (``_fine``).

    Raises
    ------
    InputError
        If `image` is not 2-D, is not finite or has values outside [0, 1].

    Notes
    -----
    The power of the rounding to whole levels, 1/12 squared level spread
    evenly over all frequencies, is always added. It is negligible for an
    image with any structure; a constant image gets the values of white noise:
    slope 0, no anisotropy and bands in proportion to their area. A single pixel has no
    frequencies: all its values are 0.

    In an image that is not square the window is longer along one axis, so low
    frequencies are better resolved in that direction.

    References
    ----------
    .. [1] F. J. Harris, "On the use of windows for harmonic analysis with the
       discrete Fourier transform", Proc. IEEE 66(1), 51-83, 1978.
       :doi:`10.1109/PROC.1978.10837`
    .. [2] D. J. Field, "Relations between the statistics of natural images and
       the response properties of cortical cells", J. Opt. Soc. Am. A 4(12),
       2379-2394, 1987. :doi:`10.1364/JOSAA.4.002379`

    Examples
    --------
    Stripes with a period of 8 px have a frequency of 1/8 cycles per pixel and one direction:

    >>> image = np.tile(0.5 + 0.4 * np.sin(2 * np.pi * np.arange(64) / 8), (64, 1))
    >>> values = frequency_features(image)
    >>> round(values["frequency_centroid"], 3), round(values["frequency_anisotropy"], 2)
    (0.125, 0.99)
    """
    levels = grey_levels(image)
    if levels.size == 1:
        return dict.fromkeys(MEANINGS, 0.0)
    plane = _frequency_plane(*levels.shape)
    height, width = levels.shape
    windows = _hann(height), _hann(width)
    both, apart = _folded_power(levels, windows)
    rounding = _ROUNDING * float(np.prod([(window**2).sum() for window in windows]))

    by_ring = _sum_by_ring(plane, both) + rounding * plane.ring_count
    octaves = float((both * plane.octave).sum()) + rounding * float(plane.ring_octaves.sum())
    along = _sum_by_ring(plane, both * plane.cosine)
    across = _sum_by_ring(plane, apart * plane.sine)
    total = float(by_ring.sum())
    values = [
        *(np.add.reduceat(by_ring, _BAND_RINGS) / total),
        _slope(by_ring, plane),
        2 ** (octaves / total),
        *(
            np.hypot(along[part].sum(), across[part].sum()) / max(by_ring[part].sum(), rounding)
            for part in (slice(None), _COARSE, _FINE)
        ),
    ]
    return dict(zip(MEANINGS, map(float, values), strict=True))


def _hann(n: int) -> np.ndarray:
    # Sampled at pixel centres, so that it is symmetric and nowhere 0.
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2


def _folded_power(
    levels: np.ndarray, windows: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the difference of the power at (y, x) and (-y, x), from 0 to 1/2.

    Opposite frequencies have the same power, so both count twice where there are two.
    Frequency 0 is excluded.
    """
    height, width = levels.shape
    rows, columns = windows
    mean = rows @ levels @ columns / (rows.sum() * columns.sum())
    transformed = fft.rfft2((levels - mean) * rows[:, None] * columns)
    power = transformed.real**2 + transformed.imag**2
    power[:, 1 : (width + 1) // 2] *= 2
    power[0, 0] = 0
    both = power[: height // 2 + 1]
    apart = np.zeros_like(both)
    # Frequency 0, and 1/2 for an even height, are their own opposites.
    upper, lower = power[1 : (height + 1) // 2], power[: height // 2 : -1]
    np.subtract(upper, lower, out=apart[1 : (height + 1) // 2])
    upper += lower
    return both, apart


class _Plane(NamedTuple):
    """A quarter of the frequency plane, shape (H // 2 + 1, W // 2 + 1)."""

    ring: np.ndarray
    octave: np.ndarray  # log2 of cycles per pixel; 0 at frequency 0
    cosine: np.ndarray  # of twice the angle
    sine: np.ndarray
    ring_count: np.ndarray  # (n_rings,) number of frequencies of the whole plane in each ring
    ring_octaves: np.ndarray  # (n_rings,) the sum of their octaves


@lru_cache(maxsize=8)
def _frequency_plane(height: int, width: int) -> _Plane:
    y, x = np.arange(height // 2 + 1)[:, None] / height, np.arange(width // 2 + 1) / width
    square = y**2 + x**2
    square[0, 0] = 1
    octave = np.log2(square) / 2
    ring = np.clip(np.floor(4 * octave) + _RING_OF_HALF + 4, 0, _N_RINGS - 1).astype(np.uint8)
    count = np.outer(*(np.where((f == 0) | (f == 0.5), 1, 2) for f in (y, x)))
    count[0, 0] = 0
    of_rings = (
        np.bincount(ring.ravel(), weights.ravel(), _N_RINGS) for weights in (count, count * octave)
    )
    plane = _Plane(ring, octave, (x**2 - y**2) / square, 2 * x * y / square, *of_rings)
    for array in plane:
        array.flags.writeable = False  # cached for the next field
    return plane


def _sum_by_ring(plane: _Plane, weights: np.ndarray) -> np.ndarray:
    return np.bincount(plane.ring.ravel(), weights.ravel(), _N_RINGS)


def _slope(by_ring: np.ndarray, plane: _Plane) -> float:
    counts = plane.ring_count[_SLOPE_RINGS]
    is_occupied = counts > 0
    if np.count_nonzero(is_occupied) < 2:
        return 0.0
    counts = counts[is_occupied]
    power = np.log2(by_ring[_SLOPE_RINGS][is_occupied] / counts)
    octave = plane.ring_octaves[_SLOPE_RINGS][is_occupied] / counts
    octave -= octave.mean()
    return float(octave @ power / (octave @ octave))
