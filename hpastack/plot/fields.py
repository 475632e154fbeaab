"""Fields as pictures: one with its stains, and a sheet of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.fields import STAIN_INDEX, STAINS, field_pixel_size, read_field, row_stains
from hpastack.pictures import (
    COLOUR_NAMES,
    DEFAULT_PALETTE,
    Captioned,
    Section,
    brightened,
    field_tile,
    merged,
    picture_sheet,
    protein_in_grey,
    scale_bar,
    scale_text,
    stain_colours,
)
from hpastack.pictures._matplotlib import Axes
from hpastack.plot.display import Display

#: What each stain shows.
_SHOWS = {
    "red": "microtubules",
    "green": "protein",
    "blue": "nucleus",
    "yellow": "endoplasmic reticulum",
}
# Pixels per inch of a sheet in a figure of its own: as many as a notebook shows.
_SHEET_PIXELS_PER_INCH = 100


@dataclass(eq=False, repr=False)
class FieldDisplay(Display):
    """One field: its stains merged, the protein in grey with a scale bar, and each stain.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; a stain that the field does not have is 0.
    pixel_size : float, optional
        Micrometres per pixel of `field`; without it there is no scale bar.
    title : str, default=""
    stains : sequence of str, optional
        Those that the field has; all if omitted.
    palette : {"safe", "hpa"}, default="safe"
        Colours that everyone can tell apart, or those of the Human Protein Atlas.
    brighten : bool, default=True
        Whether to stretch each stain to its brightest thousandth.

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
            As `hpastack.read_catalogue` returns it. A column ``pixel_size``
            (micrometres) gives the scale bar.
        image_id : str
        size : int or None, default=512
            Longer side at which the field is drawn, in pixels; None: that of its files.
        palette, brighten
            As the class.
        ax : matplotlib Axes or sequence of Axes, optional
            As `plot`.

        Returns
        -------
        FieldDisplay

        Raises
        ------
        InputError
            If there is no such field or its files cannot be read.
        """
        row = _row(catalogue, image_id)
        field, pixel_size = _read(row, size)
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
            raise InputError(f"a field has shape (4, H, W), not {field.shape}")
        levels = brightened(field) if self.brighten else field
        pictures = {"merged": merged(levels, self.palette)}
        pictures["protein"] = protein_in_grey(levels)
        colours, words = stain_colours(self.palette), COLOUR_NAMES[self.palette]
        for stain in self.stains:
            name = words[stain] if words[stain] == stain else f"{stain}, shown {words[stain]}"
            pictures[f"{_SHOWS[stain]} ({name})"] = _alone(levels, stain, colours[stain])
        for axes, (title, picture) in zip(panels, pictures.items()):
            axes.imshow(picture, interpolation="antialiased")
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
        if self.pixel_size is not None:
            _draw_scale(panels[1], field.shape[1:], self.pixel_size)
        if self.title and self._is_own_figure:
            panels[0].figure.suptitle(self.title)


@dataclass(eq=False, repr=False)
class FieldSheetDisplay(Display):
    """A sheet of fields: stains merged beside the protein in grey, each with its caption.

    Parameters
    ----------
    sheet : ndarray of uint8, shape (H, W, 3)
        As `hpastack.picture_sheet` returns it.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import hpastack as hs
    >>> tile = hs.field_tile(hs.draw_field("7", size=96))
    >>> display = hs.plot.FieldSheetDisplay.from_pictures({"field 1": tile}).plot()
    >>> display.sheet.shape[2]
    3
    """

    sheet: np.ndarray

    @classmethod
    def from_pictures(
        cls,
        pictures: Mapping[str, np.ndarray],
        *,
        captions: Mapping[str, Sequence[str]] | None = None,
        heading: str = "",
        columns: int = 3,
        ax: Any = None,
    ) -> Self:
        """Lay pictures out on a sheet and draw it.

        Parameters
        ----------
        pictures : mapping of str to ndarray of uint8, shape (H, W, 3)
            RGB pictures by image id, such as `hpastack.field_tile` returns them.
        captions : mapping of str to sequence of str, optional
            Further lines below a picture, by image id.
        heading : str, default=""
        columns : int, default=3
            Pictures side by side.
        ax : matplotlib Axes, optional

        Returns
        -------
        FieldSheetDisplay

        Raises
        ------
        InputError
            If there is no picture.
        """
        if not pictures:
            raise InputError("a sheet needs at least one field")
        lines = captions or {}
        shown = [
            Captioned(picture, (image_id, *lines.get(image_id, ())))
            for image_id, picture in pictures.items()
        ]
        return cls(picture_sheet([Section(heading, shown)], columns)).plot(ax=ax)

    @classmethod
    def from_catalogue(
        cls,
        catalogue: pd.DataFrame,
        image_ids: Sequence[str],
        *,
        labels: pd.DataFrame | None = None,
        probabilities: pd.DataFrame | None = None,
        captions: Mapping[str, Sequence[str]] | None = None,
        size: int = 192,
        heading: str = "",
        columns: int = 3,
        palette: str = DEFAULT_PALETTE,
        ax: Any = None,
    ) -> Self:
        """Read fields and draw them on a sheet.

        Parameters
        ----------
        catalogue : DataFrame
            As `hpastack.read_catalogue` returns it.
        image_ids : sequence of str
            In the order of the sheet.
        labels : DataFrame of {0, 1}, optional
            Annotated labels, indexed by image id, one column per label name: the
            names stand below each field.
        probabilities : DataFrame of float, optional
            The three highest of each field stand below it.
        captions : mapping of str to sequence of str, optional
            Further lines below a field, by image id.
        size : int, default=192
            Longer side of a field, in pixels.
        heading, columns, palette, ax
            As `from_pictures` and `FieldDisplay`.

        Returns
        -------
        FieldSheetDisplay

        Raises
        ------
        InputError
            If a field is missing from a table or cannot be read.
        """
        tiles, lines = {}, {}
        for image_id in image_ids:
            field, pixel_size = _read(_row(catalogue, image_id), size)
            tiles[image_id] = field_tile(field, pixel_size=pixel_size, palette=palette)
            lines[image_id] = [
                *_label_line(labels, image_id),
                *_probability_line(probabilities, image_id),
                *(captions or {}).get(image_id, ()),
            ]
        return cls.from_pictures(
            tiles, captions=lines, heading=heading, columns=columns, ax=ax
        )  # fmt: skip

    def _size(self) -> tuple[float, float]:
        height, width = self.sheet.shape[:2]
        return width / _SHEET_PIXELS_PER_INCH, height / _SHEET_PIXELS_PER_INCH

    def _draw(self, panels: list[Axes]) -> None:
        (axes,) = panels
        axes.imshow(self.sheet, interpolation="antialiased")
        axes.set_axis_off()
        if self._is_own_figure:
            # Pixel for pixel, so that the captions stay sharp.
            whole: Any = axes.figure
            whole.set_layout_engine("none")
            axes.set_position((0, 0, 1, 1))


def _draw_scale(axes: Axes, shape: tuple[int, ...], pixel_size: float) -> None:
    """Draw a scale bar at the lower right, in lines and letters that stay sharp at any size."""
    height, width = shape
    length, pixels = scale_bar(width, pixel_size)
    right, bottom = 0.96 * width, 0.95 * height
    axes.plot([right - pixels, right], [bottom, bottom], color="white", linewidth=3,
              solid_capstyle="butt")  # fmt: skip
    axes.text(right - pixels / 2, bottom - 0.02 * height, scale_text(length), color="white",
              ha="center", va="bottom", fontsize=9,
              bbox={"boxstyle": "square,pad=0.15", "facecolor": "black", "alpha": 0.6,
                    "edgecolor": "none"})  # fmt: skip


def _row(catalogue: pd.DataFrame, image_id: str) -> pd.Series:
    if image_id not in catalogue.index:
        raise InputError(f"the catalogue has no field {image_id}")
    return catalogue.loc[[image_id]].iloc[0]


def _read(row: pd.Series, size: int | None) -> tuple[np.ndarray, float | None]:
    """Read a field, no larger than `size`, with the micrometres per pixel that it then has."""
    longer = max(int(row["height"]), int(row["width"]))
    field = read_field(row, size if size is not None and size < longer else None)
    pixel_size = field_pixel_size(row)
    return field, None if pixel_size is None else pixel_size * longer / max(field.shape[1:])


def _alone(levels: np.ndarray, stain: str, colour: tuple[int, int, int]) -> np.ndarray:
    plane = np.clip(levels[STAIN_INDEX[stain]], 0, 1)[..., None]
    return np.rint(plane * np.array(colour, float)).astype(np.uint8)


def _label_line(labels: pd.DataFrame | None, image_id: str) -> list[str]:
    if labels is None:
        return []
    if image_id not in labels.index:
        raise InputError(f"labels lack field {image_id}")
    row = labels.loc[image_id]
    names = [str(name) for name in labels.columns[row.to_numpy() == 1]]
    return [f"annotated: {', '.join(names) or 'nothing'}"]


def _probability_line(probabilities: pd.DataFrame | None, image_id: str) -> list[str]:
    if probabilities is None:
        return []
    if image_id not in probabilities.index:
        raise InputError(f"probabilities lack field {image_id}")
    values = probabilities.loc[image_id].to_numpy(float)
    highest = np.argsort(-values, kind="stable")[:3]
    said = [f"{probabilities.columns[k]} {values[k]:.2f}" for k in highest]
    return [f"predicted: {', '.join(said)}"]
