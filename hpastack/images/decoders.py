"""The libraries that decode; each returns planes in the order R, G, B, alpha."""

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
