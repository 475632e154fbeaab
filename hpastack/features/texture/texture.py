"""Texture of a stain at three scales: GLCM, local binary patterns, gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpastack.errors import InputError
from hpastack.features.grey_levels import grey_levels, reduced_levels
from hpastack.features.texture import glcm, gradients, local_binary_patterns
from hpastack.features.texture.glcm import DISTANCES, LEVELS, cooccurrence_features
from hpastack.features.texture.gradients import gradient_features
from hpastack.features.texture.local_binary_patterns import lbp_features

#: Suffix of the columns of each scale, and its downsampling factor.
SCALES = {"": 1, "_half": 2, "_quarter": 4}

#: Minimum length of the shorter side, in pixels: 8 px at quarter scale.
MIN_SIDE = 32

_AT_SCALE = {"": "", "_half": ", at half scale", "_quarter": ", at quarter scale"}

#: Description of each value, in the order of `texture_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    f"{name}{suffix}": f"{meaning}{at_scale}"
    for suffix, at_scale in _AT_SCALE.items()
    for part in (glcm, local_binary_patterns, gradients)
    for name, meaning in part.MEANINGS.items()
}


def texture_features(
    image: np.ndarray, distances: Sequence[int] = DISTANCES, levels: int = LEVELS
) -> dict[str, float]:
    """Summarise the texture of one stain, from fine to coarse.

    At full, half and quarter scale: properties of the grey-level co-occurrence matrix (GLCM), local
    binary patterns, and the magnitude and orientation of gradients. The image is downsampled
    by area averaging and rounded to integer grey levels. The features are invariant to rotation
    by multiples of 90 degrees and to flipping.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1]; at least 32 x 32 px.
    distances : sequence of int, default=(1, 2, 4)
        Offsets of the pixel pairs of the GLCM, in pixels of each scale.
    levels : int, default=32
        Number of grey levels of the GLCM: 2, 4, 8, ... or 256.

    Returns
    -------
    dict of str to float
        For each scale the values of `cooccurrence_features`, `lbp_features` and
        `gradient_features`, with no suffix, ``_half`` or
        ``_quarter``: ``len(distances) * 16 + 35`` values per scale.

    Raises
    ------
    InputError
        If `image` is not 2-D, is not finite, has values outside [0, 1] or is too small,
        if `levels` is not a power of two from 2 to 256, or if a distance is
        below 1 or does not fit the image at quarter scale.

    See Also
    --------
    hpastack.features.texture.glcm.cooccurrence_features
    hpastack.features.texture.local_binary_patterns.lbp_features
    hpastack.features.texture.gradients.gradient_features

    Notes
    -----
    For the values of a constant image, see each of these functions. A side that is not a multiple
    of 4 is downsampled to the whole number of blocks that fit into it (`reduced_levels`).

    Examples
    --------
    Vertical stripes of 2 px width are aligned; at quarter scale they are averaged out:

    >>> import numpy as np
    >>> stripes = np.tile(np.arange(64) // 2 % 2, (64, 1))
    >>> values = texture_features(stripes)
    >>> len(values), values["texture_alignment"], values["texture_alignment_quarter"]
    (249, 1.0, 0.0)
    """
    full = grey_levels(image)
    if min(full.shape) < MIN_SIDE:
        raise InputError(
            f"texture: a stain of {full.shape[0]} x {full.shape[1]} px is too small; its shorter "
            f"side must have at least {MIN_SIDE} px: use a larger size, or exclude the field"
        )
    values = {}
    for suffix, factor in SCALES.items():
        reduced = reduced_levels(full, factor)
        for measured in (
            cooccurrence_features(reduced, distances, levels),
            lbp_features(reduced),
            gradient_features(reduced),
        ):
            values.update({f"{name}{suffix}": value for name, value in measured.items()})
    return values
