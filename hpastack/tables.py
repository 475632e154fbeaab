"""Tables of the workspace: read as text, and taken by id."""

from __future__ import annotations

import os
from typing import TypeVar

import pandas as pd

from hpastack.errors import InputError, shorten

_Rows = TypeVar("_Rows", pd.DataFrame, pd.Series)


def read_text_table(path: str | os.PathLike) -> pd.DataFrame:
    """Read a CSV table with every value as text; what is empty stays the empty string.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    DataFrame of str

    Raises
    ------
    InputError
        If it is no CSV table in UTF-8.
    FileNotFoundError
        If there is no such file.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None


def take_rows(table: _Rows, ids: pd.Index, what: str) -> _Rows:
    """Take rows by id, each once.

    Parameters
    ----------
    table : DataFrame or Series
        Indexed by image id.
    ids : Index
    what : str
        Name of the table, for messages.

    Returns
    -------
    DataFrame or Series
        In the order of `ids`.

    Raises
    ------
    InputError
        If an id is missing, or stands in the table twice.
    """
    if table.index.has_duplicates:
        doubled = table.index[table.index.duplicated()].unique()
        raise InputError(f"{what}: ids stand twice: {shorten(doubled)}")
    missing = ids.difference(table.index)
    if len(missing):
        raise InputError(f"{what} lack {len(missing)} fields: {shorten(missing)}")
    return table.loc[ids]
