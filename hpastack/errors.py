"""The exception for invalid input, and functions that format names and numbers in messages."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """Invalid input: the message names the file, id, column or key at fault and the remedy.

    Commands print it on one line and exit with status 2; any other exception is a bug and
    keeps its traceback. Messages of the library name the parameters of Python; a command adds
    its options for those in `parameters`.

    Parameters
    ----------
    message : str
        One line.
    *parameters : str
        Names of the parameters that the remedy changes, in display order.

    Examples
    --------
    >>> InputError("a.h5 exists; pass overwrite=True", "overwrite").parameters
    ('overwrite',)
    """

    def __init__(self, message: str, *parameters: str) -> None:
        super().__init__(message)
        self.parameters = parameters


def shorten(names: Iterable[object], limit: int = 5) -> str:
    r"""Format a list of names on one line, shortened after `limit` names.

    Parameters
    ----------
    names : iterable of object
        The names, in display order.
    limit : int, default=5
        Maximum number of names to write out.

    Returns
    -------
    str
        Such as ``"a, b, c and 4 more"``. A name that would look like another one (leading or
        trailing whitespace, unprintable characters, decomposed accents) is escaped.

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


def listed(names: Sequence[str]) -> str:
    """Format names as an enumeration in a sentence.

    Parameters
    ----------
    names : sequence of str
        At least one.

    Returns
    -------
    str

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Format a number with its noun.

    Parameters
    ----------
    number : int
    noun : str
        In the singular.
    plural : str, optional
        Default: `noun` and "s".

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
    """Format a name so that different names look different.

    Parameters
    ----------
    name : object

    Returns
    -------
    str
        Its text. Escaped as in a Python string if it contains unprintable characters or
        decomposed accents; in quotes if it has leading or trailing whitespace.
    """
    text = str(name)
    if not text.isprintable() or not unicodedata.is_normalized("NFC", text):
        text = text.encode("unicode_escape").decode("ascii")
    return repr(text) if text != text.strip() else text
