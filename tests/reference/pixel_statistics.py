"""Mean, sd and percentiles of pixels, the slow and obvious way: two passes over all of them."""

import math
from fractions import Fraction


def two_passes(values, top):
    """Return the mean and sd of whole numbers over `top`, without rounding on the way."""
    values = [Fraction(int(value), top) for value in values]
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return float(mean), math.sqrt(variance)


def percentile(values, tenths_of_a_percent, top):
    """Return the least value that at least so many pixels do not exceed."""
    values = sorted(int(value) for value in values)
    for value in values:
        if 1000 * sum(other <= value for other in values) >= tenths_of_a_percent * len(values):
            return value / top
    raise AssertionError("the largest is exceeded by none")
