"""TIFF: its directories are read by tifffile, its strips and tiles are unpacked by imagecodecs.

Decoders fill what a TIFF lacks with zeros; here a strip that is short, missing
or damaged is an error. Only the plane asked for is decoded.
"""

from __future__ import annotations

import io
import logging
import struct
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import imagecodecs
import numpy as np
import tifffile

from hpastack.errors import counted
from hpastack.fields.formats.faults import MAX_PIXELS, FileFault, StrPath, check_size
from hpastack.fields.formats.ome import channel_names, is_ome, physical_size, significant_bits
from hpastack.fields.formats.tiff_strips import JPEG_2000_OF_YCBCR, PACKINGS, unpack

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SUFFIXES = (".tif", ".tiff")

#: Most planes that a file with several may have.
MAX_PLANES = 64

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
_JPEG = 7
_PAGE_NAME, _NEW_SUBFILE_TYPE, _MAX_SAMPLE_VALUE = 285, 254, 281
_REDUCED_OR_MASK = 1 | 4
# Size, samples, packing, place and colours of the pixels.
_NEEDED_TAGS = {
    254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338,
    339, 347, 32997, 32998,
}  # fmt: skip
_MOST_PAGES, _MOST_TAGS = 1024, 4096

# What tifffile has to say about a damaged file is in the error; it would also go to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffPage(NamedTuple):
    """One page of a TIFF: how its samples are kept and where its strips or tiles lie."""

    height: int
    width: int
    samples: int
    bits: int
    kind: str  # of its values, such as uint8; None if they differ
    is_unsigned: bool
    is_apart: bool  # each sample has strips of its own
    is_reversed: bool  # the bits of a byte
    depth: int
    photometric: int
    has_alpha: bool
    packing: int
    predictor: int
    chunk: tuple[int, int]  # height and width of a strip or tile
    is_tiled: bool
    extents: tuple[tuple[int, int], ...]  # place and length of each strip or tile
    colours: Any  # of a palette
    tables: bytes  # that its JPEG strips share
    is_big_endian: bool
    name: str
    most: int  # MaxSampleValue, 0 where it is not given

    @property
    def grid(self) -> tuple[int, int]:
        """How many strips or tiles lie below and beside each other."""
        return -(-self.height // self.chunk[0]), -(-self.width // self.chunk[1])


class TiffLayout(NamedTuple):
    """The pages of a TIFF in full resolution, and what it says of itself."""

    pages: list[TiffPage]
    description: str
    imagej: dict[str, Any]

    @property
    def n_planes(self) -> int:
        """How many planes of grey the file has: pages times samples."""
        return sum(page.samples for page in self.pages)


class TiffPicture(NamedTuple):
    """A picture or a plane of a TIFF whose strips are all there; not unpacked yet."""

    page: TiffPage
    sample: int | None
    data: bytes
    path: StrPath
    significant_bits: int = 0
    pixel_size: float = 0.0  # by PhysicalSizeX of OME-XML

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.page.height

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return self.page.width

    @property
    def is_lossy(self) -> bool:
        """Whether what was written may differ from what is read."""
        return PACKINGS[self.page.packing].is_picture

    @property
    def declared_bits(self) -> int:
        """Bits by SignificantBits of OME-XML, else by the tag MaxSampleValue; 0 if by neither."""
        return self.significant_bits or self.page.most.bit_length()

    def decode(self) -> np.ndarray:
        """Return uint8 or uint16, (H, W) or (H, W, samples)."""
        return decode_page(self.page, self.sample, self.data, self.path)

    def verify(self, pixels: np.ndarray) -> None:
        """Do nothing: what is missing is an error when it is decoded."""


def read_layout(file: BinaryIO, n_bytes: int, path: StrPath) -> TiffLayout:
    """Read the directories of a TIFF, without its pixels.

    Parameters
    ----------
    file : file
        Open for reading bytes.
    n_bytes : int
        Its size.
    path : path-like
        What to call it in an error.

    Returns
    -------
    TiffLayout

    Raises
    ------
    FileFault
        If the directories are damaged, or there is none, or there are too many.
    """
    tags = _follow_pages(file, n_bytes, path)
    try:
        with tifffile.TiffFile(file) as tiff:
            found = [_whole(page) for page in islice(tiff.pages, len(tags))]
            if len(found) < len(tags):
                raise FileFault(path, "truncated or damaged TIFF: a page cannot be read")
            for page, codes in zip(found, tags):
                if codes & _NEEDED_TAGS - set(page.tags.keys()):
                    raise FileFault(path, "damaged TIFF: a tag cannot be read")
            description = str(found[0].description) if found else ""
            imagej = dict(tiff.imagej_metadata or {}) if description.startswith("ImageJ") else {}
            pages = [_page(page, path) for page in found if _is_full(page)]
    except FileFault:
        raise
    except Exception as error:  # tifffile meets damage with errors of a dozen types
        reason = " ".join(str(error).split())[:200]
        raise FileFault(path, f"truncated or damaged TIFF ({reason})") from None
    if not pages:
        raise FileFault(path, "truncated or damaged TIFF: it holds no image")
    n_images = imagej.get("images", 1)
    if len(pages) == 1 and isinstance(n_images, int) and n_images > 1:
        pages = _imagej_pages(pages[0], n_images, n_bytes, path)
    return TiffLayout(pages, description, imagej)


def open_picture(data: bytes, plane: int | None, path: StrPath) -> TiffPicture:
    """Check the only picture of a TIFF, or one plane of several."""
    layout = read_layout(io.BytesIO(data), len(data), path)
    if plane is None:
        page, sample = layout.pages[0], None
        if len(layout.pages) > 1 or page.depth > 1:
            raise FileFault(
                path,
                "TIFF of several pages; a stain has one. Name the plane: "
                f"{path}#0 is the first, or let prepare find the field",
            )
    else:
        page, sample = _find_plane(layout, plane, path)
    _check_page(page, sample, path)
    if not is_ome(layout.description):
        return TiffPicture(page, sample, data, path)
    bits, size = significant_bits(layout.description), physical_size(layout.description)
    return TiffPicture(page, sample, data, path, bits, size)


def decode_page(page: TiffPage, sample: int | None, data: bytes, path: StrPath) -> np.ndarray:
    """Unpack one sample of a page, or all."""
    dtype = np.dtype(f"u{page.bits // 8}")
    samples = page.samples if sample is None else 1
    pixels = np.empty((page.height, page.width, samples), dtype)
    n_chunks = page.grid[0] * page.grid[1]
    if page.is_apart:
        for place in range(samples):
            first = (place if sample is None else sample) * n_chunks
            extents = page.extents[first : first + n_chunks]
            _fill(pixels[..., place : place + 1], page, extents, 1, slice(None), data, path)
    else:
        taken = slice(None) if sample is None else slice(sample, sample + 1)
        _fill(pixels, page, page.extents[:n_chunks], page.samples, taken, data, path)
    if page.photometric == PALETTE:
        return _coloured(pixels[..., 0], page, path)
    return pixels[..., 0] if samples == 1 else pixels


def _follow_pages(file: BinaryIO, n_bytes: int, path: StrPath) -> list[set[int]]:
    """Follow the chain of pages and return the tags of each.

    tifffile passes over a page that leads nowhere and over a tag that it
    cannot read, which would change what the pixels mean.
    """
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:1] == b"I" else ">"
    is_big = head[2:4] in (b"+\0", b"\0+")
    count, link, tag = (f"{order}Q", f"{order}Q", 20) if is_big else (f"{order}H", f"{order}I", 12)
    pages: list[set[int]] = []
    seen: set[int] = set()
    place = _number(head[8 if is_big else 4 :], link)
    while place:
        if place in seen:
            raise FileFault(path, "damaged TIFF: its pages go round in a circle")
        seen.add(place)
        if len(seen) > _MOST_PAGES:
            raise FileFault(path, f"TIFF of more than {_MOST_PAGES} pages")
        n_tags = _number(file.read(8), count) if _seek(file, place, n_bytes) else 0
        if not 0 < n_tags <= _MOST_TAGS:
            raise FileFault(path, "truncated or damaged TIFF: a page lies beyond its end")
        file.seek(place + struct.calcsize(count))
        tags = file.read(n_tags * tag)
        place = _number(file.read(8), link)
        if place < 0:  # also where the tags are cut
            raise FileFault(path, "truncated or damaged TIFF: a page lies beyond its end")
        codes = struct.iter_unpack(f"{order}H{tag - 2}x", tags)
        pages.append({code for (code,) in codes})
    file.seek(0)
    return pages


def _seek(file: BinaryIO, place: int, n_bytes: int) -> bool:
    """Go to a place in a file, if it is there."""
    if not 0 < place < n_bytes:
        return False
    file.seek(place)
    return True


def _number(data: bytes, layout: str) -> int:
    """Read a number, -1 where the data end before it does."""
    return struct.unpack_from(layout, data)[0] if len(data) >= struct.calcsize(layout) else -1


def _whole(page: Any) -> tifffile.TiffPage:
    # Pages after the first may come as frames, which share what the first one says.
    return page.aspage() if isinstance(page, tifffile.TiffFrame) else page


def _page(page: Any, path: StrPath) -> TiffPage:
    offsets, counts = page.dataoffsets, page.databytecounts
    height, width = int(page.imagelength), int(page.imagewidth)
    samples = int(page.samplesperpixel)
    check_size(height, width, path)
    if not 1 <= samples <= MAX_PLANES:
        raise FileFault(path, f"TIFF of {samples} samples; up to {MAX_PLANES} are read")
    chunk = (int(page.tilelength), int(page.tilewidth))
    if not page.is_tiled:
        rows = int(page.rowsperstrip or height)
        chunk = (min(rows, height) if rows > 0 else height, width)
    bits = page.bitspersample
    name = page.tags.valueof(_PAGE_NAME, "")
    most = page.tags.valueof(_MAX_SAMPLE_VALUE, 0)
    tables = page.jpegtables
    kind = "" if page.dtype is None else str(page.dtype)
    return TiffPage(
        height, width, samples, bits if isinstance(bits, int) else 0,
        kind or f"{bits} bit", page.sampleformat == 1, samples > 1 and page.planarconfig == 2,
        page.fillorder == 2, max(int(page.imagedepth), int(page.tiledepth)),
        int(page.photometric), any(kind in (1, 2) for kind in page.extrasamples),
        int(page.compression), int(page.predictor), chunk,
        bool(page.is_tiled), tuple((int(a), int(b)) for a, b in zip(offsets, counts)),
        page.colormap, tables if isinstance(tables, bytes) else b"",
        page.parent.byteorder == ">", name if isinstance(name, str) else "",
        most if isinstance(most, int) and most > 0 else 0,
    )  # fmt: skip


def _is_full(page: Any) -> bool:
    """Say whether a page is a picture in full resolution: no thumbnail, no mask."""
    kind = page.tags.valueof(_NEW_SUBFILE_TYPE, 0)
    return not (isinstance(kind, int) and kind & _REDUCED_OR_MASK)


def _imagej_pages(page: TiffPage, n_images: int, n_bytes: int, path: StrPath) -> list[TiffPage]:
    # ImageJ may write all planes one after the other, and a directory for the first only.
    if n_images > MAX_PLANES:
        raise FileFault(path, f"TIFF of {counted(n_images, 'plane')}; up to {MAX_PLANES} are read")
    start = page.extents[0][0] if page.extents else 0
    length = page.height * page.width * page.samples * page.bits // 8
    if page.packing != 1 or page.is_tiled or start + n_images * length > n_bytes:
        raise FileFault(
            path, f"truncated TIFF: it has one of the {counted(n_images, 'image')} it speaks of"
        )
    whole = page._replace(chunk=(page.height, page.width))
    return [
        whole._replace(extents=((start + number * length, length),)) for number in range(n_images)
    ]


def _find_plane(layout: TiffLayout, plane: int, path: StrPath) -> tuple[TiffPage, int]:
    """Return the page and the sample of a plane, counted in the order of the file."""
    refuse_stack(layout, path)
    left = plane
    for page in layout.pages:
        if left < page.samples:
            return page, left
        left -= page.samples
    raise FileFault(path, f"no plane {plane}; the file has {layout.n_planes}, counted from 0")


def refuse_stack(layout: TiffLayout, path: StrPath) -> None:
    """Refuse a file whose planes are not channels, or not of one size."""
    if layout.n_planes > MAX_PLANES:
        raise FileFault(path, f"TIFF of {layout.n_planes} planes; up to {MAX_PLANES} are read")
    first = layout.pages[0]
    for axis, key in (("depths (Z)", "slices"), ("times (T)", "frames")):
        number = layout.imagej.get(key, 1)
        if isinstance(number, int) and number > 1:
            raise FileFault(path, f"TIFF of {number} {axis}; save one, or their projection")
    if any(page.depth > 1 for page in layout.pages):
        raise FileFault(path, "TIFF of several depths (Z); save one, or their projection")
    for page in layout.pages:
        if (page.height, page.width) != (first.height, first.width):
            raise FileFault(path, "TIFF whose pages differ in size; its planes need one")
    if is_ome(layout.description):  # refuses what it cannot read, such as several depths
        channel_names(layout.description, [page.samples for page in layout.pages], path)


def _check_page(page: TiffPage, sample: int | None, path: StrPath) -> None:
    """Refuse what is not read, and a page that lacks a part."""
    if not page.is_unsigned or page.bits not in (8, 16):
        raise FileFault(
            path, f"TIFF of {page.kind} values; 8 and 16 bit unsigned integers are read"
        )
    _check_colours(page, sample, path)
    if page.packing not in PACKINGS:
        name = getattr(_known(tifffile.COMPRESSION, page.packing), "name", page.packing)
        raise FileFault(path, f"TIFF packed with {name}; save it as plain or Deflate")
    is_picture = PACKINGS[page.packing].is_picture
    if page.predictor not in (1, 2) or (is_picture and page.predictor == 2) or page.is_reversed:
        raise FileFault(path, "TIFF packed in a way that is not read; save it as plain or Deflate")
    if page.packing == _JPEG and page.bits != 8:
        raise FileFault(path, "damaged TIFF: JPEG of other than 8 bits")
    chunk_height, chunk_width = page.chunk
    down, across = page.grid if chunk_height > 0 and chunk_width > 0 else (0, 0)
    # Tiles may stand out over the edges, and samples that are not asked for are unpacked too.
    bound = 4 * MAX_PIXELS
    held = down * chunk_height * across * chunk_width * (1 if page.is_apart else page.samples)
    if not 0 < held <= bound:
        raise FileFault(path, f"TIFF with strips or tiles of more than {bound} values")
    needed = down * across * (page.samples if page.is_apart else 1)
    if len(page.extents) < needed:
        raise FileFault(path, "truncated TIFF")


def _check_colours(page: TiffPage, sample: int | None, path: StrPath) -> None:
    is_ycbcr = page.packing == JPEG_2000_OF_YCBCR and page.samples > 1
    if is_ycbcr or (page.photometric == YCBCR and page.packing != _JPEG):
        raise FileFault(path, "TIFF of YCbCr values; save it as grey or RGB")
    colour_samples = {BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
    if page.photometric not in colour_samples:
        raise FileFault(
            path, "TIFF whose zero is not black; save it as grey (black is zero) or RGB"
        )
    if page.photometric == PALETTE and (page.bits != 8 or page.samples > 1):
        raise FileFault(path, "TIFF with a palette of other than 8 bits")
    if sample is not None:
        if page.photometric not in (BLACK_IS_ZERO, RGB):
            raise FileFault(path, "its planes are no channels: save it as grey (black is zero)")
        return
    others = page.samples - colour_samples[page.photometric]
    if others < 0:
        raise FileFault(path, f"damaged TIFF: colours of {page.samples} samples")
    if others > 1:
        raise FileFault(
            path,
            f"TIFF of {page.samples} channels; a stain is one. Name the plane: {path}#0 is the "
            "first, or let prepare find the field",
        )


def _known(names: Any, value: int) -> Any:
    try:
        return names(value)
    except ValueError:
        return value


def _fill(
    pixels: np.ndarray, page: TiffPage, extents: tuple[tuple[int, int], ...], samples: int,
    taken: slice, data: bytes, path: StrPath,
) -> None:  # fmt: skip
    """Unpack strips or tiles and put the samples taken in their places."""
    dtype = np.dtype(f"{'>' if page.is_big_endian else '<'}u{page.bits // 8}")
    height, width = page.chunk
    across = page.grid[1]
    view = memoryview(data)
    for number, (offset, count) in enumerate(extents):
        rows = height if page.is_tiled else min(height, page.height - number // across * height)
        if count <= 0 or offset <= 0 or offset + count > len(data):
            raise FileFault(path, "truncated TIFF")
        chunk = unpack(
            view[offset : offset + count], (rows, width, samples), height, dtype, page.packing,
            page.photometric, page.tables, path,
        )  # fmt: skip
        if page.predictor == 2:
            chunk = imagecodecs.delta_decode(chunk, axis=1)
        top, left = number // across * height, number % across * width
        place = pixels[top : top + height, left : left + width]
        place[...] = chunk[: place.shape[0], : place.shape[1], taken]


def _coloured(indices: np.ndarray, page: TiffPage, path: StrPath) -> np.ndarray:
    colours = page.colours
    if not isinstance(colours, np.ndarray) or colours.shape != (3, 256):
        raise FileFault(path, "damaged TIFF: its palette is missing")
    # 16 bits in a palette stand for 8: 257 or 256 times as much, by the program that wrote it.
    return (colours >> 8).astype(np.uint8).T[indices]
