"""Texture of a stain: how grey levels lie beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from skimage.feature import graycomatrix

from hpastack.errors import InputError
from hpastack.features.grey_levels import N_LEVELS, grey_levels

DISTANCES = (1, 2, 4)
LEVELS = 32

_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)

_PROPERTIES = {
    "contrast": "mean squared difference of grey levels of {{stain}} {d} px apart",
    "dissimilarity": "mean absolute difference of grey levels of {{stain}} {d} px apart",
    "homogeneity": "how alike grey levels of {{stain}} {d} px apart are, 1 where all are equal",
    "asm": "angular second moment of {{stain}} at {d} px: 1 where one pair of levels is all",
    "energy": "square root of the angular second moment of {{stain}} at {d} px",
    "correlation": "correlation of grey levels of {{stain}} {d} px apart",
    "entropy": "entropy of the pairs of grey levels of {{stain}} {d} px apart, in bits",
}

#: What each value means, in the order of `texture_features`; ``{stain}`` is filled in.
MEANINGS = {
    f"texture_{name}_d{d}": meaning.format(d=d)
    for d in DISTANCES
    for name, meaning in _PROPERTIES.items()
}


def texture_features(
    image, distances: Sequence[int] = DISTANCES, levels: int = LEVELS
) -> dict[str, float]:
    """Summarise the texture of one stain by its grey-level co-occurrences.

    Intensities are cut into `levels` equal ranges of the 256 grey levels. For each
    distance the co-occurrences in four directions are counted symmetrically
    and normalised, and each property is averaged over the directions, so
    quarter turns and mirroring leave the features unchanged.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].
    distances : sequence of int, default=(1, 2, 4)
        Offsets between the paired pixels, in pixels. Diagonal offsets are
        rounded to whole pixels, so at 45 degrees distance 2 steps (1, 1), as
        distance 1 does, and distance 4 steps (3, 3).
    levels : int, default=32
        Number of grey levels: 2, 4, 8, ... or 256. Time and memory grow with its square.

    Returns
    -------
    dict of str to float
        ``len(distances) * 7`` values named ``texture_<property>_d<distance>``,
        in order of distance, then property: contrast, dissimilarity,
        homogeneity, asm (angular second moment), energy, correlation,
        entropy. Contrast is in squared grey levels, dissimilarity in grey
        levels, entropy in bits; the others are unitless.

    Raises
    ------
    InputError
        If `image` is not 2-D, is not finite or leaves [0, 1], if `levels` is
        not a power of two from 2 to 256, or if a distance is below 1 or does not
        fit the image.

    Notes
    -----
    A constant image has contrast, dissimilarity and entropy 0, homogeneity,
    asm and energy 1 and, by convention, correlation 1; so has one whose signal
    stays within one of the ranges.

    References
    ----------
    .. [1] R. M. Haralick, K. Shanmugam and I. Dinstein, "Textural features
       for image classification", IEEE Trans. Syst. Man Cybern. 3(6),
       610-621, 1973. :doi:`10.1109/TSMC.1973.4309314`

    Examples
    --------
    A chessboard differs by 31 levels from its neighbours beside, by none on the diagonals:

    >>> values = texture_features(np.indices((8, 8)).sum(axis=0) % 2, distances=[1])
    >>> values["texture_contrast_d1"] == 31**2 / 2, values["texture_correlation_d1"]
    (True, 0.0)
    """
    if levels not in (2, 4, 8, 16, 32, 64, 128, 256):
        raise InputError(f"texture: {levels} grey levels; take a power of two from 2 to 256")
    cut = grey_levels(image) // np.uint8(N_LEVELS // levels)
    for distance in distances:
        if distance < 1 or distance >= min(cut.shape):
            raise InputError(
                f"texture: distance {distance} does not fit an image of "
                f"{cut.shape[0]} x {cut.shape[1]} px"
            )
    pairs = graycomatrix(cut, distances, _ANGLES, levels=levels, symmetric=True, normed=True)
    by_distance = _properties(pairs.reshape(levels**2, len(distances), 4)).mean(axis=2)
    names = [f"texture_{name}_d{distance}" for distance in distances for name in _PROPERTIES]
    return dict(zip(names, by_distance.T.ravel().tolist(), strict=True))


@lru_cache(maxsize=4)
def _pair_weights(levels: int) -> np.ndarray:
    """Return what a pair of levels adds to each property that is linear in the pairs."""
    # Levels counted from the middle, so that the variance loses fewer digits.
    first, second = (axis.ravel() - (levels - 1) / 2 for axis in np.indices((levels, levels)))
    apart = first - second
    return np.stack([apart**2, np.abs(apart), 1 / (1 + apart**2), first, first**2, first * second])


def _properties(pairs: np.ndarray) -> np.ndarray:
    """Turn normalised pair counts (levels**2, distances, directions) into the 7 properties."""
    levels = int(round(len(pairs) ** 0.5))
    flat = pairs.reshape(len(pairs), -1)
    linear = _pair_weights(levels) @ flat
    contrast, dissimilarity, homogeneity, mean, square, product = linear
    asm = (flat**2).sum(axis=0)
    variance = square - mean**2
    uniform = variance < 1e-12
    correlation = np.where(uniform, 1.0, (product - mean**2) / np.where(uniform, 1.0, variance))
    logarithms = np.log2(flat, out=np.zeros_like(flat), where=flat > 0)
    entropy = 0.0 - (flat * logarithms).sum(axis=0)
    values = [contrast, dissimilarity, homogeneity, asm, np.sqrt(asm), correlation, entropy]
    return np.stack(values).reshape(len(values), *pairs.shape[1:])
