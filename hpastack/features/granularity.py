"""Granularity: signal of a stain lost by morphological openings of increasing size."""

from __future__ import annotations

from numbers import Integral

import cv2
import numpy as np
from scipy.sparse import csr_array
from skimage.morphology import disk

from hpastack.errors import InputError
from hpastack.features.grey_levels import block_means, grey_levels

REDUCTION = 2
BACKGROUND_REDUCTION = 4
RADIUS = 10
N_SCALES = 16

#: Description of each value, in the order of `granularity_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    f"granularity_g{scale}": (
        f"granularity of {{stain}} at scale {scale}: percent of the signal lost by the opening"
    )
    for scale in range(1, N_SCALES + 1)
}

# Steps per grey level of a reduced image: the mean of 4 x 4 levels is still exact, and 255 levels
# fit in 16 bits.
_PARTS = 256

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def granularity_features(
    image: np.ndarray,
    *,
    reduction: int = REDUCTION,
    background_reduction: int = BACKGROUND_REDUCTION,
    radius: int = RADIUS,
    n_scales: int = N_SCALES,
) -> dict[str, float]:
    """Measure the granularity spectrum of one stain.

    The granularity spectrum of CellProfiler: the image is downsampled, its
    background is subtracted, and it is eroded repeatedly with a cross of 3 x 3 px.
    After each erosion the image is reconstructed by dilation (an opening by
    reconstruction), so that a bright structure is lost as a whole at the
    first scale whose diamond does not fit in it.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].
    reduction : int, default=2
        Downsampling factor of the image before the measurement, from 1 to 8.
        Scales are in pixels of the downsampled image.
    background_reduction : int, default=4
        Factor by which this image is downsampled again to estimate the background, from
        1 to 8.
    radius : int, default=10
        Radius of the disk, in pixels of that smallest image; the opening with this disk is
        the background. At least 1.
    n_scales : int, default=16
        Number of erosions; at least 1.

    Returns
    -------
    dict of str to float
        `n_scales` values named ``granularity_g<scale>``, from scale 1: percent
        of the signal above the background that is lost at that scale. They sum to
        at most 100; the remainder is in larger structures.

    Raises
    ------
    InputError
        If `image` is not 2-D, is not finite or has values outside [0, 1], or another
        parameter is out of range.

    Notes
    -----
    An image without signal above its background, such as a black or a constant one, has 0
    at each scale.

    CellProfiler downsamples by picking pixels, which is not symmetric; here blocks
    of pixels are averaged (`block_means`) and the background is upsampled by
    bilinear interpolation between their centres, both in integers. If both sides are
    a whole number of blocks, rotating the image by multiples of 90 degrees and flipping it
    leave the values unchanged, bit for bit.

    Run time does not depend on the content of the image and grows about linearly with
    the number of pixels: instead of iterating dilations to convergence, pixels are
    joined along their brightest paths once (a maximum spanning tree), and each scale is
    computed from the resulting forest.

    References
    ----------
    .. [1] C. McQuin et al., "CellProfiler 3.0: Next-generation image
       processing for biology", PLoS Biol. 16(7), e2005970, 2018.
       :doi:`10.1371/journal.pbio.2005970`
    .. [2] L. Vincent, "Morphological grayscale reconstruction in image
       analysis: applications and efficient algorithms", IEEE Trans. Image
       Process. 2(2), 176-201, 1993. :doi:`10.1109/83.217222`

    Examples
    --------
    A single pixel is lost at scale 1. A square of 3 x 3 px is lost at scale 2: the first erosion
    leaves its central pixel, from which the square is reconstructed, and the second leaves nothing:

    >>> image = np.zeros((16, 16))
    >>> image[2, 2] = image[8:11, 8:11] = 1
    >>> values = granularity_features(image, reduction=1, background_reduction=1, n_scales=3)
    >>> values["granularity_g1"], values["granularity_g2"], values["granularity_g3"]
    (10.0, 90.0, 0.0)
    """
    for name, number, largest in (
        ("reduction", reduction, 8),
        ("background_reduction", background_reduction, 8),
        ("radius", radius, 1000),
        ("n_scales", n_scales, 1000),
    ):
        if not isinstance(number, Integral) or not 1 <= number <= largest:
            raise InputError(
                f"granularity: {name} {number!r} is not an integer from 1 to {largest}", name
            )
    levels = grey_levels(image)
    reduced = _rounded(block_means(levels, reduction) * _PARTS)
    signal = cv2.subtract(reduced, _background(reduced, background_reduction, radius))
    left = [int(signal.sum()), *_remaining_at_each_scale(signal, n_scales)]
    lost = -np.diff(left) * 100.0 / max(left[0], 1)
    return {f"granularity_g{scale}": value for scale, value in enumerate(lost.tolist(), start=1)}


def _background(image: np.ndarray, reduction: int, radius: int) -> np.ndarray:
    reduced = _rounded(block_means(image, reduction))
    opened = cv2.morphologyEx(reduced, cv2.MORPH_OPEN, disk(radius)).astype(np.float64)
    for _ in range(2):  # rows, then columns
        opened = _enlarged(opened, image.shape[0], reduction).T
        image = image.T
    # Weights are integers, and their sums stay below 2**53: only the result is rounded, so a
    # rotated image gives the rotated result.
    return _rounded(opened / (2 * reduction) ** 2)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.uint16)


def _enlarged(values: np.ndarray, n_after: int, factor: int) -> np.ndarray:
    """Interpolate rows linearly between block centres; the result is multiplied by 2 * `factor`."""
    whole = 2 * factor
    centres = np.clip(2 * np.arange(n_after) + 1 - factor, 0, (len(values) - 1) * whole)
    above, part = np.divmod(centres, whole)
    below = np.minimum(above + 1, len(values) - 1)
    return values[above] * (whole - part)[:, None] + values[below] * part[:, None]


def _remaining_at_each_scale(signal: np.ndarray, n_scales: int) -> list[int]:
    forest = _join_brightest(signal)
    left, eroded = [], signal
    for _ in range(n_scales):
        # Pixels outside the image are unknown and do not erode it.
        eroded = cv2.erode(eroded, _CROSS)
        left.append(int(_reconstruct(eroded.ravel(), forest).sum()))
    return left


def _join_brightest(image: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Merge the pixels of an image into ever larger regions along its brightest paths.

    In each round, every region is linked to a neighbour by its brightest edge;
    regions connected by such links are merged into one region of the next round
    (Boruvka's algorithm for the spanning tree).

    Parameters
    ----------
    image : ndarray of uint16, shape (H, W)

    Returns
    -------
    list of (brightness, joined, order, starts)
        For each round, the brightness of each region's brightest edge (65535 for the root
        of a merged region); the number of the region it is merged into; and the
        regions sorted by that number, with the start of each number.
    """
    joined = np.arange(image.size, dtype=np.int32)
    pixels = joined.reshape(image.shape)
    one = np.concatenate([pixels[:, :-1].ravel(), pixels[:-1].ravel()])
    other = np.concatenate([pixels[:, 1:].ravel(), pixels[1:].ravel()])
    way = np.concatenate(
        [np.minimum(image[:, :-1], image[:, 1:]).ravel(), np.minimum(image[:-1], image[1:]).ravel()]
    )
    # Brightest first. This order also breaks ties, so that no round forms a cycle.
    by_brightness = np.argsort(~way, kind="stable")
    one, other, way = one[by_brightness], other[by_brightness], way[by_brightness]

    rounds: list[tuple[np.ndarray, ...]] = []
    n = image.size
    while n > 1:
        numbers = np.arange(n, dtype=np.int32)
        out = np.minimum(_first_place(one, n), _first_place(other, n))
        brightness = way[out]
        towards = one[out] + other[out] - numbers
        ends = (towards[towards] == numbers) & (numbers < towards)
        towards[ends] = numbers[ends]
        brightness[ends] = np.iinfo(way.dtype).max
        while not np.array_equal(further := towards[towards], towards):
            towards = further

        joined = (np.cumsum(ends, dtype=np.int32) - np.int32(1))[towards]
        n_before, n = n, int(np.count_nonzero(ends))
        # Counting sort.
        sorting = csr_array((np.empty(n_before, bool), (joined, numbers)), shape=(n, n_before))
        rounds.append((brightness, joined, sorting.indices, sorting.indptr[:-1]))
        one, other = joined[one], joined[other]
        between = np.flatnonzero(one != other)
        one, other, way = one[between], other[between], way[between]
    return rounds


def _first_place(values: np.ndarray, n: int) -> np.ndarray:
    """Return the first index in `values` of each number below `n`; ``len(values)`` if absent."""
    places = np.full(n, len(values), dtype=np.int32)
    # The last assignment wins.
    places[values[::-1]] = np.arange(len(values) - 1, -1, -1, dtype=np.int32)
    return places


def _reconstruct(marker: np.ndarray, rounds: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Reconstruct a marker by dilation under the image whose merging rounds are passed.

    Each pixel gets the maximum over all marker pixels and paths of the minimum of the
    marker and the darkest pixel on the path. Edges only get brighter towards the root of
    a round, so a path to the root and back is limited by the brightness of its first edge.

    Parameters
    ----------
    marker : ndarray of uint16, shape (n_pixels,)
        Nowhere brighter than the image.
    rounds : list
        From `_join_brightest`.

    Returns
    -------
    ndarray of uint16, shape (n_pixels,)
    """
    largest = [marker]
    for brightness, _, order, starts in rounds:
        through = np.minimum(largest[-1], brightness)
        largest.append(np.maximum.reduceat(through[order], starts))
    result = largest.pop()
    for brightness, joined, _, _ in reversed(rounds):
        result = np.maximum(np.minimum(result[joined], brightness), largest.pop())
    return result
