"""Image files -> arrays: the four stains of a field, read, checked and scaled.

PNG, JPEG and TIFF, 8 and 16 bit, grey or tinted. What is damaged or ambiguous
is refused with the name of its file; nothing is guessed, stretched or filled.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import joblib
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from tqdm import tqdm

from hpastack.channels import STAINS
from hpastack.errors import InputError
from hpastack.read_ahead import in_threads

StrPath = str | os.PathLike[str]
Row = Mapping[str, Any] | pd.Series

#: Most pixels that one image file may have; a larger one is refused before it is decoded.
MAX_PIXELS = 2**26  # 8,192 x 8,192; HPA has 3,072 x 3,072 at most

#: Endings of the image files that can be read.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

# Planes of an RGB image that the tint of each stain uses.
_TINT_PLANES = {"red": (0,), "green": (1,), "blue": (2,), "yellow": (0, 1)}

# Largest part of the energy (sum of squares) of an RGB image that may lie off grey, or off the
# tint of its stain. HPA's own JPEG have up to 0.009 off their tint, from chroma subsampling, and
# the dimmest that could be of use 0.25; a wrong tint has 0.46 or more, a yellow stain 0.2 off grey.
_OFF_GREY = 0.02
_OFF_TINT = 0.35
# In a JPEG that is almost black the tint drowns in rounding: root mean square in grey levels.
_JPEG_NOISE = 2.0

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_PHOTOMETRIC = {1, 2, 3, 6}  # black is zero, RGB, palette, YCbCr


class BadField(NamedTuple):
    """A field that cannot be used: its id, the file at fault and what is wrong with it."""

    image_id: str
    file: str
    reason: str


def read_stain(path: StrPath, stain: str) -> np.ndarray:
    """Read one stain of a field.

    8-bit values are divided by 255 and 16-bit values by 65535, and nothing
    else is done to them: no stretching, no gamma, no colour profile. 12-bit
    data kept in a 16-bit file is therefore dark.

    A colour image is reduced to the mean of its three planes where they are
    alike (grey kept as RGB), and else to the mean of the planes that the
    tint of the stain uses: red R, green G, blue B, yellow R and G. This is how
    the Human Protein Atlas serves its JPEG files. An image that is neither
    grey nor in the tint of its stain is refused, because the planes asked for
    would read as black (unless it is a JPEG with next to nothing in it: a root
    mean square below 2 of 255 levels).

    Parameters
    ----------
    path : path-like
        PNG, JPEG or TIFF, told apart by content and not by name.
    stain : {"red", "green", "blue", "yellow"}

    Returns
    -------
    ndarray of float32, shape (H, W)
        Values in [0, 1].

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, damaged, none of the three
        formats, not 8 or 16 bit unsigned, larger than `MAX_PIXELS`, partly
        transparent, of several pages, or in the tint of another stain.
    OSError
        If the file is there and cannot be opened.

    Notes
    -----
    Damage is found by the checksums of PNG and by the missing end of JPEG and
    TIFF. Bytes changed within a JPEG or an LZW-packed TIFF need not show:
    those formats keep no checksum.
    """
    return _decode_stain(_read_bytes(path), stain, path)


def read_field(row: Row, size: int | None = None, square: bool = False) -> np.ndarray:
    """Read the four stains of a field.

    Parameters
    ----------
    row : mapping or Series
        Paths under the keys ``red``, ``green``, ``blue``, ``yellow``: a row
        of the catalogue, or a dict.
    size : int, optional
        Length of the longer side after scaling, in pixels; the aspect is kept.
        Reduced by area averaging, enlarged by bilinear interpolation. Left
        out: the size of the files.
    square : bool, default=False
        Whether to pad with zeros at the right or at the bottom to a square.

    Returns
    -------
    ndarray of float32, shape (4, h, w)
        Values in [0, 1], stains in the order red, green, blue, yellow.

    Raises
    ------
    InputError
        As `read_stain`; also if a path is missing, if the stains differ in
        size, or if `size` is below 1.
    """
    stains: list[np.ndarray] = []
    shape: tuple[int, ...] = ()
    for stain in STAINS:
        path = _stain_path(row, stain)
        pixels = read_stain(path, stain)
        shape = shape or pixels.shape
        _require_shape(pixels, shape, path)
        # Scaled one by one, so that a large field never lies in memory whole.
        stains.append(resize_field(pixels[np.newaxis], size, square)[0])
    return np.stack(stains)


def resize_field(field: np.ndarray, size: int | None = None, square: bool = False) -> np.ndarray:
    """Scale a field to a length of its longer side, and pad it to a square.

    Parameters
    ----------
    field : ndarray of float32, shape (c, H, W)
        Values in [0, 1].
    size : int, optional
        Length of the longer side after scaling, in pixels. Left out: kept.
    square : bool, default=False
        Whether to pad with zeros at the right or at the bottom to a square.

    Returns
    -------
    ndarray of float32, shape (c, h, w)
        Values in [0, 1]. The shorter side is rounded to whole pixels and is at
        least 1.

    Raises
    ------
    InputError
        If `size` is below 1.

    Examples
    --------
    >>> field = np.array([[[0, 1, 0, 0], [1, 0, 0, 0]]], dtype=np.float32)
    >>> resize_field(field, 2).tolist()
    [[[0.5, 0.0]]]
    >>> resize_field(field, 2, square=True).tolist()
    [[[0.5, 0.0], [0.0, 0.0]]]
    """
    if size is not None and size < 1:
        raise InputError(f"size is {size}; it must be at least 1 pixel")
    height, width = field.shape[1:]
    longer = max(height, width)
    if size is not None and size != longer:
        # Half pixels round up, so that both directions of an image agree.
        height, width = (
            max(1, (2 * side * size + longer) // (2 * longer)) for side in (height, width)
        )
        method = cv2.INTER_AREA if size < longer else cv2.INTER_LINEAR
        field = np.stack([cv2.resize(p, (width, height), interpolation=method) for p in field])
        # The weights of an area sum to 1 but for rounding.
        np.clip(field, 0, 1, out=field)
    if square and height != width:
        side = max(height, width)
        field = np.pad(field, ((0, 0), (0, side - height), (0, side - width)))
    return field


def field_shape(row: Row) -> tuple[int, int]:
    """Read the height and width of a field from the header of its first file.

    Parameters
    ----------
    row : mapping or Series
        As for `read_field`.

    Returns
    -------
    tuple of int
        Height and width in pixels, before any scaling.

    Raises
    ------
    InputError
        If that file is missing, is not an image or is damaged.
    """
    path = _stain_path(row, STAINS[0])
    return _check_file(_read_bytes(path), path)


def field_content(row: Row) -> str:
    """Return the digest of the four files of a field, as the catalogue keeps it.

    Parameters
    ----------
    row : mapping or Series
        As for `read_field`.

    Returns
    -------
    str
        BLAKE2b, 16 bytes in hexadecimal, over the bytes of the files in the
        order of the stains.

    Raises
    ------
    InputError
        If a file is missing or empty.
    """
    content = hashlib.blake2b(digest_size=16)
    for stain in STAINS:
        content.update(_read_bytes(_stain_path(row, stain)))
    return content.hexdigest()


def iter_fields(
    catalogue: pd.DataFrame,
    size: int | None = None,
    square: bool = False,
    threads: int | None = None,
    ahead: int | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Read the fields of a catalogue in its order, decoding ahead in threads.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``, ``yellow``.
    size, square
        As for `read_field`.
    threads : int, optional
        Decoding threads. Left out: as many as this process may use processors.
    ahead : int, optional
        Most fields in memory beside the one handed out. Left out: two a thread.

    Yields
    ------
    image_id : str
    field : ndarray of float32, shape (4, h, w)

    Raises
    ------
    InputError
        As `read_field`, at the turn of the field that is bad, which is named.
    """
    threads = threads or joblib.cpu_count()
    ahead = ahead or 2 * threads
    outcomes = in_threads(
        lambda row: read_field(row, size, square), stain_rows(catalogue),
        threads=threads, ahead=ahead,
    )  # fmt: skip
    for image_id, outcome in zip(catalogue.index, outcomes):
        try:
            field = outcome.result()
        except InputError as error:
            raise InputError(f"field {image_id}: {error}") from error
        yield image_id, field


def check_fields(
    catalogue: pd.DataFrame, threads: int | None = None, progress: bool = True
) -> tuple[pd.DataFrame, list[BadField]]:
    """Decode every file of a catalogue and measure what it holds.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``, ``yellow``.
    threads : int, optional
        Left out: as many as this process may use processors.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    facts : DataFrame
        The good fields in the order of the catalogue, indexed by image id, with
        columns ``height``, ``width`` (pixels) and ``content`` (BLAKE2b digest,
        16 bytes in hex, over the bytes of the four files in the order of the
        stains).
    bad : list of BadField
        The others, in the same order, each with its first fault. A field is
        bad if `read_field` refuses it, or if two of its stains are the same
        picture (blank pictures may be).
    """
    threads = threads or joblib.cpu_count()
    facts, bad = {}, []
    outcomes = in_threads(_inspect, stain_rows(catalogue), threads=threads, ahead=4 * threads)
    bar = tqdm(
        zip(catalogue.index, outcomes), total=len(catalogue), desc="checking fields", unit="field",
        delay=1, disable=not progress,
    )  # fmt: skip
    for image_id, outcome in bar:
        try:
            facts[image_id] = outcome.result()
        except _FileFault as fault:
            bad.append(BadField(image_id, fault.file, fault.reason))
        except OSError as error:
            bad.append(BadField(image_id, str(error.filename or ""), error.strerror or str(error)))
    frame = pd.DataFrame.from_dict(
        facts, orient="index", columns=["height", "width", "content"]
    ).rename_axis("image_id")
    return frame.astype({"height": "int64", "width": "int64", "content": str}), bad


class _FileFault(InputError):
    """What is wrong with one file, kept apart so that it can be listed."""

    def __init__(self, file: StrPath, reason: str):
        super().__init__(f"{file}: {reason}" if file else reason)
        self.file = str(file)
        self.reason = reason


def stain_rows(catalogue: pd.DataFrame) -> Iterator[dict[str, StrPath]]:
    """Give the paths of each field of a catalogue, stain by stain, in its order."""
    columns = [catalogue[stain] for stain in STAINS]
    return (dict(zip(STAINS, paths)) for paths in zip(*columns))


def _stain_path(row: Row, stain: str) -> StrPath:
    path = row.get(stain)
    if path is None or path == "" or path != path:  # NaN in a hand-made table
        raise _FileFault("", f"no path to the {stain} stain of the field")
    return path


def _require_shape(pixels: np.ndarray, shape: tuple[int, ...], path: StrPath) -> None:
    if pixels.shape != shape:
        raise _FileFault(
            path,
            f"{_size(pixels.shape)}, but the {STAINS[0]} stain of the field has {_size(shape)}; "
            "the four stains need one size",
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels (width x height)"


def _inspect(row: Row) -> tuple[int, int, str]:
    """Decode the four files of a field; return height, width and digest of their bytes."""
    content = hashlib.blake2b(digest_size=16)
    shape: tuple[int, ...] = ()
    seen: dict[bytes, str] = {}
    for stain in STAINS:
        path = _stain_path(row, stain)
        data = _read_bytes(path)
        pixels = _decode_stain(data, stain, path)
        shape = shape or pixels.shape
        _require_shape(pixels, shape, path)
        digest = hashlib.blake2b(data).digest()
        if digest in seen and pixels.min() != pixels.max():
            raise _FileFault(path, f"the same file as the {seen[digest]} stain of the field")
        seen[digest] = stain
        content.update(data)
    return shape[0], shape[1], content.hexdigest()


def _read_bytes(path: StrPath) -> bytes:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise _FileFault(path, "no such file") from None
    if not data:
        raise _FileFault(path, "the file is empty")
    return data


def _check_file(data: bytes, path: StrPath) -> tuple[int, int]:
    """Check the frame of an image file without decoding it; return height and width."""
    if data.startswith(_PNG_MAGIC):
        height, width = _check_png(data, path)
    elif data.startswith(_JPEG_MAGIC):
        height, width = _check_jpeg(data, path)
    elif data[:4] in _TIFF_MAGIC:
        height, width = _check_tiff(data, path)
    else:
        raise _FileFault(path, "not a PNG, JPEG or TIFF image")
    if height < 1 or width < 1:
        raise _FileFault(path, "an image without pixels")
    if height * width > MAX_PIXELS:
        raise _FileFault(
            path,
            f"{_size((height, width))}, more than the {MAX_PIXELS} that are read; reduce it first",
        )
    return height, width


def _check_png(data: bytes, path: StrPath) -> tuple[int, int]:
    position, kind = len(_PNG_MAGIC), b""
    height = width = 0
    view = memoryview(data)
    while kind != b"IEND":
        if position + 12 > len(data):
            raise _FileFault(path, "truncated PNG")
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise _FileFault(path, "truncated PNG")
        if zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise _FileFault(path, "damaged PNG: a checksum does not fit")
        if position == len(_PNG_MAGIC):
            if kind != b"IHDR" or length != 13:
                raise _FileFault(path, "damaged PNG: it does not begin with its size")
            width, height = struct.unpack_from(">II", data, position + 8)
        position = end + 4
    return height, width


def _check_jpeg(data: bytes, path: StrPath) -> tuple[int, int]:
    position, shape = 2, None
    while True:
        if position + 4 > len(data):
            raise _FileFault(path, "truncated JPEG")
        if data[position] != 0xFF:
            raise _FileFault(path, "damaged JPEG")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        # Start of frame: C0 to CF without the tables C4, C8, CC.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if position + 10 > len(data):
                raise _FileFault(path, "truncated JPEG")
            bits, height, width, planes = struct.unpack_from(">BHHB", data, position + 4)
            if bits != 8 or planes not in (1, 3):
                raise _FileFault(
                    path,
                    f"JPEG of {bits} bits and {planes} planes; 8-bit grey or RGB is read",
                )
            shape = height, width
        if marker == 0xDA:  # the pixels begin
            break
        position += 2 + length
    # Within the pixels FF is always followed by 00, so that this is the true end.
    if data.rfind(b"\xff\xd9", position) < 0:
        raise _FileFault(path, "truncated JPEG")
    if shape is None:
        raise _FileFault(path, "damaged JPEG: it has no size")
    return shape


def _check_tiff(data: bytes, path: StrPath) -> tuple[int, int]:
    with _tiff_page(data, path) as page:
        return page.imagelength, page.imagewidth


@contextmanager
def _tiff_page(data: bytes, path: StrPath) -> Iterator[tifffile.TiffPage]:
    """Open the only page of a TIFF, complete and of a kind that is read."""
    try:
        file = tifffile.TiffFile(io.BytesIO(data))
        pages = list(file.pages)
    except Exception as error:  # tifffile meets damage with errors of a dozen types
        raise _FileFault(path, f"truncated or damaged TIFF ({error})") from None
    with file:
        page = pages[0] if pages else None
        if not isinstance(page, tifffile.TiffPage):
            raise _FileFault(path, "truncated or damaged TIFF: it holds no image")
        n_images = (file.imagej_metadata or {}).get("images", 1)
        if len(pages) > 1 or n_images > 1 or page.imagedepth > 1:
            raise _FileFault(path, "TIFF of several pages; a stain has one")
        if page.sampleformat != 1 or page.bitspersample not in (8, 16):
            kind = page.dtype or f"{page.bitspersample} bit"
            raise _FileFault(
                path, f"TIFF of {kind} values; 8 and 16 bit unsigned integers are read"
            )
        if page.photometric not in _TIFF_PHOTOMETRIC:
            raise _FileFault(
                path, "TIFF whose zero is not black; save it as grey (black is zero) or RGB"
            )
        # tifffile fills parts that are not there with zeros.
        extents = list(zip(page.dataoffsets, page.databytecounts))
        if len(extents) < math.prod(page.chunked) or any(
            count == 0 or offset + count > len(data) for offset, count in extents
        ):
            raise _FileFault(path, "truncated TIFF")
        yield page


def _decode_stain(data: bytes, stain: str, path: StrPath) -> np.ndarray:
    """Turn the bytes of a file into one plane, float32 in [0, 1]."""
    if stain not in _TINT_PLANES:
        raise InputError(f"unknown stain {stain!r}; stains are {', '.join(STAINS)}")
    shape = _check_file(data, path)
    # uint8 or uint16, (H, W) or (H, W, planes) in the order R, G, B, alpha
    pixels = _decode_tiff(data, path) if data[:4] in _TIFF_MAGIC else _decode(data, path)
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[:2] != shape:
        raise _FileFault(path, f"decodes to {pixels.dtype} of shape {pixels.shape}")
    top = np.iinfo(pixels.dtype).max
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        if pixels[..., -1].min() != top:
            raise _FileFault(path, "partly transparent; save it without transparency")
        pixels = pixels[..., :-1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        return np.divide(pixels, np.float32(top), dtype=np.float32)
    if pixels.shape[2] != 3:
        raise _FileFault(path, f"{pixels.shape[2]} planes; grey or RGB is read")
    planes = np.empty((3, *shape), np.float32)
    for position in range(3):
        np.divide(pixels[..., position], np.float32(top), out=planes[position], dtype=np.float32)
    noise = _JPEG_NOISE / 255 if data.startswith(_JPEG_MAGIC) else 0.0
    return _reduce_planes(planes, stain, noise, path)


def _reduce_planes(planes: np.ndarray, stain: str, noise: float, path: StrPath) -> np.ndarray:
    """Reduce R, G and B to one plane, by grey or by the tint of the stain."""
    if np.array_equal(planes[0], planes[1]) and np.array_equal(planes[0], planes[2]):
        return planes[0]
    flat = planes.reshape(3, -1)
    energy = flat @ flat.T / flat.shape[1]  # (3, 3), means over the pixels of plane times plane
    total = np.trace(energy)
    tint = list(_TINT_PLANES[stain])
    for used, limit in (
        ([0, 1, 2], _OFF_GREY * total),
        (tint, max(_OFF_TINT * total, noise**2)),
    ):
        # What is left of the planes after taking away the mean of those used.
        if total - energy[np.ix_(used, used)].sum() / len(used) <= limit:
            return planes[used].mean(axis=0) if len(used) > 1 else planes[used[0]]
    means = ", ".join(f"{name} {plane.mean():.3f}" for name, plane in zip("RGB", planes))
    raise _FileFault(
        path,
        f"its colour is not that of the {stain} stain (mean {means}); "
        "save it as grey, or check that it is the right file",
    )


def _decode(data: bytes, path: StrPath) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _FileFault(path, "damaged image: it cannot be decoded")
    if pixels.ndim == 3:  # OpenCV puts blue first
        pixels = pixels[..., ::-1] if pixels.shape[2] == 3 else pixels[..., [2, 1, 0, 3]]
    return pixels


def _decode_tiff(data: bytes, path: StrPath) -> np.ndarray:
    # OpenCV hands out half-decoded TIFF with no more than a line on stderr.
    with _tiff_page(data, path) as page:
        if page.photometric in (3, 6):
            return _decode_with_pillow(data, path)
        try:
            pixels = np.asarray(page.asarray())
        except Exception as error:  # tifffile meets damage with errors of a dozen types
            if "imagecodecs" in str(error):  # LZW and JPEG within TIFF
                return _decode_with_pillow(data, path)
            raise _FileFault(path, f"damaged TIFF ({error})") from None
        return np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 and page.planarconfig == 2 else pixels


def _decode_with_pillow(data: bytes, path: StrPath) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGBA") if image.mode == "P" else image)
    except (OSError, ValueError, SyntaxError) as error:
        raise _FileFault(path, f"damaged TIFF ({error})") from None
