"""Groups: columns that say which fields belong together."""

from __future__ import annotations

import os

import pandas as pd

from hpastack.catalogue.table import COLUMNS
from hpastack.errors import InputError, shorten
from hpastack.tables import read_id_table

StrPath = str | os.PathLike[str]


def join_groups(fields: pd.DataFrame, groups: StrPath) -> tuple[pd.DataFrame, list[str]]:
    """Add columns that say which fields belong together (well, antibody, cell line).

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    groups : path-like
        CSV with an id column and any others. Rows of other fields are passed
        over; a field without a row gets "", which means unknown.

    Returns
    -------
    fields : DataFrame
        A copy with the columns added.
    names : list of str
        The names of the added columns.

    Raises
    ------
    InputError
        If an id is doubled, no id is that of a field, there is no column to
        add, or a column is in the catalogue already.
    """
    table = read_id_table(groups)
    names = [str(name) for name in table.columns]
    if not names:
        raise InputError(f"{groups}: no column beside the ids; a column of groups is needed")
    taken = [name for name in names if name in COLUMNS or name in fields.columns]
    if taken:
        raise InputError(
            f"{groups}: the catalogue has a column {shorten(taken)} already; rename it"
        )
    if not table.index.isin(fields.index).any():
        raise InputError(f"{groups}: none of its ids is that of a field, such as {fields.index[0]}")
    return fields.join(table).fillna(dict.fromkeys(names, "")), names
