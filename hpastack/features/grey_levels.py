"""Grey levels, and statistics of their histogram; shared by all families.

All hand-crafted features are computed from integer grey levels, 256 over [0, 1]
(merged to fewer levels for texture). HPA publishes 8-bit images, so nothing is lost,
and a field has the same features whether it is stored with 8 or with 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

import cv2
import numpy as np

from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.fields.stains import measured_stains, with_black_stains

#: Grey levels over [0, 1].
N_LEVELS = 256

# Few enough for the arrays of a strip to fit into the cache of a core.
_STRIP_PIXELS = 2**16


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Round one stain to its 256 grey levels.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1]. An image of dtype uint8 is taken as grey levels and
        returned unchanged.

    Returns
    -------
    ndarray of uint8, shape (H, W)

    Raises
    ------
    InputError
        If `image` is not 2-D, is empty, is not numeric, is not finite or has values outside
        [0, 1].

    Examples
    --------
    >>> grey_levels(np.array([[0.0, 0.5, 1.0]]))
    array([[  0, 128, 255]], dtype=uint8)
    """
    image = np.asarray(image)
    if image.dtype.kind not in "buif":
        raise InputError(f"a stain must be an image of numbers in [0, 1], not of {image.dtype}")
    if image.ndim != 2:
        raise InputError(f"a stain must be an image of shape (H, W), not {image.shape}")
    if not image.size:
        raise InputError(f"a stain of shape {image.shape} is empty")
    if image.dtype == np.uint8:
        return image
    levels = np.empty(image.shape, np.uint8)
    for rows in row_strips(image.shape, 1, _STRIP_PIXELS):
        if not (image[rows].min() >= 0 and image[rows].max() <= 1):  # so that NaN fails too
            _reject(image)
        # To the nearest level, ties to even, as `np.round` does when 8-bit images are written.
        levels[rows] = np.rint(image[rows] * np.float32(N_LEVELS - 1))
    return levels


def _reject(image: np.ndarray) -> NoReturn:
    if np.isnan(image).any():
        raise InputError("a stain contains NaN; every pixel of a field must be a number")
    low, high = image.min(), image.max()
    raise InputError(f"a stain has values from {low:g} to {high:g}; scale it to [0, 1]")


def field_levels(field: np.ndarray) -> np.ndarray:
    """Round a field to its 256 grey levels.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1]; or grey levels, of dtype uint8.

    Returns
    -------
    ndarray of uint8, shape (4, H, W)
        A missing stain (all NaN) is 0.

    Raises
    ------
    InputError
        If `field` does not have that shape, or a stain is invalid (see `grey_levels`).
    """
    try:
        field = np.asarray(field)
    except ValueError:
        raise InputError(
            "the stains of a field differ in shape; a field has the shape (4, H, W)"
        ) from None
    if field.ndim != 3 or len(field) != len(STAINS):
        raise InputError(f"a field must have the shape (4, H, W), not {field.shape}")
    if not measured_stains(field):
        raise InputError("all pixels of all stains of the field are NaN")
    return np.stack([grey_levels(stain) for stain in with_black_stains(field)])


def level_counts(levels: np.ndarray, n_levels: int = N_LEVELS) -> np.ndarray:
    """Count the pixels at each level.

    Parameters
    ----------
    levels : ndarray of uint8 or uint16, shape (H, W)
    n_levels : int, default=256
        Must be larger than the highest level.

    Returns
    -------
    ndarray of int64, shape (n_levels,)

    Examples
    --------
    >>> level_counts(np.array([[0, 2], [2, 2]], dtype=np.uint8), 4)
    array([1, 0, 3, 0])
    """
    counts = np.zeros(n_levels, dtype=np.int64)
    # OpenCV counts in 32-bit floats: exact up to 2**24, more than the pixels of a strip.
    for rows in row_strips(levels.shape, 1, 2**20):
        counted = cv2.calcHist([levels[rows]], [0], None, [n_levels], [0, n_levels])
        counts += counted.ravel().astype(np.int64)
    return counts


def reduced_levels(levels: np.ndarray, factor: int) -> np.ndarray:
    """Downsample an image of grey levels by averaging blocks, and round to integer levels.

    Parameters
    ----------
    levels : ndarray of uint8, shape (H, W)
        From `grey_levels`.
    factor : int
        Downsampling factor of each side.

    Returns
    -------
    ndarray of uint8, shape (H // factor, W // factor)
        As `block_means`, rounded to the nearest level, ties to even.

    Examples
    --------
    >>> reduced_levels(np.array([[0, 4], [0, 8]], dtype=np.uint8), 2)
    array([[3]], dtype=uint8)
    """
    return levels if factor == 1 else np.rint(block_means(levels, factor)).astype(np.uint8)


def block_means(image: np.ndarray, factor: int) -> np.ndarray:
    """Downsample an image of integers by averaging square blocks.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (H, W)
    factor : int
        Side of a block, in pixels, from 1 to 8. An image side shorter than this is one block.

    Returns
    -------
    ndarray of float32, shape (H // factor, W // factor)
        Rows at the bottom and columns on the right that do not fill a block are
        discarded: distributing them over all blocks would blur the image unevenly.

    Examples
    --------
    >>> block_means(np.array([[0, 4, 9], [0, 8, 9]], dtype=np.uint8), 2).tolist()
    [[3.0]]
    """
    height, width = image.shape
    down, across = min(factor, height), min(factor, width)
    rows, columns = height // down, width // across
    whole = image[: rows * down, : columns * across].astype(np.float32)
    # Sums of up to 64 16-bit integers are exact in 32-bit floats.
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)


def check_levels(levels: np.ndarray, min_side: int, what: str) -> None:
    """Check that an array is an image of grey levels and large enough.

    Parameters
    ----------
    levels : ndarray
        Must be 2-D of dtype uint8, as from `grey_levels`.
    min_side : int
        Minimum length of the shorter side, in pixels.
    what : str
        Start of the error message.

    Raises
    ------
    InputError
        If it is not.

    Examples
    --------
    >>> check_levels(np.zeros((9, 8), dtype=np.uint8), 8, "texture")
    """
    if levels.ndim != 2 or levels.dtype != np.uint8:
        raise InputError(
            f"{what}: the image must be 2-D and of uint8 (grey levels), not {levels.dtype} "
            f"of shape {levels.shape}; convert a stain in [0, 1] with `grey_levels`"
        )
    if min(levels.shape) < min_side:
        raise InputError(
            f"{what} does not fit an image of {levels.shape[0]} x {levels.shape[1]} px; "
            f"the shorter side must have at least {min_side} px"
        )


def row_strips(shape: tuple[int, int], window: int, n_pixels: int) -> Iterator[slice]:
    """Split the rows of an image into strips whose arrays fit into the cache.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    window : int
        Rows processed together, at most as many as the image has. Strips overlap by
        ``window - 1`` rows, so that each run of `window` rows lies in exactly one strip.
    n_pixels : int
        Approximate number of pixels in a strip, without the overlap.

    Yields
    ------
    slice
        Rows of a strip, from the top.

    Examples
    --------
    >>> list(row_strips((1000, 512), window=3, n_pixels=2**16))[:2]
    [slice(0, 130, None), slice(128, 258, None)]
    """
    rows, columns = shape
    step = max(1, n_pixels // columns)
    for top in range(0, rows - window + 1, step):
        yield slice(top, min(top + step + window - 1, rows))


def histogram_quantiles(counts: np.ndarray, fractions: Sequence[float]) -> np.ndarray:
    """Return quantiles of a histogram, interpolated within levels.

    The pixels of a level are assumed to be spread evenly over its width (grouped quantiles), so
    that a quantile changes smoothly when pixels move between levels: the median
    of a dark stain would otherwise jump by a third between 2 and 3.

    Parameters
    ----------
    counts : ndarray of int, shape (n_levels,)
        Pixels at each level; at least one.
    fractions : sequence of float
        In [0, 1].

    Returns
    -------
    ndarray of float, shape (len(fractions),)
        In levels. Never outside the range of levels that occur, so all quantiles of an image of
        one level equal that level. A quantile that falls in a gap
        between levels is the middle of the gap.

    Examples
    --------
    >>> histogram_quantiles(np.array([0, 5, 0, 0, 5]), [0.0, 0.5, 1.0]).tolist()
    [1.0, 2.5, 4.0]
    """
    occurring = np.flatnonzero(counts)
    cumulative = np.cumsum(counts[occurring])
    targets = np.asarray(fractions, dtype=np.float64) * cumulative[-1]
    ends = []
    for side in ("left", "right"):
        at = np.minimum(np.searchsorted(cumulative, targets, side), len(occurring) - 1)
        level = occurring[at]
        missing = (cumulative[at] - targets) / counts[level]
        ends.append(level + 0.5 - np.clip(missing, 0, 1))
    return np.clip(np.mean(ends, axis=0), occurring[0], occurring[-1])


def otsu_threshold(counts: np.ndarray) -> float:
    """Return Otsu's threshold of a histogram, interpolated between levels.

    Otsu's threshold maximises the variance between the two classes. It is
    refined to a fraction of a level by the parabola through the largest variance and its
    two neighbours: if two neighbouring levels are nearly equivalent, a single pixel
    changes the threshold only slightly instead of by a whole level.

    Parameters
    ----------
    counts : ndarray of int, shape (n_levels,)
        Pixels at each level; at least one.

    Returns
    -------
    float
        In levels; halfway between levels ``t`` and ``t + 1`` if the lower
        class ends at ``t``, moved by at most half a level by the refinement. In a gap
        between levels, the middle of the gap. For an image of one level, that level.

    References
    ----------
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms",
       IEEE Trans. Syst. Man Cybern. 9(1), 62-66, 1979.
       :doi:`10.1109/TSMC.1979.4310076`

    Examples
    --------
    >>> otsu_threshold(np.array([0, 5, 0, 0, 5]))
    2.5
    """
    occurring = np.flatnonzero(counts)
    if len(occurring) == 1:
        return float(occurring[0])
    levels = np.arange(len(counts))
    # Integers, so that thresholds in a gap between levels tie exactly.
    below, sum_below = np.cumsum(counts)[:-1], np.cumsum(counts * levels)[:-1]
    n, total = int(counts.sum()), int((counts * levels).sum())
    apart = (below > 0) & (below < n)
    between = np.zeros(len(below))
    between[apart] = (total * (below / n) - sum_below)[apart] ** 2 / (below * (n - below))[apart]
    best = np.flatnonzero(between == between.max())
    first, last = best[0], best[-1]
    if first < last or not 0 < first < len(between) - 1:
        return float(first + last + 1) / 2
    left, top, right = between[first - 1 : first + 2]
    return float(first + 0.5 + 0.5 * (left - right) / (left - 2 * top + right))


def weights_above(threshold: float, n_levels: int = N_LEVELS) -> np.ndarray:
    """Return the fraction of each level that lies above a threshold.

    Parameters
    ----------
    threshold : float
        In levels.
    n_levels : int, default=256

    Returns
    -------
    ndarray of float, shape (n_levels,)
        0 below, 1 above, and a value in between for the level whose bin contains the
        threshold.

    Examples
    --------
    >>> weights_above(1.75, 4).tolist()
    [0.0, 0.0, 0.75, 1.0]
    """
    return np.clip(np.arange(n_levels) + 0.5 - threshold, 0, 1)
