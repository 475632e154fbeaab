"""Colours and symbols of groups; either is sufficient to distinguish up to eight groups."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from hpastack.pictures import SYMBOLS
from hpastack.report.svg import drawing, mark

#: Classes of the style sheet with distinguishable colours.
SERIES = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8")


def symbol(number: int) -> tuple[str, str]:
    """Return the class of the colour and the name of the symbol of a group.

    Parameters
    ----------
    number : int
        Number of the group, from 0. The first 88 differ in colour or symbol; the first eight in
        both.

    Returns
    -------
    (str, str)

    Examples
    --------
    >>> symbol(1), symbol(9)
    (('s2', 'triangle'), ('s2', 'hexagon'))
    """
    # 8 and 11 are coprime, so the first 88 pairs of colour and symbol differ.
    return SERIES[number % len(SERIES)], SYMBOLS[number % len(SYMBOLS)].name


def legend(names: Sequence[str], *, lines: bool = False) -> Markup:
    """Legend of the symbols of groups.

    Parameters
    ----------
    names : sequence of str
        Names of the groups, in the order of their numbers.
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
