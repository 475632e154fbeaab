"""Groups told apart by colour and symbol, so that neither is needed alone."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from hpastack.report.svg import MARKERS, SERIES, drawing, mark


def symbol(number: int) -> tuple[str, str]:
    """Return the class of the colour and the marker of a group.

    Parameters
    ----------
    number : int
        Of the group, from 0. The first 64 differ, in colour or marker; the first eight in both.

    Returns
    -------
    (str, str)

    Examples
    --------
    >>> symbol(1), symbol(9)
    (('s2', 'square'), ('s2', 'triangle'))
    """
    n = len(SERIES)
    return SERIES[number % n], MARKERS[(number + number // n) % len(MARKERS)]


def legend(names: Sequence[str], *, lines: bool = False) -> Markup:
    """Return what the symbols of groups mean.

    Parameters
    ----------
    names : sequence of str
        In the order of their numbers.
    lines : bool, default=False
        Whether groups are drawn as lines that end in their symbol.

    Returns
    -------
    Markup
    """
    items = []
    for number, name in enumerate(names):
        css, marker = symbol(number)
        line = f'<path class="{css.replace("s", "l")}" d="M0 7H16"/>' if lines else ""
        drawn = drawing(line + mark(16 if lines else 8, 7, 4.5, css=css, shape=marker),
                        24 if lines else 16, 14, "", "symbol")  # fmt: skip
        items.append(f"<li>{drawn} {escape(name)}</li>")
    return Markup(f'<ul class="legend">{"".join(items)}</ul>')
