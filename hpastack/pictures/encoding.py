"""Encode images as JPEG or PNG; equal images give equal bytes."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

import cv2
import numpy as np

from hpastack.files import atomic_write

#: Default quality of JPEG, from 0 to 100.
JPEG_QUALITY = 82


def jpeg_bytes(picture: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """Encode an image as JPEG.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3) or (H, W)
        RGB or grey.
    quality : int, default=82

    Returns
    -------
    bytes
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1,
        cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]  # fmt: skip
    return _encoded(".jpg", picture, options)


def png_bytes(picture: np.ndarray) -> bytes:
    """Encode an image as PNG.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3) or (H, W)
        RGB or grey.

    Returns
    -------
    bytes
    """
    return _encoded(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def write_png(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write an image as PNG, published by a single rename.

    Parameters
    ----------
    path : path-like
    picture : ndarray of uint8, shape (H, W, 3) or (H, W)
        RGB or grey.
    """
    with atomic_write(Path(path)) as draft:
        draft.write_bytes(png_bytes(picture))


def data_uri(jpeg: bytes) -> str:
    """Return the data URI of a JPEG, to embed it in an HTML page.

    Examples
    --------
    >>> data_uri(b"abc")
    'data:image/jpeg;base64,YWJj'
    """
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"


def _encoded(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    bgr = picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1])
    _, encoded = cv2.imencode(suffix, bgr, options)
    return encoded.tobytes()
