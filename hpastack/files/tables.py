"""Tables: read as text, with rows selected by id."""

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

#: Names of the image id column, in any case.
ID_NAMES = ("id", "image_id")
# Number of cells converted to columns at a time: there a cell takes far less memory than a str.
_CELLS = 2**18
# Longer than any line; tables of encoded masks exceed the default limit of csv, 131,072.
_LONGEST_CELL = 2**31 - 1
# Line before the column names from which spreadsheet programs read the delimiter.
_SEPARATOR = re.compile(r"sep=([,;|]|\t|\\t)?", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*"')
_Rows = TypeVar("_Rows", pd.DataFrame, pd.Series)


def read_text_table(path: StrPath) -> pd.DataFrame:
    """Read a table with every cell as text, unchanged.

    The header is the first line that is not empty, is not ``sep=;`` and does not begin with ``#``
    (except for ``#Id``). It determines the delimiter: a tab if it contains one; otherwise a
    comma, a semicolon (written by spreadsheet programs in locales with a decimal comma), ``|``,
    or, after the name of an id column, whitespace. Quoting follows CSV. Rows and unnamed columns
    without any value are omitted. The file name does not matter.

    Parameters
    ----------
    path : path-like
        Text in any form read by `hpastack.files.read_lines` (any Unicode encoding, compressed or
        not); an Excel workbook with one non-empty sheet (needs openpyxl); or Parquet (needs
        pyarrow), in which numbers are converted to their shortest representation.

    Returns
    -------
    DataFrame of str
        Column names have no leading or trailing whitespace; an empty cell is "".

    Raises
    ------
    InputError
        If the file is not a table, a row is longer or shorter than the first,
        or there is a duplicate column.
    OSError
        If the file cannot be read.
    """
    if is_parquet(path):
        return _as_text(read_parquet(path))
    if is_workbook(path):
        return _table(_workbook_rows(path), path)
    # Not read with pandas, which renames duplicate columns, silently fills truncated rows, and
    # uses the first column as the index if every row has one cell more than the header.
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
    """Read a Parquet table, with an index of ids as a column.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If pyarrow is missing, or the file is corrupt.
    """
    try:
        table = pd.read_parquet(path)
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow; pip install pyarrow") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path}: not a Parquet table: {error}") from None
    return table.reset_index() if str(table.index.name).lower() in ID_NAMES else table


def _table(rows: Iterator[tuple[int, list[str]]], path: StrPath) -> pd.DataFrame:
    """Return numbered rows as a table of text; the first row contains the column names."""
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
    # Spreadsheet programs write all cells that were ever edited, even if empty.
    kept = [k for k, name in enumerate(names) if name or (table[k] != "").any() or len(names) == 1]
    names = [names[k] for k in kept]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise InputError(f"{path}: duplicate column {shorten(duplicates)}")
    return (table if len(kept) == table.shape[1] else table[kept]).set_axis(names, axis=1)


def _checked(
    rows: Iterator[tuple[int, list[str]]], n_cells: int, path: StrPath
) -> Iterator[list[str]]:
    for number, row in rows:
        if len(row) != n_cells:
            raise InputError(
                f"{path}: line {number} has {counted(len(row), 'cell')}, but the first line has "
                f"{n_cells}"
                + (
                    "; remove lines before the column names, or begin each with #"
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
    """Return the number of lines before the header, the delimiter and the header line."""
    n_before, mark = 0, ""
    # The file is never rewound, because a pipe cannot be read twice.
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
    # A quoted name may contain any of them.
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
            f"{path}: reading Excel files needs openpyxl; pip install openpyxl, or save it as CSV "
            "UTF-8"
        ) from None
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # many types, raised while reading XML and ZIP
        raise InputError(f"{path}: not a workbook that openpyxl can read: {error}") from None
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
            f"{path}: has several sheets ({shorten(filled)}); save the one you need separately"
        )
    rows = next(iter(filled.values()), [])
    # Rows end at their last non-empty cell.
    width = max(map(len, rows), default=0)
    return iter([(n, row + [""] * (width - len(row))) for n, row in enumerate(rows, start=1)])


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    columns = [str(column).strip() for column in table.columns]
    duplicates = sorted({name for name in columns if columns.count(name) > 1})
    if duplicates:
        raise InputError(f"duplicate column {shorten(duplicates)}")
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
        As for `read_text_table`; the ids are in a column ``Id`` or
        ``image_id``, in any case.
    one_row : str, optional
        What to do about duplicate ids, for the message.

    Returns
    -------
    DataFrame of str

    Raises
    ------
    InputError
        As `read_text_table`, and if the id column is missing, or an id is not
        valid or duplicate: see `check_ids`.
    OSError
        If the file cannot be read.
    """
    frame = read_text_table(path)
    frame = frame.set_index(named_column(frame, ID_NAMES, path)).rename_axis("image_id")
    check_ids(frame.index, path, one_row)
    return frame


def named_column(frame: pd.DataFrame, names: tuple[str, ...], path: StrPath) -> str:
    """Return the only column of a table with one of several names.

    Parameters
    ----------
    frame : DataFrame
    names : tuple of str
        In lower case. Column names are compared without case, spaces, ``_`` and ``-``.
    path : path-like
        Name of the table in errors.

    Returns
    -------
    str
        The name as it is in the table.

    Raises
    ------
    InputError
        If there is no such column, or more than one.
    """
    plain = {_plain(name) for name in names}
    matching = [name for name in frame.columns if _plain(str(name)) in plain]
    if len(matching) != 1:
        raise InputError(
            f"{path}: no column {' or '.join(names)}; it has {shorten(frame.columns)}"
            if not matching
            else f"{path}: columns {' and '.join(map(str, matching))} mean the same; keep one"
        )
    return matching[0]


def has_column(frame: pd.DataFrame, names: tuple[str, ...]) -> bool:
    """Return whether a table has a column with one of several names.

    Names are compared as in `named_column`.

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
    """Check that image ids are unique and valid.

    A valid id is not empty, printable, and has no leading or trailing whitespace.

    Parameters
    ----------
    image_ids : iterable of str
    place : object
        The file or table that contains them, for messages.
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
                f"{place}: {image_id!r} in row {row} is not an image id; an id is printable, "
                "without leading or trailing whitespace"
            )
    check_unique(image_ids, place, remedy)


def check_unique(image_ids: Iterable[str], place: object, remedy: str = "") -> None:
    """Check that ids are unique.

    Parameters
    ----------
    image_ids : iterable
    place : object
        The file or table that contains them, for messages.
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
    """Return the rows with the given ids; each id must be in the table exactly once.

    Parameters
    ----------
    table : DataFrame or Series
        Indexed by image id.
    ids : Index
    what : str
        Name of the table in messages, in the plural.
    remedy : str, optional
        What to do about missing ids, for the message.

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
