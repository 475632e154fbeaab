"""The one exception that means "what you gave is wrong, and here is the remedy"."""


class InputError(ValueError):
    """Say that something the user supplied is wrong.

    The message is one line that names the file, id, column or key at fault and
    the remedy. Commands print it and leave with exit status 2; every other
    exception is a bug and keeps its traceback.
    """


def shorten(names, limit=5):
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
    names = [str(name) for name in names]
    head = ", ".join(names[:limit])
    return head if len(names) <= limit else f"{head} and {len(names) - limit} more"
