"""PNG and JPEG -> pixels, with OpenCV.

It releases the lock of the interpreter and refuses a PNG that lacks rows.
Where it refuses, no other decoder is asked: Pillow would give such a PNG with
zeros for what is missing. TIFF is unpacked in `hpastack.fields.formats.tiff`, because
OpenCV hands out half-decoded ones.
"""

from __future__ import annotations

import cv2
import numpy as np


def decode_with_opencv(data: bytes) -> np.ndarray | None:
    """Decode a PNG or JPEG; None where OpenCV can't."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None or pixels.ndim == 2:
        return pixels
    # OpenCV puts blue first.
    return pixels[..., ::-1] if pixels.shape[2] == 3 else pixels[..., [2, 1, 0, 3]]
