"""One field as a picture: its stains merged, beside the protein in grey."""

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
#: What lies between and around pictures (RGB).
BACKGROUND = (24, 24, 24)

# A stain without signal has no pixel this bright; its noise is not made bright.
_DARKEST = 8 / 255
# The longest bar, as a share of the width of the picture.
_LONGEST_BAR = 0.35


def brightened(field: np.ndarray) -> np.ndarray:
    """Brighten each stain of a field, so that its brightest thousandth is white.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1].

    Returns
    -------
    ndarray of float32, shape (4, H, W)
        In [0, 1]. A stain of which hardly a pixel is brighter than 8 of 255
        is brightened no further than that asks for.
    """
    field = with_black_stains(field)
    return np.stack([stretched(stain, darkest=_DARKEST) for stain in field]).astype(np.float32)


def protein_in_grey(field: np.ndarray) -> np.ndarray:
    """Return the protein of a field as a grey RGB picture.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; not brightened any further.

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
    """Draw a field: its stains merged, and its protein alone beside them.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; a stain that the field does not have is 0.
    pixel_size : float, optional
        Micrometres per pixel of `field`; if known, a scale bar is drawn on the
        protein.
    palette : {"safe", "hpa"}, default="safe"
    brighten : bool, default=True
        Whether to stretch each stain to its brightest thousandth.

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
    """Read a field of the catalogue and draw it, with a scale bar if its pixel size is known.

    Parameters
    ----------
    row : mapping or Series
        A row of the catalogue.
    size : int
        Longer side, in pixels; a field that is smaller keeps its size.
    palette : {"safe", "hpa"}, default="safe"

    Returns
    -------
    ndarray of uint8, shape (h, 2 * w + 2, 3)
        RGB, as `field_tile`.

    Raises
    ------
    InputError
        As `hpastack.read_field`.
    """
    field = read_field(row, shown_size(row, size), missing=0)
    return field_tile(field, pixel_size=shown_pixel_size(row, size), palette=palette)


def has_files(row: Row) -> bool:
    """Return whether the catalogue names image files of a field."""
    return any(isinstance(row[stain], str) and row[stain] for stain in row_stains(row))


def shown_size(row: Row, size: int) -> int:
    """Return the longer side at which a field is shown: `size`, or its own if that is less."""
    longer = max(int(row["height"]), int(row["width"]))
    return min(size, longer) if longer else size


def shown_pixel_size(row: Row, size: int) -> float | None:
    """Return the micrometres per pixel of a field at the size at which it is shown."""
    of_file = field_pixel_size(row)
    longer = max(int(row["height"]), int(row["width"]))
    return None if of_file is None else of_file * longer / shown_size(row, size)


def scale_bar(width: int, pixel_size: float) -> tuple[float, int]:
    """Choose the length of a scale bar.

    Parameters
    ----------
    width : int
        Of the picture, in pixels.
    pixel_size : float
        Micrometres per pixel.

    Returns
    -------
    length : float
        In micrometres: 1, 2 or 5 times a power of ten, the greatest that takes
        at most 35 % of the width.
    pixels : int
        The same in pixels, rounded.

    Examples
    --------
    >>> scale_bar(512, 0.16)
    (20.0, 125)
    """
    longest = _LONGEST_BAR * width * pixel_size
    power = 10.0 ** math.floor(math.log10(longest))
    # A little more than 1, as 2 * 0.1 may miss 0.2 by rounding.
    step = max(step for step in (1, 2, 5) if step == 1 or step * power <= longest * (1 + 1e-9))
    length = float(f"{step * power:.6g}")
    return length, max(1, round(length / pixel_size))


def scale_text(length: float) -> str:
    """Return the length of a scale bar in words.

    Examples
    --------
    >>> scale_text(20.0), scale_text(0.5), scale_text(2000.0)
    ('20 µm', '0.5 µm', '2 mm')
    """
    return f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"


def draw_scale_bar(picture: np.ndarray, pixel_size: float) -> None:
    """Draw a scale bar with its length at the lower right of a picture.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3)
        RGB; changed in place. Nothing is drawn on one that is less than 48
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
    # On a darker ground, so that it is seen on bright cells too.
    ground = picture[bottom - box_height : bottom, max(0, right - box_width) : right]
    ground[:] = ground // 4
    x = right - 4 - pixels
    cv2.rectangle(
        picture, (x, bottom - 4 - thickness), (x + pixels - 1, bottom - 5), (255, 255, 255), -1
    )
    left = max(0, right - box_width // 2 - text_width(text) // 2)
    draw_lines(picture, [text], left, bottom - box_height + 1, colour=(255, 255, 255))
