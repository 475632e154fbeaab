"""Local binary patterns (LBP): which neighbours of a pixel are darker than the pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hpastack.errors import InputError
from hpastack.features.grey_levels import check_levels, level_counts, row_strips

RADII = (1, 2, 3)

# In order around the circle, so that patterns can be classified by their transitions.
_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
_N_POINTS = len(_DIRECTIONS)
_BINS = (*range(_N_POINTS + 1), "other")

# Interpolation weights are in 256ths: the finest for which a weighted level fits in 16 bits.
_WEIGHT_BITS = 8
# Few enough for the arrays of a strip to fit into the cache of a core.
_STRIP_PIXELS = 2**17

#: Description of each value, in the order of `lbp_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    f"texture_lbp_{pattern}_r{r}": (
        f"fraction of pixels of {{stain}} with a non-uniform LBP, radius {r} px"
        if pattern == "other"
        else f"fraction of pixels of {{stain}} with uniform LBP {pattern} of 8, radius {r} px"
    )
    for r in RADII
    for pattern in _BINS
}


def lbp_features(image: np.ndarray, radii: Sequence[int] = RADII) -> dict[str, float]:
    """Summarise one stain by the local binary patterns of its pixels.

    Eight points on a circle around a pixel are each compared with the pixel: darker or
    not. A uniform pattern has at most two transitions around the circle, so the points
    that are not darker are contiguous: none for a bright
    spot, all for a dark spot or in a flat region, and about half on
    an edge. Uniform patterns are grouped by the number of points that are not darker; patterns
    with more transitions are counted as other. The fractions are invariant to rotation by
    multiples of 90 degrees and to flipping, bit for bit.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W)
        One stain, from `grey_levels`.
    radii : sequence of int, default=(1, 2, 3)
        Radii of the circles, in pixels.

    Returns
    -------
    dict of str to float
        ``len(radii) * 10`` values named ``texture_lbp_<pattern>_r<radius>``, in
        order of radius, then pattern: ``0`` to ``8`` for the number of points that are
        not darker, and ``other``. Fractions of the pixels whose circle lies within the
        image; the ten values of a radius sum to 1.

    Raises
    ------
    InputError
        If `image` is not 2-D of dtype uint8, or if a radius is below 1 or does not
        fit the image.

    Notes
    -----
    The four diagonal points lie between pixels and are interpolated
    bilinearly, with weights in whole 256ths. Ties in a flat region are therefore exact and
    count as pattern 8: a constant image has ``lbp_8`` 1 and all others 0.

    References
    ----------
    .. [1] T. Ojala, M. Pietikäinen and T. Mäenpää, "Multiresolution gray-scale
       and rotation invariant texture classification with local binary
       patterns", IEEE Trans. Pattern Anal. Mach. Intell. 24(7), 971-987, 2002.
       :doi:`10.1109/TPAMI.2002.1017623`

    Examples
    --------
    On the bright side of a step edge, three of eight points are darker:

    >>> step = np.repeat([[0, 0, 0, 200, 200, 200]], 6, axis=0).astype(np.uint8)
    >>> values = lbp_features(step, radii=[1])
    >>> [name for name, share in values.items() if share]
    ['texture_lbp_5_r1', 'texture_lbp_8_r1']
    """
    values = {}
    for radius in radii:
        if radius < 1:
            raise InputError(f"texture: radius {radius} is below the minimum of 1 px", "radii")
        check_levels(image, 2 * radius + 1, f"texture: radius {radius}")
        by_code = np.zeros(2**_N_POINTS, dtype=np.int64)
        for rows in row_strips(image.shape, 2 * radius + 1, _STRIP_PIXELS):
            codes = _codes(image[rows], radius)
            by_code += level_counts(codes, len(by_code))
        counts = np.bincount(_PATTERN_OF_CODE, weights=by_code, minlength=len(_BINS))
        for pattern, share in zip(_BINS, (counts / by_code.sum()).tolist(), strict=True):
            values[f"texture_lbp_{pattern}_r{radius}"] = share
    return values


def _codes(image: np.ndarray, radius: int) -> np.ndarray:
    """Return one byte per inner pixel, with a bit set for each point that is not darker."""
    rows, columns = (side - 2 * radius for side in image.shape)

    def beside(pixels: np.ndarray, down: int, right: int) -> np.ndarray:
        top, left = radius + down, radius + right
        return pixels[top : top + rows, left : left + columns]

    # A diagonal point lies between 4 pixels: one near, one far, two at the sides.
    inner, fraction = divmod(radius * 0.5**0.5, 1)
    inner, outer = int(inner), int(inner) + 1
    whole = 1 << _WEIGHT_BITS
    side_weight = round(whole * fraction * (1 - fraction))
    far_weight = round(whole * fraction**2)
    wide = image.astype(np.uint16)
    near = wide * np.uint16(whole - 2 * side_weight - far_weight)
    side = wide * np.uint16(side_weight)
    far = wide * np.uint16(far_weight)
    # Sum of the two side pixels, for points on either diagonal; indexed by the upper left of the
    # four pixels.
    along_falling = side[1:, :-1] + side[:-1, 1:]
    along_rising = side[:-1, :-1] + side[1:, 1:]

    centre, wide_centre = beside(image, 0, 0), beside(wide << _WEIGHT_BITS, 0, 0)
    codes = np.zeros((rows, columns), dtype=np.uint8)
    brighter = np.empty((rows, columns), dtype=bool)
    for down, right in _DIRECTIONS:
        if down and right:
            point = beside(near, down * inner, right * inner)
            point = point + beside(far, down * outer, right * outer)
            point += beside(
                along_falling if down == right else along_rising,
                inner if down > 0 else -outer,
                inner if right > 0 else -outer,
            )
            np.greater_equal(point, wide_centre, out=brighter)
        else:
            np.greater_equal(beside(image, down * radius, right * radius), centre, out=brighter)
        codes += codes
        codes |= brighter.view(np.uint8)
    return codes


def _patterns() -> np.ndarray:
    """Return the position in `_BINS` of each code."""
    bits = np.unpackbits(np.arange(2**_N_POINTS, dtype=np.uint8)[:, np.newaxis], axis=1)
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1, dtype=np.intp), _BINS.index("other"))


_PATTERN_OF_CODE = _patterns()
