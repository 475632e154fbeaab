"""Shapes of labelled parts, from the moments of their pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Shapes(NamedTuple):
    """Place and shape of each part of a label map; arrays of shape (n_labels,).

    Attributes
    ----------
    area : ndarray of float
        In pixels; at least 1, also for a number that no pixel has.
    row, column : ndarray of float
        Of the centre.
    eccentricity : ndarray of float
        Of the ellipse with the same second moments: 0 round, towards 1 a line.
    """

    area: np.ndarray
    row: np.ndarray
    column: np.ndarray
    eccentricity: np.ndarray


def part_shapes(labels: np.ndarray, n_labels: int) -> Shapes:
    """Measure the shape of each part of a label map.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        Number of the part, below `n_labels`; 0 is no part.
    n_labels : int

    Returns
    -------
    Shapes
        By number.

    Notes
    -----
    A pixel counts as a square, not as a point: it has a variance of 1/12 of its
    own along each axis, so that a single pixel is round.
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
