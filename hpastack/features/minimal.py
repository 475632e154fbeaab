"""The fifteen figures of a whole field that a winning team of the 2018 competition stacked."""

from __future__ import annotations

import numpy as np

from hpastack.channels import STAIN_INDEX
from hpastack.features.grey_levels import N_LEVELS, grey_levels, otsu_threshold

_STAINS = ("red", "green", "blue")

# Weights of red, green and blue in the luminosity of a picture (ITU-R BT.709, rounded).
_LUMINOSITY = (0.2125, 0.7154, 0.0721)

#: What each value means, in the order of `minimal_features`.
MEANINGS = {
    **{f"minimal_mean__{stain}": f"mean intensity of {stain}" for stain in _STAINS},
    **{f"minimal_sd__{stain}": f"standard deviation of {stain}" for stain in _STAINS},
    **{
        f"minimal_non_zero_mean__{stain}": f"mean intensity of {stain} where it is not black"
        for stain in _STAINS
    },
    "minimal_luminosity__field": "mean luminosity of the field, red, green and blue as colours",
    "minimal_correlation_red__green": "correlation of green with red, pixel by pixel",
    "minimal_correlation_blue__green": "correlation of green with blue, pixel by pixel",
    "minimal_mean_on_red__green": "mean intensity of green where red is above Otsu's threshold",
    "minimal_mean_on_blue__green": "mean intensity of green where blue is above Otsu's threshold",
    "minimal_size__field": "longer side of the field as measured, in pixels",
}


def minimal_features(field) -> dict[str, float]:
    """Measure the few figures that sum up a whole field.

    These are the image features of the eighth place of the Human Protein Atlas
    competition of 2018, who stacked them on their CNNs.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1].

    Returns
    -------
    dict of str to float
        The 15 columns of `MEANINGS`: mean, standard deviation and mean of the
        pixels that are not black, for red, green and blue; the mean luminosity of
        the three as one picture; the correlation of green with red and with blue, and its
        mean where these are above their Otsu thresholds; the longer side in
        pixels.

    Raises
    ------
    InputError
        If `field` is not of that shape or range.

    Notes
    -----
    A correlation with a constant stain is 0, a mean over no pixel as well.

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
    levels = {stain: grey_levels(field[STAIN_INDEX[stain]]) for stain in _STAINS}
    scale = N_LEVELS - 1
    means = [float(levels[stain].mean()) / scale for stain in _STAINS]
    sds = [float(levels[stain].std()) / scale for stain in _STAINS]
    lit = [_mean_where(levels[stain], levels[stain] > 0) for stain in _STAINS]
    luminosity = sum(weight * mean for weight, mean in zip(_LUMINOSITY, means))
    green = levels["green"]
    others = (levels["red"], levels["blue"])
    values = [
        *means,
        *sds,
        *lit,
        luminosity,
        *(_correlation(green, other) for other in others),
        *(_mean_where(green, _above_otsu(other)) for other in others),
        float(max(green.shape)),
    ]
    return dict(zip(MEANINGS, values, strict=True))


def _mean_where(levels: np.ndarray, mask: np.ndarray) -> float:
    return float(levels[mask].mean()) / (N_LEVELS - 1) if mask.any() else 0.0


def _above_otsu(levels: np.ndarray) -> np.ndarray:
    return levels > otsu_threshold(np.bincount(levels.ravel(), minlength=N_LEVELS))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    first, second = (levels - levels.mean() for levels in (first, second))
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size else 0.0
