"""Decode strips and tiles of TIFF with imagecodecs; each yields all its values or an error."""

from __future__ import annotations

import struct
from typing import NamedTuple

import imagecodecs
import numpy as np

from hpastack.fields.formats import jpeg
from hpastack.fields.formats.faults import FileFault, StrPath

#: Written by Aperio for luma and chroma, by Bio-Formats for grey.
JPEG_2000_OF_YCBCR = 33003

_JPEG, _RGB = 7, 2
# Marks the planes of a JPEG as R, G, B; otherwise decoders interpret three as luma and chroma.
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
# Start of the codestream of a JPEG 2000, after the boxes that some programs add.
_START_OF_JPEG_2000 = b"\xff\x4f\xff\x51"

Shape = tuple[int, int, int]


class Packing(NamedTuple):
    """A compression of strips and tiles."""

    name: str
    codec: str  # of imagecodecs
    is_picture: bool = False  # an image format with its own size, which may be lossy


#: Supported compressions, by their number in the file. JPEG XR is not supported, because its
#: decoder fills in missing data.
PACKINGS = {
    1: Packing("plain", "none"),
    5: Packing("LZW", "lzw"),
    8: Packing("Deflate", "deflate"),
    32946: Packing("old Deflate", "deflate"),
    32773: Packing("PackBits", "packbits"),
    34925: Packing("LZMA", "lzma"),
    50000: Packing("ZSTD", "zstd"),
    34926: Packing("old ZSTD", "zstd"),
    _JPEG: Packing("JPEG", "jpeg8", True),
    34712: Packing("JPEG 2000", "jpeg2k", True),
    JPEG_2000_OF_YCBCR: Packing("JPEG 2000 of YCbCr", "jpeg2k", True),
    33004: Packing("lossy JPEG 2000", "jpeg2k", True),
    33005: Packing("JPEG 2000 of RGB", "jpeg2k", True),
    50001: Packing("WebP", "webp", True),
    34927: Packing("old WebP", "webp", True),
    50002: Packing("JPEG XL", "jpegxl", True),
    52546: Packing("JPEG XL of DNG", "jpegxl", True),
    34887: Packing("LERC", "lerc", True),
}


def unpack(
    chunk: memoryview, shape: Shape, most_rows: int, dtype: np.dtype, packing: int,
    photometric: int, tables: bytes, path: StrPath,
) -> np.ndarray:  # fmt: skip
    """Decode a strip or a tile.

    Parameters
    ----------
    chunk : memoryview
        Its bytes.
    shape : tuple of int
        Rows, columns and samples.
    most_rows : int
        Rows of a full strip: some programs write the last one as high as the others.
    dtype : dtype
        Of its values, in the byte order of the file.
    packing : int
        Compression; one of `PACKINGS`.
    photometric : int
        Photometric interpretation of the samples, used for JPEG.
    tables : bytes
        Tables shared by JPEG strips.
    path : path-like
        Name of the file in error messages.

    Returns
    -------
    ndarray of dtype or of the same in native byte order, shape (rows, columns, samples)

    Raises
    ------
    FileFault
        If it is damaged or too short.
    """
    codec, is_picture = PACKINGS[packing].codec, PACKINGS[packing].is_picture
    if packing == _JPEG:
        return _unpack_jpeg(bytes(chunk), shape, photometric, tables, path)
    try:
        if is_picture:
            return _unpack_picture(bytes(chunk), shape, dtype.newbyteorder("="), codec)
        row = shape[1] * shape[2] * dtype.itemsize
        # One extra byte, so that a checksum at the end is verified; never much more memory.
        values = chunk
        if codec != "none":
            values = getattr(imagecodecs, f"{codec}_decode")(chunk, out=most_rows * row + 1)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FileFault(path, f"truncated or damaged TIFF ({reason})") from None
    if len(values) < shape[0] * row:
        raise FileFault(path, "truncated TIFF: a strip or tile is short")
    return np.frombuffer(values, dtype, shape[0] * shape[1] * shape[2]).reshape(shape)


def _unpack_picture(chunk: bytes, shape: Shape, dtype: np.dtype, codec: str) -> np.ndarray:
    # The decoder rejects an image of another size or type before it allocates memory.
    pixels = np.empty(shape if shape[2] > 1 else shape[:2], dtype)
    if codec == "jpeg2k":
        imagecodecs.jpeg2k_decode(_raw_jpeg_2000(chunk, shape), numthreads=1, out=pixels)
    elif codec == "jpegxl":
        imagecodecs.jpegxl_decode(chunk, numthreads=1, out=pixels)
    elif codec == "webp":
        imagecodecs.webp_decode(chunk, hasalpha=shape[2] == 4 or None, out=pixels)
    else:
        _, mask = imagecodecs.lerc_decode(chunk, masks=True, out=pixels)
        if mask is not None and not mask.all():
            raise ValueError("pixels without a value")
    return pixels.reshape(shape)


def _raw_jpeg_2000(chunk: bytes, shape: Shape) -> bytes:
    """Return the codestream of a JPEG 2000, without its boxes, after checking its size."""
    # The decoder checks the size last, after allocating memory.
    start = chunk.find(_START_OF_JPEG_2000)
    if start < 0 or len(chunk) < start + 24:
        raise ValueError("JPEG 2000 without a size")
    right, bottom, left, top = struct.unpack_from(">IIII", chunk, start + 8)
    if (bottom - top, right - left) != shape[:2]:
        raise ValueError("JPEG 2000 of a different size")
    return chunk[start:]


def _unpack_jpeg(
    chunk: bytes, shape: Shape, photometric: int, tables: bytes, path: StrPath
) -> np.ndarray:
    start, end = b"\xff\xd8", b"\xff\xd9"
    if not chunk.startswith(start):
        raise FileFault(path, "damaged TIFF: a strip or tile is not a JPEG")
    shared = tables[2:-2] if tables.startswith(start) and tables.endswith(end) else b""
    adobe = _ADOBE_RGB if photometric == _RGB else b""
    picture = jpeg.open_picture(start + adobe + shared + chunk[2:], None, path)
    # Some programs write the last strip as high as the others.
    if picture.height < shape[0] or (picture.width, picture.planes) != shape[1:]:
        raise FileFault(path, "damaged TIFF: a JPEG strip or tile of a different size")
    pixels = picture.decode()
    return pixels.reshape(*pixels.shape[:2], -1)[: shape[0]]
