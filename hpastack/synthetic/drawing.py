"""Drawing primitives for cells and patterns: points, ellipses, curves, noise.

All lengths are in pixels, all coordinates are ``(y, x)`` arrays in pixels, and
all cells of a field are drawn at once.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike


def splat(
    shape: tuple[int, int], y: ArrayLike, x: ArrayLike, weight: ArrayLike = 1.0
) -> np.ndarray:
    """Add points to an empty image with bilinear weights on the four nearest pixels.

    Dense points along a curve form a smooth line; lines add up where they
    cross.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    y, x : array-like of float, same shape
        Positions of the points; those outside the image are ignored.
    weight : float or array-like, default=1.0
        Value added by each point.

    Returns
    -------
    ndarray of float32, shape `shape`
    """
    y, x = np.ravel(y), np.ravel(x)
    weight = np.broadcast_to(np.ravel(weight), y.shape)
    height, width = shape
    inside = (y >= 0) & (x >= 0) & (y < height - 1) & (x < width - 1)
    y, x, weight = y[inside], x[inside], weight[inside]
    row, column = y.astype(np.intp), x.astype(np.intp)
    down, right = y - row, x - column
    corner = row * width + column
    places = np.concatenate([corner, corner + 1, corner + width, corner + width + 1])
    shares = np.concatenate(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    ) * np.tile(weight, 4)
    image = np.bincount(places, weights=shares, minlength=height * width)
    return image.reshape(shape).astype(np.float32)


def stamp(
    shape: tuple[int, int],
    y: ArrayLike,
    x: ArrayLike,
    radius: ArrayLike,
    *,
    aspect: ArrayLike = 1.0,
    angle: ArrayLike = 0.0,
    ring: float | None = None,
    weight: ArrayLike = 1.0,
) -> np.ndarray:
    """Draw filled or hollow ellipses with soft edges; where they overlap, the maximum is used.

    Parameters
    ----------
    shape : (int, int)
    y, x : array-like of float, length n
        Centres.
    radius : float or array-like of length n
        Short semi-axis; for a hollow ellipse, of the centre of the line.
    aspect : float or array-like of length n, default=1.0
        Ratio of the long to the short semi-axis.
    angle : float or array-like of length n, default=0.0
        Direction of the long axis, in radians from the x axis towards y.
    ring : float, optional
        Width of the line of a hollow ellipse; None fills it.
    weight : float or array-like of length n, default=1.0
        Intensity.

    Returns
    -------
    ndarray of float32, shape `shape`
    """
    image = np.zeros(shape, np.float32)
    if np.size(y) == 0:
        return image
    y, x, radius, aspect, angle, weight = (
        np.asarray(values, np.float32)[:, None, None]
        for values in np.broadcast_arrays(y, x, radius, aspect, angle, weight)
    )
    reach = int(np.ceil(float((radius * aspect).max()) + (ring or 0.0))) + 1
    steps = np.arange(-reach, reach + 1)
    row = np.floor(y).astype(np.intp) + steps[None, :, None]
    column = np.floor(x).astype(np.intp) + steps[None, None, :]
    dy, dx = row - y, column - x
    along = (dx * np.cos(angle) + dy * np.sin(angle)) / aspect
    across = dy * np.cos(angle) - dx * np.sin(angle)
    distance = np.hypot(along, across)
    if ring is None:
        value = radius - distance + 0.5
    else:
        value = ring / 2 - np.abs(distance - radius) + 0.5
    value = np.clip(value, 0, 1) * weight
    row, column = np.broadcast_arrays(row, column)
    inside = (row >= 0) & (column >= 0) & (row < shape[0]) & (column < shape[1]) & (value > 0)
    np.maximum.at(image, (row[inside], column[inside]), value[inside])
    return image


def walks(
    rng: np.random.Generator,
    y: np.ndarray,
    x: np.ndarray,
    angle: np.ndarray,
    length: float,
    *,
    bend: float,
    wave: float = 0.0,
    wavelength: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate random curves whose direction changes gradually.

    Parameters
    ----------
    rng : numpy.random.Generator
    y, x, angle : ndarray of float, length n
        Starting points and initial directions (radians) of the curves.
    length : float
        Length of the curves, in pixels; there is a point every 0.7 pixels.
    bend : float
        Standard deviation of the change of direction per pixel, in radians.
    wave, wavelength : float, default=0.0, 1.0
        Amplitude (radians) and period (pixels) of a regular oscillation of the
        direction.

    Returns
    -------
    y, x, angle : ndarray of float32, shape (n, n_points)
    """
    step = 0.7
    n_points = max(2, int(round(length / step)))
    turns = rng.standard_normal((len(y), n_points), dtype=np.float32) * (bend * np.sqrt(step))
    heading = np.asarray(angle, np.float32)[:, None] + np.cumsum(turns, axis=1)
    if wave:
        phase = rng.uniform(0, 2 * np.pi, (len(y), 1)).astype(np.float32)
        travelled = np.arange(n_points, dtype=np.float32) * np.float32(step)
        heading = heading + wave * np.sin(phase + 2 * np.pi * travelled / wavelength)
    path_y = np.asarray(y, np.float32)[:, None] + np.cumsum(np.sin(heading), axis=1) * step
    path_x = np.asarray(x, np.float32)[:, None] + np.cumsum(np.cos(heading), axis=1) * step
    return path_y, path_x, heading


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image with a Gaussian of standard deviation `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), float(sigma))


def smooth_noise(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Generate smooth random noise at a scale of `grain` pixels, mean 0, standard deviation 1.

    Parameters
    ----------
    shape : (int, int)
    grain : float
        Typical distance between neighbouring maxima, in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape `shape`
    """
    height, width = (int(np.ceil(side / grain)) + 2 for side in shape)
    coarse = rng.standard_normal((height, width), dtype=np.float32)
    fine = cv2.resize(
        coarse, (int(width * grain) + 1, int(height * grain) + 1), interpolation=cv2.INTER_CUBIC
    )[: shape[0], : shape[1]]
    return (fine - fine.mean()) / fine.std()
