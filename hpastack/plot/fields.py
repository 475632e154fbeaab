"""One field: merged stains, and each stain separately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields import STAIN_INDEX, STAINS, row_stains
from hpastack.pictures import (
    COLOUR_NAMES,
    DEFAULT_PALETTE,
    brightened,
    merged,
    protein_in_grey,
    scale_bar,
    scale_text,
    stain_colours,
)
from hpastack.pictures._matplotlib import Axes
from hpastack.plot.display import Display
from hpastack.plot.scaled_fields import catalogue_row, read_scaled

#: What each stain shows.
_SHOWS = {
    "red": "microtubules",
    "green": "protein",
    "blue": "nucleus",
    "yellow": "endoplasmic reticulum",
}


@dataclass(eq=False, repr=False)
class FieldDisplay(Display):
    """One field: merged stains, the protein in grey with a scale bar, and each stain.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; a missing stain is 0.
    pixel_size : float, optional
        Micrometres per pixel of `field`; default: no scale bar.
    title : str, default=""
    stains : sequence of str, optional
        Stains that the field has; default: all.
    palette : {"safe", "hpa"}, default="safe"
        Colours that are safe for colour-blind readers, or those of the Human Protein Atlas.
    brighten : bool, default=True
        Whether to stretch the contrast of each stain, saturating its brightest 0.1 % of pixels.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : ndarray of matplotlib Axes
        Merged, protein in grey, and each stain.

    Examples
    --------
    >>> import hpastack as hs
    >>> field = hs.draw_field("7", size=96)
    >>> [axes.get_title() for axes in hs.plot.FieldDisplay(field).plot().ax_][:2]
    ['merged', 'protein']
    """

    field: np.ndarray
    pixel_size: float | None = None
    title: str = ""
    stains: Sequence[str] = STAINS
    palette: str = DEFAULT_PALETTE
    brighten: bool = True

    @classmethod
    def from_catalogue(
        cls,
        catalogue: pd.DataFrame,
        image_id: str,
        *,
        size: int | None = 512,
        palette: str = DEFAULT_PALETTE,
        brighten: bool = True,
        ax: Any = None,
    ) -> Self:
        """Read a field and draw it.

        Parameters
        ----------
        catalogue : DataFrame
            From `hpastack.read_catalogue`. The scale bar needs a column ``pixel_size``
            (micrometres).
        image_id : str
        size : int or None, default=512
            Maximum length of the longer side, in pixels; None: that of the files.
        palette, brighten
            As in the class.
        ax : matplotlib Axes or sequence of Axes, optional
            As in `plot`.

        Returns
        -------
        FieldDisplay

        Raises
        ------
        InputError
            If the field is not in the catalogue or its files cannot be read.
        """
        row = catalogue_row(catalogue, image_id)
        field, pixel_size = read_scaled(row, size)
        return cls(
            field, pixel_size, title=image_id, stains=row_stains(row), palette=palette,
            brighten=brighten,
        ).plot(ax=ax)  # fmt: skip

    def _grid(self) -> tuple[int, int]:
        return 2 + len(self.stains), 3

    def _size(self) -> tuple[float, float]:
        height, width = np.shape(self.field)[1:]
        n_panels, n_columns = self._grid()
        n_rows = -(-n_panels // n_columns)
        return 3.2 * n_columns, (3.2 * height / width + 0.3) * n_rows + 0.3

    def _draw(self, panels: list[Axes]) -> None:
        field = np.asarray(self.field)
        if field.ndim != 3 or len(field) != len(STAINS):
            raise InputError(f"field must have shape (4, H, W), not {field.shape}")
        levels = brightened(field) if self.brighten else field
        pictures = {"merged": merged(levels, self.palette)}
        pictures["protein"] = protein_in_grey(levels)
        colours, words = stain_colours(self.palette), COLOUR_NAMES[self.palette]
        for stain in self.stains:
            name = words[stain] if words[stain] == stain else f"{stain}, shown in {words[stain]}"
            pictures[f"{_SHOWS[stain]} ({name})"] = _alone(levels, stain, colours[stain])
        for axes, (title, picture) in zip(panels, pictures.items()):
            axes.imshow(picture, interpolation="antialiased")
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
        if self.pixel_size is not None:
            _draw_scale(panels[1], field.shape[1:], self.pixel_size)
        if self.title and self._is_own_figure:
            panels[0].figure.suptitle(self.title)


def _draw_scale(axes: Axes, shape: tuple[int, ...], pixel_size: float) -> None:
    """Draw a scale bar at the lower right, as vector graphics."""
    height, width = shape
    length, pixels = scale_bar(width, pixel_size)
    right, bottom = 0.96 * width, 0.95 * height
    axes.plot([right - pixels, right], [bottom, bottom], color="white", linewidth=3,
              solid_capstyle="butt")  # fmt: skip
    axes.text(right - pixels / 2, bottom - 0.02 * height, scale_text(length), color="white",
              ha="center", va="bottom", fontsize=9,
              bbox={"boxstyle": "square,pad=0.15", "facecolor": "black", "alpha": 0.6,
                    "edgecolor": "none"})  # fmt: skip


def _alone(levels: np.ndarray, stain: str, colour: tuple[int, int, int]) -> np.ndarray:
    plane = np.clip(levels[STAIN_INDEX[stain]], 0, 1)[..., None]
    return np.rint(plane * np.array(colour, float)).astype(np.uint8)
