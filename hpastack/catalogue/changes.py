"""Changes: fields that were dropped from the catalogue, or whose labels were changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.errors import InputError

#: A field that is not in the catalogue.
DROPPED = "dropped"

#: A training field whose labels differ from those in its table.
LABELS = "labels"

#: Start of the reason for labels replaced by `correct_targets`.
CORRECTED = "corrected after"


class Change(NamedTuple):
    """One field that was dropped or whose labels changed, with the reason.

    `change` is `DROPPED` or `LABELS`; `file` is the file at fault, if any;
    `before` contains the labels in the table, `after` those in the catalogue.
    """

    image_id: str
    change: str
    reason: str
    file: str = ""
    before: str = ""
    after: str = ""


def changes_text(changes: Iterable[Change]) -> str:
    """Return changes as the text of ``data/changes.csv``.

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
    """Return the training fields whose labels were corrected, with the labels before and after.

    Parameters
    ----------
    path : Path
        ``data/changes.csv`` of the workspace; the file is missing if nothing changed.
    catalogue : DataFrame
        The catalogue that was written with it.

    Returns
    -------
    DataFrame of str
        ``before`` and ``after`` (label ids), indexed by image id.

    Raises
    ------
    InputError
        If the file was not written by `changes_text`, or belongs to another catalogue.
    """
    if not path.is_file():
        return pd.DataFrame(columns=["before", "after"], index=pd.Index([], name="image_id"))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != list(Change._fields):
        raise InputError(f"{path}: the columns must be {', '.join(Change._fields)}")
    corrected = table[(table["change"] == LABELS) & table["reason"].str.startswith(CORRECTED)]
    corrected = corrected.set_index("image_id")[["before", "after"]]
    now = catalogue["target"].reindex(corrected.index)
    other = corrected.index[now.to_numpy() != corrected["after"].to_numpy()]
    if len(other):
        raise InputError(
            f"{path} and the catalogue have different labels for {other[0]}; run: hpastack "
            "prepare IMAGES --corrections CSV --overwrite"
        )
    return corrected
