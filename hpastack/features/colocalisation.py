"""Co-localisation: whether two stains are found in the same places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from hpastack.errors import InputError
from hpastack.features.grey_levels import (
    N_LEVELS,
    grey_levels,
    level_counts,
    otsu_threshold,
    weights_above,
)

#: What each value means, in the order of `colocalisation_features`; ``{reference}`` and
#: ``{stain}`` are filled in.
MEANINGS = {
    "colocalisation_pearson": "Pearson correlation of {stain} with {reference}, pixel by pixel",
    "colocalisation_spearman": "rank correlation of {stain} with {reference}, pixel by pixel",
    "colocalisation_m1": "share of the signal of {stain} that lies on signal of {reference}",
    "colocalisation_m2": "share of the signal of {reference} that lies on signal of {stain}",
    "colocalisation_overlap": "overlap coefficient of {stain} with {reference}",
    "colocalisation_slope": "slope of the line that gives {stain} from {reference}",
    "colocalisation_rwc1": "share of {stain} on signal of {reference}, weighted by rank",
    "colocalisation_rwc2": "share of {reference} on signal of {stain}, weighted by rank",
    "colocalisation_ssim": "mean structural similarity of {stain} and {reference}",
}

# Side of the window of the structural similarity and its constants, as Wang et al. give them
# for values that range over 1.
_SSIM_WINDOW = 7
_SSIM_LUMINANCE = 0.01
_SSIM_CONTRAST = 0.03
# Pixels taken at a time, so that what is made of them stays in the cache.
_STRIP_PIXELS = 2**17


class _Stain(NamedTuple):
    """What the pairs of a stain share."""

    levels: np.ndarray  # (H, W) uint8
    counts: np.ndarray  # (256,)
    threshold: float  # in levels


def colocalisation_features(
    image: np.ndarray, reference: np.ndarray, *, thresholds: tuple[float, float] | None = None
) -> dict[str, float]:
    """Measure how far one stain goes with another.

    All values but ssim come from the joint histogram of the 256 grey levels
    of both stains, so the place of a pixel does not matter, ranks are exact
    and nothing is sampled.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        The stain asked about, in [0, 1].
    reference : ndarray of float, shape (H, W)
        The stain it is compared with, in [0, 1].
    thresholds : pair of float, optional
        Above which intensity, in [0, 1], `image` and `reference` count as signal for m1,
        m2, rwc1 and rwc2. Left out: Otsu's threshold of each.

    Returns
    -------
    dict of str to float
        Nine values named ``colocalisation_<property>``: pearson; spearman (ties
        get their mean rank); m1 and m2 (Manders: of the summed intensity of
        `image` above its own threshold, the share at pixels where `reference`
        is above its own; m2 the other way round); overlap (sum of products
        over the root of the product of the sums of squares, of all pixels);
        slope (least squares, `image` from `reference`); rwc1 and rwc2 (as m1
        and m2, each pixel weighted by 1 less the difference of its ranks in
        both stains over the number of ranks; equal levels share a rank and the
        next level has the next one); ssim (mean structural similarity of
        windows of 7 x 7 px, even weights, sample covariances, those within the image
        only).

    Raises
    ------
    InputError
        If the two differ in shape, or either is not 2-D, is not finite or
        leaves [0, 1], or a threshold leaves [0, 1].

    Notes
    -----
    If either is constant, all but overlap and ssim are 0; overlap is 0 if either is
    black. ssim is 1 for equal stains, even black ones. The window of ssim
    shrinks to fit an image that is narrower than 7 px. A share of which nothing is above
    the threshold is 0.

    A level across whose width the threshold falls counts in part, so that a hair
    more or less moves the shares by a hair.

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
    stains = [_prepare(one) for one in (image, reference)]
    if thresholds is not None:
        for threshold in thresholds:
            if not 0 <= threshold <= 1:
                raise InputError(f"colocalisation: threshold {threshold}; take one in [0, 1]")
        stains = [
            stain._replace(threshold=threshold * (N_LEVELS - 1))
            for stain, threshold in zip(stains, thresholds, strict=True)
        ]
    return _compare(dict(enumerate(stains)), [(0, 1)])[0]


def colocalisation_of_pairs(
    images: Sequence[np.ndarray] | np.ndarray, pairs: Iterable[tuple[int, int]]
) -> list[dict[str, float]]:
    """Measure how far stains go with each other, pair by pair.

    As `colocalisation_features` for each pair; faster, because what the
    pairs of a stain share is found once.

    Parameters
    ----------
    images : sequence of ndarray of float, shape (n_stains, H, W)
        In [0, 1].
    pairs : iterable of (int, int)
        Number of a stain in `images`, and of the reference it is compared with.

    Returns
    -------
    list of dict of str to float
        For each pair, the values of `colocalisation_features`.

    Raises
    ------
    InputError
        As `colocalisation_features`, or if a pair names a stain that is not there.

    Examples
    --------
    >>> images = np.eye(3), np.ones((3, 3)), np.zeros((3, 3))
    >>> [values["colocalisation_overlap"] for values in colocalisation_of_pairs(images, [(2, 1)])]
    [0.0]
    """
    pairs = list(pairs)
    for pair in pairs:
        if not all(0 <= number < len(images) for number in pair):
            raise InputError(f"colocalisation: no pair {tuple(pair)} among {len(images)} stains")
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
    """Return the correlation, covariance and variances of values given to the levels."""
    n = joint.sum()
    centred = [v - (c * v).sum() / n for c, v in zip(counts, values)]
    variances = [float((c * v**2).sum() / n) for c, v in zip(counts, centred)]
    # Not products of matrices, whose last digit may depend on the number of threads.
    covariance = float((centred[0] * (joint * centred[1]).sum(axis=1)).sum() / n)
    correlation = covariance / (variances[0] * variances[1]) ** 0.5
    return float(np.clip(correlation, -1, 1)), covariance, variances


def _structural_similarities(
    levels: dict[int, np.ndarray], pairs: list[tuple[int, int]]
) -> list[float]:
    """Return the mean similarity of each pair over the windows that lie within the image."""
    if not pairs:
        return []
    shape = levels[pairs[0][0]].shape
    height, width = window = (min(_SSIM_WINDOW, shape[0]), min(_SSIM_WINDOW, shape[1]))
    n_windows = shape[0] - height + 1, shape[1] - width + 1
    n_rows = max(1, _STRIP_PIXELS // shape[1])
    totals = np.zeros(len(pairs))
    for start in range(0, n_windows[0], n_rows):
        # Squares and products of levels fit in 16 bit.
        strips = {
            number: image[start : start + n_rows + height - 1].astype(np.uint16)
            for number, image in levels.items()
        }
        sums = {n: _sums_of_windows(strip, window) for n, strip in strips.items()}
        square_sums = {n: _sums_of_windows(strip**2, window) for n, strip in strips.items()}
        for place, (one, other) in enumerate(pairs):
            totals[place] += _similarity(
                (sums[one], sums[other]),
                square_sums[one] + square_sums[other],
                _sums_of_windows(strips[one] * strips[other], window),
                height * width,
            ).sum(dtype=np.float64)
    return (totals / (n_windows[0] * n_windows[1])).tolist()


def _sums_of_windows(image: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Sum the windows that lie within the image, in whole numbers (int32)."""
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
    """Return the similarity of each window of `n` pixels."""
    luminance, contrast = (
        np.float32((part * (N_LEVELS - 1)) ** 2 * scale)
        for part, scale in ((_SSIM_LUMINANCE, n**2), (_SSIM_CONTRAST, n * max(n - 1, 1)))
    )
    # Means times n, and variances times n (n - 1), are whole numbers below 2**31, so nothing
    # cancels; from there on 32 bit will do.
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
