"""Matplotlib figures that notebooks display automatically, with a fixed style.

They use matplotlib's object-oriented interface, not pyplot: figures need not be closed, no
backend is needed, and the user's settings are neither used nor changed. A figure is displayed if
it is the last expression of a cell; ``IPython.display.display`` displays several.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hpastack.pictures._matplotlib import ConstrainedLayoutEngine, Figure, matplotlib

#: Colours of text, of secondary elements and of the grid.
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
    # A label named "a$b$c" is not a formula.
    "text.parse_math": False,
}


class ShownFigure(Figure):
    """A figure that notebooks display without pyplot and without a magic command."""

    def _repr_png_(self) -> bytes:
        return figure_png(self, NOTEBOOK_DOTS_PER_INCH)


def new_figure(width: float, height: float) -> ShownFigure:
    """Return an empty figure of a size in inches; call it within `style`."""
    layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.06)
    return ShownFigure(figsize=(width, height), layout=layout)


@contextmanager
def style() -> Iterator[None]:
    """Context manager that sets matplotlib to its defaults and the style of these figures."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def figure_png(figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Encode a figure as PNG; equal figures give equal bytes.

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
    """Shorten a name to fit beside or above a plot."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
