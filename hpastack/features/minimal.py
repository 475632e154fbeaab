"""The fifteen whole-field features that a winning team of the 2018 competition stacked."""

from __future__ import annotations

import math

import numpy as np

from hpastack.features.grey_levels import N_LEVELS, field_levels, level_counts, otsu_threshold
from hpastack.fields import STAIN_INDEX

_STAINS = ("red", "green", "blue")

# Weights of red, green and blue in the luminance of an RGB image (ITU-R BT.709, rounded).
_LUMINOSITY = (0.2125, 0.7154, 0.0721)

#: Description of each value, in the order of `minimal_features`.
MEANINGS = {
    **{f"minimal_mean__{stain}": f"mean intensity of {stain}" for stain in _STAINS},
    **{f"minimal_sd__{stain}": f"standard deviation of {stain}" for stain in _STAINS},
    **{
        f"minimal_non_zero_mean__{stain}": f"mean intensity of the non-zero pixels of {stain}"
        for stain in _STAINS
    },
    "minimal_luminosity__field": "mean luminance of the field, with red, green and blue as RGB",
    "minimal_correlation_red__green": "pixelwise Pearson correlation of green with red",
    "minimal_correlation_blue__green": "pixelwise Pearson correlation of green with blue",
    "minimal_mean_on_red__green": "mean intensity of green where red is above Otsu's threshold",
    "minimal_mean_on_blue__green": "mean intensity of green where blue is above Otsu's threshold",
    "minimal_size__field": "longer side of the field as measured, in pixels",
}


def minimal_features(field: np.ndarray) -> dict[str, float]:
    """Measure fifteen simple statistics of a whole field.

    These are the image features that the team in eighth place of the Human Protein Atlas
    competition of 2018 stacked with their CNNs.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1].

    Returns
    -------
    dict of str to float
        The 15 columns of `MEANINGS`: mean, standard deviation and mean of the
        non-zero pixels of red, green and blue; the mean luminance of
        the three as an RGB image; the correlation of green with red and with blue, and the
        mean of green where these are above their Otsu thresholds; the longer side in
        pixels.

    Raises
    ------
    InputError
        If `field` does not have that shape or range.

    Notes
    -----
    A correlation with a constant stain and a mean over no pixels are 0.

    References
    ----------
    .. [1] W. Ouyang et al., "Analysis of the Human Protein Atlas Image
       Classification competition", Nat. Methods 16, 1254-1261, 2019.
       :doi:`10.1038/s41592-019-0658-6`

    Examples
    --------
    >>> field = np.zeros((4, 8, 8))
    >>> field[1, :4] = 1
    >>> values = minimal_features(field)
    >>> values["minimal_mean__green"], values["minimal_non_zero_mean__green"]
    (0.5, 1.0)
    """
    of_stains = field_levels(field)
    levels = {stain: of_stains[STAIN_INDEX[stain]] for stain in _STAINS}
    counts = {stain: level_counts(image) for stain, image in levels.items()}
    moments = {stain: _moments(of_levels) for stain, of_levels in counts.items()}
    scale = N_LEVELS - 1
    green = levels["green"]
    values = [
        *(mean / scale for mean, _ in moments.values()),
        *(sd / scale for _, sd in moments.values()),
        *(_moments(np.concatenate([[0], counts[stain][1:]]))[0] / scale for stain in _STAINS),
        sum(weight * moments[s][0] for weight, s in zip(_LUMINOSITY, _STAINS)) / scale,
    ]
    for other in ("red", "blue"):
        # Integers: a product of levels fits in 16 bits.
        product = np.multiply(green, levels[other], dtype=np.uint16).sum(dtype=np.int64)
        values.append(_correlation(int(product), counts["green"], counts[other]))
    for other in ("red", "blue"):
        is_above = levels[other] > otsu_threshold(counts[other])
        n = np.count_nonzero(is_above)
        values.append(float(green[is_above].sum(dtype=np.int64)) / n / scale if n else 0.0)
    return dict(zip(MEANINGS, map(float, [*values, max(green.shape)]), strict=True))


def _correlation(product: int, *counts: np.ndarray) -> float:
    """Return the correlation of two stains from the sum of their products, in exact integers."""
    levels = np.arange(N_LEVELS)
    n = int(counts[0].sum())
    sums = [int(c @ levels) for c in counts]
    variances = [n * int(c @ levels**2) - s**2 for c, s in zip(counts, sums)]
    if not all(variances):
        return 0.0
    correlation = (n * product - sums[0] * sums[1]) / math.sqrt(variances[0] * variances[1])
    return min(max(correlation, -1.0), 1.0)


def _moments(counts: np.ndarray) -> tuple[float, float]:
    """Return the mean and standard deviation of a histogram, in levels; 0 if it is empty."""
    n = int(counts.sum())
    if n == 0:
        return 0.0, 0.0
    mean = int(counts @ np.arange(N_LEVELS)) / n
    return mean, float((counts @ (np.arange(N_LEVELS) - mean) ** 2) / n) ** 0.5
