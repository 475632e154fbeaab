"""Groups: columns that say which fields belong together."""

from __future__ import annotations

import os
import re

import pandas as pd

from hpastack.catalogue.spellings import is_unknown, spelling_key
from hpastack.catalogue.table import COLUMNS, OPTIONAL_COLUMNS
from hpastack.errors import InputError, shorten
from hpastack.files import read_id_table

StrPath = str | os.PathLike[str]

# Written in many ways ("CellLine", "Cell line"), and yet one column in the catalogue.
_KNOWN = {"plate": "plate", "well": "well", "antibody": "antibody", "cellline": "cell_line"}


def group_columns(table: pd.DataFrame, path: StrPath) -> pd.DataFrame:
    """Take the columns of a table that are groups, under one name each.

    Parameters
    ----------
    table : DataFrame of str
        Without its ids.
    path : path-like
        Where it is from, for errors.

    Returns
    -------
    DataFrame
        Without the columns that are no groups (`COLUMNS`, and those without a
        name, where row numbers stand); a cell of blanks, ``NaN``, ``N/A`` or ``null`` is "", that
        is unknown. Plate, well, antibody and cell line are called ``plate``, ``well``,
        ``antibody``, ``cell_line`` however they are written.

    Raises
    ------
    InputError
        If two columns mean the same.
    """
    groups = table[
        [
            name
            for name in table.columns
            if name and name.lower() not in (*COLUMNS, *OPTIONAL_COLUMNS)
        ]
    ]
    bare = {name: re.sub(r"[\s_-]", "", str(name).lower()) for name in groups}
    names = {name: _KNOWN.get(plain, str(name)) for name, plain in bare.items()}
    groups = groups.rename(columns=names)
    if not groups.columns.is_unique:
        doubled = [str(name) for name in names if list(names.values()).count(names[name]) > 1]
        raise InputError(f"{path}: columns {' and '.join(doubled)} mean the same; keep one")
    return groups.apply(lambda column: column.mask(column.map(is_unknown).astype(bool), ""))


def join_groups(fields: pd.DataFrame, groups: StrPath) -> tuple[pd.DataFrame, list[str]]:
    """Add columns that say which fields belong together (well, antibody, cell line).

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    groups : path-like
        CSV with an id column and any others. Rows of other fields are passed
        over; a field without a row gets "", which means unknown. In a column
        that the catalogue has already, empty cells are filled.

    Returns
    -------
    fields : DataFrame
        A copy with the columns added.
    names : list of str
        The names of these columns.

    Raises
    ------
    InputError
        If an id is doubled, no id is that of a field, there is no column to
        add, a column is none of groups, or says something else than the
        catalogue does.
    """
    table = read_id_table(groups)
    taken = [name for name in table.columns if name.lower() in (*COLUMNS, *OPTIONAL_COLUMNS)]
    if taken:
        raise InputError(
            f"{groups}: the catalogue has a column {shorten(taken)} that is no group; rename it"
        )
    table = group_columns(table, groups)
    names = [str(name) for name in table.columns]
    if not names:
        raise InputError(f"{groups}: no column beside the ids; a column of groups is needed")
    if not table.index.isin(fields.index).any():
        raise InputError(f"{groups}: none of its ids is that of a field, such as {fields.index[0]}")
    fields = fields.copy()
    for name in names:
        values = table[name].reindex(fields.index, fill_value="")
        if name in fields:
            values = _filled(fields[name], values, groups)
        fields[name] = values
    return fields, names


def _filled(known: pd.Series, values: pd.Series, path: StrPath) -> pd.Series:
    name = str(known.name)
    differs = (known != "") & (values != "") & (known != values)
    for image_id in known.index[differs]:
        old, new = known[image_id], values[image_id]
        differs[image_id] = spelling_key(old, name) != spelling_key(new, name)
    if differs.any():
        first = known.index[differs][0]
        raise InputError(
            f"{path}: field {first} has {known.name} {values[first]!r}, and {known[first]!r} in "
            f"another table ({int(differs.sum())} such fields); rename the column, or mend one"
        )
    return known.where(known != "", values)
