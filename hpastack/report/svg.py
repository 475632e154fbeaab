"""Small SVG charts, coloured by the style sheet of the page.

Independent of labels and scores. Text is escaped. Coordinates have one decimal, which keeps the
page small and its bytes reproducible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from hpastack.pictures import OTHER_STYLE, SYMBOLS

# The symbols of the figures; their circle has a radius of 0.8.
_PATHS = {symbol.name: symbol.path for symbol in (*SYMBOLS, OTHER_STYLE.symbol)}
_SCALE = 1 / 0.8

_LEFT, _BOTTOM, _TOP, _RIGHT = 46, 40, 10, 12


class Chart:
    """A chart with two axes, to which marks are added in drawing order.

    Parameters
    ----------
    label : str
        Description of the chart for screen readers.
    x, y : (float, float)
        Limits of the axes.
    x_title, y_title : str
    width, height : float, default=320, 270
        In user units of the SVG; one unit is one pixel if the page is wide enough.
    x_ticks, y_ticks : sequence of float, optional
        Default: about five steps.
    log_x, log_y : bool, default=False
        Whether an axis is logarithmic.
    left : float, default=46
        Width reserved for the tick labels of the vertical axis.
    """

    def __init__(
        self,
        label: str,
        *,
        x: tuple[float, float] = (0, 1),
        y: tuple[float, float] = (0, 1),
        x_title: str = "",
        y_title: str = "",
        width: float = 320,
        height: float = 270,
        x_ticks: Sequence[float] | None = None,
        y_ticks: Sequence[float] | None = None,
        log_x: bool = False,
        log_y: bool = False,
        left: float = _LEFT,
    ) -> None:
        self.label = label
        self._x, self._y = x, y
        self._log_x, self._log_y = log_x, log_y
        self.width, self.height = width, height
        self._left = left
        self._marks: list[str] = []
        self._axes(
            x_title,
            y_title,
            ticks(*x, log=log_x) if x_ticks is None else x_ticks,
            ticks(*y, log=log_y) if y_ticks is None else y_ticks,
        )

    def px(self, value: float) -> float:
        """Horizontal coordinate of a value."""
        share = _share(value, self._x, self._log_x)
        return self._left + share * (self.width - self._left - _RIGHT)

    def py(self, value: float) -> float:
        """Vertical coordinate of a value."""
        share = _share(value, self._y, self._log_y)
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)

    def add(self, markup: str) -> None:
        """Add SVG elements unchanged; their text must be escaped."""
        self._marks.append(markup)

    def line(self, xs: Iterable[float], ys: Iterable[float], css: str = "line") -> None:
        """Draw a line through points."""
        points = [f"{number(self.px(a))} {number(self.py(b))}" for a, b in zip(xs, ys)]
        if points:
            self.add(f'<path class="{css}" d="M{"L".join(points)}"/>')

    def rule(self, start: tuple[float, float], end: tuple[float, float], css: str = "rule") -> None:
        """Draw a straight line, dashed by default."""
        self.line((start[0], end[0]), (start[1], end[1]), css)

    def point(
        self,
        x: float,
        y: float,
        *,
        radius: float = 4,
        css: str = "dot",
        title: str = "",
        marker: str = "circle",
        data: str = "",
    ) -> None:
        """Draw a mark with a tooltip."""
        self.add(mark(self.px(x), self.py(y), radius, css=css, title=title, shape=marker,
                      data=data))  # fmt: skip

    def text(self, x: float, y: float, content: str, css: str = "note", dx: float = 0) -> None:
        """Write text at a point of the axes."""
        place = f'x="{number(self.px(x) + dx)}" y="{number(self.py(y))}"'
        self.add(f'<text class="{css}" {place}>{escape(content)}</text>')

    def markup(self) -> Markup:
        """Return the chart as SVG."""
        return drawing("".join(self._marks), self.width, self.height, self.label)

    def _axes(
        self, x_title: str, y_title: str, x_ticks: Sequence[float], y_ticks: Sequence[float]
    ) -> None:
        left, right = self._left, self.width - _RIGHT
        bottom, middle = self.height - _BOTTOM, (_TOP + self.height - _BOTTOM) / 2
        for value in x_ticks:
            at = number(self.px(value))
            self.add(f'<path class="grid" d="M{at} {_TOP}V{number(bottom)}"/>')
            self.add(f'<text class="tick mid" x="{at}" y="{number(bottom + 15)}">{plain(value)}'
                     "</text>")  # fmt: skip
        for value in y_ticks:
            y = self.py(value)
            self.add(f'<path class="grid" d="M{number(left)} {number(y)}H{number(right)}"/>')
            self.add(f'<text class="tick end" x="{number(left - 6)}" y="{number(y + 4)}">'
                     f"{plain(value)}</text>")  # fmt: skip
        if x_title:
            self.add(f'<text class="axis mid" x="{number((left + right) / 2)}" '
                     f'y="{number(self.height - 6)}">{escape(x_title)}</text>')  # fmt: skip
        if y_title:
            self.add(f'<text class="axis mid" transform="translate(12 {number(middle)}) '
                     f'rotate(-90)">{escape(y_title)}</text>')  # fmt: skip


def drawing(marks: str, width: float, height: float, label: str, css: str = "chart") -> Markup:
    """Return marks as an SVG image.

    Parameters
    ----------
    marks : str
        SVG elements, escaped.
    width, height : float
    label : str
        Description for screen readers. If empty, the image is hidden from them, because
        nearby text says the same.
    css : str, default="chart"

    Returns
    -------
    Markup
    """
    named = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    size = f'width="{number(width)}" height="{number(height)}"'
    box = f"0 0 {number(width)} {number(height)}"
    return Markup(f'<svg class="{css}" {size} viewBox="{box}" {named}>{marks}</svg>')


def mark(
    x: float,
    y: float,
    radius: float,
    *,
    css: str = "dot",
    title: str = "",
    shape: str = "circle",
    data: str = "",
) -> str:
    """Return a mark as an SVG element.

    Parameters
    ----------
    x, y, radius : float
        In user units of the SVG.
    css : str, default="dot"
        Class of the element.
    title : str, optional
        Tooltip.
    shape : str, default="circle"
        Name of a symbol of `hpastack.pictures`.
    data : str, optional
        Further attributes, escaped.

    Returns
    -------
    str
    """
    r, inner = radius, f"<title>{escape(title)}</title>" if title else ""
    head = f'class="{css}"' + (f" {data}" if data else "")
    if shape == "circle":
        return f'<circle {head} cx="{number(x)}" cy="{number(y)}" r="{number(r)}">{inner}</circle>'
    place = f"translate({number(x)} {number(y)}) scale({_SCALE * r:.3g})"
    return f'<path {head} transform="{place}" d="{_PATHS[shape]}">{inner}</path>'


def interval_strip(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    ends: tuple[float, float] = (0, 1),
    other: float | None = None,
    zero: float | None = None,
    width: float = 96,
    css: str = "strip",
    label: str = "",
) -> Markup:
    """Return a value with its interval as a small chart for a table cell.

    Parameters
    ----------
    value, low, high : float or None
        None or NaN if missing.
    ends : (float, float), default=(0, 1)
        Limits of the axis.
    other : float, optional
        Value to compare with, drawn as a hollow diamond.
    zero : float, optional
        Reference value, drawn as a vertical line.
    width : float, default=96
    css : str, default="strip"
    label : str, optional
        Description for screen readers, unless nearby text says the same.

    Returns
    -------
    Markup
    """
    height, edge = 16, 6

    def place(at: float) -> float:
        return edge + min(1.0, max(0.0, _share(at, ends, False))) * (width - 2 * edge)

    marks = [f'<path class="track" d="M{edge} 8H{number(width - edge)}"/>']
    if zero is not None:
        marks.append(f'<path class="zero" d="M{number(place(zero))} 1V15"/>')
    if known(low) and known(high):
        ends_at = f"M{number(place(low))} 8H{number(place(high))}"  # type: ignore[arg-type]
        marks.append(f'<path class="interval" d="{ends_at}"/>')
    if known(other):
        marks.append(mark(place(other), 8, 3.4, css="other", shape="diamond"))  # type: ignore[arg-type]
    if known(value):
        marks.append(mark(place(value), 8, 3.6))  # type: ignore[arg-type]
    return drawing("".join(marks), width, height, label, css)


def bar(share: float, *, width: float = 120, css: str = "bar", label: str = "") -> Markup:
    """Return a fraction as a horizontal bar.

    Parameters
    ----------
    share : float
    width : float, default=120
    css : str, default="bar"
    label : str, optional

    Returns
    -------
    Markup
    """
    filled = number(min(1.0, max(0.0, share if known(share) else 0.0)) * width)
    marks = (
        f'<rect class="track" width="{number(width)}" height="8" y="2" rx="2"/>'
        f'<rect class="filled" width="{filled}" height="8" y="2" rx="2"/>'
    )
    return drawing(marks, width, 12, label, css)


def ticks(low: float, high: float, *, log: bool = False, n: int = 5) -> list[float]:
    """Return round tick values for an axis.

    Parameters
    ----------
    low, high : float
    log : bool, default=False
        Whether the ticks are powers of ten.
    n : int, default=5
        Maximum number of steps.

    Returns
    -------
    list of float

    Examples
    --------
    >>> ticks(0, 1), ticks(0, 37), ticks(0.003, 20, log=True)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 10.0, 20.0, 30.0], [0.01, 0.1, 1.0, 10.0])
    """
    if log:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        return [10.0**power for power in powers]
    if not high > low:
        return [float(low)]
    size = 10.0 ** math.floor(math.log10((high - low) / n))
    step = next(size * f for f in (1, 2, 5, 10) if (high - low) / (size * f) <= n + 1e-9)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


def number(value: float) -> str:
    """Format a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def plain(value: float) -> str:
    """Format the value of a tick without trailing zeros or exponent."""
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def known(value: float | None) -> bool:
    """Return whether a value is neither None nor NaN."""
    return value is not None and not math.isnan(value)


def _share(value: float, ends: tuple[float, float], log: bool) -> float:
    low, high = ends
    if log:
        value, low, high = (math.log10(max(v, 1e-300)) for v in (value, low, high))
    return (value - low) / ((high - low) or 1)
