"""Image files made byte by byte, for tests of what reads them."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def picture(height=40, width=60, seed=0):
    """A smooth 8-bit picture that uses the whole range."""
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.round(255 * smooth).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed_rows(rows, depth):
    """The rows of a PNG without filters; values of fewer than 8 bits are packed."""
    rows = np.asarray(rows)
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    lines = rows.reshape(len(rows), -1).astype(np.uint8)
    if depth < 8:
        bits = np.unpackbits(lines[..., None], axis=-1)[..., 8 - depth :]
        lines = np.packbits(bits.reshape(len(rows), -1), axis=1)
    return b"".join(b"\0" + line.tobytes() for line in lines)


def adam7(pixels, depth):
    """The rows of an interlaced PNG."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip
    parts = [pixels[y::down, x::across] for y, x, down, across in passes]
    return b"".join(packed_rows(part, depth) for part in parts if part.size)


def png(pixels, depth=8, colour=GREY, before=(), after=(), interlace=0, pack=zlib.compress,
        size=None, rows=None):  # fmt: skip
    """A PNG of these pixels, with more chunks before and after them."""
    height, width = size or np.asarray(pixels).shape[:2]
    if rows is None:
        rows = adam7(np.asarray(pixels), depth) if interlace else packed_rows(pixels, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    parts = [(b"IHDR", header), *before, (b"IDAT", pack(rows)), *after, (b"IEND", b"")]
    return PNG_MAGIC + b"".join(chunk(*part) for part in parts)


def saved(pixels, kind, **options):
    """An image as Pillow writes it."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    """A TIFF as tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def patched(data, tag, value, page=0, what="value"):
    """A TIFF with another number in a tag of a page (little-endian, fewer than 5 bytes)."""
    data = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        entry = file.pages[page].tags[tag]
        place, count = entry.valueoffset, entry.count
        size = {3: 2, 4: 4}[int(entry.dtype)]
        if what == "count":
            place, size, count = entry.offset + 4, 4, 1
    for number in range(count):
        data[place + size * number : place + size * (number + 1)] = value.to_bytes(size, "little")
    return bytes(data)
