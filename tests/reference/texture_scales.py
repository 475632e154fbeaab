"""The texture family the straightforward way: a call of scikit-image for each figure."""

import numpy as np
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern, structure_tensor
from skimage.filters import sobel_h, sobel_v
from skimage.transform import downscale_local_mean


def texture_of_stain(image):
    """Return the columns of `texture_features`; sides are multiples of 4.

    Three things differ by definition. The points of a binary pattern are interpolated in
    floating point instead of whole 256ths; the structure tensor has a Gaussian window
    instead of a binomial one; and the percentile of gradients is that of exact
    magnitudes. For a constant image coherence and alignment are undefined here.
    """
    levels = np.round(np.asarray(image) * np.float32(255)).astype(float)
    values = {}
    for suffix, factor in (("", 1), ("_half", 2), ("_quarter", 4)):
        reduced = np.round(downscale_local_mean(levels, (factor, factor))).astype(np.uint8)
        parts = {**co_occurrences(reduced), **binary_patterns(reduced), **gradients(reduced)}
        values.update({f"texture_{name}{suffix}": value for name, value in parts.items()})
    return values


def co_occurrences(levels):
    distances = (1, 2, 4)
    pairs = graycomatrix(
        levels // 8, distances, np.arange(4) * np.pi / 4, levels=32, symmetric=True, normed=True
    )
    properties = (
        "contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy",
        "variance",
    )  # fmt: skip
    by_property = {name.lower(): graycoprops(pairs, name) for name in properties}
    by_property["entropy"] /= np.log(2)
    values = {}
    for row, distance in enumerate(distances):
        for name, by_direction in by_property.items():
            values[f"{name}_d{distance}"] = by_direction[row].mean()
            values[f"{name}_range_d{distance}"] = np.ptp(by_direction[row])
    return values


def binary_patterns(levels):
    values = {}
    for radius in (1, 2, 3):
        patterns = local_binary_pattern(levels, 8, radius, "uniform")
        inner = patterns[radius:-radius, radius:-radius].astype(int)
        shares = np.bincount(inner.ravel(), minlength=10) / inner.size
        for pattern, share in zip([*range(9), "other"], shares):
            values[f"lbp_{pattern}_r{radius}"] = share
    return values


def gradients(levels):
    image = levels / 255
    # Scaled to a unit step between two neighbours of a pixel, which are 2 px apart.
    down, right = (sobel(image)[1:-1, 1:-1] / 2 for sobel in (sobel_h, sobel_v))
    magnitude = np.hypot(down, right)
    window = (part[3:-3, 3:-3] for part in structure_tensor(image, sigma=1, mode="nearest"))
    whole = ((down * down).sum(), (down * right).sum(), (right * right).sum())
    return {
        "gradient_mean": magnitude.mean(),
        "gradient_sd": magnitude.std(),
        "gradient_p95": np.percentile(magnitude, 95),
        "coherence": coherence(*window),
        "alignment": coherence(*whole),
    }


def coherence(down, mixed, right):
    """Return (l1 - l2) / (l1 + l2) of structure tensors, weighted by l1 + l2."""
    return np.hypot(down - right, 2 * mixed).sum() / (down + right).sum()
