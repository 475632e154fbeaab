"""Write docs/columns.md and draw docs/cells.jpg: python docs/make_features.py."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hpastack as hs  # noqa: E402
from hpastack.features import FAMILIES  # noqa: E402
from hpastack.pictures import (  # noqa: E402
    Captioned,
    Section,
    compartment_figure,
    jpeg_bytes,
    picture_sheet,
)
from hpastack.pictures.compartment_figure import PANELS  # noqa: E402

PAGE = Path(__file__).with_name("columns.md")
PICTURE = Path(__file__).with_name("cells.jpg")

HEAD = """# All hand-crafted columns

Written by `docs/make_features.py` from what `hs.describe_columns` says. Columns measured in
the same way on several stains stand together, with `STAIN` for the name of each. What the words
mean, and what is measured where there is nothing to measure, stands in [Features](features.md).
"""

# What is drawn: labels, seed and cell line.
DRAWN = (("25 2", 3, "U-2 OS"), ("23", 1, "HEK 293"), ("0 16", 5, "A-431"))


def page() -> str:
    """Return the text of the page: a table for each family."""
    lines = [HEAD.rstrip()]
    for family in FAMILIES:
        meanings = hs.describe_columns(hs.feature_columns([family]))
        lines += ["", f"## {family}: {len(meanings)} columns", ""]
        lines += ["| column | stains | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | {stains} | {line} |" for name, stains, line in _rows(meanings)]
    return "\n".join([*lines, ""])


def _rows(meanings: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Give a row for each column, or for those that differ by their stain alone."""
    alike: dict[tuple[str, str], list[str]] = {}
    for column, meaning in meanings.items():
        name, stain = column.rsplit("__", 1)
        alike.setdefault((name, re.sub(rf"\b{stain}\b", "the stain", meaning)), []).append(stain)
    for (name, meaning), stains in alike.items():
        if len(stains) > 1:
            yield f"{name}__STAIN", ", ".join(stains), meaning
        else:
            yield f"{name}__{stains[0]}", stains[0], meanings[f"{name}__{stains[0]}"]


def picture() -> np.ndarray:
    """Draw cells, regions and rings of three synthetic fields."""
    fields = [hs.draw_field(labels, size=240, seed=s, cell_line=line) for labels, s, line in DRAWN]
    rows = [np.split(compartment_figure(field), len(PANELS), axis=1) for field in fields]
    panels = [Captioned(panel) for row in rows[:-1] for panel in row]
    panels += [Captioned(panel, (caption,)) for panel, caption in zip(rows[-1], PANELS)]
    return picture_sheet([Section("", panels)], columns=len(PANELS))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_bytes(jpeg_bytes(picture(), 85))
    print(f"wrote {PAGE} and {PICTURE}")
