"""Properties of the grey-level co-occurrence matrix (GLCM)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.feature import graycomatrix

from hpastack.errors import InputError
from hpastack.features.grey_levels import N_LEVELS, check_levels

DISTANCES = (1, 2, 4)
LEVELS = 32

_STRAIGHT = (0, np.pi / 2)
_DIAGONAL = (np.pi / 4, 3 * np.pi / 4)

_NAMES = {"asm": "angular second moment"}

_PROPERTIES = {
    "contrast": "GLCM contrast of {{stain}} at distance {d} px (32 grey levels)",
    "dissimilarity": "GLCM dissimilarity of {{stain}} at distance {d} px (32 grey levels)",
    "homogeneity": "GLCM homogeneity of {{stain}} at distance {d} px (1 for a constant image)",
    "asm": "GLCM angular second moment of {{stain}} at distance {d} px (1 for a constant image)",
    "energy": "GLCM energy of {{stain}} at distance {d} px (root of the angular second moment)",
    "correlation": "GLCM correlation of {{stain}} at distance {d} px",
    "entropy": "GLCM entropy of {{stain}} at distance {d} px, in bits",
    "variance": "GLCM variance of {{stain}} at distance {d} px (32 grey levels)",
}
_RANGE = "range over directions of the GLCM {name} of {{stain}} at distance {d} px"

#: Description of each value, in the order of `cooccurrence_features`; ``{stain}`` is a
#: placeholder.
MEANINGS = {
    f"texture_{column}_d{d}": meaning.format(name=_NAMES.get(name, name), d=d)
    for d in DISTANCES
    for name, mean in _PROPERTIES.items()
    for column, meaning in ((name, mean), (f"{name}_range", _RANGE))
}


def cooccurrence_features(
    image: np.ndarray, distances: Sequence[int] = DISTANCES, levels: int = LEVELS
) -> dict[str, float]:
    """Summarise the texture of one stain by its grey-level co-occurrence matrices (GLCM).

    The 256 grey levels are merged to `levels`. For each distance, symmetric
    co-occurrence matrices are computed in four directions; each property is
    returned as its mean and its range (maximum minus minimum) over the
    directions. Both are invariant to rotation by multiples of 90 degrees and to flipping, bit for
    bit.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        One stain, from `grey_levels`.
    distances : sequence of int, default=(1, 2, 4)
        Offsets between the paired pixels, in pixels. Diagonal offsets are
        rounded to whole pixels: at 45 degrees, distances 1 and 2 are the offset (1, 1),
        distance 4 is (3, 3).
    levels : int, default=32
        Number of grey levels: 2, 4, 8, ... or 256. Time and memory grow with its square.

    Returns
    -------
    dict of str to float
        ``len(distances) * 16`` values named ``texture_<property>_d<distance>``
        and ``texture_<property>_range_d<distance>``, in order of distance, then
        property: contrast, dissimilarity, homogeneity, asm (angular second
        moment), energy, correlation, entropy, variance. Contrast and variance are in
        squared grey levels, dissimilarity in grey levels, entropy in bits; the
        others are dimensionless.

    Raises
    ------
    InputError
        If `image` is not 2-D of dtype uint8, if `levels` is not a power of two
        from 2 to 256, or if a distance is below 1 or does not fit the image.

    Notes
    -----
    A constant image has contrast, dissimilarity, entropy and variance 0,
    homogeneity, asm and energy 1, by convention correlation 1, and all ranges
    0. The same holds for an image whose pixels all fall into one of the merged levels.

    References
    ----------
    .. [1] R. M. Haralick, K. Shanmugam and I. Dinstein, "Textural features
       for image classification", IEEE Trans. Syst. Man Cybern. 3(6),
       610-621, 1973. :doi:`10.1109/TSMC.1973.4309314`

    Examples
    --------
    The pixels of a chessboard differ from their direct neighbours by 31 levels, and equal their
    diagonal ones:

    >>> chessboard = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    >>> values = cooccurrence_features(chessboard, distances=[1])
    >>> values["texture_contrast_d1"] == 31**2 / 2, values["texture_contrast_range_d1"] == 31**2
    (True, True)
    >>> values["texture_correlation_d1"], values["texture_correlation_range_d1"]
    (0.0, 2.0)
    """
    if levels not in (2, 4, 8, 16, 32, 64, 128, 256):
        raise InputError(
            f"texture: {levels} grey levels is not a power of two from 2 to 256", "levels"
        )
    for distance in distances:
        if distance < 1:
            raise InputError(
                f"texture: distance {distance} is below the minimum of 1 px", "distances"
            )
        check_levels(image, distance + 1, f"texture: distance {distance}")
    cut = image // np.uint8(N_LEVELS // levels)
    counts = _pair_counts(cut, distances, levels)
    # Sorted, so that the mean is summed in the same order when the image is rotated.
    values = np.sort(_properties(counts, origin=round(cut.mean())), axis=2)
    by_distance = np.stack([values.mean(axis=2), values[..., -1] - values[..., 0]], axis=1)
    names = [
        f"texture_{name}{spread}_d{distance}"
        for distance in distances
        for name in _PROPERTIES
        for spread in ("", "_range")
    ]
    return dict(zip(names, by_distance.reshape(-1, len(distances)).T.ravel().tolist()))


def _pair_counts(cut: np.ndarray, distances: Sequence[int], levels: int) -> np.ndarray:
    """Return symmetric co-occurrence counts: (levels, levels, distances, directions)."""
    straight = graycomatrix(cut, distances, _STRAIGHT, levels=levels, symmetric=True)
    # Distances that round to the same diagonal offset are counted once.
    steps = [round(distance * 0.5**0.5) for distance in distances]
    counted = dict(zip(steps, distances))
    diagonal = graycomatrix(cut, list(counted.values()), _DIAGONAL, levels=levels, symmetric=True)[
        :, :, [list(counted).index(step) for step in steps]
    ]
    return np.concatenate([straight, diagonal], axis=3)


def _properties(counts: np.ndarray, origin: int) -> np.ndarray:
    """Return the 8 properties of co-occurrence counts (levels, levels, distances, directions)."""
    levels = len(counts)
    pairs = counts.reshape(levels**2, -1)
    occurring = np.flatnonzero(pairs.any(axis=1))
    pairs = pairs[occurring].astype(np.int64)
    first, second = (level[:, np.newaxis] for level in np.divmod(occurring, levels))
    total = pairs.sum(axis=0)
    shares = pairs / total

    apart = np.abs(first - second)
    contrast = (apart**2 * pairs).sum(axis=0) / total
    dissimilarity = (apart * pairs).sum(axis=0) / total
    homogeneity = (shares / (1 + apart**2)).sum(axis=0)
    asm = (shares**2).sum(axis=0)
    entropy = 0.0 - (shares * np.log2(np.where(pairs > 0, shares, 1.0))).sum(axis=0)

    # The origin is close to the mean, so that the difference of squares loses no digits.
    step = first - origin
    variance = (step**2 * pairs).sum(axis=0) / total - ((step * pairs).sum(axis=0) / total) ** 2
    # The counts are symmetric, so the covariance is variance - contrast / 2.
    uniform = variance == 0
    correlation = np.where(uniform, 1.0, 1 - contrast / np.where(uniform, 1.0, 2 * variance))
    values = [
        contrast, dissimilarity, homogeneity, asm, np.sqrt(asm), correlation, entropy, variance,
    ]  # fmt: skip
    return np.stack(values).reshape(len(values), *counts.shape[2:])
