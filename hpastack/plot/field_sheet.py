"""A sheet of several fields, each with its caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.metrics.examples import telling_fields
from hpastack.pictures import DEFAULT_PALETTE, Captioned, Section, field_tile, picture_sheet
from hpastack.pictures._matplotlib import Axes
from hpastack.plot.display import Display
from hpastack.plot.predictions import Annotated
from hpastack.plot.scaled_fields import catalogue_row, read_scaled
from hpastack.stack import StackClassifier

_OUTCOMES = {
    "right": "annotated and predicted",
    "extra": "predicted, not annotated",
    "missed": "annotated, not predicted",
}
# Pixels per inch of a sheet in a new figure, the resolution of a notebook.
_SHEET_PIXELS_PER_INCH = 100


@dataclass(eq=False, repr=False)
class FieldSheetDisplay(Display):
    """A sheet of fields: merged stains beside the protein in grey, each with its caption.

    Parameters
    ----------
    sheet : ndarray of uint8, shape (H, W, 3)
        From `hpastack.picture_sheet`.

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
        """Arrange pictures on a sheet and draw it.

        Parameters
        ----------
        pictures : mapping of str to ndarray of uint8, shape (H, W, 3)
            RGB pictures by image id, such as those from `hpastack.field_tile`.
        captions : mapping of str to sequence of str, optional
            Further lines below a picture, by image id.
        heading : str, default=""
        columns : int, default=3
            Pictures per row.
        ax : matplotlib Axes, optional

        Returns
        -------
        FieldSheetDisplay

        Raises
        ------
        InputError
            If `pictures` is empty.
        """
        if not pictures:
            raise InputError("pictures is empty; a sheet needs at least one field")
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
            From `hpastack.read_catalogue`.
        image_ids : sequence of str
            In the order of the sheet.
        labels : DataFrame of {0, 1}, optional
            Annotated labels, indexed by image id, one column per label name; the
            names are written below each field.
        probabilities : DataFrame of float, optional
            Predicted probabilities; the three highest of each field are written below it.
        captions : mapping of str to sequence of str, optional
            Further lines below a field, by image id.
        size : int, default=192
            Longer side of a field, in pixels.
        heading, columns, palette, ax
            As in `from_pictures` and `FieldDisplay`.

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
            field, pixel_size = read_scaled(catalogue_row(catalogue, image_id), size)
            tiles[image_id] = field_tile(field, pixel_size=pixel_size, palette=palette)
            lines[image_id] = [
                *_label_line(labels, image_id),
                *_probability_line(probabilities, image_id),
                *(captions or {}).get(image_id, ()),
            ]
        return cls.from_pictures(
            tiles, captions=lines, heading=heading, columns=columns, ax=ax
        )  # fmt: skip

    @classmethod
    def from_stack(
        cls,
        stack: StackClassifier,
        y: pd.DataFrame,
        catalogue: pd.DataFrame,
        label: str | int,
        *,
        groups: Any = None,
        n_fields: int = 3,
        size: int = 192,
        palette: str = DEFAULT_PALETTE,
        ax: Any = None,
    ) -> Self:
        """Draw examples of correct and wrong out-of-fold predictions of one label.

        The rows are fields in which the label is annotated and predicted, predicted
        but not annotated, and annotated but not predicted; each field with its labels.

        Parameters
        ----------
        stack : StackClassifier
        y : DataFrame of {0, 1}
            Annotated labels of its training fields, joined by id.
        catalogue : DataFrame
            From `hpastack.read_catalogue`.
        label : str or int
            Name or number of a label.
        groups : Series or array-like, shape (n,), optional
            Cluster of each training field; at most one field per cluster is shown.
        n_fields : int, default=3
            Fields per row.
        size, palette, ax
            As in `from_catalogue`.

        Returns
        -------
        FieldSheetDisplay

        Raises
        ------
        InputError
            If `y` or `groups` do not match, there is no such label, or a field
            is missing from the catalogue or cannot be read.
        """
        annotated = Annotated.of_stack(stack, y)
        (k,) = annotated.chosen(label)
        probabilities, labels = stack.oof_probabilities_, stack.oof_labels_
        clusters = None if groups is None else annotated.groups(groups)
        chosen = telling_fields(
            annotated.y[:, k], labels.to_numpy()[:, k], probabilities.to_numpy(float)[:, k],
            n_fields, clusters,
        )  # fmt: skip
        truth = pd.DataFrame(annotated.y, probabilities.index, stack.labels_)
        sections = []
        for outcome, rows in chosen.items():
            shown = []
            for image_id in probabilities.index[rows]:
                field, pixel_size = read_scaled(catalogue_row(catalogue, image_id), size)
                tile = field_tile(field, pixel_size=pixel_size, palette=palette)
                value = probabilities.loc[image_id].iloc[k]
                lines = (
                    f"{annotated.names[k]} {value:.2f}",
                    *_label_line(truth, image_id),
                    *_label_line(labels.set_axis(stack.labels_, axis=1), image_id, "predicted"),
                )
                shown.append(Captioned(tile, (str(image_id), *lines)))
            heading = f"{annotated.names[k]}: {_OUTCOMES[outcome]}"
            sections.append(Section(heading if shown else f"{heading}: none", shown))
        return cls(picture_sheet(sections, n_fields)).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        height, width = self.sheet.shape[:2]
        return width / _SHEET_PIXELS_PER_INCH, height / _SHEET_PIXELS_PER_INCH

    def _draw(self, panels: list[Axes]) -> None:
        (axes,) = panels
        axes.imshow(self.sheet, interpolation="antialiased")
        axes.set_axis_off()
        if self._is_own_figure:
            # Without rescaling, so that the captions stay sharp.
            whole: Any = axes.figure
            whole.set_layout_engine("none")
            axes.set_position((0, 0, 1, 1))


def _label_line(labels: pd.DataFrame | None, image_id: str, title: str = "annotated") -> list[str]:
    if labels is None:
        return []
    if image_id not in labels.index:
        raise InputError(f"labels: field {image_id} is missing")
    row = labels.loc[image_id]
    names = [str(name) for name in labels.columns[row.to_numpy() == 1]]
    return [f"{title}: {', '.join(names) or 'nothing'}"]


def _probability_line(probabilities: pd.DataFrame | None, image_id: str) -> list[str]:
    if probabilities is None:
        return []
    if image_id not in probabilities.index:
        raise InputError(f"probabilities: field {image_id} is missing")
    values = probabilities.loc[image_id].to_numpy(float)
    highest = np.argsort(-values, kind="stable")[:3]
    texts = [f"{probabilities.columns[k]} {values[k]:.2f}" for k in highest]
    return [f"predicted: {', '.join(texts)}"]
