"""Decode the bytes of a file into one plane of a stain in [0, 1]."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import numpy as np

from hpastack.fields.formats import FORMATS
from hpastack.fields.formats.faults import MAX_BYTES, FileFault, StrPath, size_text
from hpastack.fields.formats.picture import Picture
from hpastack.fields.formats.planes import reject_plane
from hpastack.fields.formats.tints import reduce_planes

# In a nearly black JPEG, rounding hides the tint: root mean square in grey levels.
_JPEG_NOISE = 2.0

#: Fraction of the pixels of a file that may exceed its bit depth (hot pixels); they are clipped.
MOST_CUT = 1e-3

# Otherwise its decoders write messages about damaged files to stderr.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())


def read_bytes(path: StrPath) -> bytes:
    """Read a whole file; reject what is not a file, is empty or is larger than `MAX_BYTES`."""
    if "\0" in os.fsdecode(path):
        raise FileFault(path, "no such file")
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    # Opening a folder raises an OSError; opening a pipe would block for ever.
    if not S_ISREG(status.st_mode) and not S_ISDIR(status.st_mode):
        raise FileFault(path, "not a file, but a device or a pipe")
    if status.st_size > MAX_BYTES:
        raise FileFault(path, f"{status.st_size} bytes, above the maximum of {MAX_BYTES}")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    if not data:
        raise FileFault(path, "the file is empty")
    return data


def open_picture(data: bytes, plane: int | None, path: StrPath) -> Picture:
    """Check the structure of an image without decoding it."""
    for image_format in FORMATS.values():
        if data.startswith(image_format.MAGICS):
            return image_format.open_picture(data, plane, path)
    if plane is not None:
        reject_plane(path)
    *names, last = FORMATS
    raise FileFault(path, f"not a {', '.join(names)} or {last} image")


def decode_picture(picture: Picture, path: StrPath) -> np.ndarray:
    """Decode an image; return uint8 or uint16, (H, W) or (H, W, samples)."""
    pixels = picture.decode()
    shape = picture.height, picture.width
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[:2] != shape:
        raise FileFault(
            path, f"decodes to {pixels.dtype}, {size_text(pixels.shape)}, unlike its header"
        )
    return pixels


def stain_of(
    pixels: np.ndarray,
    stain: str,
    is_lossy: bool,
    path: StrPath,
    out: np.ndarray | None = None,
    *,
    bits: int = 16,
) -> np.ndarray:
    """Convert pixels to one plane, float32 in [0, 1], written to `out` if it is not None.

    `bits` is the bit depth of values from 16-bit files.
    """
    top = np.iinfo(pixels.dtype).max
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        if pixels[..., -1].min() != top:
            raise FileFault(
                path, "has an alpha channel that is not opaque; save it without transparency"
            )
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype == np.uint16 and bits < 16:
        top = (1 << bits) - 1
        highest = pixels.max()
        if highest > top:
            if np.count_nonzero(pixels > top) > MOST_CUT * pixels.size:
                raise FileFault(
                    path,
                    f"has the value {highest}, above the maximum of {bits} bits in the catalogue, "
                    f"{top}; run: hpastack prepare IMAGES --overwrite",
                )
            pixels = np.minimum(pixels, top)  # hot pixels
    if out is None:
        out = np.empty(pixels.shape[:2], np.float32)
    if pixels.ndim == 2:
        return np.divide(pixels, np.float32(top), out=out, dtype=np.float32)
    if pixels.shape[2] != 3:
        raise FileFault(path, f"{pixels.shape[2]} planes; it must be grey or RGB")
    planes = np.empty((3, *pixels.shape[:2]), np.float32)
    for position in range(3):
        np.divide(pixels[..., position], np.float32(top), out=planes[position], dtype=np.float32)
    out[...] = reduce_planes(planes, stain, _JPEG_NOISE / 255 if is_lossy else 0.0, path)
    return out
