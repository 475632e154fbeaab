"""What all displays have in common: where they draw, and how a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from hpastack.errors import InputError
from hpastack.pictures._matplotlib import Axes, Text
from hpastack.pictures.figures import ShownFigure, new_figure, shortened, style

#: The stack, what it is compared with, and further systems: told apart with any colour vision,
#: and by their symbols.
STACK, START = "#0072B2", "#E69F00"


class Display:
    """A plot whose numbers are kept, so that it can be drawn again.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        What it is drawn in; there once `plot` has been called.
    ax_ : matplotlib Axes, or ndarray of them
        One for each panel; without the array where there is one panel.
    """

    figure_: Any
    ax_: Any
    _is_own_figure = False

    def plot(self, ax: Any = None) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw: as many as there are panels, or one, whose place the
            panels share. If omitted, a new figure, which the notebook shows.

        Returns
        -------
        Display
            Itself.

        Raises
        ------
        InputError
            If `ax` holds another number of Axes than there are panels.
        """
        given = None if ax is None else np.ravel(np.array(ax, dtype=object)).tolist()
        self._is_own_figure = given is None
        if given is None:
            with style():
                figure = new_figure(*self._size())
                panels = self._panels(figure)
                self._draw(panels)
            self.figure_ = figure
        else:
            panels = self._panels_within(given)
            self._draw(panels)
            self.figure_ = given[0].figure
            for text in (text for axes in panels for text in axes.findobj(Text)):
                # A label called "a$b$c" is a name, not a formula.
                text.set_parse_math(False)
        self.ax_ = panels[0] if len(panels) == 1 else np.array(panels, dtype=object)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _repr_png_(self) -> bytes | None:
        if not hasattr(self, "figure_"):
            self.plot()
        # Axes of one's own belong to a figure that is shown by whoever made it.
        is_shown = self._is_own_figure and isinstance(self.figure_, ShownFigure)
        return self.figure_._repr_png_() if is_shown else None

    # What a display says of itself.

    def _size(self) -> tuple[float, float]:
        """Return the width and height of a figure of its own, in inches."""
        raise NotImplementedError

    def _grid(self) -> tuple[int, int]:
        """Return the number of panels, and how many of them stand side by side."""
        return 1, 1

    def _draw(self, panels: list[Axes]) -> None:
        raise NotImplementedError

    def _panels(self, figure: Any) -> list[Axes]:
        """Make the panels in a figure, or in a part of one."""
        n_panels, n_columns = self._grid()
        n_rows = -(-n_panels // n_columns)
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
        for unused in grid[n_panels:]:
            unused.remove()
        return grid[:n_panels]

    def _panels_within(self, given: list[Axes]) -> list[Axes]:
        n_panels, n_columns = self._grid()
        if len(given) == n_panels:
            return given
        if len(given) > 1:
            raise InputError(f"ax holds {len(given)} Axes; give 1, or {n_panels}: one per panel")
        (whole,) = given
        whole.set_axis_off()
        n_rows = -(-n_panels // n_columns)
        cells = whole.get_subplotspec()
        if cells is None:
            raise InputError("ax was placed by hand; give Axes of subplots(), or one per panel")
        grid = cells.subgridspec(n_rows, n_columns)
        return [whole.figure.add_subplot(grid[k]) for k in range(n_panels)]


def grid_of(n_panels: int, most_columns: int) -> tuple[int, int]:
    """Return the number of panels, and how many stand side by side, of at most so many.

    Examples
    --------
    >>> grid_of(4, 3), grid_of(2, 3), grid_of(8, 4)
    ((4, 2), (2, 2), (8, 4))
    """
    n_rows = -(-n_panels // most_columns)
    return n_panels, -(-n_panels // n_rows)


def name_rows(axes: Axes, names: Sequence[str], counts: np.ndarray) -> None:
    """Name the rows of a plot of labels, with how often each occurs; the last row is on top."""
    shown = [f"{shortened(name)} ({count:,})" for name, count in zip(names, counts.tolist())]
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_ylabel("label (positives)")


def from_rare_to_common(positives: np.ndarray) -> np.ndarray:
    """Return the order of labels in a plot whose last row is on top: the commonest there."""
    return np.argsort(-positives, kind="stable")[::-1]
