"""Read stains and fields from their files, one at a time or ahead in threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields.composite import to_8_bit
from hpastack.fields.formats.decoding import decode_picture, open_picture, read_bytes, stain_of
from hpastack.fields.formats.faults import StrPath
from hpastack.fields.formats.planes import split_plane
from hpastack.fields.formats.tints import TINT_PLANES
from hpastack.fields.paths import (
    Row,
    field_bits,
    require_shape,
    row_stains,
    stain_file,
    stain_files,
    stain_rows,
)
from hpastack.fields.resizing import resize_field
from hpastack.fields.stains import STAIN_INDEX, STAINS
from hpastack.parallel import cpu_budget, in_threads


def read_stain(path: StrPath, stain: str) -> np.ndarray:
    """Read one stain of a field.

    8-bit values are divided by 255 and 16-bit values by 65535. There is no
    further processing: no contrast stretching, no gamma, no colour profile.
    12-bit data in a 16-bit file is therefore dark; `read_field` scales it by
    the bit depth in the catalogue.

    A colour image is reduced to the mean of its three planes if they are alike
    (grey saved as RGB), and otherwise to the mean of the planes used by the
    tint of the stain: red R, green G, blue B, yellow R and G. The JPEG files of
    the Human Protein Atlas are tinted in this way. An image that is neither
    grey nor in the tint of its stain is rejected, because its planes would read
    as black (unless it is a nearly empty JPEG, with a root mean square below 2
    of 255 levels).

    Parameters
    ----------
    path : path-like
        An image in any of `hpastack.fields.FORMATS`, recognised by its content,
        not by its name. ``x.tif#2`` is plane 2 of ``x.tif`` (counted from 0,
        over the samples of each page in turn).
    stain : {"red", "green", "blue", "yellow"}

    Returns
    -------
    ndarray of float32, shape (H, W)
        Values in [0, 1].

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, damaged, not in one of the
        formats, not 8 or 16 bit unsigned, larger than `MAX_PIXELS`, has an alpha
        channel that is not opaque, is animated, has several pages (and the path
        names no plane), or is in the tint of another stain.
    OSError
        If the file exists but cannot be opened.

    Notes
    -----
    Damage is detected by the checksums of PNG and of Deflate, LZMA and LERC in
    TIFF, and by missing parts of JPEG and TIFF. Changed bytes within the pixels
    of a JPEG or of any other TIFF may go undetected, because those formats have
    no checksums.
    """
    if stain not in TINT_PLANES:
        raise InputError(f"unknown stain {stain!r}; stains are {', '.join(STAINS)}")
    file, plane = split_plane(path)
    picture = open_picture(read_bytes(file), plane, path)
    return stain_of(decode_picture(picture, path), stain, picture.is_lossy, path)


def read_field(
    row: Row, size: int | None = None, square: bool = False, *, missing: float = np.nan
) -> np.ndarray:
    """Read the four stains of a field.

    Parameters
    ----------
    row : mapping or Series
        Paths under the keys ``red``, ``green``, ``blue``, ``yellow``: a row
        of the catalogue, or a dict. ``field.tif#2`` is plane 2 of that file.
        The optional key ``bits`` is the bit depth of 16-bit files, whose values
        are divided by ``2**bits - 1``. The optional key ``stains`` lists the
        stains of the field, separated by spaces.
    size : int, optional
        Length of the longer side after scaling, in pixels; the aspect ratio is
        kept. Downscaling uses area averaging, upscaling bilinear interpolation.
        Default: the size of the files.
    square : bool, default=False
        Whether to pad with zeros on the right or at the bottom to a square.
    missing : float, default=NaN
        Value of all pixels of the stains that the field lacks.

    Returns
    -------
    ndarray of float32, shape (4, h, w)
        Values in [0, 1], stains in the order red, green, blue, yellow.

    Raises
    ------
    InputError
        As for `read_stain`; also if a path is missing, if the stains differ in
        size, or if `size` is below 1.
    """
    if size is not None and size < 1:
        raise InputError(f"size is {size}; it must be at least 1 pixel")
    field: np.ndarray | None = None
    shape: tuple[int, ...] = ()
    bits = field_bits(row)
    is_whole = len(row_stains(row)) == len(STAINS)
    for file in stain_files(row):
        position = STAIN_INDEX[file.stain]
        picture = open_picture(file.data, file.plane, file.path)
        pixels = decode_picture(picture, file.path)
        shape = shape or pixels.shape[:2]
        require_shape(pixels.shape[:2], shape, file.path)
        if size in (None, max(shape)) and (not square or shape[0] == shape[1]):
            # Written in place: allocating memory costs more than the arithmetic.
            field = _new_field(shape, is_whole, missing) if field is None else field
            out = field[position]
            stain_of(pixels, file.stain, picture.is_lossy, file.path, out, bits=bits)
            continue
        # Scaled one stain at a time, so that a large field is never in memory as a whole.
        plane = stain_of(pixels, file.stain, picture.is_lossy, file.path, bits=bits)
        scaled = resize_field(plane[np.newaxis], size, square)[0]
        field = _new_field(scaled.shape, is_whole, missing) if field is None else field
        field[position] = scaled
    assert field is not None
    return field


def _new_field(shape: tuple[int, ...], is_whole: bool, missing: float) -> np.ndarray:
    if is_whole:
        return np.empty((len(STAINS), *shape), np.float32)
    return np.full((len(STAINS), *shape), missing, np.float32)


def field_shape(row: Row) -> tuple[int, int]:
    """Return the height and width of a field from the header of its first file.

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
    file = stain_file(row, row_stains(row)[0])
    picture = open_picture(file.data, file.plane, file.path)
    return picture.height, picture.width


def iter_fields(
    catalogue: pd.DataFrame,
    size: int | None = None,
    square: bool = False,
    jobs: int | None = None,
    ahead: int | None = None,
    *,
    missing: float = np.nan,
) -> Iterator[tuple[str, np.ndarray]]:
    """Read the fields of a catalogue in its order, decoding ahead in threads.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``, ``yellow``.
    size, square, missing
        As for `read_field`.
    jobs : int, optional
        Decoding threads. Default: the number of processors available to this process.
    ahead : int, optional
        Maximum number of fields in memory besides the one yielded. Default: two per thread.

    Yields
    ------
    image_id : str
    field : ndarray of float32, shape (4, h, w)

    Raises
    ------
    InputError
        As for `read_field`, raised at the bad field, which is named.
    """
    jobs = jobs or cpu_budget()
    ahead = ahead or 2 * jobs
    outcomes = in_threads(
        lambda row: read_field(row, size, square, missing=missing), stain_rows(catalogue),
        jobs=jobs, ahead=ahead,
    )  # fmt: skip
    # Closed explicitly: the garbage collector might join threads while another one is starting.
    with closing(outcomes):
        for image_id, outcome in zip(catalogue.index, outcomes):
            try:
                field = outcome.result()
            except InputError as error:
                raise field_fault(image_id, error) from error
            yield image_id, field


def field_fault(image_id: str, error: Exception) -> InputError:
    """Return the error for a bad field, with its id in the message."""
    reason = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename}: {error.strerror}"
    parameters = getattr(error, "parameters", ())
    reason = reason.removeprefix(f"field {image_id}: ")
    return InputError(f"field {image_id}: {reason}", *parameters)


def read_square_image(row: Row, size: int) -> np.ndarray:
    """Read a field from its files, scaled, padded to a square and rounded to 8 bits.

    Parameters
    ----------
    row : mapping or Series
        As for `hpastack.read_field`.
    size : int
        Side of the image, in pixels.

    Returns
    -------
    ndarray of uint8, shape (4, size, size)

    Raises
    ------
    InputError
        As for `hpastack.read_field`.
    """
    return to_8_bit(read_field(row, size, square=True, missing=0))
