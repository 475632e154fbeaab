"""Dates in the formats used in tables."""

from __future__ import annotations

import re
from datetime import date

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?P<name>{'|'.join(_MONTHS)})[a-z]*\.?"
_MIDNIGHT = re.compile(r"[ t]00:00(:00(\.0+)?)?z?$")
_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>\d{4})([-/. ])(?P<month>\d{1,2})\2(?P<day>\d{1,2})",
        r"(?P<year>(19|20)\d\d)(?P<month>\d\d)(?P<day>\d\d)",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
        rf"(?P<day>\d{{1,2}})(\.|st|nd|rd|th)?[ -]{_MONTH}[ ,-]+(?P<year>\d{{4}}|\d\d)",
        rf"{_MONTH} (?P<day>\d{{1,2}})(st|nd|rd|th)?,? (?P<year>\d{{4}})",
        rf"(?P<year>\d{{4}})[ -]{_MONTH}[ -](?P<day>\d{{1,2}})",
    )
)
# Most countries write the day first, some the month.
_EITHER = re.compile(r"(?P<first>\d{1,2})([-/])(?P<second>\d{1,2})\2(?P<year>\d{4})")
# With hyphens in two digits each only: 1-2-21 may be a plate, a row and a column.
_SHORT = re.compile(r"(\d{1,2})([/.])(\d{1,2})\2(\d\d)|(\d\d)(-)(\d\d)-(\d\d)|(\d\d)()(\d\d)(\d\d)")
# Two-digit years from this one on are of the 20th century, as in POSIX.
_FIRST_OF_1900 = 69


def possible_dates(text: str) -> set[str]:
    """Return the possible dates of a text.

    Parameters
    ----------
    text : str
        In lower case.

    Returns
    -------
    set of str
        In ISO format, ``2021-03-04``; ``04/03/2021`` has two. Eight consecutive digits are a date
        if the year is 1900 or later. A year after the name of a month may have two digits: from
        1969 to 2068. Empty if the text is not a date.

    Examples
    --------
    >>> possible_dates("4 march 2021"), sorted(possible_dates("04/03/2021"))
    ({'2021-03-04'}, ['2021-03-04', '2021-04-03'])
    """
    text = _MIDNIGHT.sub("", text.strip())
    for form in _FORMS:
        if match := form.fullmatch(text):
            parts = match.groupdict()
            month = parts.get("month") or 1 + _MONTHS.index(parts["name"])
            return _valid(parts["year"], month, parts["day"])
    if match := _EITHER.fullmatch(text):
        year, first, second = match["year"], match["first"], match["second"]
        return _valid(year, second, first) | _valid(year, first, second)
    return set()


def possible_short_dates(text: str) -> set[str]:
    """Return the possible dates of numbers with a two-digit year, which always are ambiguous.

    Parameters
    ----------
    text : str

    Returns
    -------
    set of str
        In ISO format, from 1969 to 2068. ``04/03/21`` has three: the day, the month or the year
        may be first. Before points, the month is never first; in six consecutive digits the year
        is. Empty if the text is not such a date.

    Examples
    --------
    >>> sorted(possible_short_dates("04/03/21")), possible_short_dates("210304")
    (['2004-03-21', '2021-03-04', '2021-04-03'], {'2021-03-04'})
    """
    match = _SHORT.fullmatch(text.strip())
    if match is None:
        return set()
    first, mark, second, third = (part for part in match.groups() if part is not None)
    dates = _valid(first, second, third)
    if mark:
        dates |= _valid(third, second, first)
    if mark in ("/", "-"):
        dates |= _valid(third, first, second)
    return dates


def _valid(year: str, month: str | int, day: str) -> set[str]:
    number = int(year)
    if len(year) == 2:
        number += 1900 if number >= _FIRST_OF_1900 else 2000
    try:
        return {date(number, int(month), int(day)).isoformat()}
    except ValueError:
        return set()
