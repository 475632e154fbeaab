"""Fields of a catalogue, reduced to the size in which they are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields import field_pixel_size, read_field


def catalogue_row(catalogue: pd.DataFrame, image_id: str) -> pd.Series:
    """Return the row of a field, which must be in the catalogue."""
    if image_id not in catalogue.index:
        raise InputError(f"field {image_id} is not in the catalogue")
    return catalogue.loc[[image_id]].iloc[0]


def read_scaled(row: pd.Series, size: int | None) -> tuple[np.ndarray, float | None]:
    """Read a field, reduced to `size` at most, and its resulting pixel size in micrometres."""
    longer = max(int(row["height"]), int(row["width"]))
    smaller = size if size is not None and size < longer else None
    field = read_field(row, smaller, missing=0)
    pixel_size = field_pixel_size(row)
    return field, None if pixel_size is None else pixel_size * longer / max(field.shape[1:])
