"""Slow, obvious versions of the hand-crafted features, pixel by pixel."""

import math
from itertools import pairwise

import numpy as np


def to_levels(image, n_levels=256):
    """Round to 256 levels, then merge neighbouring ones."""
    rounded = [[round(float(value) * 255) for value in row] for row in image]
    return np.array(rounded) // (256 // n_levels)


def moments(image):
    values = [int(value) / 255 for value in to_levels(image).ravel()]
    n = len(values)
    mean = sum(values) / n
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / n)
    skewness = sum((value - mean) ** 3 for value in values) / n / sd**3
    kurtosis = sum((value - mean) ** 4 for value in values) / n / sd**4 - 3
    return mean, sd, skewness, kurtosis


def entropy(values):
    """Return the entropy of anything hashable, in bits."""
    values = list(values)
    shares = [values.count(value) / len(values) for value in set(values)]
    return -sum(share * math.log2(share) for share in shares)


def otsu_level(levels):
    """Return the last level of the lower of the two classes that lie farthest apart."""
    levels = levels.ravel()
    best, best_level = -1.0, None
    for level in range(levels.min(), levels.max()):
        low, high = levels[levels <= level], levels[levels > level]
        between = len(low) * len(high) * (low.mean() - high.mean()) ** 2
        if between > best * (1 + 1e-12):
            best, best_level = between, level
    return best_level


def co_occurrences(levels, distance):
    """Return, for each of four directions, every pair of levels, both ways round."""
    height, width = levels.shape
    diagonal = round(distance * math.sqrt(0.5))
    steps = [(0, distance), (diagonal, diagonal), (distance, 0), (diagonal, -diagonal)]
    for down, right in steps:
        pairs = []
        for row in range(height):
            for column in range(width):
                if 0 <= row + down < height and 0 <= column + right < width:
                    here, there = levels[row, column], levels[row + down, column + right]
                    pairs += [(int(here), int(there)), (int(there), int(here))]
        yield pairs


def texture(image, distance, n_levels=32):
    """Return the seven properties, each averaged over the four directions."""
    by_direction = []
    for pairs in co_occurrences(to_levels(image, n_levels), distance):
        first, second = np.array(pairs, dtype=float).T
        shares = [pairs.count(pair) / len(pairs) for pair in set(pairs)]
        asm = sum(share**2 for share in shares)
        by_direction.append(
            {
                "contrast": np.mean((first - second) ** 2),
                "dissimilarity": np.mean(abs(first - second)),
                "homogeneity": np.mean(1 / (1 + (first - second) ** 2)),
                "asm": asm,
                "energy": math.sqrt(asm),
                "correlation": np.corrcoef(first, second)[0, 1],
                "entropy": entropy(pairs),
            }
        )
    return {name: np.mean([one[name] for one in by_direction]) for name in by_direction[0]}


def mean_ranks(values):
    """Rank from 1; equal values get the mean of their ranks."""
    values = list(values)
    order = sorted(values)
    starts = {value: order.index(value) for value in set(values)}
    return [starts[value] + (values.count(value) + 1) / 2 for value in values]


def manders(image, reference, threshold, reference_threshold):
    """Return the share of the signal of `image` that lies on signal of `reference`."""
    on = total = 0
    for value, other in zip(to_levels(image).ravel(), to_levels(reference).ravel()):
        if value > threshold:
            total += value
            on += value * (other > reference_threshold)
    return on / total


def is_ascending(values):
    return all(left <= right for left, right in pairwise(values))
