"""A sheet of pictures: fields, and those that look most like them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hpastack.fields import composite, stretched

_CAPTION = 34
_GAP = 4


def neighbour_sheet(rows: Sequence[Sequence[tuple[np.ndarray, str, str]]], size: int) -> np.ndarray:
    """Lay fields out in rows, each under two lines of text.

    Parameters
    ----------
    rows : sequence of sequence of (field, first line, second line)
        A row for each field asked about, which comes first. Fields are float, shape (4, h,
        w) in [0, 1], with sides of at most `size`.
    size : int
        Side of a picture, in pixels.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB, the stains mixed as the Human Protein Atlas shows them, each stretched to
        its own brightest thousandth. Text is cut where its picture ends.
    """
    height, width = size + _CAPTION + _GAP, size + _GAP
    n_columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * height, n_columns * width, 3), 24, np.uint8)
    for top, row in enumerate(rows):
        for left, (field, *lines) in enumerate(row):
            tile = np.zeros((size + _CAPTION, size, 3), np.uint8)
            picture = composite(np.stack([stretched(stain) for stain in field]))
            tile[_CAPTION : _CAPTION + picture.shape[0], : picture.shape[1]] = picture
            for number, line in enumerate(lines):
                cv2.putText(
                    tile, line, (3, 13 + 15 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.38,
                    (255, 255, 255), 1, cv2.LINE_AA,
                )  # fmt: skip
            y, x = top * height, left * width
            sheet[y : y + len(tile), x : x + size] = tile
    return sheet
