"""Panels of one field: the merged stains, each stain alone, and the segmentation."""

from __future__ import annotations

import numpy as np

from hpastack.fields import PROTEIN, STAIN_INDEX, STAINS, Row, read_field, row_stains, to_8_bit
from hpastack.fields.stains import STAIN_MEANINGS
from hpastack.pictures.colours import DEFAULT_PALETTE, merged
from hpastack.pictures.compartment_figure import PANELS, compartment_figure
from hpastack.pictures.sheets import Captioned
from hpastack.pictures.tiles import brightened, draw_scale_bar, shown_pixel_size, shown_size


def field_panels(row: Row, size: int = 400, palette: str = DEFAULT_PALETTE) -> list[Captioned]:
    """Draw the panels of a field: the merged stains, each stain in grey, and the segmentation.

    Parameters
    ----------
    row : mapping or Series
        A row of the catalogue.
    size : int, default=400
        Longer side of each panel, in pixels. A field smaller than half of it is
        enlarged by an integer factor, so that its pixels are visible.
    palette : {"safe", "hpa"}, default="safe"

    Returns
    -------
    list of Captioned
        The merged stains, with a scale bar if the pixel size is known; the
        stains of the field, the protein first; and, if it has the nuclear stain,
        the outlines of the cells, their regions and their rings.

    Raises
    ------
    InputError
        As for `hpastack.read_field`.
    """
    shown = shown_size(row, size)
    factor = max(1, size // shown)
    field = read_field(row, shown, missing=0)
    bright = brightened(field)
    merge = _enlarged(merged(bright, palette), factor)
    pixel_size = shown_pixel_size(row, size)
    if pixel_size is not None:
        draw_scale_bar(merge, pixel_size / factor)
    panels = [Captioned(merge, ("stains merged",))]
    present = row_stains(row)
    for stain in sorted(present, key=lambda name: (name != PROTEIN, STAINS.index(name))):
        grey = np.repeat(to_8_bit(bright[STAIN_INDEX[stain]])[..., None], 3, axis=-1)
        panels.append(Captioned(_enlarged(grey, factor), (STAIN_MEANINGS[stain],)))
    if "blue" in present:
        cells = np.split(compartment_figure(field), len(PANELS), axis=1)
        # The panel with outlines on the protein is redundant.
        for number in (0, 2, 3):
            panels.append(Captioned(_enlarged(cells[number], factor), (PANELS[number],)))
    return panels


def _enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)
