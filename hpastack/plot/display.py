"""Base class of the displays: drawing into Axes, and display in notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from hpastack.errors import InputError
from hpastack.pictures._matplotlib import Axes, Text
from hpastack.pictures.figures import ShownFigure, new_figure, shortened, style

#: Colours of the stack and of the system it is compared with; distinguishable with any colour
#: vision, and by their symbols.
STACK, START = "#0072B2", "#E69F00"


class Display:
    """A plot that stores its data, so that it can be redrawn.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure; set by `plot`.
    ax_ : matplotlib Axes, or ndarray of them
        One per panel; a single Axes if there is one panel.
    """

    figure_: Any
    ax_: Any
    _is_own_figure = False

    def plot(self, ax: Any = None) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, optional
            Axes to draw into: one per panel, or one whose area is divided among
            the panels. Default: a new figure, which a notebook shows.

        Returns
        -------
        Display
            The display itself.

        Raises
        ------
        InputError
            If the number of Axes in `ax` is neither 1 nor the number of panels.
        """
        existing = None if ax is None else np.ravel(np.array(ax, dtype=object)).tolist()
        self._is_own_figure = existing is None
        if existing is None:
            with style():
                figure = new_figure(*self._size())
                panels = self._panels(figure)
                self._draw(panels)
            self.figure_ = figure
        else:
            panels = self._panels_within(existing)
            self._draw(panels)
            self.figure_ = existing[0].figure
            for text in (text for axes in panels for text in axes.findobj(Text)):
                # A label named "a$b$c" is not a formula.
                text.set_parse_math(False)
        self.ax_ = panels[0] if len(panels) == 1 else np.array(panels, dtype=object)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _repr_png_(self) -> bytes | None:
        if not hasattr(self, "figure_"):
            self.plot()
        # A figure of existing Axes is shown by its owner.
        is_shown = self._is_own_figure and isinstance(self.figure_, ShownFigure)
        return self.figure_._repr_png_() if is_shown else None

    # Overridden by the displays.

    def _size(self) -> tuple[float, float]:
        """Return the width and height of a new figure, in inches."""
        raise NotImplementedError

    def _grid(self) -> tuple[int, int]:
        """Return the number of panels, and of columns."""
        return 1, 1

    def _draw(self, panels: list[Axes]) -> None:
        raise NotImplementedError

    def _panels(self, figure: Any) -> list[Axes]:
        """Return the panels, newly created in a figure or in a part of one."""
        n_panels, n_columns = self._grid()
        n_rows = -(-n_panels // n_columns)
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
        for unused in grid[n_panels:]:
            unused.remove()
        return grid[:n_panels]

    def _panels_within(self, existing: list[Axes]) -> list[Axes]:
        n_panels, n_columns = self._grid()
        if len(existing) == n_panels:
            return existing
        if len(existing) > 1:
            raise InputError(
                f"ax has {len(existing)} Axes; pass 1, or {n_panels} (one per panel)", "ax"
            )
        (whole,) = existing
        whole.set_axis_off()
        n_rows = -(-n_panels // n_columns)
        cells = whole.get_subplotspec()
        if cells is None:
            raise InputError(
                "ax has no subplot position; pass Axes from subplots(), or one per panel", "ax"
            )
        grid = cells.subgridspec(n_rows, n_columns)
        return [whole.figure.add_subplot(grid[k]) for k in range(n_panels)]


def grid_of(n_panels: int, most_columns: int) -> tuple[int, int]:
    """Return the number of panels, and of columns in a balanced grid with at most `most_columns`.

    Examples
    --------
    >>> grid_of(4, 3), grid_of(2, 3), grid_of(8, 4)
    ((4, 2), (2, 2), (8, 4))
    """
    n_rows = -(-n_panels // most_columns)
    return n_panels, -(-n_panels // n_rows)


def name_rows(axes: Axes, names: Sequence[str], counts: np.ndarray) -> None:
    """Label the rows of a plot with label names and their counts; the last row is on top."""
    shown = [f"{shortened(name)} ({count:,})" for name, count in zip(names, counts.tolist())]
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_ylabel("label (positives)")


def from_rare_to_common(positives: np.ndarray) -> np.ndarray:
    """Return the order of labels from the rarest to the commonest (drawn at the top)."""
    return np.argsort(-positives, kind="stable")[::-1]
