"""What a format of image files has to offer: an image that is checked first and decoded later."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hpastack.fields.formats.faults import StrPath


class Picture(Protocol):
    """An image that was checked and is not decoded yet."""

    @property
    def height(self) -> int: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def is_lossy(self) -> bool:
        """Whether what was written may differ from what is read."""
        ...

    @property
    def declared_bits(self) -> int:
        """Bits that the file says its values use; 0 where it says nothing."""
        ...

    @property
    def pixel_size(self) -> float:
        """Micrometres per pixel, from left to right, as the file says; 0 where it says nothing."""
        ...

    def decode(self) -> np.ndarray:
        """Return uint8 or uint16, (H, W) or (H, W, samples); a `FileFault` if it is corrupt."""
        ...

    def verify(self, pixels: np.ndarray) -> None:
        """Raise a `FileFault` for what `decode` cannot notice; `pixels` are what it returned."""
        ...


class Format(Protocol):
    """A module of this folder: one format of image files."""

    @property
    def MAGICS(self) -> tuple[bytes, ...]:  # noqa: N802
        """What its files begin with."""
        ...

    @property
    def SUFFIXES(self) -> tuple[str, ...]:  # noqa: N802
        """Endings of its files, in lower case; the usual one first."""
        ...

    def open_picture(self, data: bytes, plane: int | None, path: StrPath) -> Picture:
        """Check the frame of an image without decoding it; a `FileFault` if it is not whole.

        A format without planes rejects a `plane`. `path` is what to call the
        file in an error.
        """
        ...
