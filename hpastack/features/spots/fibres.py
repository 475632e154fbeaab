"""Fibres of a stain: strength, anisotropy and alignment of ridges, and their skeleton."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.morphology import skeletonize

from hpastack.features.grey_levels import grey_levels
from hpastack.features.segmentation import remove_specks
from hpastack.features.spots.spots import PER_PIXELS, robust_sd

#: Standard deviations of the Gaussian smoothing before ridge detection, in pixels.
SCALES = (1.5, 3)

# Detection threshold of a ridge, in robust standard deviations and in grey levels.
_LEAST_SDS = 3.0
_LEAST_LEVELS = 2.0
# Connected components of a ridge below this area, in pixels, are ignored.
_SMALLEST_PIECE = 8
_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)

_OF_RIDGES = {
    "ridge_energy": "mean ridge strength of {{stain}} (sd {s} px) relative to its mean intensity",
    "ridge_anisotropy": "anisotropy of ridges of {{stain}} (sd {s} px): 1 lines, 0 round spots",
    "ridge_alignment": "alignment of ridges of {{stain}} (sd {s} px): 1 parallel, 0 isotropic",
}

#: Columns that are NaN for a stain without the measured object.
UNDEFINED = frozenset({"spots_fibre_length"})

#: Description of each value, in the order of `fibre_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    **{
        f"spots_{name}_s{scale}": meaning.format(s=scale)
        for scale in SCALES
        for name, meaning in _OF_RIDGES.items()
    },
    "spots_skeleton_length": "length in px of the fibre skeleton of {stain}, per 10,000 px",
    "spots_branch_points": "branch points of the fibre skeleton of {stain}, per 10,000 px",
    "spots_fibre_length": (
        "mean length in px of the connected components of the skeleton of {stain} (NaN if none)"
    ),
}


def fibre_features(image: np.ndarray) -> dict[str, float]:
    """Measure the ridges of one stain and the skeleton of its fibres.

    A ridge has a strongly negative second derivative of the smoothed stain across it
    (the smaller eigenvalue of the Hessian). The skeleton is computed from
    the ridges of the finer scale that exceed 3 robust standard
    deviations.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].

    Returns
    -------
    dict of str to float
        For each standard deviation of 1.5 and 3 px, ``spots_<property>_s<sd>``:
        ridge_energy (mean strength, i.e. the negative eigenvalue times the variance of
        the Gaussian, divided by the mean level), ridge_anisotropy (normalised difference of the
        curvature across and along the ridge: 1 for lines, 0 for
        round spots), ridge_alignment (length of the strength-weighted mean of unit vectors at twice
        the angle); then ``spots_<property>``:
        skeleton_length (in px, per 10,000 px), branch_points (per 10,000 px),
        fibre_length (mean length of the connected components of the skeleton, in px).

    Raises
    ------
    InputError
        If `image` is not 2-D, is empty, is not finite or has values outside [0, 1].

    Notes
    -----
    For a stain without ridges all values are 0, except the fibre length, which is NaN.
    Thinning removes pixels in a fixed order, so the skeleton of a rotated
    image may differ by a few pixels; `hpastack.field_features` therefore brings each field into
    its canonical orientation first.

    References
    ----------
    .. [1] Y. Sato et al., "Three-dimensional multi-scale line filter for
       segmentation and visualization of curvilinear structures in medical
       images", Med. Image Anal. 2(2), 143-168, 1998.
       :doi:`10.1016/S1361-8415(98)80009-1`
    .. [2] T. Y. Zhang and C. Y. Suen, "A fast parallel algorithm for thinning
       digital patterns", Commun. ACM 27(3), 236-239, 1984.
       :doi:`10.1145/357994.358023`

    Examples
    --------
    >>> image = np.zeros((100, 100))
    >>> image[49:51, 10:90] = 1
    >>> values = fibre_features(image)
    >>> values["spots_ridge_alignment_s1.5"] > 0.9, values["spots_branch_points"]
    (True, 0.0)
    """
    levels = grey_levels(image).astype(np.float32)
    values: list[float] = []
    fine = None
    for scale in SCALES:
        across, along, directions = _ridges(levels, scale)
        fine = across if fine is None else fine
        values += _summarise(levels, across, along, directions)
    assert fine is not None
    return dict(zip(MEANINGS, values + _skeleton(fine), strict=True))


def _ridges(
    levels: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the curvature across and along ridges, and the vector at twice the angle."""
    smooth = cv2.GaussianBlur(levels, (0, 0), scale)
    second = np.array([1, -2, 1], np.float32)
    first = np.array([-0.5, 0, 0.5], np.float32)
    nothing = np.array([1], np.float32)
    of_columns = cv2.sepFilter2D(smooth, cv2.CV_32F, second, nothing)
    of_rows = cv2.sepFilter2D(smooth, cv2.CV_32F, nothing, second)
    both = cv2.sepFilter2D(smooth, cv2.CV_32F, first, first)
    middle = (of_columns + of_rows) * np.float32(0.5)
    lean = (of_columns - of_rows) * np.float32(0.5)
    spread = _length(lean, both)
    variance = np.float32(scale**2)
    across = np.maximum((spread - middle) * variance, 0)
    along = np.maximum((-spread - middle) * variance, 0)
    return across, along, (lean, both)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # Not `cv2.magnitude`: its last digit depends on the memory alignment of the arrays.
    return np.sqrt(x * x + y * y)


def _summarise(
    levels: np.ndarray,
    across: np.ndarray,
    along: np.ndarray,
    directions: tuple[np.ndarray, np.ndarray],
) -> list[float]:
    total, brightness = across.sum(dtype=np.float64), levels.sum(dtype=np.float64)
    if total < 1e-6 * brightness or brightness == 0:
        return [0.0, 0.0, 0.0]
    lean, both = directions
    spread = _length(lean, both)
    weight = across / np.maximum(spread, np.float32(1e-12))
    resultant = [(weight * part).sum(dtype=np.float64) for part in (lean, both)]
    other = along.sum(dtype=np.float64)
    return [
        float(total / brightness),
        float((total - other) / (total + other)),
        float(np.hypot(*resultant) / total),
    ]


def _skeleton(across: np.ndarray) -> list[float]:
    least = max(_LEAST_LEVELS, _LEAST_SDS * robust_sd(across))
    mask = remove_specks((across >= least).astype(np.uint8), _SMALLEST_PIECE)
    thin = skeletonize(mask > 0).astype(np.uint8)
    if not thin.any():
        return [0.0, 0.0, np.nan]
    n_pieces = cv2.connectedComponents(thin, connectivity=8)[0] - 1
    length = skeleton_length(thin)
    neighbours = cv2.filter2D(thin, cv2.CV_8U, _RING, borderType=cv2.BORDER_CONSTANT)
    # Pixels next to a branch point may also have three neighbours: touching ones count once.
    branches = ((neighbours >= 3) & (thin > 0)).astype(np.uint8)
    n_branches = cv2.connectedComponents(branches, connectivity=8)[0] - 1
    per_pixels = PER_PIXELS / thin.size
    return [length * per_pixels, n_branches * per_pixels, length / n_pieces]


def skeleton_length(thin: np.ndarray) -> float:
    """Return the length of a skeleton in pixels.

    Parameters
    ----------
    thin : ndarray of uint8, shape (H, W)
        1 on the skeleton, 0 elsewhere.

    Returns
    -------
    float
        Horizontal and vertical steps count 1, diagonal steps 1.41 (unless the two pixels are
        also connected by two such steps); a single pixel has length 0.
    """
    straight = np.count_nonzero(thin[:, 1:] & thin[:, :-1])
    straight += np.count_nonzero(thin[1:] & thin[:-1])
    corners = thin[1:, 1:] & thin[:-1, :-1] & ~(thin[1:, :-1] | thin[:-1, 1:])
    others = thin[1:, :-1] & thin[:-1, 1:] & ~(thin[1:, 1:] | thin[:-1, :-1])
    diagonal = np.count_nonzero(corners & 1) + np.count_nonzero(others & 1)
    return float(straight + 2**0.5 * diagonal)
