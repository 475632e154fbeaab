"""Groups: columns such as plate, well or antibody, whose values are shared by related fields."""

from __future__ import annotations

import os
import re

import pandas as pd

from hpastack.catalogue.spellings import is_unknown, spelling_key
from hpastack.catalogue.table import COLUMNS, OPTIONAL_COLUMNS
from hpastack.errors import InputError, counted, shorten
from hpastack.files import read_id_table

StrPath = str | os.PathLike[str]

# Written in several ways ("CellLine", "Cell line"), but one column in the catalogue.
_KNOWN = {"plate": "plate", "well": "well", "antibody": "antibody", "cellline": "cell_line"}


def group_columns(table: pd.DataFrame, path: StrPath) -> pd.DataFrame:
    """Return the group columns of a table, under their standard names.

    Parameters
    ----------
    table : DataFrame of str
        Without the id column.
    path : path-like
        The file it was read from, for errors.

    Returns
    -------
    DataFrame
        Excludes the columns that are not groups: those in `COLUMNS`, and unnamed columns, which
        contain row numbers. Cells of only whitespace, ``NaN``, ``N/A`` or ``null`` become "",
        which means unknown. Plate, well, antibody and cell line are named ``plate``, ``well``,
        ``antibody`` and ``cell_line``, however they are written in the table.

    Raises
    ------
    InputError
        If two columns have the same standard name.
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
        duplicates = [str(name) for name in names if list(names.values()).count(names[name]) > 1]
        raise InputError(f"{path}: columns {' and '.join(duplicates)} mean the same; keep one")
    return groups.apply(lambda column: column.mask(column.map(is_unknown).astype(bool), ""))


def join_groups(fields: pd.DataFrame, groups: StrPath) -> tuple[pd.DataFrame, list[str]]:
    """Add group columns, such as well, antibody or cell line, to fields.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    groups : path-like
        CSV with an id column and one or more group columns. Rows of other
        fields are ignored; a field without a row gets "", which means unknown.
        If the catalogue already has a column, its empty cells are filled.

    Returns
    -------
    fields : DataFrame
        A copy with the columns added.
    names : list of str
        The names of these columns.

    Raises
    ------
    InputError
        If there are duplicate ids, no id is that of a field, there is no
        column to add, a column has the name of a catalogue column that is not
        a group, or a value contradicts the catalogue.
    """
    table = read_id_table(groups)
    taken = [name for name in table.columns if name.lower() in (*COLUMNS, *OPTIONAL_COLUMNS)]
    if taken:
        raise InputError(
            f"{groups}: {shorten(taken)} is a catalogue column but not a group; rename it"
        )
    table = group_columns(table, groups)
    names = [str(name) for name in table.columns]
    if not names:
        raise InputError(f"{groups}: only an id column; at least one group column is needed")
    if not table.index.isin(fields.index).any():
        raise InputError(
            f"{groups}: none of its ids is in the catalogue; ids look like {fields.index[0]}"
        )
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
            f"{path}: field {first} has {known.name} {values[first]!r}, but {known[first]!r} in "
            f"another table ({counted(int(differs.sum()), 'such field')}); correct one, or rename "
            "the column"
        )
    return known.where(known != "", values)
