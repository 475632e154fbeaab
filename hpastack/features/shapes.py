"""Shapes of labelled objects, from their image moments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Shapes(NamedTuple):
    """Position and shape of each object of a label map; arrays of shape (n_labels,).

    Attributes
    ----------
    area : ndarray of float
        In pixels; at least 1, also for a number without pixels.
    row, column : ndarray of float
        Of the centroid.
    eccentricity : ndarray of float
        Of the ellipse with the same second moments: 0 for a circle, close to 1 for a line.
    """

    area: np.ndarray
    row: np.ndarray
    column: np.ndarray
    eccentricity: np.ndarray


def part_shapes(labels: np.ndarray, n_labels: int) -> Shapes:
    """Measure the shape of each object of a label map.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        Number of the object, below `n_labels`; 0 is background.
    n_labels : int

    Returns
    -------
    Shapes
        Indexed by number.

    Notes
    -----
    A pixel is treated as a square, not as a point: it contributes a variance of 1/12
    along each axis, so that a single pixel has eccentricity 0.
    """
    inside = np.flatnonzero(labels)
    rows, columns = np.divmod(inside, labels.shape[1])
    numbers = labels.ravel()[inside]
    area = np.maximum(np.bincount(numbers, minlength=n_labels), 1).astype(float)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(numbers, values, n_labels) / area

    row, column = mean(rows), mean(columns)
    down, right = rows - row[numbers], columns - column[numbers]
    of_rows, of_columns = mean(down**2) + 1 / 12, mean(right**2) + 1 / 12
    middle = (of_rows + of_columns) / 2
    spread = np.hypot((of_rows - of_columns) / 2, mean(down * right))
    eccentricity = np.sqrt(np.clip(2 * spread / (middle + spread), 0, 1))
    return Shapes(area, row, column, eccentricity)
