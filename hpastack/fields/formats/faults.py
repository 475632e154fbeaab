"""What is wrong with an image file, and how large one may be."""

from __future__ import annotations

import os
from typing import Any

from hpastack.errors import InputError

StrPath = str | os.PathLike[str]

#: Most pixels that one image file may have; a larger one is refused before it is decoded.
MAX_PIXELS = 2**26  # 8,192 x 8,192; HPA has 3,072 x 3,072 at most

#: Most bytes that one image file may have; a larger one is refused before it is read.
MAX_BYTES = 2**30  # four stains of MAX_PIXELS in 16 bits take half of it

#: Longest side that is read, in pixels: the limit of libpng.
MAX_SIDE = 1_000_000


class FileFault(InputError):
    """What is wrong with one file, kept apart so that it can be listed."""

    def __init__(self, file: StrPath, reason: str) -> None:
        super().__init__(f"{file}: {reason}" if file else reason)
        self.file = str(file)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        # By its parts, so that it comes whole out of a worker process.
        return type(self), (self.file, self.reason)


def size_text(shape: tuple[int, ...]) -> str:
    """Say a height and a width in words."""
    return f"{shape[1]} x {shape[0]} pixels (width x height)"


def check_size(height: int, width: int, path: StrPath) -> None:
    """Refuse an image without pixels, and one with more than are read."""
    if height < 1 or width < 1:
        raise FileFault(path, "an image without pixels")
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE:
        most = f"the {MAX_PIXELS} that are read"
        if height * width <= MAX_PIXELS:
            most = f"{MAX_SIDE} along a side"
        raise FileFault(path, f"{size_text((height, width))}, more than {most}; reduce it first")
