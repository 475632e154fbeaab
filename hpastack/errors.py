"""The exception for invalid input, and how messages write names and numbers."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


class InputError(ValueError):
    """Invalid input: the message names the file, id, column or key at fault and the remedy.

    Commands print it on one line and exit with status 2; every other exception is a bug and
    keeps its traceback. A message of the library names parameters, as a notebook's user knows
    them; a command adds its options for those in `parameters`.

    Parameters
    ----------
    message : str
        One line.
    *parameters : str
        Names of the parameters that the remedy changes, in the order to show them.

    Examples
    --------
    >>> InputError("a.h5 exists; pass overwrite=True", "overwrite").parameters
    ('overwrite',)
    """

    def __init__(self, message: str, *parameters: str) -> None:
        super().__init__(message)
        self.parameters = parameters


def shorten(names: Iterable[object], limit: int = 5) -> str:
    r"""Write a list of names on one line, cut after `limit` of them.

    Parameters
    ----------
    names : iterable of object
        What to list, in the order to show it.
    limit : int, default=5
        How many to spell out.

    Returns
    -------
    str
        ``"a, b, c and 4 more"``. What would look like another name (blanks at the ends,
        characters that are not printed, decomposed accents) is written with escapes.

    Examples
    --------
    >>> shorten(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    >>> print(shorten(["caf\u00e9", "cafe\u0301", "a\u00a0b", "a "]))
    café, cafe\u0301, a\xa0b, 'a '
    """
    texts = [visible(name) for name in names]
    head = ", ".join(texts[:limit])
    return head if len(texts) <= limit else f"{head} and {len(texts) - limit} more"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with what it counts.

    Parameters
    ----------
    number : int
    noun : str
        For one.
    plural : str, optional
        For any other number, if not `noun` and "s".

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "field"), counted(31072, "field"), counted(0, "copy", "copies")
    ('1 field', '31,072 fields', '0 copies')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def visible(name: object) -> str:
    """Write a name so that no other looks the same.

    Parameters
    ----------
    name : object

    Returns
    -------
    str
        Its text. With escapes, as in a Python string, where it holds characters that are not
        printed, or accents that are characters of their own; in quotes with blanks at an end.
    """
    text = str(name)
    if not text.isprintable() or not unicodedata.is_normalized("NFC", text):
        text = text.encode("unicode_escape").decode("ascii")
    return repr(text) if text != text.strip() else text
