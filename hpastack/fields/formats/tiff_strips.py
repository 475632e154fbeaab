"""Strips and tiles of TIFF, unpacked: each gives all its values or is an error."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from hpastack.fields.formats.faults import FileFault, StrPath
from hpastack.fields.formats.jpeg import open_jpeg

_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 7, 8, 32946, 32773

#: Ways of packing that are read, by their number in the file.
PACKINGS = {
    _NONE: "plain", _LZW: "LZW", _DEFLATE: "Deflate", _OLD_DEFLATE: "old Deflate",
    _PACKBITS: "PackBits", _JPEG: "JPEG",
}  # fmt: skip

_RGB = 2
# Marks the planes of a JPEG as R, G, B; else a decoder takes three for luma and chroma.
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"

Shape = tuple[int, int, int]


def unpack(
    chunks: Sequence[memoryview], shapes: Sequence[Shape], dtype: np.dtype, packing: int,
    photometric: int, tables: bytes, path: StrPath,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Unpack strips or tiles.

    Parameters
    ----------
    chunks : sequence of memoryview
        Their bytes.
    shapes : sequence of tuple of int
        Rows, columns and samples of each.
    dtype : dtype
        Of their values, with the order of bytes of the file.
    packing : int
        One of `PACKINGS`.
    photometric : int
        What the samples are; matters to JPEG.
    tables : bytes
        Tables that JPEG strips share.
    path : path-like
        What to call the file in an error.

    Yields
    ------
    ndarray of dtype, shape (rows, columns, samples)

    Raises
    ------
    FileFault
        If a strip or tile is damaged or does not hold as much as it should.
    """
    if packing == _JPEG:
        for chunk, shape in zip(chunks, shapes):
            yield _unpack_jpeg(bytes(chunk), shape, photometric, tables, path)
        return
    lengths = [shape[0] * shape[1] * shape[2] * dtype.itemsize for shape in shapes]
    pieces: Iterator[bytes | memoryview]
    if packing == _LZW:
        pieces = _unpack_lzw(chunks, shapes, dtype, path)
    elif packing == _PACKBITS:
        pieces = (_unpack_bits(chunk, length) for chunk, length in zip(chunks, lengths))
    elif packing == _NONE:
        pieces = iter(chunks)
    else:
        pieces = (_inflate(chunk, length, path) for chunk, length in zip(chunks, lengths))
    for piece, length, shape in zip(pieces, lengths, shapes):
        if len(piece) < length:
            raise FileFault(path, "truncated TIFF: a strip or tile is short")
        yield np.frombuffer(piece, dtype, shape[0] * shape[1] * shape[2]).reshape(shape)


def _inflate(chunk: memoryview, length: int, path: StrPath) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One byte more, so that the checksum at the end is looked at; never much more than fits.
        data = stream.decompress(chunk, length + 1)
    except zlib.error as error:
        raise FileFault(path, f"damaged TIFF ({error})") from None
    if len(data) <= length and not stream.eof:
        raise FileFault(path, "truncated TIFF: a strip or tile is short")
    return data


def _unpack_bits(chunk: memoryview, length: int) -> bytes:
    data, place = bytearray(), 0
    while place < len(chunk) and len(data) < length:
        count = chunk[place]
        if count < 128:
            data += chunk[place + 1 : place + 2 + count]
            place += 2 + count
        else:
            if count > 128:  # 128 does nothing
                data += bytes(chunk[place + 1 : place + 2]) * (257 - count)
                place += 1
            place += 1
    return bytes(data)


def _unpack_lzw(
    chunks: Sequence[memoryview], shapes: Sequence[Shape], dtype: np.dtype, path: StrPath
) -> Iterator[bytes]:
    """Unpack with Pillow (libtiff), which is handed a plain grey TIFF around the same strips."""
    rows, columns, samples = shapes[0]
    width = columns * samples * dtype.itemsize
    height = sum(shape[0] for shape in shapes)
    wrapped = io.BytesIO(_grey_tiff(chunks, height, width, rows))
    try:
        with Image.open(wrapped) as image:
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise FileFault(path, f"damaged TIFF ({error})") from None
    if values.shape != (height, width) or values.dtype != np.uint8:
        raise FileFault(path, "damaged TIFF: a strip or tile is short")
    top = 0
    for shape in shapes:
        yield values[top : top + shape[0]].tobytes()
        top += shape[0]


def _grey_tiff(chunks: Sequence[memoryview], height: int, width: int, rows: int) -> bytes:
    """Write an 8-bit grey TIFF around strips packed with LZW."""
    n = len(chunks)
    start = 8 + 2 + 8 * 12 + 4 + 8 * n
    places = np.cumsum([start, *(len(chunk) for chunk in chunks[:-1])])
    counts = [len(chunk) for chunk in chunks]
    lists = 8 + 2 + 8 * 12 + 4
    words, long = struct.Struct("<HHII"), 4
    tags = [
        words.pack(256, long, 1, width), words.pack(257, long, 1, height),
        words.pack(258, 3, 1, 8), words.pack(259, 3, 1, _LZW), words.pack(262, 3, 1, 1),
        words.pack(273, long, n, lists if n > 1 else places[0]), words.pack(278, long, 1, rows),
        words.pack(279, long, n, lists + 4 * n if n > 1 else counts[0]),
    ]  # fmt: skip
    return b"".join([
        b"II*\0", struct.pack("<IH", 8, len(tags)), *tags, bytes(4),
        np.asarray(places, "<u4").tobytes(), np.asarray(counts, "<u4").tobytes(), *chunks,
    ])  # fmt: skip


def _unpack_jpeg(
    chunk: bytes, shape: Shape, photometric: int, tables: bytes, path: StrPath
) -> np.ndarray:
    start, end = b"\xff\xd8", b"\xff\xd9"
    if not chunk.startswith(start):
        raise FileFault(path, "damaged TIFF: a strip or tile is no JPEG")
    shared = tables[2:-2] if tables.startswith(start) and tables.endswith(end) else b""
    adobe = _ADOBE_RGB if photometric == _RGB else b""
    picture = open_jpeg(start + adobe + shared + chunk[2:], path)
    # Some writers keep the last strip as high as the others.
    if picture.height < shape[0] or (picture.width, picture.planes) != shape[1:]:
        raise FileFault(path, "damaged TIFF: a JPEG strip or tile of another size")
    pixels = picture.decode()
    return pixels.reshape(*pixels.shape[:2], -1)[: shape[0]]
