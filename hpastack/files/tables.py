"""Tables: read as text, and taken by id."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, TypeVar

import pandas as pd

from hpastack.errors import InputError, shorten

StrPath = str | os.PathLike[str]

#: What a column of image ids is called, in any case.
ID_NAMES = ("id", "image_id")
# Turned into columns at once: in these a cell takes a fraction of the room of a text of Python.
_CELLS = 2**18
_QUOTED = re.compile(r'"[^"]*"')
_Rows = TypeVar("_Rows", pd.DataFrame, pd.Series)


def read_text_table(path: StrPath) -> pd.DataFrame:
    """Read a table, every cell as the text that stands there.

    The first line holds the names of the columns, and says what parts them: a
    tab if it has one, else a comma, else a semicolon (as spreadsheets write
    where the comma is the decimal point). Quotes are those of CSV.

    Parameters
    ----------
    path : path-like
        UTF-8 text, with or without a byte order mark.

    Returns
    -------
    DataFrame of str
        Names of columns without blanks at their ends; an empty cell is "".

    Raises
    ------
    InputError
        If it is no table, a row is longer or shorter than the first, or a
        column stands twice.
    OSError
        If the file cannot be read.
    """
    # Not with pandas: it renames doubled columns, fills rows cut short in silence, and takes
    # the first column for no column where every row has a cell more than the first line.
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()  # and never again: a pipe cannot be read twice
            reader = csv.reader(chain([first], file), delimiter=_delimiter(first), strict=True)
            names = [name.strip() for name in next(filter(None, reader), [])]
            if not names:
                raise InputError(f"{path}: not a CSV table: it is empty")
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise InputError(f"{path}: column {shorten(doubled)} stands twice")
            rows = _rows(reader, len(names), path)
            at_once = max(1, _CELLS // len(names))
            blocks = [pd.DataFrame([], columns=names, dtype=str)]
            while block := list(islice(rows, at_once)):
                blocks.append(pd.DataFrame(block, columns=names, dtype=str))
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: not a CSV table in UTF-8; save it as such, as spreadsheets offer: CSV UTF-8"
        ) from None
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table: {error}") from None
    return pd.concat(blocks, ignore_index=True)


def _rows(reader: Any, n_cells: int, path: StrPath) -> Iterator[list[str]]:
    for row in reader:
        if row and len(row) != n_cells:
            raise InputError(
                f"{path}: line {reader.line_num} has {len(row)} cells, and the first line {n_cells}"
            )
        if row:
            yield row


def _delimiter(header: str) -> str:
    # A name in quotes may hold any of them.
    bare = _QUOTED.sub("", header)
    return next((mark for mark in "\t,;" if mark in bare), ",")


def read_id_table(path: StrPath) -> pd.DataFrame:
    """Read a table with a row a field, indexed by image id.

    Parameters
    ----------
    path : path-like
        As `read_text_table`; the ids stand in a column ``Id`` or ``image_id``,
        in any case.

    Returns
    -------
    DataFrame of str

    Raises
    ------
    InputError
        As `read_text_table`, and if there is no column of ids, or an id is
        not one, or a duplicate: see `check_ids`.
    OSError
        If the file cannot be read.
    """
    frame = read_text_table(path)
    frame = frame.set_index(named_column(frame, ID_NAMES, path)).rename_axis("image_id")
    check_ids(frame.index, path)
    return frame


def named_column(frame: pd.DataFrame, names: tuple[str, ...], path: StrPath) -> str:
    """Return the one column of a table that has one of some names, in any case."""
    found = [name for name in frame.columns if name.lower() in names]
    if len(found) != 1:
        raise InputError(
            f"{path}: no column {' or '.join(names)}; it has {shorten(frame.columns)}"
            if not found
            else f"{path}: columns {' and '.join(found)} mean the same; keep one"
        )
    return found[0]


def check_ids(image_ids: Iterable[str], place: object) -> None:
    """Reject duplicate ids, and ids that are empty, hold what cannot be printed, or begin or end
    with whitespace.

    Parameters
    ----------
    image_ids : iterable of str
    place : object
        Where they stand, for messages.

    Raises
    ------
    InputError
    """
    image_ids = list(image_ids)
    for row, image_id in enumerate(image_ids, start=1):
        if not image_id or image_id != image_id.strip() or not image_id.isprintable():
            raise InputError(
                f"{place}: {image_id!r} in row {row} is not an image id; it is printable, without "
                "leading or trailing whitespace"
            )
    check_unique(image_ids, place)


def check_unique(image_ids: Iterable[str], place: object) -> None:
    """Reject duplicate ids.

    Parameters
    ----------
    image_ids : iterable
    place : object
        Where they stand, for messages.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_unique(["a", "b", "a"], "train.csv")
    Traceback (most recent call last):
    hpastack.errors.InputError: train.csv: duplicate ids: a
    """
    ids = pd.Index(image_ids)
    if ids.has_duplicates:
        raise InputError(f"{place}: duplicate ids: {shorten(ids[ids.duplicated()].unique())}")


def take_rows(table: _Rows, ids: pd.Index, what: str, remedy: str = "") -> _Rows:
    """Take rows by id, each once.

    Parameters
    ----------
    table : DataFrame or Series
        Indexed by image id.
    ids : Index
    what : str
        Name of the table, for messages.
    remedy : str, optional
        What to do where an id is missing, for the message.

    Returns
    -------
    DataFrame or Series
        In the order of `ids`.

    Raises
    ------
    InputError
        If an id is missing, or the table has duplicate ids.
    """
    check_unique(table.index, what)
    missing = ids.difference(table.index)
    if len(missing):
        hint = f"; {remedy}" if remedy else ""
        raise InputError(f"{what} lack {len(missing)} fields: {shorten(missing)}{hint}")
    return table.loc[ids]
