"""Figure of the segmentation of a field: nuclei, cells, regions and rings."""

from __future__ import annotations

import cv2
import numpy as np

from hpastack.features import N_RINGS, REGIONS, cell_regions, field_levels, segment_cells
from hpastack.fields import PROTEIN, STAIN_INDEX, STAINS, stretched
from hpastack.pictures.colours import merged
from hpastack.pictures.tiles import protein_in_grey

#: Colour (RGB) of each region of `REGIONS`; they can be distinguished under colour blindness.
REGION_COLOURS = {
    "outside": (0, 0, 0),
    "nucleus": (0, 60, 200),
    "rim": (213, 94, 0),
    "nucleoli": (255, 235, 90),
    "perinuclear": (204, 121, 167),
    "cytoplasm": (0, 100, 70),
    "edge": (130, 215, 255),
}

#: Captions of the four panels.
PANELS = (
    "microtubules, nucleus and reticulum; outlines of nuclei white, of cells yellow",
    "protein, with the same outlines",
    "regions: nucleus blue, its rim orange, nucleoli yellow; perinuclear pink, cytoplasm green, "
    "edge of the cell pale blue",
    "rings, from the centre of the nucleus (white) to its rim (blue) and on to the edge (brown)",
)

_NUCLEUS_LINE = (255, 255, 255)
_CELL_LINE = (255, 220, 0)
# From the centre of the nucleus outwards, and from its rim to the edge of the cell.
_INNER, _RIM = (255, 255, 255), (40, 60, 200)
_NEAR, _FAR = (255, 225, 190), (150, 60, 10)


def compartment_figure(field: np.ndarray) -> np.ndarray:
    """Draw the segmentation on which the compartment features of a field are based.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        The stains red, green, blue, yellow, in [0, 1].

    Returns
    -------
    ndarray of uint8, shape (H, 4 * W, 3)
        RGB, four panels side by side: the reference stains with the outlines
        of nuclei (white) and cells (yellow); the protein with the same outlines;
        the regions in the colours of `REGION_COLOURS`; the rings, from white to
        blue in the nuclei and from pale to brown in the cytoplasm. The contrast
        of each stain is stretched so that its 99.9th percentile is white.

    Raises
    ------
    InputError
        If `field` does not have this shape or range.
    """
    of_stains = field_levels(field)
    maps = segment_cells(of_stains)
    levels = {stain: of_stains[i] for stain, i in STAIN_INDEX.items()}
    # Levels range up to 255; the gamma brightens dark structures slightly.
    shown = {stain: stretched(image, darkest=1.0) ** 0.7 for stain, image in levels.items()}
    pictures = [
        merged(np.stack([shown[stain] * (stain != PROTEIN) for stain in STAINS])),
        protein_in_grey(np.stack([shown[stain] for stain in STAINS])),
    ]
    for picture in pictures:
        picture[_outline(maps.cells)] = _CELL_LINE
        picture[_outline(maps.nuclei)] = _NUCLEUS_LINE
    if maps.n_nuclei == 0:
        return np.concatenate([*pictures, *[np.zeros_like(pictures[0])] * 2], axis=1)
    regions = cell_regions(maps, levels["blue"])
    palette = np.array([REGION_COLOURS[name] for name in REGIONS], np.uint8)
    steps = np.linspace(0, 1, N_RINGS)[:, None]
    of_rings = [np.array(a) * (1 - steps) + np.array(b) * steps
                for a, b in ((_INNER, _RIM), (_NEAR, _FAR))]  # fmt: skip
    rings = np.concatenate(of_rings).astype(np.uint8)[regions.ring]
    rings[maps.cells == 0] = 0
    return np.concatenate([*pictures, palette[regions.region], rings], axis=1)


def _outline(labels: np.ndarray) -> np.ndarray:
    """Return the mask of labelled pixels next to another label or to the background."""
    plain = labels.astype(np.float32)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return (labels > 0) & ((cv2.dilate(plain, cross) != plain) | (cv2.erode(plain, cross) != plain))
