"""Granularity: how much of a stain lies in grains of each size."""

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

#: What each value means, in the order of `granularity_features`; ``{stain}`` is filled in.
MEANINGS = {
    f"granularity_g{scale}": (
        f"percent of the signal of {{stain}} that shrinking by {scale} px of half size removes"
    )
    for scale in range(1, N_SCALES + 1)
}

# Parts of a grey level that are told apart once an image is reduced: the mean of 4 x 4 levels is
# then still exact, and 255 levels fit in 16 bit.
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
    """Share out the signal of one stain among grains of different size.

    The granularity spectrum of CellProfiler: the image is reduced, a
    background is subtracted, and bright regions are then shrunk by one pixel
    at a time. After each erosion all that is left is grown back to its former shape
    (reconstruction by dilation), so that a grain is lost as a whole at the
    first scale whose diamond does not fit in it.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].
    reduction : int, default=2
        How many pixels of a side become one before anything is measured, from 1 to 8.
        Grains are counted in pixels of the reduced image.
    background_reduction : int, default=4
        How many of these become one, from 1 to 8, in the image that the background is
        taken from.
    radius : int, default=10
        Radius of the disk, in pixels of that smallest image, whose opening is the
        background; at least 1.
    n_scales : int, default=16
        Number of erosions; at least 1.

    Returns
    -------
    dict of str to float
        `n_scales` values named ``granularity_g<scale>``, from scale 1: percent
        of the signal above the background that is lost at that scale. Together
        at most 100; what is missing lies in larger grains.

    Raises
    ------
    InputError
        If `image` is not 2-D, is not finite or leaves [0, 1], or another
        parameter is out of range.

    Notes
    -----
    An image without signal above its background, such as a black or a flat one, has 0
    at each scale.

    CellProfiler reduces by picking pixels, which is not symmetric; here blocks
    of pixels are averaged (`block_means`) and the background is enlarged by
    bilinear interpolation between their centres, both in whole numbers, so that where
    both sides are whole blocks quarter turns and mirroring change no digit.

    Time does not depend on what the image shows and grows about linearly with
    its pixels: instead of repeating dilations until nothing changes, pixels are
    joined along their brightest paths once, and each scale is read off the
    resulting forest.

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
    A lone pixel is lost at scale 1; from a square of 3 x 3 px the first erosion leaves its
    middle, which grows back, and the second one nothing:

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
            raise InputError(f"granularity: {name} {number!r}; a whole number from 1 to {largest}")
    levels = grey_levels(image)
    reduced = _rounded(block_means(levels, reduction) * _PARTS)
    signal = cv2.subtract(reduced, _background(reduced, background_reduction, radius))
    left = [int(signal.sum()), *_left_at_each_scale(signal, n_scales)]
    lost = -np.diff(left) * 100.0 / max(left[0], 1)
    return {f"granularity_g{scale}": value for scale, value in enumerate(lost.tolist(), start=1)}


def _background(image: np.ndarray, reduction: int, radius: int) -> np.ndarray:
    reduced = _rounded(block_means(image, reduction))
    opened = cv2.morphologyEx(reduced, cv2.MORPH_OPEN, disk(radius)).astype(np.float64)
    for _ in range(2):  # rows, then columns
        opened = _enlarged(opened, image.shape[0], reduction).T
        image = image.T
    # Weights are whole numbers, and sums of them stay below 2**53: nothing is rounded but the
    # result, so a turned image gives the turned result.
    return _rounded(opened / (2 * reduction) ** 2)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.uint16)


def _enlarged(values: np.ndarray, n_after: int, factor: int) -> np.ndarray:
    """Interpolate rows linearly between the centres of blocks, times 2 * `factor`."""
    whole = 2 * factor
    centres = np.clip(2 * np.arange(n_after) + 1 - factor, 0, (len(values) - 1) * whole)
    above, part = np.divmod(centres, whole)
    below = np.minimum(above + 1, len(values) - 1)
    return values[above] * (whole - part)[:, None] + values[below] * part[:, None]


def _left_at_each_scale(signal: np.ndarray, n_scales: int) -> list[int]:
    forest = _join_brightest(signal)
    left, eroded = [], signal
    for _ in range(n_scales):
        # Of pixels outside the image nothing is known, so they do not erode it.
        eroded = cv2.erode(eroded, _CROSS)
        left.append(int(_reconstruct(eroded.ravel(), forest).sum()))
    return left


def _join_brightest(image: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Join the pixels of an image to ever larger regions along its brightest paths.

    In each round every region follows its brightest way out to the neighbour
    there, until a way is the brightest from both its sides (Boruvka's spanning
    tree). All regions that meet so become one region of the next round.

    Parameters
    ----------
    image : ndarray of uint16, shape (H, W)

    Returns
    -------
    list of (brightness, joined, order, starts)
        For each round, the brightness of each region's way out (65535 where
        others end in this one); the number of the region it becomes; and its
        regions sorted by that number, with where each number starts.
    """
    joined = np.arange(image.size, dtype=np.int32)
    pixels = joined.reshape(image.shape)
    one = np.concatenate([pixels[:, :-1].ravel(), pixels[:-1].ravel()])
    other = np.concatenate([pixels[:, 1:].ravel(), pixels[1:].ravel()])
    way = np.concatenate(
        [np.minimum(image[:, :-1], image[:, 1:]).ravel(), np.minimum(image[:-1], image[1:]).ravel()]
    )
    # Brightest first. This order also decides between equals, so that no round goes in circles.
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
        # Sorted by counting.
        sorting = csr_array((np.empty(n_before, bool), (joined, numbers)), shape=(n, n_before))
        rounds.append((brightness, joined, sorting.indices, sorting.indptr[:-1]))
        one, other = joined[one], joined[other]
        between = np.flatnonzero(one != other)
        one, other, way = one[between], other[between], way[between]
    return rounds


def _first_place(values: np.ndarray, n: int) -> np.ndarray:
    """Return for each number below `n` where it first stands in `values`; else their count."""
    places = np.full(n, len(values), dtype=np.int32)
    # The last one assigned stays.
    places[values[::-1]] = np.arange(len(values) - 1, -1, -1, dtype=np.int32)
    return places


def _reconstruct(marker: np.ndarray, rounds: list[tuple[np.ndarray, ...]]) -> np.ndarray:
    """Reconstruct by dilation, from the rounds of joining of the image to reconstruct under.

    A pixel gets the largest that a marker brings to it, where on its way no
    more gets through than the darkest pixel passed. Ways out only get
    brighter towards the end of a round, so to that end, and back from it, no
    more gets through than the brightness of the first way out.

    Parameters
    ----------
    marker : ndarray of uint16, shape (n_pixels,)
        Nowhere above the image.
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
