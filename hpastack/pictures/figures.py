"""Figures that a notebook shows by itself, in a look of their own.

They are made with matplotlib's object interface, never pyplot: nothing has to be closed, no
backend is needed, and the user's settings are neither used nor changed. As the last expression
of a cell a figure shows itself; ``IPython.display.display`` shows several.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpastack.pictures._matplotlib import ConstrainedLayoutEngine, Figure, matplotlib

#: Colours of text, of what stands back, and of the grid.
INK, FAINT, GRID = "#333333", "#777777", "#e4e4e4"
#: Resolution of figures in files, and in a notebook.
DOTS_PER_INCH, NOTEBOOK_DOTS_PER_INCH = 150, 100

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "figure.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    # A label called "a$b$c" is a name, not a formula.
    "text.parse_math": False,
}


class ShownFigure(Figure):
    """A figure that a notebook shows without pyplot and without a magic command."""

    def _repr_png_(self) -> bytes:
        return figure_png(self, NOTEBOOK_DOTS_PER_INCH)


def new_figure(width: float, height: float) -> ShownFigure:
    """Return an empty figure of that size in inches; to be called within `style`."""
    layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
    return ShownFigure(figsize=(width, height), layout=layout)


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib to its defaults and the look of these figures, until the block ends."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def figure_png(figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Return a figure as a PNG file; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    dots_per_inch : int, default=150

    Returns
    -------
    bytes
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


def shortened(name: str, limit: int = 34) -> str:
    """Return a name that fits beside or above a plot."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
