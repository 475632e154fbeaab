"""The slow, obvious area average for a whole ratio."""

import numpy as np


def block_mean(plane, factor):
    height, width = (side // factor for side in plane.shape)
    result = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            block = plane[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
            result[y, x] = block.astype(np.float64).mean()
    return result
