"""The straightforward version of intensity: numpy, scipy and scikit-image, a call a figure."""

import numpy as np
from scipy import stats
from skimage import filters, measure

from hpastack.features.intensity import MEANINGS, PERCENTILES


def intensity_of_stain(image):
    """Return the columns of intensity of one stain; without interpolation within a level."""
    levels = np.round(np.asarray(image) * np.float32(255)) / 255
    threshold = filters.threshold_otsu(levels)
    above = levels > threshold
    values = [
        levels.mean(),
        levels.std(),
        stats.skew(levels, axis=None),
        stats.kurtosis(levels, axis=None),
        *np.percentile(levels, PERCENTILES),
        stats.median_abs_deviation(levels, axis=None),
        measure.shannon_entropy(levels),
        (levels >= 254 / 255).mean(),
        threshold,
        above.mean(),
        levels[above].mean(),
    ]
    return dict(zip(MEANINGS, map(float, values), strict=True))
