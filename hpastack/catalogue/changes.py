"""What became of fields that are not in the catalogue as their tables and files have them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.errors import InputError

#: A field that is not in the catalogue.
DROPPED = "dropped"

#: A training field whose labels are not those its table gives it.
LABELS = "labels"

#: How the reason of labels that ``prepare --corrections`` replaced begins.
CORRECTED = "corrected after"


class Change(NamedTuple):
    """One field that was dropped, or got other labels, and why.

    `change` is `DROPPED` or `LABELS`; `file` is the file at fault, if one is;
    `before` are the labels as the table has them, `after` those of the catalogue.
    """

    image_id: str
    change: str
    reason: str
    file: str = ""
    before: str = ""
    after: str = ""


def changes_text(changes: Iterable[Change]) -> str:
    """Write changes as ``data/changes.csv`` has them.

    Parameters
    ----------
    changes : iterable of Change

    Returns
    -------
    str
        CSV with the fields of `Change` as columns.
    """
    table = pd.DataFrame(list(changes), columns=list(Change._fields), dtype=str)
    return table.to_csv(index=False, lineterminator="\n")


def corrected_fields(path: Path, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return the training fields whose labels were corrected, with those before and after.

    Parameters
    ----------
    path : Path
        ``data/changes.csv`` of the workspace; it is missing where nothing was changed.
    catalogue : DataFrame
        The catalogue that was written with it.

    Returns
    -------
    DataFrame of str
        ``before`` and ``after`` (label ids), indexed by image id.

    Raises
    ------
    InputError
        If the file is not one of `changes_text`, or of another catalogue.
    """
    if not path.is_file():
        return pd.DataFrame(columns=["before", "after"], index=pd.Index([], name="image_id"))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != list(Change._fields):
        raise InputError(f"{path}: the columns are not {', '.join(Change._fields)}")
    corrected = table[(table["change"] == LABELS) & table["reason"].str.startswith(CORRECTED)]
    corrected = corrected.set_index("image_id")[["before", "after"]]
    now = catalogue["target"].reindex(corrected.index)
    other = corrected.index[now.to_numpy() != corrected["after"].to_numpy()]
    if len(other):
        raise InputError(
            f"{path} and the catalogue have other labels of {other[0]}; run: python -m "
            "pipelines.prepare IMAGES --corrections CSV --overwrite"
        )
    return corrected
