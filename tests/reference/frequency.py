"""Slow, obvious version of the frequency features, over the whole plane of frequencies."""

import numpy as np
from scipy import stats

LOWER_ENDS = [0, 1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, np.inf]
RINGS = 2.0 ** (np.arange(-28, -3) / 4)  # from 1 / 128 to 1 / 2


def window(n):
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)


def power_plane(image):
    """Return the power of every frequency but 0, that of rounding, and the frequencies (y, x)."""
    levels = np.rint(np.asarray(image) * np.float32(255)).astype(np.float64)
    weights = np.outer(*map(window, levels.shape))
    levels -= np.average(levels, weights=weights)
    power = abs(np.fft.fft2(levels * weights)) ** 2
    y, x = np.meshgrid(*map(np.fft.fftfreq, levels.shape), indexing="ij")
    rest = (y != 0) | (x != 0)
    return power[rest], (weights**2).sum() / 12, y[rest], x[rest]


def anisotropy(power, rounding, y, x, chosen):
    # A frequency of 1/2 is one of -1/2 as well, so the sine of twice its angle is 0.
    ambiguous = (abs(y) == 0.5) | (abs(x) == 0.5)
    turned = np.exp(2j * np.arctan2(y, x))
    turned = np.where(ambiguous, turned.real, turned)
    if not chosen.any():
        return 0.0
    return abs((power * turned)[chosen].sum()) / (power + rounding)[chosen].sum()


def frequency_of_stain(image):
    """Return shares of bands, slope, centroid and anisotropy."""
    measured, rounding, y, x = power_plane(image)
    power, frequency, values = measured + rounding, np.hypot(y, x), {}
    for band in range(1, 9):
        inside = (frequency >= LOWER_ENDS[band - 1]) & (frequency < LOWER_ENDS[band])
        values[f"frequency_band{band}"] = power[inside].sum() / power.sum()
    rings = [(frequency >= low) & (frequency < high) for low, high in zip(RINGS[:-1], RINGS[1:])]
    octaves = [np.log2(frequency[ring]).mean() for ring in rings if ring.any()]
    levels = [np.log2(power[ring].mean()) for ring in rings if ring.any()]
    values["frequency_slope"] = stats.linregress(octaves, levels).slope
    values["frequency_centroid"] = stats.gmean(frequency, weights=power)
    for name, chosen in (
        ("", frequency > 0),
        ("_coarse", frequency < 1 / 32),
        ("_fine", frequency >= 1 / 32),
    ):
        values[f"frequency_anisotropy{name}"] = anisotropy(measured, rounding, y, x, chosen)
    return {name: float(value) for name, value in values.items()}
