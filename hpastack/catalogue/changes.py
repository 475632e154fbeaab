"""What became of fields that are not in the catalogue as their tables and files have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

#: A field that is not in the catalogue.
DROPPED = "dropped"

#: A training field whose labels are not those its table gives it.
LABELS = "labels"


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
