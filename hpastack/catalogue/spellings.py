"""Group values that are the same but are spelt in several ways."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

import pandas as pd

from hpastack.catalogue.dates import possible_dates, possible_short_dates
from hpastack.catalogue.table import COLUMNS
from hpastack.errors import counted, shorten

# pandas writes the whole numbers of a column with missing values like this.
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0+")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
# HPA writes an antibody as HPA010000, but as 10000 in file names and ids.
_OF_HPA = re.compile(r"hpa[ _-]?(?=\d+$)")
# Everything that looks like a hyphen, including those not replaced by compatibility forms (NFKC).
_HYPHENS = re.compile("[\u2010-\u2015\u2212\u2043\u02d7\ufe58\ufe63\uff0d]")
_LETTER = r"[^\W\d_]"
# A1, A 1 and A-1 are the same well, and MCF7 and MCF-7 the same cell line; 1-1 and 11 are
# different plates.
_LETTER_AND_DIGIT = re.compile(rf"(?<={_LETTER})[ _-](?=\d)|(?<=\d)[ _-](?={_LETTER})")
_LETTERS = re.compile(rf"(?<={_LETTER})[ _-](?={_LETTER})")
_NUMBER = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?")
_LETTERS_APART = re.compile(rf"(?<={_LETTER})[ _-]+(?={_LETTER})")
_SEPARATORS = re.compile(r"[ _-]+")
# Written by pandas, R, spreadsheets and databases for missing values.
_UNKNOWN = {"nan", "<na>", "nat", "n/a", "#n/a", "null"}


def join_spellings(fields: pd.DataFrame, *, visible: bool = True) -> tuple[pd.DataFrame, list[str]]:
    """Unify the spellings of group values.

    Two spellings of one well or antibody would be two groups, which may be in different folds: a
    leak that no score reveals. Joining two different values only makes clusters larger.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    visible : bool, default=True
        Whether to join values that differ visibly: in case; in the width of letters or the kind of
        hyphen; in a space, ``-`` or ``_`` between words or between a letter and a digit; in the
        format of a date; in ``.0`` after a whole number; in leading zeros of a number; or, for
        antibodies, in ``HPA`` before the number. Values that differ only in whitespace (leading,
        trailing, repeated or of another kind), in invisible characters or in composed and
        decomposed accents are always joined.

    Returns
    -------
    fields : DataFrame
        A copy in which group values have their most frequent spelling.
    notes : list of str
        The values that were joined or, if `visible` is false, that could be. Also those that may
        be the same but are not joined: words written together or apart, separators between
        digits, dates in which day and month may be exchanged, and dates in numbers with a
        two-digit year.

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
                f"group {column}: {_differ(shown)} only in whitespace or Unicode form; joined: "
                f"{shorten(shown, 3)}"
            )
        values = values.map(tidy)
        counts = values.value_counts()
        order = sorted(values.unique(), key=lambda text: -counts[text])  # ties: the first
        alike = _several((spelling_key(text, str(column)), text) for text in order if text)
        if alike:
            shown = [" = ".join(map(repr, spellings)) for spellings in alike.values()]
            outcome = "joined" if visible else "kept separate"
            notes.append(
                f"group {column}: {_differ(shown)} in case, separators, date format, .0, "
                f"leading zeros or HPA before a number; {outcome}: {shorten(shown, 3)}"
            )
        if visible:
            first = {text: spellings[0] for spellings in alike.values() for text in spellings}
            values = values.map(lambda text, first=first: first.get(text, text))
            if maybe := _maybe_alike(values, str(column)):
                shown = [" ? ".join(map(repr, spellings)) for spellings in maybe]
                notes.append(
                    f"group {column}: {_differ(shown)} only slightly; kept separate; if they are "
                    f"the same, use one spelling: {shorten(shown, 3)}"
                )
        fields[column] = values
    return fields, notes


def tidied(text: str) -> str:
    """Return a text without invisible differences: composed accents, single spaces.

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
    """Return whether a group value is missing: empty, only whitespace, ``NaN``, ``N/A``.

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
    """Return a key that is equal for all spellings of a value.

    Parameters
    ----------
    text : str
    column : str
        The group; antibodies may also begin with ``HPA``.

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
    if not _NUMBER.fullmatch(key):  # 1e-5 is a number, too
        key = _LETTERS.sub(" ", _LETTER_AND_DIGIT.sub("", key))
    return _LEADING_ZEROS.sub("", key)


def _maybe_alike(values: pd.Series, column: str) -> list[tuple[str, ...]]:
    """Return values that may be the same: different separators, or ambiguous dates."""
    texts = [text for text in values.unique() if text]
    loose = []
    for text in texts:
        key = spelling_key(text, column)
        dates = possible_dates(key)
        # Separators between digits matter, but not which ones they are.
        bare = key if _NUMBER.fullmatch(key) else _SEPARATORS.sub(" ", _LETTERS_APART.sub("", key))
        loose += [(date, text) for date in dates] or [(bare, text)]
        loose += [(date, text) for date in possible_short_dates(tidied(text))]
    return list(dict.fromkeys(map(tuple, _several(loose).values())))


def _differ(shown: list[str]) -> str:
    return f"{counted(len(shown), 'value')} {'differs' if len(shown) == 1 else 'differ'}"


def _several(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group values by key; keep the keys with several values."""
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: values for key, values in groups.items() if key and len(values) > 1}
