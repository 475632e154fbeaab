"""Values of groups that are one and are written in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import pandas as pd

from hpastack.catalogue.table import COLUMNS
from hpastack.errors import shorten

# As pandas writes whole numbers of a column that once had gaps.
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0+")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
# HPA writes an antibody as HPA010000, and its files and ids as 10000.
_OF_HPA = re.compile(r"hpa(?=\d+$)")


def join_spellings(fields: pd.DataFrame, *, visible: bool = True) -> tuple[pd.DataFrame, list[str]]:
    """Give each value of a group one spelling.

    Two spellings of one well or antibody are two groups, which may lie in different folds: a leak
    that no score shows. Joining two that are different only makes clusters larger.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    visible : bool, default=True
        Whether to join values that differ visibly: in case, in ``.0`` behind a whole number, in
        leading zeros of a number, or an antibody in ``HPA`` before its number. Blanks (at the ends,
        of any kind, several), invisible characters and Unicode forms make no difference anyway.

    Returns
    -------
    fields : DataFrame
        A copy in which the values of a group are spelt as most fields have them.
    notes : list of str
        What was joined, or, without `visible`, what could be.

    Examples
    --------
    >>> fields = pd.DataFrame({"antibody": ["HPA01", "HPA01 ", "hpa01", "HPA02"]})
    >>> joined, notes = join_spellings(fields)
    >>> joined["antibody"].tolist()
    ['HPA01', 'HPA01', 'HPA01', 'HPA02']
    """
    fields = fields.copy()
    notes = []
    for column in [name for name in fields.columns if name not in COLUMNS]:
        values = fields[column]
        tidy = {value: tidied(value) for value in values.unique()}
        invisible = _several((text, value) for value, text in tidy.items())
        if invisible:
            shown = [" = ".join(map(ascii, spellings)) for spellings in invisible.values()]
            notes.append(
                f"group {column}: {len(shown)} values differ in blanks or Unicode forms alone, and "
                f"are taken as one: {shorten(shown, 3)}"
            )
        values = values.map(tidy)
        counts = values.value_counts()
        order = sorted(values.unique(), key=lambda text: -counts[text])  # of equals the first
        alike = _several((spelling_key(text, str(column)), text) for text in order if text)
        if alike:
            shown = [" = ".join(map(repr, spellings)) for spellings in alike.values()]
            done = "are taken as one" if visible else "are taken as different"
            notes.append(
                f"group {column}: {len(shown)} values differ in case, .0, leading zeros or "
                f"HPA before a number, and {done}: {shorten(shown, 3)}"
            )
        if visible:
            first = {text: spellings[0] for spellings in alike.values() for text in spellings}
            values = values.map(lambda text, first=first: first.get(text, text))
        fields[column] = values
    return fields, notes


def tidied(text: str) -> str:
    """Return a text without what cannot be seen: composed, with single blanks within.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    text = "".join(mark for mark in str(text) if unicodedata.category(mark) != "Cf")
    return unicodedata.normalize("NFC", " ".join(text.split()))


def spelling_key(text: str, column: str) -> str:
    """Return what is equal for all spellings of a value.

    Parameters
    ----------
    text : str
    column : str
        The group; antibodies have a spelling of their own.

    Returns
    -------
    str
    """
    key = tidied(text).casefold()
    if match := _WHOLE_FLOAT.fullmatch(key):
        key = match[1]
    if column == "antibody":
        key = _OF_HPA.sub("", key)
    return _LEADING_ZEROS.sub("", key)


def _several(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group values by key; keep those with several."""
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: values for key, values in groups.items() if key and len(values) > 1}
