"""Intensity of a stain: statistics of its histogram."""

from __future__ import annotations

import numpy as np

from hpastack.features.grey_levels import (
    N_LEVELS,
    grey_levels,
    histogram_quantiles,
    level_counts,
    otsu_threshold,
    weights_above,
)

#: Percentiles that are computed, in percent.
PERCENTILES = (1, 5, 25, 50, 75, 95, 99, 99.9)

#: From this of the 256 levels on, a pixel counts as saturated. Not only the topmost level: 8-bit
#: values shifted to 16 bits end at 254.0 of 255, and JPEG blurs the top.
SATURATED = 254

#: Description of each value, in the order of `intensity_features`; ``{stain}`` is a placeholder.
MEANINGS = {
    "intensity_mean": "mean intensity of {stain}",
    "intensity_sd": "standard deviation of the intensity of {stain}",
    "intensity_skewness": "skewness of the intensity of {stain}: positive for few bright pixels",
    "intensity_kurtosis": (
        "excess kurtosis of the intensity of {stain}: 0 for a normal distribution"
    ),
    **{
        f"intensity_percentile_p{q}": f"intensity of {{stain}} at percentile {q}"
        for q in PERCENTILES
    },
    "intensity_mad": "median absolute deviation of the intensity of {stain} from its median",
    "intensity_entropy": "entropy of the 256-level histogram of {stain}, in bits",
    "intensity_saturated": "fraction of the pixels of {stain} that are saturated",
    "intensity_otsu": "Otsu's threshold of {stain}: separates signal from background",
    "intensity_above": "fraction of the pixels of {stain} above Otsu's threshold",
    "intensity_mean_above": "mean intensity of {stain} above Otsu's threshold",
}


def intensity_features(image: np.ndarray) -> dict[str, float]:
    """Summarise the intensity distribution of one stain.

    All values are computed from the histogram of 256 grey levels over [0, 1] and do not depend
    on the positions of pixels. Percentiles and the median absolute
    deviation are interpolated within a level (`histogram_quantiles`),
    Otsu's threshold between levels (`otsu_threshold`).

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
        One stain, in [0, 1].

    Returns
    -------
    dict of str to float
        18 values named ``intensity_<property>``: mean, sd, skewness, kurtosis
        (excess), percentile_p1, p5, p25, p50, p75, p95, p99, p99.9, mad, entropy,
        saturated (fraction of the pixels at the two topmost levels), otsu, above
        (fraction of the pixels above Otsu's threshold), mean_above. Intensities
        are in [0, 1]; entropy is in bits, from 0 to 8.

    Raises
    ------
    InputError
        If `image` is not 2-D, is empty, is not finite or has values outside [0, 1].

    Notes
    -----
    For a constant image, the mean, the percentiles, Otsu's threshold and the
    mean above it equal its value; everything else is 0, except `saturated` if it is that
    bright. Values are accurate to half a grey level, 0.002.

    References
    ----------
    .. [1] N. Otsu, "A threshold selection method from gray-level histograms",
       IEEE Trans. Syst. Man Cybern. 9(1), 62-66, 1979.
       :doi:`10.1109/TSMC.1979.4310076`

    Examples
    --------
    >>> values = intensity_features(np.array([[0.0, 0.0], [0.0, 1.0]]))
    >>> values["intensity_mean"], values["intensity_otsu"], values["intensity_above"]
    (0.25, 0.5, 0.25)
    """
    counts = level_counts(grey_levels(image))
    return dict(zip(MEANINGS, _summarise(counts), strict=True))


def _summarise(counts: np.ndarray) -> list[float]:
    scale = N_LEVELS - 1
    levels = np.arange(N_LEVELS)
    n = int(counts.sum())
    occurring = np.flatnonzero(counts)
    bottom, top = int(occurring[0]), int(occurring[-1])

    mean = int((counts * levels).sum()) / n
    deviations = levels - mean
    variance, third, fourth = (float((counts * deviations**power).sum()) / n for power in (2, 3, 4))
    sd = variance**0.5
    skewness = third / sd**3 if top > bottom else 0.0
    kurtosis = fourth / variance**2 - 3 if top > bottom else 0.0

    quantiles = histogram_quantiles(counts, [q / 100 for q in PERCENTILES])
    median = float(histogram_quantiles(counts, [0.5])[0])
    probabilities = counts[occurring] / n
    entropy = -float((probabilities * np.log2(probabilities)).sum()) + 0.0  # never -0.0

    threshold = otsu_threshold(counts)
    if top > bottom:
        above = weights_above(threshold) * counts
        fraction_above = float(above.sum()) / n
        mean_above = float((above * levels).sum() / above.sum())
    else:
        fraction_above, mean_above = 0.0, mean

    return [
        mean / scale,
        sd / scale,
        skewness,
        kurtosis,
        *(float(quantile) / scale for quantile in quantiles),
        _median_deviation(counts, median) / scale,
        entropy,
        int(counts[SATURATED:].sum()) / n,
        threshold / scale,
        fraction_above,
        mean_above / scale,
    ]


def _median_deviation(counts: np.ndarray, median: float) -> float:
    """Return the distance from the median within which half of the pixels lie, in levels."""
    # Each level is spread over its width, as for the median.
    edges = np.arange(len(counts) + 1) - 0.5
    shares = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    reach = np.unique(np.abs(edges - median))
    within = np.interp(median + reach, edges, shares) - np.interp(median - reach, edges, shares)
    occurring = np.flatnonzero(counts)
    # A single level has a width here, but its deviation is 0.
    half_range = float(occurring[-1] - occurring[0]) / 2
    return min(float(np.interp(0.5, within, reach)), half_range)
