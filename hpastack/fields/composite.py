"""Fields as colour pictures for people."""

from __future__ import annotations

import numpy as np

from hpastack.fields.stains import STAIN_INDEX, STAINS, with_black_stains


def composite(field: np.ndarray) -> np.ndarray:
    """Mix the four stains of a field into one RGB picture.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; stains that are missing (NaN) are black.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        Yellow is added, at half its strength, to red and green.
    """
    field = with_black_stains(field)
    red, green, blue, yellow = (field[STAIN_INDEX[stain]] for stain in STAINS)
    mixed = np.stack([red + 0.5 * yellow, green + 0.5 * yellow, blue], axis=-1)
    return to_8_bit(np.clip(mixed, 0, 1))


def stretched(image: np.ndarray, darkest: float = 1 / 255) -> np.ndarray:
    """Brighten one stain, so that its brightest thousandth is white.

    Parameters
    ----------
    image : ndarray of float, shape (H, W)
    darkest : float, default=1/255
        Least value that is made white, so that noise stays dark.

    Returns
    -------
    ndarray of float, shape (H, W)
        In [0, 1].

    Examples
    --------
    >>> stretched(np.array([[0.0, 0.1], [0.2, 0.2]])).round(2).tolist()
    [[0.0, 0.5], [1.0, 1.0]]
    """
    return np.clip(image / max(float(np.quantile(image, 0.999)), darkest), 0, 1)


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Return intensities of [0, 1] as 8-bit levels."""
    return np.rint(image * 255).astype(np.uint8)
