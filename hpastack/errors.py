"""The one exception that means "what you gave is wrong, and here is the remedy"."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(ValueError):
    """Say that something the user supplied is wrong.

    The message is one line that names the file, id, column or key at fault and
    the remedy. Commands print it and leave with exit status 2; every other
    exception is a bug and keeps its traceback.
    """


def shorten(names: Iterable[object], limit: int = 5) -> str:
    """Write a list of names on one line, cut after `limit` of them.

    Parameters
    ----------
    names : iterable of object
        What to list, in the order to show it.
    limit : int, default=5
        How many to spell out.

    Returns
    -------
    str
        ``"a, b, c and 4 more"``.

    Examples
    --------
    >>> shorten(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    texts = [str(name) for name in names]
    head = ", ".join(texts[:limit])
    return head if len(texts) <= limit else f"{head} and {len(texts) - limit} more"
