"""Tables: read as text, and taken by id."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TextIO, TypeVar

import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.files.opening import is_parquet, is_workbook, opened_text

StrPath = str | os.PathLike[str]

#: What a column of image ids is called, in any case.
ID_NAMES = ("id", "image_id")
# Turned into columns at once: in these a cell takes a fraction of the room of a text of Python.
_CELLS = 2**18
# Longer than any line, as in tables of encoded masks; the module's own limit is 131,072.
_LONGEST_CELL = 2**31 - 1
# What spreadsheets take as the delimiter, before the names.
_SEPARATOR = re.compile(r"sep=([,;|]|\t|\\t)?", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_Rows = TypeVar("_Rows", pd.DataFrame, pd.Series)


def read_text_table(path: StrPath) -> pd.DataFrame:
    """Read a table, every cell as the text that stands there.

    The first line that is not empty, not ``sep=;`` and does not begin with ``#`` (but ``#Id``)
    holds the names of the columns, and says what delimits them: a
    tab if it has one, else a comma, a semicolon (as spreadsheets write
    where the comma is the decimal point), ``|``, or, behind a name of ids, blanks. Quotes are those
    of CSV. Rows and unnamed columns without any value are left out. What the file is called
    does not matter.

    Parameters
    ----------
    path : path-like
        Text as `hpastack.files.read_lines` takes it (in any Unicode encoding, compressed or not);
        an Excel workbook with one sheet that is not empty (needs openpyxl), or Parquet (needs
        pyarrow), whose numbers become the shortest text that stands for them.

    Returns
    -------
    DataFrame of str
        Names of columns without leading or trailing whitespace; an empty cell is "".

    Raises
    ------
    InputError
        If it is no table, a row is longer or shorter than the first, or there
        is a duplicate column.
    OSError
        If the file cannot be read.
    """
    if is_parquet(path):
        return _as_text(read_parquet(path))
    if is_workbook(path):
        return _table(_workbook_rows(path), path)
    # Not with pandas: it renames doubled columns, fills rows cut short in silence, and takes
    # the first column for no column where every row has a cell more than the first line.
    try:
        with opened_text(path) as file, _long_cells():
            n_before, mark, header = _header(file)
            reader = csv.reader(
                chain([header], file), delimiter=mark, skipinitialspace=mark == " ", strict=True
            )
            return _table(((n_before + reader.line_num, row) for row in reader), path)
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV table: {error}") from None


def read_parquet(path: StrPath) -> pd.DataFrame:
    """Read a table of Parquet, its ids as a column.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If pyarrow is missing, or the file is damaged.
    """
    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise InputError(f"{path}: reading parquet needs pyarrow; pip install pyarrow") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: not a table of Parquet: {error}") from None
    return table.reset_index() if str(table.index.name).lower() in ID_NAMES else table


def _table(rows: Iterator[tuple[int, list[str]]], path: StrPath) -> pd.DataFrame:
    """Return numbered rows, the first of names, as a table of text."""
    rows = ((number, row) for number, row in rows if any(cell.strip() for cell in row))
    names = [name.strip() for name in next(rows, (0, []))[1]]
    if not names:
        raise InputError(f"{path}: not a CSV table: it is empty")
    of_one_length = _checked(rows, len(names), path)
    at_once = max(1, _CELLS // len(names))
    blocks = [pd.DataFrame([], columns=range(len(names)), dtype=str)]
    while block := list(islice(of_one_length, at_once)):
        blocks.append(pd.DataFrame(block, dtype=str))
    table = pd.concat(blocks, ignore_index=True)
    # Spreadsheets write as many cells as were ever touched.
    kept = [k for k, name in enumerate(names) if name or (table[k] != "").any() or len(names) == 1]
    names = [names[k] for k in kept]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: column {shorten(doubled)} stands twice")
    return (table if len(kept) == table.shape[1] else table[kept]).set_axis(names, axis=1)


def _checked(
    rows: Iterator[tuple[int, list[str]]], n_cells: int, path: StrPath
) -> Iterator[list[str]]:
    for number, row in rows:
        if len(row) != n_cells:
            raise InputError(
                f"{path}: line {number} has {counted(len(row), 'cell')}, and the first line "
                f"{n_cells}"
                + (
                    "; remove lines before the one with the names of the columns, or begin each "
                    "with #"
                    if len(row) > n_cells
                    else ""
                )
            )
        yield row


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _header(file: TextIO) -> tuple[int, str, str]:
    """Return how many lines lie before that with the names, the delimiter, and that line."""
    n_before, mark = 0, ""
    # Never again from the start: a pipe cannot be read twice.
    while line := file.readline():
        if match := _SEPARATOR.fullmatch(line.strip().strip('"')):
            mark = "\t" if match[1].lower() == "\\t" else match[1]
        elif line.lstrip().startswith("#"):
            bare = line.lstrip()[1:]
            words = re.split(r"[\t,;|\s]", bare.strip().replace('"', ""))
            if len(words) > 1 and _plain(words[0]) in map(_plain, ID_NAMES):
                return n_before, mark or _delimiter(bare), bare.lstrip(" ")
        elif line.strip():
            break
        n_before += 1
    return n_before, mark or _delimiter(line), line


def _delimiter(header: str) -> str:
    # A name in quotes may hold any of them.
    bare = _QUOTED.sub("", header)
    for mark in "\t,;|":
        if mark in bare:
            return mark
    words = header.split()
    if len(words) > 1 and words[0].strip('"').lower() in ID_NAMES:
        return " "
    return ","


def _workbook_rows(path: StrPath) -> Iterator[tuple[int, list[str]]]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise InputError(
            f"{path}: reading Excel needs openpyxl; pip install openpyxl, or save it as CSV UTF-8"
        ) from None
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # of many kinds, from within XML and ZIP
        raise InputError(f"{path}: not a workbook that openpyxl reads: {error}") from None
    try:
        sheets = {
            sheet.title: [
                [_cell(cell) for cell in row] for row in sheet.iter_rows(values_only=True)
            ]
            for sheet in book.worksheets
        }
    finally:
        book.close()
    filled = {title: rows for title, rows in sheets.items() if any(map(any, rows))}
    if len(filled) > 1:
        raise InputError(
            f"{path}: has several sheets ({shorten(filled)}); save the one that is wanted by itself"
        )
    rows = next(iter(filled.values()), [])
    # A row ends with its last cell that is filled.
    width = max(map(len, rows), default=0)
    return iter([(n, row + [""] * (width - len(row))) for n, row in enumerate(rows, start=1)])


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    columns = [str(column).strip() for column in table.columns]
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise InputError(f"column {shorten(doubled)} stands twice")
    texts = {
        name: [_cell(value) for value in table.iloc[:, place].tolist()]
        for place, name in enumerate(columns)
    }
    return pd.DataFrame(texts, columns=columns, dtype=str)


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    return str(value)


def read_id_table(path: StrPath, *, one_row: str = "") -> pd.DataFrame:
    """Read a table with one row per field, indexed by image id.

    Parameters
    ----------
    path : path-like
        As `read_text_table`; the ids stand in a column ``Id`` or ``image_id``,
        in any case.
    one_row : str, optional
        What to do where ids are there twice, for the message.

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
    check_ids(frame.index, path, one_row)
    return frame


def named_column(frame: pd.DataFrame, names: tuple[str, ...], path: StrPath) -> str:
    """Return the one column of a table that has one of some names.

    Parameters
    ----------
    frame : DataFrame
    names : tuple of str
        In lower case. Case, and whether words are joined by a blank, ``_``, ``-`` or nothing, do
        not matter.
    path : path-like
        What to call the table in errors.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    plain = {_plain(name) for name in names}
    found = [name for name in frame.columns if _plain(str(name)) in plain]
    if len(found) != 1:
        raise InputError(
            f"{path}: no column {' or '.join(names)}; it has {shorten(frame.columns)}"
            if not found
            else f"{path}: columns {' and '.join(map(str, found))} mean the same; keep one"
        )
    return found[0]


def has_column(frame: pd.DataFrame, names: tuple[str, ...]) -> bool:
    """Return whether a table has a column of one of some names, as `named_column` compares them.

    Parameters
    ----------
    frame : DataFrame
    names : tuple of str

    Returns
    -------
    bool
    """
    plain = {_plain(name) for name in names}
    return any(_plain(str(name)) in plain for name in frame.columns)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.lower())


def check_ids(image_ids: Iterable[str], place: object, remedy: str = "") -> None:
    """Reject duplicate ids, and ids that are empty, hold what cannot be printed, or begin or end
    with whitespace.

    Parameters
    ----------
    image_ids : iterable of str
    place : object
        Where they stand, for messages.
    remedy : str, optional
        What to do about duplicates, for the message.

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
    check_unique(image_ids, place, remedy)


def check_unique(image_ids: Iterable[str], place: object, remedy: str = "") -> None:
    """Reject duplicate ids.

    Parameters
    ----------
    image_ids : iterable
    place : object
        Where they stand, for messages.
    remedy : str, optional
        What to do about duplicates, for the message.

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
        hint = f"; {remedy}" if remedy else ""
        raise InputError(f"{place}: duplicate ids: {shorten(ids[ids.duplicated()].unique())}{hint}")


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
        raise InputError(f"{what} lack {counted(len(missing), 'field')}: {shorten(missing)}{hint}")
    return table.loc[ids]
