"""Formats of numbers and values in the report."""

from __future__ import annotations

import json
import math

#: Text for an undefined score.
MISSING = "–"


def score_text(value: float | None, digits: int = 3) -> str:
    """Format a score with a fixed number of decimals.

    Parameters
    ----------
    value : float or None
        None (in a manifest) or NaN if the score is undefined.
    digits : int, default=3

    Returns
    -------
    str

    Examples
    --------
    >>> score_text(0.5), score_text(float("nan"))
    ('0.500', '–')
    """
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def signed_text(value: float | None, digits: int = 3) -> str:
    """Format a difference with its sign; without a sign if it rounds to 0.

    Parameters
    ----------
    value : float or None
    digits : int, default=3

    Returns
    -------
    str

    Examples
    --------
    >>> signed_text(-0.25, 2), signed_text(0.25, 2), signed_text(0.0001, 2)
    ('−0.25', '+0.25', '0.00')
    """
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:+.{digits}f}".replace("-", "−")  # a minus sign is as wide as a plus sign
    return text if text.strip("+−0.") else text[1:]


def sort_key(value: float | None) -> str:
    """Return the sort key of a number in a table of the page; empty if undefined.

    Parameters
    ----------
    value : float or None

    Returns
    -------
    str

    Examples
    --------
    >>> sort_key(0.12345678), sort_key(12885), sort_key(None)
    ('0.123457', '12885', '')
    """
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def seconds_text(value: float | None) -> str:
    """Format a duration with two significant digits, or whole seconds above 10 s.

    Parameters
    ----------
    value : float or None

    Returns
    -------
    str

    Examples
    --------
    >>> seconds_text(0.0123), seconds_text(4.26), seconds_text(321.4)
    ('0.012 s', '4.3 s', '321 s')
    """
    if value is None or math.isnan(value):
        return MISSING
    digits = 3 if value < 0.1 else 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:.{digits}f} s"


def value_text(value: object) -> str:
    """Format the value of a setting.

    Parameters
    ----------
    value : object
        A JSON value.

    Returns
    -------
    str

    Examples
    --------
    >>> value_text(["a", 1]), value_text(None), value_text([])
    ('a, 1', 'null', 'none')
    """
    if isinstance(value, (list, tuple)):
        return ", ".join(map(value_text, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
