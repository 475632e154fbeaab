"""One of the eight positions of a field, found from the picture: what makes turning it harmless."""

from __future__ import annotations

import cv2
import numpy as np


def canonical_position(levels: np.ndarray) -> np.ndarray:
    """Turn and mirror a field into the position that its own picture picks.

    Some operators go through an image in an order (watershed, thinning), and
    so give a turned image slightly other values. Brought to this position
    first, a field and its quarter turns and mirror images are one and the same
    array, and every feature of it is the same, bit for bit.

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
    Of the positions with ``h <= w``, the one with the centre of mass of the first
    stain farthest down, then farthest to the right; then those of the next stain, and so on.
    The sums are whole numbers, so nothing depends on rounding. Between positions
    that are alike in all of these the pixels themselves decide.
    """
    if levels.shape[1] > levels.shape[2]:
        levels = _placed(levels, True, 1, 1)
    weights = _weights(levels)  # (n_stains, 2): how much more lies below, and right of, the middle
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
    # Sums of a row or column of levels fit in 32 bit, those of all of them do not.
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
