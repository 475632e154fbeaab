"""Interface of a format of image files: an image is checked first and decoded later."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hpastack.fields.formats.faults import StrPath


class Picture(Protocol):
    """An image that has been checked but not decoded."""

    @property
    def height(self) -> int: ...  # noqa: D102

    @property
    def width(self) -> int: ...  # noqa: D102

    @property
    def is_lossy(self) -> bool:
        """Whether the compression may be lossy."""
        ...

    @property
    def declared_bits(self) -> int:
        """Bit depth declared in the file; 0 if it does not declare one."""
        ...

    @property
    def pixel_size(self) -> float:
        """Micrometres per pixel along x declared in the file; 0 if it does not declare them."""
        ...

    def decode(self) -> np.ndarray:
        """Return uint8 or uint16, (H, W) or (H, W, samples); a `FileFault` if it is corrupt."""
        ...

    def verify(self, pixels: np.ndarray) -> None:
        """Raise a `FileFault` for damage that `decode` cannot detect; `pixels` are its result."""
        ...


class Format(Protocol):
    """Interface of the modules in this folder, one for each format of image files."""

    @property
    def MAGICS(self) -> tuple[bytes, ...]:  # noqa: N802
        """First bytes of its files."""
        ...

    @property
    def SUFFIXES(self) -> tuple[str, ...]:  # noqa: N802
        """Suffixes of its files, in lower case; the usual one first."""
        ...

    def open_picture(self, data: bytes, plane: int | None, path: StrPath) -> Picture:
        """Check the structure of an image without decoding it; a `FileFault` if it is incomplete.

        A format without planes rejects any `plane`. `path` is the name of the
        file in error messages.
        """
        ...
