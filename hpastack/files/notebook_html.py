"""Small HTML tables shown by notebooks instead of a ``repr``, in the colours of the theme."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

# No colours: text and lines follow the notebook's theme, light or dark.
_LEFT = 'style="text-align:left;vertical-align:top"'
_NAME = 'style="text-align:left;vertical-align:top;white-space:nowrap"'
_RIGHT = 'style="text-align:right;vertical-align:top"'


def html_facts(title: str, facts: Mapping[str, object], *, note: str = "") -> str:
    """Return a title and a table of facts, one row per fact.

    Parameters
    ----------
    title, note : str
        Above and below the table.
    facts : mapping of str to object
        Empty values are ignored.

    Returns
    -------
    str
        HTML, with all text escaped.

    Examples
    --------
    >>> html_facts("Store", {"kind": "<b>", "recipe": ""}).count("&lt;b&gt;")
    1
    """
    rows = "".join(
        f"<tr><th {_NAME}>{escape(name)}</th><td {_LEFT}>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if str(value)
    )
    below = f"<div>{escape(note)}</div>" if note else ""
    return f"<div><strong>{escape(title)}</strong><table><tbody>{rows}</tbody></table>{below}</div>"


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose numbers are right-aligned.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequence of object
        Floats are written with three decimals (four below 0.01), and NaN as a dash.

    Returns
    -------
    str
        HTML, with all text escaped.

    Examples
    --------
    >>> html_table(["label", "F1"], [["Golgi", 0.5]]).count("0.500")
    1
    """
    head = "".join(f"<th {_LEFT}>{escape(str(name))}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_details(summary: str, content: str, *, is_open: bool = False) -> str:
    """Return HTML content collapsed below a summary line, or expanded if `is_open`."""
    tag = "details open" if is_open else "details"
    return f"<{tag}><summary>{escape(summary)}</summary>{content}</details>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"<td {_RIGHT}>{_float_text(value)}</td>"
    if isinstance(value, int):
        return f"<td {_RIGHT}>{value:,}</td>"
    return f"<td {_LEFT}>{escape(str(value))}</td>"


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
