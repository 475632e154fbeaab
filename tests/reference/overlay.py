"""The best shift of one picture on another, by trying every shift: slow and obvious."""

import cv2
import numpy as np


def best_overlay(first, second, min_stains, max_shift=0.4):
    """Return (correlation in the `min_stains`-th best stain, down, right) in parts of the side."""
    side = first.shape[1]
    first, second = (
        [cv2.GaussianBlur(stain.astype(np.float32), (5, 5), 1.0) for stain in picture]
        for picture in (first, second)
    )
    far = int(max_shift * side)
    best = (-1.0, 0.0, 0.0)
    for down in range(-far, far + 1):
        for right in range(-far, far + 1):
            correlations = []
            for one, other in zip(first, second):
                rows = [y for y in range(side) if 0 <= y - down < side]
                columns = [x for x in range(side) if 0 <= x - right < side]
                here = one[np.ix_(rows, columns)].ravel()
                there = other[np.ix_([y - down for y in rows], [x - right for x in columns])]
                correlations.append(np.corrcoef(here, there.ravel())[0, 1])
            score = sorted(correlations)[-min_stains]
            if score > best[0]:
                best = (score, down / side, right / side)
    return best
