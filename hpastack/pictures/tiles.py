"""Tiles: the merged stains of a field beside its protein in grey."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hpastack.fields import (
    PROTEIN,
    STAIN_INDEX,
    Row,
    field_pixel_size,
    read_field,
    row_stains,
    stretched,
    to_8_bit,
)
from hpastack.fields.stains import with_black_stains
from hpastack.pictures.colours import DEFAULT_PALETTE, merged
from hpastack.pictures.text import LINE, draw_lines, text_width

#: Pixels between the merged stains and the protein.
GAP = 2
#: Background between and around images (RGB).
BACKGROUND = (24, 24, 24)

# A stain without signal has no pixel this bright, so that its noise stays dark.
_DARKEST = 8 / 255
# Maximum length of a scale bar, as a fraction of the width of the image.
_LONGEST_BAR = 0.35


def brightened(field: np.ndarray) -> np.ndarray:
    """Stretch the contrast of each stain so that its 99.9th percentile is white.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1].

    Returns
    -------
    ndarray of float32, shape (4, H, W)
        In [0, 1]. The value that becomes white is at least 8/255, so that the
        noise of a stain without signal stays dark.
    """
    field = with_black_stains(field)
    return np.stack([stretched(stain, darkest=_DARKEST) for stain in field]).astype(np.float32)


def protein_in_grey(field: np.ndarray) -> np.ndarray:
    """Return the protein of a field as a grey RGB image.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; the contrast is not changed.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    return np.repeat(to_8_bit(field[STAIN_INDEX[PROTEIN]])[..., None], 3, axis=-1)


def field_tile(
    field: np.ndarray,
    *,
    pixel_size: float | None = None,
    palette: str = DEFAULT_PALETTE,
    brighten: bool = True,
) -> np.ndarray:
    """Draw a field: its merged stains beside its protein in grey.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; a missing stain is 0.
    pixel_size : float, optional
        Micrometres per pixel of `field`; if passed, a scale bar is drawn on the
        protein.
    palette : {"safe", "hpa"}, default="safe"
    brighten : bool, default=True
        Whether to stretch the contrast of each stain, as in `brightened`.

    Returns
    -------
    ndarray of uint8, shape (H, 2 * W + 2, 3)
        RGB.
    """
    if brighten:
        field = brightened(field)
    pictures = [merged(field, palette), protein_in_grey(field)]
    if pixel_size is not None:
        draw_scale_bar(pictures[1], pixel_size)
    gap = np.full((field.shape[1], GAP, 3), BACKGROUND, np.uint8)
    return np.concatenate([pictures[0], gap, pictures[1]], axis=1)


def read_tile(row: Row, size: int, palette: str = DEFAULT_PALETTE) -> np.ndarray:
    """Read and draw a field of the catalogue, with a scale bar if its pixel size is known.

    Parameters
    ----------
    row : mapping or Series
        A row of the catalogue.
    size : int
        Longer side, in pixels; a smaller field keeps its size.
    palette : {"safe", "hpa"}, default="safe"

    Returns
    -------
    ndarray of uint8, shape (h, 2 * w + 2, 3)
        RGB, as returned by `field_tile`.

    Raises
    ------
    InputError
        As for `hpastack.read_field`.
    """
    field = read_field(row, shown_size(row, size), missing=0)
    return field_tile(field, pixel_size=shown_pixel_size(row, size), palette=palette)


def has_files(row: Row) -> bool:
    """Whether the catalogue lists image files of a field."""
    return any(isinstance(row[stain], str) and row[stain] for stain in row_stains(row))


def shown_size(row: Row, size: int) -> int:
    """Return the longer side of a field in an image: `size`, or its own if that is smaller."""
    longer = max(int(row["height"]), int(row["width"]))
    return min(size, longer) if longer else size


def shown_pixel_size(row: Row, size: int) -> float | None:
    """Return the micrometres per pixel of a field at `shown_size`."""
    of_file = field_pixel_size(row)
    longer = max(int(row["height"]), int(row["width"]))
    return None if of_file is None else of_file * longer / shown_size(row, size)


def scale_bar(width: int, pixel_size: float) -> tuple[float, int]:
    """Choose the length of a scale bar.

    Parameters
    ----------
    width : int
        Of the image, in pixels.
    pixel_size : float
        Micrometres per pixel.

    Returns
    -------
    length : float
        In micrometres: the largest 1, 2 or 5 times a power of ten that is at most
        35 % of the width.
    pixels : int
        The same in pixels, rounded.

    Examples
    --------
    >>> scale_bar(512, 0.16)
    (20.0, 125)
    """
    longest = _LONGEST_BAR * width * pixel_size
    power = 10.0 ** math.floor(math.log10(longest))
    # Tolerance for rounding, such as of 2 * 0.1.
    step = max(step for step in (1, 2, 5) if step == 1 or step * power <= longest * (1 + 1e-9))
    length = float(f"{step * power:.6g}")
    return length, max(1, round(length / pixel_size))


def scale_text(length: float) -> str:
    """Format the length of a scale bar.

    Examples
    --------
    >>> scale_text(20.0), scale_text(0.5), scale_text(2000.0)
    ('20 µm', '0.5 µm', '2 mm')
    """
    return f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"


def draw_scale_bar(picture: np.ndarray, pixel_size: float) -> None:
    """Draw a scale bar with its length in the lower right corner of an image.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3)
        RGB; changed in place. Nothing is drawn on an image that is less than 48
        pixels wide or high.
    pixel_size : float
        Micrometres per pixel of `picture`.
    """
    height, width = picture.shape[:2]
    if min(height, width) < 3 * LINE:
        return
    length, pixels = scale_bar(width, pixel_size)
    text = scale_text(length)
    thickness, margin = max(2, height // 100), max(4, height // 40)
    box_width = max(pixels, text_width(text)) + 8
    box_height = LINE + thickness + 7
    right, bottom = width - margin, height - margin
    # On a darkened background, so that it is visible on bright cells too.
    background = picture[bottom - box_height : bottom, max(0, right - box_width) : right]
    background[:] = background // 4
    x = right - 4 - pixels
    cv2.rectangle(
        picture, (x, bottom - 4 - thickness), (x + pixels - 1, bottom - 5), (255, 255, 255), -1
    )
    left = max(0, right - box_width // 2 - text_width(text) // 2)
    draw_lines(picture, [text], left, bottom - box_height + 1, colour=(255, 255, 255))
