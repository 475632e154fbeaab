"""Measure, wrap and draw text on images."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import cv2
import numpy as np

#: Height of a line of text, in pixels.
LINE = 16

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.42
# The fonts of OpenCV 4 have no letters beyond ASCII.
_ASCII_ONLY = cv2.__version__.startswith("4.")
_WHITE = (235, 235, 235)


def text_width(text: str, scale: float = 1.0) -> int:
    """Return the width of a line of text, in pixels.

    Parameters
    ----------
    text : str
    scale : float, default=1.0
        1 is a line of `LINE` pixels.
    """
    if not text:
        return 0
    (width, _), _ = cv2.getTextSize(_drawable(text), _FONT, _SCALE * scale, 1)
    return int(width)


def wrapped(text: str, width: int, scale: float = 1.0) -> list[str]:
    """Wrap a text to a width in pixels, without truncating it.

    Parameters
    ----------
    text : str
    width : int
        In pixels.
    scale : float, default=1.0

    Returns
    -------
    list of str
        Wrapped at spaces. A word that is wider than a line, such as an id, is
        broken after hyphens and underscores, or anywhere if necessary.
    """
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, scale) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for piece in _pieces(word, width, scale):
            if text_width(lines[-1] + piece, scale) > width and lines[-1]:
                lines.append("")
            lines[-1] += piece
    return lines


def draw_lines(
    picture: np.ndarray,
    lines: Iterable[str],
    left: int,
    top: int,
    *,
    scale: float = 1.0,
    colour: tuple[int, int, int] = _WHITE,
) -> None:
    """Draw lines of text on an image, from top to bottom.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W, 3)
        RGB; changed in place.
    lines : iterable of str
    left, top : int
        Upper left corner of the first line, in pixels.
    scale : float, default=1.0
    colour : tuple of int
        RGB.
    """
    height = round(LINE * scale)
    for number, line in enumerate(lines):
        baseline = top + height * number + round(0.72 * height)
        cv2.putText(
            picture, _drawable(line), (left, baseline), _FONT, _SCALE * scale, colour, 1,
            cv2.LINE_AA,
        )  # fmt: skip


def _pieces(word: str, width: int, scale: float) -> list[str]:
    if text_width(word, scale) <= width:
        return [word]
    pieces = re.findall(r"[^-_]*[-_]|[^-_]+", word)
    return [part for piece in pieces for part in
            ([piece] if text_width(piece, scale) <= width else piece)]  # fmt: skip


def _drawable(text: str) -> str:
    if not _ASCII_ONLY:
        return text
    plain = unicodedata.normalize("NFKD", text.replace("\u00b5", "u"))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return letters.encode("ascii", "replace").decode()
