"""Tables as text for terminals: names in full, however narrow it is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

# Names get at least so many columns; a table of too many numbers is then wider than the terminal.
_LEAST = 12


def text_table(
    names: Sequence[str], columns: Mapping[str, Sequence[str]], width: int | None = None,
    title: str = "",
) -> str:  # fmt: skip
    """Return a table as lines of text: names on the left, columns aligned to the right.

    Parameters
    ----------
    names : sequence of str
        Name of each row. One that is longer than there is room for is wrapped, never cut.
    columns : mapping of str to sequence of str
        Texts of each column, one per row, by its heading.
    width : int, optional
        Columns of the terminal. If omitted, every name stays on one line.
    title : str, default=""
        Heading of the names.

    Returns
    -------
    str
        Columns are separated by two spaces, or by one where the table would be too wide.

    Examples
    --------
    >>> print(text_table(["Nucleoplasm", "Rods & rings"], {"positives": ["12,885", "11"]}))
                  positives
    Nucleoplasm      12,885
    Rods & rings         11
    """
    widths = [max(map(len, [head, *texts])) for head, texts in columns.items()]
    longest = max(map(len, [title, *names]))
    gap = 2
    if width is not None and longest + sum(widths) + gap * len(widths) > width:
        gap = 1
        longest = min(longest, max(width - sum(widths) - len(widths), _LEAST))
    lines = []
    rows = [(title, list(columns)), *zip(names, zip(*columns.values()))]
    for name, texts in rows:
        first, *others = textwrap.wrap(
            name, longest, subsequent_indent="  ", break_on_hyphens=False
        ) or [""]  # fmt: skip
        cells = [f"{text:>{size + gap}}" for text, size in zip(texts, widths)]
        lines += [f"{first:<{longest}}{''.join(cells)}", *others]
    return "\n".join(lines)
