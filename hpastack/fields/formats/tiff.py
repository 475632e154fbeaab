"""TIFF: directories are read with tifffile, strips and tiles are decoded with imagecodecs.

Decoders fill missing data with zeros; here a short, missing or damaged strip
is an error. Only the requested plane is decoded.
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

from hpastack.fields.formats.faults import MAX_PIXELS, FileFault, StrPath, check_size
from hpastack.fields.formats.ome import channel_names, is_ome, physical_size, significant_bits
from hpastack.fields.formats.tiff_strips import JPEG_2000_OF_YCBCR, PACKINGS, unpack

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
SUFFIXES = (".tif", ".tiff")

#: Maximum number of planes of a file.
MAX_PLANES = 64

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
_JPEG = 7
_PAGE_NAME, _NEW_SUBFILE_TYPE, _MAX_SAMPLE_VALUE = 285, 254, 281
_REDUCED_OR_MASK = 1 | 4
# Size, samples, compression, position and colours of the pixels.
_NEEDED_TAGS = {
    254, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338,
    339, 347, 32997, 32998,
}  # fmt: skip
_MOST_PAGES, _MOST_TAGS = 1024, 4096

# The error already contains what tifffile reports about a damaged file; keep it off stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class TiffPage(NamedTuple):
    """One page of a TIFF: the layout of its samples and the positions of its strips or tiles."""

    height: int
    width: int
    samples: int
    bits: int
    kind: str  # data type of its values, such as uint8
    is_unsigned: bool
    is_apart: bool  # planar: each sample has its own strips
    is_reversed: bool  # bit order within a byte
    depth: int
    photometric: int
    has_alpha: bool
    packing: int
    predictor: int
    chunk: tuple[int, int]  # height and width of a strip or tile
    is_tiled: bool
    extents: tuple[tuple[int, int], ...]  # offset and length of each strip or tile
    colours: Any  # of a palette
    tables: bytes  # shared by its JPEG strips
    is_big_endian: bool
    name: str
    most: int  # MaxSampleValue; 0 if the tag is absent

    @property
    def grid(self) -> tuple[int, int]:
        """Number of rows and columns of strips or tiles."""
        return -(-self.height // self.chunk[0]), -(-self.width // self.chunk[1])


class TiffLayout(NamedTuple):
    """The pages of a TIFF at full resolution, and its metadata."""

    pages: list[TiffPage]
    description: str
    imagej: dict[str, Any]

    @property
    def n_planes(self) -> int:
        """Number of grey planes in the file: the samples of all pages."""
        return sum(page.samples for page in self.pages)


class TiffPicture(NamedTuple):
    """An image or a plane of a TIFF whose strips are all listed; not decoded yet."""

    page: TiffPage
    sample: int | None
    data: bytes
    path: StrPath
    significant_bits: int = 0
    pixel_size: float = 0.0  # from PhysicalSizeX of OME-XML

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
        """Whether the compression may be lossy."""
        return PACKINGS[self.page.packing].is_picture

    @property
    def declared_bits(self) -> int:
        """Bits from SignificantBits of OME-XML, else from the tag MaxSampleValue; else 0."""
        return self.significant_bits or self.page.most.bit_length()

    def decode(self) -> np.ndarray:
        """Return uint8 or uint16, (H, W) or (H, W, samples)."""
        return decode_page(self.page, self.sample, self.data, self.path)

    def verify(self, pixels: np.ndarray) -> None:
        """Do nothing: decoding already raises an error for missing data."""


def read_layout(file: BinaryIO, n_bytes: int, path: StrPath) -> TiffLayout:
    """Read the directories of a TIFF without its pixels.

    Parameters
    ----------
    file : file
        Open for reading bytes.
    n_bytes : int
        Its size.
    path : path-like
        Name of the file in error messages.

    Returns
    -------
    TiffLayout

    Raises
    ------
    FileFault
        If the directories are damaged, missing or too many.
    """
    tags = _follow_pages(file, n_bytes, path)
    try:
        with tifffile.TiffFile(file) as tiff:
            directories = [_whole(page) for page in islice(tiff.pages, len(tags))]
            if len(directories) < len(tags):
                raise FileFault(path, "truncated or damaged TIFF: a page cannot be read")
            for page, codes in zip(directories, tags):
                if codes & _NEEDED_TAGS - set(page.tags.keys()):
                    raise FileFault(path, "damaged TIFF: a tag cannot be read")
            description = str(directories[0].description) if directories else ""
            imagej = dict(tiff.imagej_metadata or {}) if description.startswith("ImageJ") else {}
            pages = [_page(page, path) for page in directories if _is_full(page)]
    except FileFault:
        raise
    except Exception as error:  # tifffile raises a dozen types of errors for damaged files
        reason = " ".join(str(error).split())[:200]
        raise FileFault(path, f"truncated or damaged TIFF ({reason})") from None
    if not pages:
        raise FileFault(path, "truncated or damaged TIFF: it contains no image")
    n_images = imagej.get("images", 1)
    if len(pages) == 1 and isinstance(n_images, int) and n_images > 1:
        pages = _imagej_pages(pages[0], n_images, n_bytes, path)
    return TiffLayout(pages, description, imagej)


def open_picture(data: bytes, plane: int | None, path: StrPath) -> TiffPicture:
    """Check the only image of a TIFF, or one of its planes."""
    layout = read_layout(io.BytesIO(data), len(data), path)
    if plane is None:
        page, sample = layout.pages[0], None
        if len(layout.pages) > 1 or page.depth > 1:
            raise FileFault(
                path,
                "TIFF with several pages; a stain is a single plane. Select it in the path "
                f"({path}#0 is the first), or let prepare assign the planes to stains",
            )
    else:
        page, sample = _find_plane(layout, plane, path)
    _check_page(page, sample, path)
    if not is_ome(layout.description):
        return TiffPicture(page, sample, data, path)
    bits, size = significant_bits(layout.description), physical_size(layout.description)
    return TiffPicture(page, sample, data, path, bits, size)


def decode_page(page: TiffPage, sample: int | None, data: bytes, path: StrPath) -> np.ndarray:
    """Decode one sample of a page, or all of them."""
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

    tifffile ignores a page with an invalid offset and a tag that it cannot
    read, which would change the meaning of the pixels.
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
            raise FileFault(path, "damaged TIFF: its chain of pages is a loop")
        seen.add(place)
        if len(seen) > _MOST_PAGES:
            raise FileFault(path, f"TIFF with more than {_MOST_PAGES} pages")
        n_tags = _number(file.read(8), count) if _seek(file, place, n_bytes) else 0
        if not 0 < n_tags <= _MOST_TAGS:
            raise FileFault(path, "truncated or damaged TIFF: a page is beyond the end of the file")
        file.seek(place + struct.calcsize(count))
        tags = file.read(n_tags * tag)
        place = _number(file.read(8), link)
        if place < 0:  # also if the tags are truncated
            raise FileFault(path, "truncated or damaged TIFF: a page is beyond the end of the file")
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
    # Pages after the first may be frames, which share the metadata of the first one.
    return page.aspage() if isinstance(page, tifffile.TiffFrame) else page


def _page(page: Any, path: StrPath) -> TiffPage:
    offsets, counts = page.dataoffsets, page.databytecounts
    height, width = int(page.imagelength), int(page.imagewidth)
    samples = int(page.samplesperpixel)
    check_size(height, width, path)
    if not 1 <= samples <= MAX_PLANES:
        raise FileFault(path, f"TIFF with {samples} samples; the maximum is {MAX_PLANES}")
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
    """Whether a page is an image at full resolution, not a thumbnail or a mask."""
    kind = page.tags.valueof(_NEW_SUBFILE_TYPE, 0)
    return not (isinstance(kind, int) and kind & _REDUCED_OR_MASK)


def _imagej_pages(page: TiffPage, n_images: int, n_bytes: int, path: StrPath) -> list[TiffPage]:
    # ImageJ may write all planes consecutively, with a directory for the first one only.
    if n_images > MAX_PLANES:
        raise FileFault(path, f"TIFF with {n_images} planes; the maximum is {MAX_PLANES}")
    start = page.extents[0][0] if page.extents else 0
    length = page.height * page.width * page.samples * page.bits // 8
    if page.packing != 1 or page.is_tiled or start + n_images * length > n_bytes:
        raise FileFault(
            path, f"truncated TIFF: it contains 1 of the {n_images} images that it declares"
        )
    whole = page._replace(chunk=(page.height, page.width))
    return [
        whole._replace(extents=((start + number * length, length),)) for number in range(n_images)
    ]


def _find_plane(layout: TiffLayout, plane: int, path: StrPath) -> tuple[TiffPage, int]:
    """Return the page and the sample of a plane, counted in the order of the file."""
    reject_stack(layout, path)
    sample = plane
    for page in layout.pages:
        if sample < page.samples:
            return page, sample
        sample -= page.samples
    raise FileFault(path, f"no plane {plane}; the file has {layout.n_planes}, counted from 0")


def reject_stack(layout: TiffLayout, path: StrPath) -> None:
    """Reject a file whose planes are not channels or differ in size."""
    if layout.n_planes > MAX_PLANES:
        raise FileFault(path, f"TIFF with {layout.n_planes} planes; the maximum is {MAX_PLANES}")
    first = layout.pages[0]
    for axis, key in (("depths (Z)", "slices"), ("times (T)", "frames")):
        number = layout.imagej.get(key, 1)
        if isinstance(number, int) and number > 1:
            raise FileFault(
                path, f"TIFF with {number} {axis}; save one of them, or their projection"
            )
    if any(page.depth > 1 for page in layout.pages):
        raise FileFault(path, "TIFF with several depths (Z); save one of them, or their projection")
    for page in layout.pages:
        if (page.height, page.width) != (first.height, first.width):
            raise FileFault(path, "TIFF whose pages differ in size; all planes need the same size")
    if is_ome(layout.description):  # rejects what cannot be read, such as several depths
        channel_names(layout.description, [page.samples for page in layout.pages], path)


def _check_page(page: TiffPage, sample: int | None, path: StrPath) -> None:
    """Reject a page that is not supported or is incomplete."""
    if not page.is_unsigned or page.bits not in (8, 16):
        raise FileFault(
            path, f"TIFF with {page.kind} values; they must be unsigned integers of 8 or 16 bits"
        )
    _check_colours(page, sample, path)
    if page.packing not in PACKINGS:
        name = getattr(_known(tifffile.COMPRESSION, page.packing), "name", page.packing)
        raise FileFault(path, f"TIFF with {name} compression; save it uncompressed or with Deflate")
    is_picture = PACKINGS[page.packing].is_picture
    if page.predictor not in (1, 2) or (is_picture and page.predictor == 2) or page.is_reversed:
        raise FileFault(
            path, "TIFF with unsupported compression; save it uncompressed or with Deflate"
        )
    if page.packing == _JPEG and page.bits != 8:
        raise FileFault(path, f"damaged TIFF: JPEG compression of {page.bits}-bit values")
    chunk_height, chunk_width = page.chunk
    down, across = page.grid if chunk_height > 0 and chunk_width > 0 else (0, 0)
    # Tiles may extend beyond the edges, and samples that are not requested are decoded too.
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
        raise FileFault(path, "TIFF with YCbCr values; save it as grey or RGB")
    colour_samples = {BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, YCBCR: 3}
    if page.photometric not in colour_samples:
        raise FileFault(
            path, "TIFF whose zero is not black; save it as grey (black is zero) or RGB"
        )
    if page.photometric == PALETTE and (page.bits != 8 or page.samples > 1):
        raise FileFault(path, "TIFF with a palette that is not 8 bit")
    if sample is not None:
        if page.photometric not in (BLACK_IS_ZERO, RGB):
            raise FileFault(path, "its planes are not channels; save it as grey (black is zero)")
        return
    others = page.samples - colour_samples[page.photometric]
    if others < 0:
        raise FileFault(path, f"damaged TIFF: only {page.samples} samples for its colours")
    if others > 1:
        raise FileFault(
            path,
            f"TIFF with {page.samples} channels; a stain is a single plane. Select it in the path "
            f"({path}#0 is the first), or let prepare assign the planes to stains",
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
    """Decode strips or tiles and copy the selected samples into `pixels`."""
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
    # The 16-bit values of a palette represent 8 bits, scaled by 257 or 256 by the writing program.
    return (colours >> 8).astype(np.uint8).T[indices]
