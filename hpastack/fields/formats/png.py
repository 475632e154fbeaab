"""PNG: every chunk is checked, and only the chunks that define the pixels are decoded."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import imagecodecs
import numpy as np

from hpastack.fields.formats.faults import FileFault, StrPath, check_size
from hpastack.fields.formats.planes import reject_plane

_MAGIC = b"\x89PNG\r\n\x1a\n"
MAGICS = (_MAGIC,)
SUFFIXES = (".png",)

# Allowed bits of each colour type: grey, RGB, palette, grey and alpha, RGBA.
_GREY, _PALETTE = 0, 3
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), 2: (8, 16), _PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

# The other chunks do not define pixels: colour profiles, gamma, orientation, texts and thumbnails
# are removed before decoding.
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_HEADER = slice(12, 29)  # name and body


class PngPicture(NamedTuple):
    """A PNG whose chunks are intact; its pixels are not decoded yet."""

    height: int
    width: int
    depth: int
    colour: int
    palette: bytes
    data: bytes
    path: StrPath

    @property
    def is_lossy(self) -> bool:
        """Whether the compression is lossy."""
        return False

    @property
    def declared_bits(self) -> int:
        """Return 0: values of this format use the full range."""
        return 0

    @property
    def pixel_size(self) -> float:
        """Return 0: the resolution in this format is meant for print."""
        return 0.0

    def decode(self) -> np.ndarray:
        """Return uint8 or uint16, (H, W) or (H, W, 2 to 4)."""
        pixels = self._decode(self.data)
        n_colours = len(self.palette) // 3
        is_short = self.colour == _PALETTE and n_colours < 2**self.depth
        # Decoders return black for an index outside the palette.
        if is_short and self._indices().max() >= n_colours:
            raise FileFault(self.path, "damaged PNG: a pixel is outside its palette")
        return pixels

    def _indices(self) -> np.ndarray:
        """Return the palette indices, by decoding the same pixels under a header for grey."""
        header = bytearray(self.data[_HEADER])
        header[13] = _GREY
        checksum = struct.pack(">I", zlib.crc32(header))
        before, after = self.data[: _HEADER.start], self.data[_HEADER.stop + 4 :]
        levels = self._decode(b"".join([before, header, checksum, after]))
        # Decoders scale fewer than 8 bits to the full range.
        return levels.reshape(*levels.shape[:2], -1)[..., 0] // (255 // (2**self.depth - 1))

    def _decode(self, data: bytes) -> np.ndarray:
        try:
            return imagecodecs.png_decode(data)
        except (RuntimeError, ValueError):
            raise FileFault(self.path, "damaged image: it cannot be decoded") from None

    def verify(self, pixels: np.ndarray) -> None:
        """Do nothing: decoding already raises an error for missing data."""


def open_picture(data: bytes, plane: int | None, path: StrPath) -> PngPicture:
    """Check the checksums and the header of a PNG."""
    if plane is not None:
        reject_plane(path)
    position, kind = len(_MAGIC), b""
    height = width = depth = colour = 0
    palette = b""
    spans: list[tuple[int, int]] = [(0, position)]
    has_pixels = False
    view = memoryview(data)
    while kind != b"IEND":
        if position + 12 > len(data):
            raise FileFault(path, "truncated PNG")
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise FileFault(path, "truncated PNG")
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise FileFault(path, "damaged PNG: wrong checksum")
        body = view[position + 8 : end]
        if position == len(_MAGIC):
            if kind != b"IHDR" or length != 13:
                raise FileFault(path, "damaged PNG: it does not begin with its header")
            width, height, depth, colour, packing, filters, interlace = struct.unpack(
                ">IIBBBBB", body
            )
            check_size(height, width, path)
            if depth not in _DEPTHS.get(colour, ()) or packing or filters or interlace > 1:
                raise FileFault(path, "damaged PNG: invalid header")
        elif kind == b"IHDR":
            raise FileFault(path, "damaged PNG: it has two headers")
        elif kind == b"PLTE":
            if palette or has_pixels or length % 3 or not 3 <= length <= 3 * 256:
                raise FileFault(path, "damaged PNG: invalid palette")
            palette = bytes(body)
        elif kind == b"tRNS":
            _check_transparency(length, colour, palette, path)
            if has_pixels:
                raise FileFault(path, "damaged PNG: its transparency comes after its pixels")
        elif kind == b"IDAT":
            has_pixels = True
        elif kind == b"acTL" and length == 8 and struct.unpack_from(">I", body)[0] > 1:
            raise FileFault(path, "animated PNG; a stain must be a single image")
        elif kind not in _KEPT and not kind[:1].islower():
            raise FileFault(path, f"PNG with an unknown chunk {kind!r}")
        if kind in _KEPT:
            if spans[-1][1] == position:
                spans[-1] = spans[-1][0], end + 4
            else:
                spans.append((position, end + 4))
        position = end + 4
    if not has_pixels or (colour == _PALETTE and not palette):
        raise FileFault(path, "damaged PNG: it has no " + ("palette" if has_pixels else "pixels"))
    kept = data if spans == [(0, len(data))] else b"".join(view[a:b] for a, b in spans)
    return PngPicture(height, width, depth, colour, palette, kept, path)


def _check_transparency(length: int, colour: int, palette: bytes, path: StrPath) -> None:
    lengths = {_GREY: range(2, 3), 2: range(6, 7), _PALETTE: range(1, len(palette) // 3 + 1)}
    if length not in lengths.get(colour, ()):
        raise FileFault(path, "damaged PNG: invalid transparency")
