"""Colocalisation: whether the signals of two stains occupy the same pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from hpastack.errors import InputError, counted
from hpastack.features.grey_levels import (
    N_LEVELS,
    grey_levels,
    level_counts,
    otsu_threshold,
    weights_above,
)

#: Description of each value, in the order of `colocalisation_features`; ``{reference}`` and
#: ``{stain}`` are placeholders.
MEANINGS = {
    "colocalisation_pearson": "pixelwise Pearson correlation of {stain} with {reference}",
    "colocalisation_spearman": "pixelwise Spearman rank correlation of {stain} with {reference}",
    "colocalisation_m1": "Manders' M1: fraction of {stain} that colocalises with {reference}",
    "colocalisation_m2": "Manders' M2: fraction of {reference} that colocalises with {stain}",
    "colocalisation_overlap": "Manders' overlap coefficient of {stain} with {reference}",
    "colocalisation_slope": "slope of the linear regression of {stain} on {reference}",
    "colocalisation_rwc1": "rank-weighted fraction of {stain} that colocalises with {reference}",
    "colocalisation_rwc2": "rank-weighted fraction of {reference} that colocalises with {stain}",
    "colocalisation_ssim": "mean structural similarity (SSIM) of {stain} and {reference}",
}

# Side of the SSIM window and its constants, as in Wang et al. for a dynamic range of 1.
_SSIM_WINDOW = 7
_SSIM_LUMINANCE = 0.01
_SSIM_CONTRAST = 0.03
# Pixels processed at a time, so that intermediate arrays stay in the cache.
_STRIP_PIXELS = 2**17


class _Stain(NamedTuple):
    """Grey levels, histogram and threshold of a stain, computed once for all its pairs."""

    levels: np.ndarray  # (H, W) uint8
    counts: np.ndarray  # (256,)
    threshold: float  # in levels


def colocalisation_features(
    image: np.ndarray, reference: np.ndarray, *, thresholds: tuple[float, float] | None = None
) -> dict[str, float]:
    """Measure the colocalisation of one stain with another.

    All values except ssim are computed from the joint histogram of the 256 grey levels
    of both stains: they do not depend on the positions of pixels, ranks are exact
    and no pixels are sampled.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        The stain to measure, in [0, 1].
    reference : ndarray of float, shape (H, W)
        The stain it is compared with, in [0, 1].
    thresholds : pair of float, optional
        Intensities in [0, 1] above which `image` and `reference` count as signal for m1,
        m2, rwc1 and rwc2. Default: Otsu's threshold of each.

    Returns
    -------
    dict of str to float
        Nine values named ``colocalisation_<property>``: pearson; spearman (ties
        get their mean rank); m1 and m2 (Manders: the fraction of the summed intensity of
        `image` above its threshold that lies in pixels where `reference`
        is above its threshold; m2 with the two exchanged); overlap (sum of products
        divided by the square root of the product of the sums of squares, over all pixels);
        slope (least-squares regression of `image` on `reference`); rwc1 and rwc2 (as m1
        and m2, each pixel weighted by 1 minus the difference of its ranks in
        the two stains divided by the number of ranks; dense ranks: equal levels share a
        rank, the next level has the next rank); ssim (structural similarity averaged over
        windows of 7 x 7 px with uniform weights and sample covariances, only windows
        within the image).

    Raises
    ------
    InputError
        If the two differ in shape, or either is not 2-D, is not finite or
        has values outside [0, 1], or a threshold is outside [0, 1].

    Notes
    -----
    If either is constant, all values except overlap and ssim are 0; overlap is 0 if either is
    black. ssim is 1 for equal stains, even black ones. The window of ssim
    shrinks to fit an image that is narrower than 7 px. The fraction of a stain without
    any signal above its threshold is 0.

    The grey level whose bin contains the threshold is counted in part, so that a small
    change of the threshold changes the fractions only slightly.

    References
    ----------
    .. [1] E. M. M. Manders, F. J. Verbeek and J. A. Aten, "Measurement of
       co-localization of objects in dual-colour confocal images", J. Microsc.
       169(3), 375-382, 1993. :doi:`10.1111/j.1365-2818.1993.tb03313.x`
    .. [2] V. R. Singan, T. R. Jones, K. M. Curran and J. C. Simpson, "Dual
       channel rank-based intensity weighting for quantitative
       co-localization of microscopy images", BMC Bioinformatics 12, 407, 2011.
       :doi:`10.1186/1471-2105-12-407`
    .. [3] Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image
       quality assessment: from error visibility to structural similarity",
       IEEE Trans. Image Process. 13(4), 600-612, 2004.
       :doi:`10.1109/TIP.2003.819861`

    Examples
    --------
    >>> reference = np.array([[0.0, 0.2], [0.8, 1.0]])
    >>> values = colocalisation_features(reference / 2, reference)
    >>> values["colocalisation_m1"], round(values["colocalisation_slope"], 2)
    (1.0, 0.5)
    """
    stains = [_prepare(stain) for stain in (image, reference)]
    if thresholds is not None:
        for threshold in thresholds:
            if not 0 <= threshold <= 1:
                raise InputError(
                    f"colocalisation: threshold {threshold} is outside [0, 1]", "thresholds"
                )
        stains = [
            stain._replace(threshold=threshold * (N_LEVELS - 1))
            for stain, threshold in zip(stains, thresholds, strict=True)
        ]
    return _compare(dict(enumerate(stains)), [(0, 1)])[0]


def colocalisation_of_pairs(
    images: Sequence[np.ndarray] | np.ndarray, pairs: Iterable[tuple[int, int]]
) -> list[dict[str, float]]:
    """Measure the colocalisation of several pairs of stains.

    Equivalent to `colocalisation_features` for each pair, but faster: levels, histograms
    and thresholds are computed once per stain.

    Parameters
    ----------
    images : sequence of ndarray of float, shape (n_stains, H, W)
        In [0, 1].
    pairs : iterable of (int, int)
        Index of a stain in `images`, and of the reference it is compared with.

    Returns
    -------
    list of dict of str to float
        For each pair, the values of `colocalisation_features`.

    Raises
    ------
    InputError
        As `colocalisation_features`, or if an index of a pair is out of range.

    Examples
    --------
    >>> images = np.eye(3), np.ones((3, 3)), np.zeros((3, 3))
    >>> [values["colocalisation_overlap"] for values in colocalisation_of_pairs(images, [(2, 1)])]
    [0.0]
    """
    pairs = list(pairs)
    for pair in pairs:
        if not all(0 <= number < len(images) for number in pair):
            raise InputError(
                f"colocalisation: the pair {tuple(pair)} is out of range for "
                f"{counted(len(images), 'stain')}"
            )
    stains = {number: _prepare(images[number]) for number in sorted({n for p in pairs for n in p})}
    return _compare(stains, pairs)


def _prepare(image: np.ndarray) -> _Stain:
    levels = grey_levels(image)
    counts = level_counts(levels)
    return _Stain(levels, counts, otsu_threshold(counts))


def _compare(stains: dict[int, _Stain], pairs: list[tuple[int, int]]) -> list[dict[str, float]]:
    for pair in pairs:
        first, second = (stains[number].levels.shape for number in pair)
        if first != second:
            raise InputError(f"stains of shape {first} and {second} cannot be compared")
    similarities = _structural_similarities({n: s.levels for n, s in stains.items()}, pairs)
    return [
        dict(
            zip(
                MEANINGS,
                [*_compare_histograms(stains[number], stains[reference]), similarity],
                strict=True,
            )
        )
        for (number, reference), similarity in zip(pairs, similarities, strict=True)
    ]


def _compare_histograms(image: _Stain, reference: _Stain) -> list[float]:
    pairs = image.levels.astype(np.uint16) * np.uint16(N_LEVELS) + reference.levels
    joint = np.bincount(pairs.ravel(), minlength=N_LEVELS**2).reshape(N_LEVELS, N_LEVELS)
    joint = joint.astype(np.float64)
    levels = np.arange(N_LEVELS, dtype=np.float64)
    counts = image.counts, reference.counts
    squares = [float((c * levels**2).sum()) for c in counts]
    products = float(levels @ joint @ levels)
    overlap = products / (squares[0] * squares[1]) ** 0.5 if all(squares) else 0.0
    if any(np.count_nonzero(c) == 1 for c in counts):
        return [0.0, 0.0, 0.0, 0.0, overlap, 0.0, 0.0, 0.0]

    pearson, covariance, variances = _correlation(joint, counts, (levels, levels))
    mean_ranks = tuple(np.cumsum(c) - (c - 1) / 2 for c in counts)
    spearman, _, _ = _correlation(joint, counts, mean_ranks)

    above = [weights_above(stain.threshold) for stain in (image, reference)]
    both = above[0][:, None] * joint * above[1]
    dense_ranks = [np.cumsum(c > 0) - 1 for c in counts]
    n_ranks = 1 + max(ranks[-1] for ranks in dense_ranks)
    alike = 1 - np.abs(dense_ranks[0][:, None] - dense_ranks[1]) / n_ranks
    signals = [float((c * a * levels).sum()) for c, a in zip(counts, above)]
    manders, rank_weighted = (
        [
            float((weights.sum(axis=1 - axis) * levels).sum() / signals[axis])
            if signals[axis]
            else 0.0
            for axis in (0, 1)
        ]
        for weights in (both, both * alike)
    )
    return [pearson, spearman, *manders, overlap, covariance / variances[1], *rank_weighted]


def _correlation(
    joint: np.ndarray, counts: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> tuple[float, float, list[float]]:
    """Return the correlation, covariance and variances of values assigned to the levels."""
    n = joint.sum()
    centred = [v - (c * v).sum() / n for c, v in zip(counts, values)]
    variances = [float((c * v**2).sum() / n) for c, v in zip(counts, centred)]
    # No matrix product: its last digit may depend on the number of threads.
    covariance = float((centred[0] * (joint * centred[1]).sum(axis=1)).sum() / n)
    correlation = covariance / (variances[0] * variances[1]) ** 0.5
    return float(np.clip(correlation, -1, 1)), covariance, variances


def _structural_similarities(
    levels: dict[int, np.ndarray], pairs: list[tuple[int, int]]
) -> list[float]:
    """Return the mean similarity of each pair over the windows within the image."""
    if not pairs:
        return []
    shape = levels[pairs[0][0]].shape
    height, width = window = (min(_SSIM_WINDOW, shape[0]), min(_SSIM_WINDOW, shape[1]))
    n_windows = shape[0] - height + 1, shape[1] - width + 1
    n_rows = max(1, _STRIP_PIXELS // shape[1])
    totals = np.zeros(len(pairs))
    for start in range(0, n_windows[0], n_rows):
        # Squares and products of levels fit in 16 bits.
        strips = {
            number: image[start : start + n_rows + height - 1].astype(np.uint16)
            for number, image in levels.items()
        }
        sums = {n: _sums_of_windows(strip, window) for n, strip in strips.items()}
        square_sums = {n: _sums_of_windows(strip**2, window) for n, strip in strips.items()}
        for place, (number, reference) in enumerate(pairs):
            totals[place] += _similarity(
                (sums[number], sums[reference]),
                square_sums[number] + square_sums[reference],
                _sums_of_windows(strips[number] * strips[reference], window),
                height * width,
            ).sum(dtype=np.float64)
    return (totals / (n_windows[0] * n_windows[1])).tolist()


def _sums_of_windows(image: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Return the sum over each window within the image, as integers (int32)."""
    height, width = window
    sums = cv2.boxFilter(
        image,
        cv2.CV_32S,
        (width, height),
        anchor=(0, 0),
        normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )
    return sums[: image.shape[0] - height + 1, : image.shape[1] - width + 1]


def _similarity(
    sums: tuple[np.ndarray, np.ndarray], square_sums: np.ndarray, product_sums: np.ndarray, n: int
) -> np.ndarray:
    """Return the structural similarity of each window of `n` pixels."""
    luminance, contrast = (
        np.float32((part * (N_LEVELS - 1)) ** 2 * scale)
        for part, scale in ((_SSIM_LUMINANCE, n**2), (_SSIM_CONTRAST, n * max(n - 1, 1)))
    )
    # Means times n, and variances times n (n - 1), are integers below 2**31, so there is no
    # cancellation; single precision is enough from here on.
    of_means = sums[0] * sums[1]
    of_squares = sums[0] ** 2 + sums[1] ** 2
    covariance = n * product_sums - of_means
    variances = n * square_sums - of_squares
    of_means, of_squares, covariance, variances = (
        whole.astype(np.float32) for whole in (of_means, of_squares, covariance, variances)
    )
    similarity = (2 * of_means + luminance) / (of_squares + luminance)
    similarity *= (2 * covariance + contrast) / (variances + contrast)
    return similarity
