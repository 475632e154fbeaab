"""Values of groups that are one and are written in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import pandas as pd

from hpastack.catalogue.dates import possible_dates
from hpastack.catalogue.table import COLUMNS
from hpastack.errors import counted, shorten

# As pandas writes whole numbers of a column that once had gaps.
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0+")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
# HPA writes an antibody as HPA010000, and its files and ids as 10000.
_OF_HPA = re.compile(r"hpa[ _-]?(?=\d+$)")
# All that looks like a hyphen, also those that compatible forms (NFKC) do not replace.
_HYPHENS = re.compile("[\u2010-\u2015\u2212\u2043\u02d7\ufe58\ufe63\uff0d]")
_LETTER = r"[^\W\d_]"
# A1, A 1 and A-1 are one well and MCF7 and MCF-7 one cell line; 1-1 and 11 are not one plate.
_LETTER_AND_DIGIT = re.compile(rf"(?<={_LETTER})[ _-](?=\d)|(?<=\d)[ _-](?={_LETTER})")
_LETTERS = re.compile(rf"(?<={_LETTER})[ _-](?={_LETTER})")
_NUMBER = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?")
_LETTERS_APART = re.compile(rf"(?<={_LETTER})[ _-]+(?={_LETTER})")
_SEPARATORS = re.compile(r"[ _-]+")
# Cells that pandas, R, spreadsheets and databases write where nothing is known.
_UNKNOWN = {"nan", "<na>", "nat", "n/a", "#n/a", "null"}


def join_spellings(fields: pd.DataFrame, *, visible: bool = True) -> tuple[pd.DataFrame, list[str]]:
    """Give each value of a group one spelling.

    Two spellings of one well or antibody are two groups, which may lie in different folds: a leak
    that no score shows. Joining two that are different only makes clusters larger.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    visible : bool, default=True
        Whether to join values that differ visibly: in case, in the width of letters or the kind of
        hyphen, in a blank, ``-`` or ``_`` between words or between a letter and a digit, in the
        spelling of a date, in ``.0`` behind a whole number, in leading zeros of a number, or an
        antibody in ``HPA`` before its number. Blanks (at the ends, of any kind, several), invisible
        characters and composed or decomposed accents make no difference anyway.

    Returns
    -------
    fields : DataFrame
        A copy in which the values of a group are spelt as most fields have them.
    notes : list of str
        What was joined, or, without `visible`, what could be; and what may be one but is not
        joined: words written together and apart, separators between digits, dates whose day may
        be their month.

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
                f"group {column}: {_differ(shown)} in blanks or Unicode forms alone, and "
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
                f"group {column}: {_differ(shown)} in case, separators, the form of a date, .0, "
                f"leading zeros or HPA before a number, and {done}: {shorten(shown, 3)}"
            )
        if visible:
            first = {text: spellings[0] for spellings in alike.values() for text in spellings}
            values = values.map(lambda text, first=first: first.get(text, text))
            if maybe := _maybe_alike(values, str(column)):
                shown = [" ? ".join(map(repr, spellings)) for spellings in maybe]
                notes.append(
                    f"group {column}: {_differ(shown)} little, and are taken as different; if they "
                    f"are one, write them alike: {shorten(shown, 3)}"
                )
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


def is_unknown(text: str) -> bool:
    """Return whether a cell of a group says that nothing is known: blanks, ``NaN``, ``N/A``.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool
        False for ``NA`` and ``None``, which may be names.
    """
    text = text.strip().casefold()
    return not text or text in _UNKNOWN


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

    Examples
    --------
    >>> spelling_key("U-2 OS", "cell_line") == spelling_key("u2os", "cell_line")
    True
    """
    key = _HYPHENS.sub("-", unicodedata.normalize("NFKC", tidied(text)).casefold())
    if match := _WHOLE_FLOAT.fullmatch(key):
        key = match[1]
    if dates := possible_dates(key):
        return min(dates) if len(dates) == 1 else _LEADING_ZEROS.sub("", key.replace("-", "/"))
    if column == "antibody":
        key = _OF_HPA.sub("", key)
    if not _NUMBER.fullmatch(key):  # as 1e-5 is one
        key = _LETTERS.sub(" ", _LETTER_AND_DIGIT.sub("", key))
    return _LEADING_ZEROS.sub("", key)


def _maybe_alike(values: pd.Series, column: str) -> list[tuple[str, ...]]:
    """Return values that may be one: alike but for separators, or dates that may be the same."""
    texts = [text for text in values.unique() if text]
    loose = []
    for text in texts:
        key = spelling_key(text, column)
        dates = possible_dates(key)
        # Between digits they count, whichever they are.
        bare = key if _NUMBER.fullmatch(key) else _SEPARATORS.sub(" ", _LETTERS_APART.sub("", key))
        loose += [(date, text) for date in dates] or [(bare, text)]
    return list(dict.fromkeys(map(tuple, _several(loose).values())))


def _differ(shown: list[str]) -> str:
    return f"{counted(len(shown), 'value')} {'differs' if len(shown) == 1 else 'differ'}"


def _several(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group values by key; keep those with several."""
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: values for key, values in groups.items() if key and len(values) > 1}
