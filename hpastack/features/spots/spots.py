"""Puncta of a stain at three scales, and its connected components above Otsu's threshold."""

from __future__ import annotations

import cv2
import numpy as np

from hpastack.features.grey_levels import (
    grey_levels,
    histogram_quantiles,
    level_counts,
    otsu_threshold,
)
from hpastack.features.shapes import part_shapes

#: Standard deviations of the Gaussians that detect puncta, in pixels; the response to a spot of
#: radius r is largest at about r / 1.3.
SCALES = (1, 2, 4)

#: Counts and lengths are per this many pixels.
PER_PIXELS = 10_000

# Ratio of the two Gaussians of the difference, which approximates a Laplacian of Gaussian.
_RATIO = 1.6
# Detection threshold of puncta, in robust standard deviations of the difference and in grey levels.
_LEAST_SDS = 4.0
_LEAST_LEVELS = 1.0
# Factor from the median of absolute values to the standard deviation of a normal distribution.
_MAD_TO_SD = 1.4826
# Smoothing before thresholding, and minimum area of a connected component, in pixels.
_PART_SMOOTHING = 1.0
_SMALLEST_PART = 8

_OF_BLOBS = {
    "blobs": "puncta of {{stain}} about {d} px wide, per 10,000 px",
    "blob_size": "mean area in px of puncta of {{stain}} about {d} px wide (NaN if none)",
    "blob_contrast": "mean contrast of puncta of {{stain}} about {d} px wide (NaN if none)",
    "blob_signal": "fraction of the signal of {{stain}} in puncta about {d} px wide",
}

_OF_PARTS = {
    "spots_parts": "connected components of {stain} above Otsu's threshold, per 10,000 px",
    "spots_part_area_p10": (
        "10th percentile of the area in px of connected components of {stain} (NaN if none)"
    ),
    "spots_part_area_p50": "median area in px of connected components of {stain} (NaN if none)",
    "spots_part_area_p90": (
        "90th percentile of the area in px of connected components of {stain} (NaN if none)"
    ),
    "spots_part_area_max": (
        "fraction of the area of all connected components of {stain} in the largest (NaN if none)"
    ),
    "spots_part_eccentricity": (
        "area-weighted mean eccentricity of connected components of {stain} (NaN if none)"
    ),
    "spots_euler_number": "Euler number of {stain} above Otsu's threshold, per 10,000 px",
}

#: Description of each value, in the order of `spot_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    **{
        f"spots_{name}_s{scale}": meaning.format(d=round(2.6 * scale))
        for scale in SCALES
        for name, meaning in _OF_BLOBS.items()
    },
    **_OF_PARTS,
}

#: Columns that are NaN for a stain without the measured object.
UNDEFINED = frozenset(
    [f"spots_{name}_s{scale}" for scale in SCALES for name in ("blob_size", "blob_contrast")]
    + [name for name in _OF_PARTS if name.startswith("spots_part_")]
)


def spot_features(image: np.ndarray) -> dict[str, float]:
    """Count and measure the puncta and the connected components of one stain.

    Puncta are local maxima of a difference of Gaussians (ratio 1.6, which approximates
    a Laplacian of Gaussian) of at least 4 robust standard deviations of the response over the
    whole image and at least one grey level. Connected components are those
    above Otsu's threshold of the slightly smoothed stain.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].

    Returns
    -------
    dict of str to float
        For each standard deviation of 1, 2 and 4 px, ``spots_<property>_s<sd>``:
        blobs (maxima per 10,000 px), blob_size (mean area above the detection threshold
        per maximum, in px), blob_contrast (mean over maxima of the
        response divided by the local brightness), blob_signal (sum of the response above the
        detection threshold, divided by the sum of the stain); then
        ``spots_<property>``: parts (connected components per 10,000 px), part_area_p10, p50, p90
        (in px), part_area_max (fraction of the total area in the largest), part_eccentricity (of
        the ellipse with the same second moments: 0 for a circle, 1 for a line; weighted by
        area), euler_number (connected components minus holes, per 10,000 px).

    Raises
    ------
    InputError
        If `image` is not 2-D, is empty, is not finite or has values outside [0, 1].

    Notes
    -----
    Without puncta at a scale, their size and contrast are NaN; without
    connected components, so are their areas and eccentricity. Counts and fractions are then 0.

    References
    ----------
    .. [1] T. Lindeberg, "Feature detection with automatic scale selection",
       Int. J. Comput. Vis. 30(2), 79-116, 1998. :doi:`10.1023/A:1008045108935`
    .. [2] S. B. Gray, "Local properties of binary images in two dimensions",
       IEEE Trans. Comput. C-20(5), 551-561, 1971. :doi:`10.1109/T-C.1971.223289`

    Examples
    --------
    >>> image = np.zeros((100, 100))
    >>> image[20:24, 30:34] = image[60:64, 70:74] = 1
    >>> values = spot_features(image)
    >>> values["spots_blobs_s2"], values["spots_parts"], values["spots_part_area_p50"]
    (2.0, 2.0, 16.0)
    """
    levels = grey_levels(image)
    values: list[float] = []
    for scale in SCALES:
        values += _blobs(levels, scale)
    return dict(zip(MEANINGS, values + _parts(levels), strict=True))


def blob_response(levels: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the difference-of-Gaussians response to puncta of a scale.

    Parameters
    ----------
    levels : ndarray of uint8, shape (H, W)
        A stain in grey levels.
    scale : float
        Standard deviation of the narrower Gaussian, in pixels.

    Returns
    -------
    difference : ndarray of float32, shape (H, W)
        Difference of the two Gaussians, in grey levels.
    surrounding : ndarray of float32, shape (H, W)
        The wider Gaussian.
    least : float
        Detection threshold of the difference, in grey levels.
    """
    plain = levels.astype(np.float32)
    narrow = cv2.GaussianBlur(plain, (0, 0), scale)
    wide = cv2.GaussianBlur(plain, (0, 0), _RATIO * scale)
    difference = narrow - wide
    return difference, wide, max(_LEAST_LEVELS, _LEAST_SDS * robust_sd(difference))


def blob_peaks(difference: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the local maxima of a response.

    Parameters
    ----------
    difference : ndarray of float32, shape (H, W)
    least : float
        Both from `blob_response`.

    Returns
    -------
    rows, columns : ndarray of int, shape (n,)
        Pixels that reach the detection threshold and are not below any of their eight neighbours;
        one pixel per plateau of equal maxima.
    """
    highest = cv2.dilate(difference, np.ones((3, 3), np.uint8))
    peaks = (difference >= highest) & (difference >= least)
    _, labels = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    rows, columns = np.nonzero(labels)
    _, first = np.unique(labels[rows, columns], return_index=True)
    return rows[first], columns[first]


def robust_sd(values: np.ndarray) -> float:
    """Return a robust standard deviation about 0 of values that are mostly background.

    Parameters
    ----------
    values : ndarray of float32

    Returns
    -------
    float
        1.48 times the median of the absolute values, accurate to a thousandth of the largest.
    """
    sizes = np.abs(values)
    top = float(sizes.max())
    if top == 0:
        return 0.0
    # The median from a histogram, in one pass, instead of a partial sort.
    counts = level_counts((sizes * np.float32(4095 / top)).astype(np.uint16), 4096)
    return _MAD_TO_SD * top / 4095 * (float(histogram_quantiles(counts, [0.5])[0]) + 0.5)


def _blobs(levels: np.ndarray, scale: float) -> list[float]:
    difference, surrounding, least = blob_response(levels, scale)
    rows, columns = blob_peaks(difference, least)
    n_blobs, n_pixels = len(rows), levels.size
    if not n_blobs:
        return [0.0, np.nan, np.nan, 0.0]
    is_detected = difference >= least
    peaks = difference[rows, columns].astype(np.float64)
    contrast = (peaks / (surrounding[rows, columns] + 1.0)).mean()
    signal = difference[is_detected].sum(dtype=np.float64) / levels.sum(dtype=np.int64)
    return [
        PER_PIXELS * n_blobs / n_pixels,
        float(np.count_nonzero(is_detected) / n_blobs),
        float(contrast),
        float(signal),
    ]


def _parts(levels: np.ndarray) -> list[float]:
    smooth = cv2.GaussianBlur(levels.astype(np.float32), (0, 0), _PART_SMOOTHING)
    counts = level_counts(np.rint(smooth).astype(np.uint8))
    # Half a level above a constant image, because smoothing leaves rounding errors.
    is_constant = np.count_nonzero(counts) == 1
    above = (smooth > otsu_threshold(counts) + 0.5 * is_constant).astype(np.uint8)
    n_labels, labels, table, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    kept = table[:, cv2.CC_STAT_AREA] >= _SMALLEST_PART
    kept[0] = False
    areas = table[kept, cv2.CC_STAT_AREA].astype(np.float64)
    if not len(areas):
        return [0.0, np.nan, np.nan, np.nan, np.nan, np.nan, 0.0]
    per_pixels = PER_PIXELS / levels.size
    return [
        len(areas) * per_pixels,
        *map(float, np.quantile(areas, (0.1, 0.5, 0.9))),
        float(areas.max() / areas.sum()),
        float(np.average(part_shapes(labels, n_labels).eccentricity[kept], weights=areas)),
        _euler_number(kept[labels]) * per_pixels,
    ]


def _euler_number(mask: np.ndarray) -> float:
    """Return 8-connected components minus 4-connected holes, from the 2 x 2 pixel patterns."""
    padded = np.pad(mask, 1).astype(np.uint8)
    squares = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, :-1] + 8 * padded[1:, 1:]
    counts = np.bincount(squares.ravel(), minlength=16)
    one = counts[[1, 2, 4, 8]].sum()
    three = counts[[7, 11, 13, 14]].sum()
    diagonal = counts[[6, 9]].sum()
    return float(one - three - 2 * diagonal) / 4
