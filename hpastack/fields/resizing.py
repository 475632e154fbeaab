"""Resize fields."""

from __future__ import annotations

import cv2
import numpy as np

from hpastack.errors import InputError


def resize_field(field: np.ndarray, size: int | None = None, square: bool = False) -> np.ndarray:
    """Scale a field by the length of its longer side, and pad it to a square.

    Parameters
    ----------
    field : ndarray of float32, shape (c, H, W)
        Values in [0, 1].
    size : int, optional
        Length of the longer side after scaling, in pixels. Default: unchanged.
    square : bool, default=False
        Whether to pad with zeros on the right or at the bottom to a square.

    Returns
    -------
    ndarray of float32, shape (c, h, w)
        Values in [0, 1]. The shorter side is rounded to whole pixels and is at
        least 1.

    Raises
    ------
    InputError
        If `size` is below 1.

    Examples
    --------
    >>> field = np.array([[[0, 1, 0, 0], [1, 0, 0, 0]]], dtype=np.float32)
    >>> resize_field(field, 2).tolist()
    [[[0.5, 0.0]]]
    >>> resize_field(field, 2, square=True).tolist()
    [[[0.5, 0.0], [0.0, 0.0]]]
    """
    if size is not None and size < 1:
        raise InputError(f"size is {size}; it must be at least 1 pixel")
    height, width = field.shape[1:]
    longer = max(height, width)
    if size is not None and size != longer:
        # Half pixels are rounded up, the same way along both axes.
        height, width = (
            max(1, (2 * side * size + longer) // (2 * longer)) for side in (height, width)
        )
        method = cv2.INTER_AREA if size < longer else cv2.INTER_LINEAR
        field = np.stack([cv2.resize(p, (width, height), interpolation=method) for p in field])
        # The weights of area averaging sum to 1 up to rounding.
        np.clip(field, 0, 1, out=field)
    if square and height != width:
        side = max(height, width)
        field = np.pad(field, ((0, 0), (0, side - height), (0, side - width)))
    return field
