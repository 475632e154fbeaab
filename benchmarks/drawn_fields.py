"""Synthetic fields in files, with copies, for benchmarks that read many."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from hpastack.fields import STAINS, check_fields
from hpastack.synthetic import draw_field

_N_DRAWN = 24  # distinct fields; the others are copies of these under other ids


def write_drawn_fields(folder: Path, size: int, n_fields: int) -> pd.DataFrame:
    """Write synthetic fields as PNG; return their catalogue, copies included."""
    rows = {}
    for number in range(min(n_fields, _N_DRAWN)):
        field = draw_field(f"{number % 28}", size=size, seed=number)
        rows[f"field{number}"] = {s: str(folder / f"{number}_{s}.png") for s in STAINS}
        for path, pixels in zip(rows[f"field{number}"].values(), field):
            cv2.imwrite(path, np.rint(pixels * 255).astype(np.uint8))
    drawn = pd.DataFrame.from_dict(rows, orient="index")
    drawn = drawn.join(check_fields(drawn, progress=False)[0])
    copies = drawn.iloc[np.arange(n_fields) % len(drawn)]
    copies.index = pd.Index([f"field{number}" for number in range(n_fields)], name="image_id")
    return copies
