"""Fibres of a stain: ridges, how far they run together, and their skeleton."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.morphology import skeletonize

from hpastack.features.grey_levels import grey_levels
from hpastack.features.segmentation import remove_specks
from hpastack.features.spots.spots import PER_PIXELS, robust_sd

#: Standard deviations of the Gaussians under the ridges, in pixels.
SCALES = (1.5, 3)

# A ridge stands out by so many robust standard deviations, and grey levels.
_LEAST_SDS = 3.0
_LEAST_LEVELS = 2.0
# Pieces of a ridge below this area, in pixels, are no fibres.
_SMALLEST_PIECE = 8
_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)

_OF_RIDGES = {
    "ridge_energy": "strength of the ridges of {{stain}}, sd {s} px, over its brightness",
    "ridge_anisotropy": "1 where the ridges of {{stain}}, sd {s} px, are lines, 0 if round dots",
    "ridge_alignment": "1 where all ridges of {{stain}}, sd {s} px, are parallel, 0 if any way",
}

#: Columns that are NaN for a stain without such a thing.
UNDEFINED = frozenset({"spots_fibre_length"})

#: What each value means, in the order of `fibre_features`; ``{stain}`` is filled in.
MEANINGS = {
    **{
        f"spots_{name}_s{scale}": meaning.format(s=scale)
        for scale in SCALES
        for name, meaning in _OF_RIDGES.items()
    },
    "spots_skeleton_length": "length in px of the skeleton of the fibres of {stain}, in 10,000 px",
    "spots_branch_points": "branch points of the skeleton of the fibres of {stain}, in 10,000 px",
    "spots_fibre_length": "mean length in px of a piece of the skeleton of {stain} (NaN if none)",
}


def fibre_features(image: np.ndarray) -> dict[str, float]:
    """Measure the ridges of one stain and the skeleton of its fibres.

    A ridge is where the second derivative of the smoothed stain across it is strongly
    negative (the smaller eigenvalue of the Hessian). The skeleton is that of
    the ridges of the finer scale which stand out by 3 robust standard
    deviations.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].

    Returns
    -------
    dict of str to float
        For each standard deviation of 1.5 and 3 px, ``spots_<property>_s<sd>``:
        ridge_energy (mean strength, minus the eigenvalue times the variance of
        the Gaussian, over the mean level), ridge_anisotropy (how much stronger
        than along it the curvature is across the ridge: 1 for lines, 0 for
        round dots), ridge_alignment (length of the mean of the doubled
        directions, weighted by strength); then ``spots_<property>``:
        skeleton_length (in px, in 10,000 px), branch_points (in 10,000 px),
        fibre_length (mean length of the pieces of the skeleton, in px).

    Raises
    ------
    InputError
        If `image` is not 2-D or is empty, is not finite or leaves [0, 1].

    Notes
    -----
    A stain without ridges has 0 for all, but for the length of a fibre, which is NaN.
    Thinning takes pixels away in an order, so that the skeleton of a turned
    image may differ by a few pixels; `hpastack.field_features` turns every field to one
    position first.

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
    """Return the curvature across and along ridges, and the doubled direction across them."""
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


def _length(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    # Not `cv2.magnitude`: its last digit depends on where in memory the arrays lie.
    return np.sqrt(one * one + other * other)


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
    doubled = [(weight * part).sum(dtype=np.float64) for part in (lean, both)]
    other = along.sum(dtype=np.float64)
    return [
        float(total / brightness),
        float((total - other) / (total + other)),
        float(np.hypot(*doubled) / total),
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
    # Beside a branch point others may have three neighbours: those that touch are one.
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
        Steps to a neighbour beside count 1, diagonal ones 1.41 (where there
        is no way around by two steps beside); a lone pixel has length 0.
    """
    straight = np.count_nonzero(thin[:, 1:] & thin[:, :-1])
    straight += np.count_nonzero(thin[1:] & thin[:-1])
    corners = thin[1:, 1:] & thin[:-1, :-1] & ~(thin[1:, :-1] | thin[:-1, 1:])
    others = thin[1:, :-1] & thin[:-1, 1:] & ~(thin[1:, 1:] | thin[:-1, :-1])
    diagonal = np.count_nonzero(corners & 1) + np.count_nonzero(others & 1)
    return float(straight + 2**0.5 * diagonal)
