"""Contact sheet with a synthetic field of each label."""

from __future__ import annotations

import numpy as np

from hpastack.labels import HPA_2018
from hpastack.pictures.colours import DEFAULT_PALETTE, stain_legend
from hpastack.pictures.sheets import Captioned, Section, picture_sheet
from hpastack.pictures.tiles import field_tile
from hpastack.synthetic import CELL_LINES, draw_field


def contact_sheet(
    *, size: int = 256, seed: int = 0, columns: int = 4, palette: str = DEFAULT_PALETTE
) -> np.ndarray:
    """Draw a contact sheet with a synthetic field of each label.

    Parameters
    ----------
    size : int, default=256
        Side of a field, in pixels.
    seed : int, default=0
    columns : int, default=4
        Number of labels per row.
    palette : {"safe", "hpa"}, default="safe"

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB. For each label, in the order of the ids: the merged stains beside the
        protein in grey, with the id and the name below.
    """
    lines = list(CELL_LINES)
    pictures = []
    for label, name in enumerate(HPA_2018):
        field = draw_field([label], size=size, seed=seed + label, cell_line=lines[label % 3])
        pictures.append(Captioned(field_tile(field, palette=palette), (f"{label} {name}",)))
    return picture_sheet([Section("", pictures)], columns, stain_legend(palette))
