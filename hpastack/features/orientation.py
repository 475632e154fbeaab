"""Canonical orientation of a field: makes features invariant to rotation and flipping."""

from __future__ import annotations

import cv2
import numpy as np


def canonical_position(levels: np.ndarray) -> np.ndarray:
    """Rotate and flip a field into its canonical orientation.

    Some operators visit pixels in a fixed order (watershed, thinning), and
    give slightly different values for a rotated image. In the canonical orientation,
    a field and its copies rotated by multiples of 90 degrees or flipped are the same
    array, so all features are equal, bit for bit.

    Parameters
    ----------
    levels : ndarray of uint8, shape (n_stains, H, W)
        Grey levels.

    Returns
    -------
    ndarray of uint8, shape (n_stains, h, w)
        ``h <= w``; contiguous.

    Notes
    -----
    Of the orientations with ``h <= w``, the one with the centre of mass of the first
    stain farthest down, then farthest to the right; then those of the next stain, and so on.
    The sums are integers, so nothing depends on rounding. Remaining ties are broken by
    the pixel values.
    """
    if levels.shape[1] > levels.shape[2]:
        levels = _placed(levels, True, 1, 1)
    weights = _weights(levels)  # (n_stains, 2): first moments about the centre, down and right
    square = levels.shape[1] == levels.shape[2]
    best_key: tuple[float, ...] | None = None
    best: list[tuple[bool, int, int]] = []
    for transposed in (False, True) if square else (False,):
        for down in (1, -1):
            for right in (1, -1):
                turned = (weights[:, ::-1] if transposed else weights) * (down, right)
                key = tuple(turned.ravel().tolist())
                if best_key is None or key > best_key:
                    best_key, best = key, []
                if key == best_key:
                    best.append((transposed, down, right))
    candidates = [_placed(levels, *position) for position in best]
    return max(candidates, key=_pixels) if len(candidates) > 1 else candidates[0]


def _weights(levels: np.ndarray) -> np.ndarray:
    height, width = levels.shape[1:]
    # Sums of a single row or column of levels fit in 32 bits, the total does not.
    by_row, by_column = (
        np.stack([cv2.reduce(s, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for s in levels])
        for axis in (1, 0)
    )
    of_rows = by_row.astype(np.int64) @ (2 * np.arange(height) - (height - 1))
    of_columns = by_column.astype(np.int64) @ (2 * np.arange(width) - (width - 1))
    return np.stack([of_rows, of_columns], axis=1)


def _placed(levels: np.ndarray, transposed: bool, down: int, right: int) -> np.ndarray:
    stains = [np.ascontiguousarray(stain) for stain in levels]
    if transposed:
        stains = [cv2.transpose(stain) for stain in stains]
    return np.stack([stain[::down, ::right] for stain in stains])


def _pixels(levels: np.ndarray) -> bytes:
    return levels.tobytes()
