"""Sheets of images with captions, in sections with headings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hpastack.pictures.text import LINE, draw_lines, wrapped
from hpastack.pictures.tiles import BACKGROUND

_GAP = 10
_HEADING = 1.25
_TEXT = 1.1
# Extra pixels between lines of text, but not within a wrapped line.
_LEADING = 3
# Indent of lines of text with a leading space, in pixels.
_INDENT = 20
_WHITE = (255, 255, 255)
_GREY = (190, 190, 190)


class Captioned(NamedTuple):
    """An RGB image and the lines of text below it, the first of which is highlighted."""

    picture: np.ndarray
    lines: tuple[str, ...] = ()


class Section(NamedTuple):
    """Images with a common heading ("" for none) and lines of text above them.

    A line with a leading space is indented and grey.
    """

    heading: str
    pictures: Sequence[Captioned] = ()
    lines: tuple[str, ...] = ()


def picture_sheet(sections: Sequence[Section], columns: int = 4, note: str = "") -> np.ndarray:
    """Arrange images in rows, with captions that are wrapped and never truncated.

    Parameters
    ----------
    sections : sequence of Section
        From top to bottom.
    columns : int, default=4
        Images per row. Columns are as wide as the widest image.
    note : str, optional
        Text at the end, such as the colours of the stains.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.
    """
    pictures = [picture for section in sections for picture in section.pictures]
    width = max((captioned.picture.shape[1] for captioned in pictures), default=400)
    columns = min(columns, max((len(section.pictures) for section in sections), default=1) or 1)
    sheet_width = columns * width + (columns + 1) * _GAP
    bands = []
    for section in sections:
        if section.heading:
            bands.append(_heading(section.heading, sheet_width))
        if section.lines:
            bands.append(_text(section.lines, sheet_width))
        for first in range(0, len(section.pictures), columns):
            row = section.pictures[first : first + columns]
            bands.append(_row(row, width, sheet_width))
    if note:
        lines = wrapped(note, sheet_width - 2 * _GAP)
        bands.append(_ground(_GAP + len(lines) * LINE, sheet_width))
        draw_lines(bands[-1], lines, _GAP, _GAP, colour=_GREY)
    bands.append(_ground(_GAP, sheet_width))
    return np.concatenate(bands)


def _heading(text: str, width: int) -> np.ndarray:
    lines = wrapped(text, width - 2 * _GAP, _HEADING)
    height = round(LINE * _HEADING)
    band = _ground(len(lines) * height + _GAP, width)
    draw_lines(band, lines, _GAP, _GAP, scale=_HEADING)
    return band


def _text(lines: Sequence[str], width: int) -> np.ndarray:
    indents = [_INDENT if line.startswith(" ") else 0 for line in lines]
    broken = [wrapped(line, width - 2 * _GAP - indent, _TEXT)
              for line, indent in zip(lines, indents)]  # fmt: skip
    height = round(LINE * _TEXT)
    band = _ground(sum(map(len, broken)) * height + len(broken) * _LEADING + 4, width)
    top = 4
    for of_line, indent in zip(broken, indents):
        colour = _GREY if indent else _WHITE
        draw_lines(band, of_line, _GAP + indent, top, scale=_TEXT, colour=colour)
        top += height * len(of_line) + _LEADING
    return band


def _row(row: Sequence[Captioned], width: int, sheet_width: int) -> np.ndarray:
    captions = [[wrapped(line, width) for line in captioned.lines] for captioned in row]
    n_lines = max(sum(map(len, caption)) for caption in captions)
    highest = max(captioned.picture.shape[0] for captioned in row)
    band = _ground(_GAP + highest + n_lines * LINE + 4, sheet_width)
    for column, (captioned, caption) in enumerate(zip(row, captions)):
        left = _GAP + column * (width + _GAP)
        height, own_width = captioned.picture.shape[:2]
        band[_GAP : _GAP + height, left : left + own_width] = captioned.picture
        top = _GAP + height + 2
        for number, lines in enumerate(caption):
            colour = _GREY if number else _WHITE
            draw_lines(band, lines, left, top, colour=colour)
            top += LINE * len(lines)
    return band


def _ground(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), BACKGROUND, np.uint8)
