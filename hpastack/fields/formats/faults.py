"""The error for an image file, and the largest images that are read."""

from __future__ import annotations

import os
from typing import Any

from hpastack.errors import InputError

StrPath = str | os.PathLike[str]

#: Maximum number of pixels of an image file; a larger one is rejected before it is decoded.
MAX_PIXELS = 2**26  # 8,192 x 8,192; HPA has 3,072 x 3,072 at most

#: Maximum size of an image file in bytes; a larger one is rejected before it is read.
MAX_BYTES = 2**30  # four stains of MAX_PIXELS in 16 bits take half of this

#: Longest side that is read, in pixels: the limit of libpng.
MAX_SIDE = 1_000_000


class FileFault(InputError):
    """An invalid file, with the path and the reason as attributes so that faults can be listed."""

    def __init__(self, file: StrPath, reason: str, *parameters: str) -> None:
        super().__init__(f"{file}: {reason}" if file else reason, *parameters)
        self.file = str(file)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        # Rebuilt from its parts, so that it survives the way out of a worker process.
        return type(self), (self.file, self.reason, *self.parameters)


def size_text(shape: tuple[int, ...]) -> str:
    """Write a height and a width in words."""
    return f"{shape[1]} x {shape[0]} pixels (width x height)"


def check_size(height: int, width: int, path: StrPath) -> None:
    """Reject an empty image and one that is too large."""
    if height < 1 or width < 1:
        raise FileFault(path, "empty image: it has no pixels")
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        most = f"the maximum of {MAX_PIXELS} pixels"
        if height * width <= MAX_PIXELS:
            most = f"the maximum of {MAX_SIDE} pixels per side"
        raise FileFault(path, f"{size_text((height, width))}, above {most}; reduce it first")
