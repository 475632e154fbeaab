"""Columns of a table of features that are no features: row numbers, ids, other bookkeeping."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten

# What pandas, spreadsheets, R and CellProfiler call the number or the name of a row.
_BOOKKEEPING = re.compile(
    r"unnamed(: ?\d+)?(_level_\d+)?|index|level_\d+|rows?|row[_ ]?(id|index|num|number|names?)|id"
    r"|(image|object|obs|sample|record|file|field)[_ ]?(id|number|index|name|nr|no)|metadata_.*"
    r"|\.\.\.\d+",
    re.IGNORECASE,
)
# What is to be predicted, or which field is held out when: not for a model to see.
_LABELS = re.compile(r"targets?|labels?|predicted|class|fold|split", re.IGNORECASE)
# In fewer rows a feature is in order, or holds consecutive numbers, by chance.
_LEAST_ROWS = 10


def check_feature_columns(
    table: pd.DataFrame, where: str | os.PathLike[str], *, keep: Collection[str] = ()
) -> None:
    """Reject columns of features that number or name the rows.

    Such a column tells the order of the file. Where the order has to do with
    the labels, a model learns it, scores well out of fold and fails on new fields.

    Parameters
    ----------
    table : DataFrame
        Indexed by image id, rows in the order of the file; cells may be text.
    where : path-like
        What to call the table in errors.
    keep : collection of str
        Columns that are features whatever they look like.

    Raises
    ------
    InputError
        If a column has no name, or that of a row number, an index, an id, a label or a fold; if
        its values are ids or other text; or, in 10 rows or more, if its values rise or fall from
        row to row, are consecutive whole numbers in any order, or are the numbers within the ids.
    """
    reasons = {}
    for position, column in enumerate(map(str, table.columns)):
        if column not in keep:
            reason = _reason(column, table.iloc[:, position])
            if reason:
                reasons[column] = reason
    if reasons:
        named = shorten([f"{column!r} ({reason})" for column, reason in reasons.items()])
        options = shorten([f"'{column}'" for column in reasons], 10).replace(", ", " ")
        raise InputError(
            f"{where}: no features: {named}; leave them out with --drop {options}, or take those "
            "that are features with --keep"
        )


def _reason(column: str, values: pd.Series) -> str:
    """Return why a column is no feature; "" if it may be one."""
    if not column.strip():
        return "has no name, as the index that pandas writes"
    if _BOOKKEEPING.fullmatch(column.strip()):
        return "is called like a row number, an id or metadata"
    if _LABELS.fullmatch(column.strip()):
        return "is called like labels or folds"
    numeric = pd.to_numeric(values, errors="coerce")
    text = values[numeric.isna()].dropna().astype(str).str.strip()
    text = text[~text.str.lower().isin(("", "nan"))]
    if len(values) > 1 and len(text) == len(values):
        return f"holds text, such as {text.iloc[0]!r}"
    numbers = numeric.to_numpy(dtype=float)
    if len(numbers) < _LEAST_ROWS or not np.isfinite(numbers).all():
        return ""
    steps = np.diff(numbers)
    if (steps > 0).all() or (steps < 0).all():
        return "rises or falls from row to row"
    if np.array_equal(np.sort(numbers) - numbers.min(), np.arange(len(numbers))):
        return "holds consecutive numbers, each once"
    within = [re.findall(r"\d+", str(image_id)) for image_id in values.index]
    if len(np.unique(numbers)) == len(numbers) and all(
        number in {float(digits) for digits in known} for number, known in zip(numbers, within)
    ):
        return "is a number within the ids"
    return ""
