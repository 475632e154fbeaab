"""Detection of columns that are not features: row numbers, ids, other bookkeeping."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.store.decimal_marks import is_marked_number, with_decimal_points

# Names of row numbers and row names in pandas, spreadsheets, R and CellProfiler.
_BOOKKEEPING = re.compile(
    r"unnamed(: ?\d+)?(_level_\d+)?|index|level_\d+|rows?|row[_ ]?(id|index|num|number|names?)|id"
    r"|(image|object|obs|sample|record|file|field)[_ ]?(id|number|index|name|nr|no)|metadata_.*"
    r"|\.\.\.\d+",
    re.IGNORECASE,
)
# Names of targets and of folds, which must not be inputs of a model.
_LABELS = re.compile(r"targets?|labels?|predicted|class|fold|split", re.IGNORECASE)
# In fewer rows, a feature may be sorted or consecutive by chance.
_LEAST_ROWS = 10


def check_feature_columns(
    table: pd.DataFrame, where: str | os.PathLike[str], *, keep: Collection[str] = ()
) -> None:
    """Check that no column of features numbers or names the rows.

    Such a column encodes the order of the file. If the order is correlated with
    the labels, a model learns it, scores well out of fold and fails on new fields.

    Parameters
    ----------
    table : DataFrame
        Indexed by image id, rows in the order of the file; cells may be text.
    where : path-like
        Name of the table in error messages.
    keep : collection of str
        Columns that are accepted as features without a check.

    Raises
    ------
    InputError
        If a column has no name, or that of a row number, an index, an id, a label or a fold; if
        its values are ids or other text; or, in 10 rows or more, if its values increase or decrease
        strictly from row to row, are consecutive integers in any order, or are the numbers within
        the ids.
    """
    reasons = {}
    table = with_decimal_points(table)
    for position, column in enumerate(map(str, table.columns)):
        if column not in keep:
            reason = _reason(column, table.iloc[:, position])
            if reason:
                reasons[column] = reason
    if reasons:
        named = shorten([f"{column!r} ({reason})" for column, reason in reasons.items()])
        columns = shorten([f"'{column}'" for column in reasons], 10)
        raise InputError(
            f"{where}: not features: {named}; drop the columns {columns}, or pass those that are "
            "features as keep",
            "drop",
            "keep",
        )


def _reason(column: str, values: pd.Series) -> str:
    """Return why a column is not a feature; "" if it may be one."""
    if not column.strip():
        return "has no name, like the index that pandas writes"
    if _BOOKKEEPING.fullmatch(column.strip()):
        return "is named like a row number, an id or metadata"
    if _LABELS.fullmatch(column.strip()):
        return "is named like labels or folds"
    numeric = pd.to_numeric(values, errors="coerce")
    text = values[numeric.isna()].dropna().astype(str).str.strip()
    text = text[~text.str.lower().isin(("", "nan"))]
    # Ambiguous commas are reported with their row where cells become numbers.
    if len(values) > 1 and len(text) == len(values) and not text.map(is_marked_number).all():
        return f"contains text, such as {text.iloc[0]!r}"
    numbers = numeric.to_numpy(dtype=float)
    if len(numbers) < _LEAST_ROWS or not np.isfinite(numbers).all():
        return ""
    steps = np.diff(numbers)
    if (steps > 0).all() or (steps < 0).all():
        return "increases or decreases from row to row"
    if np.array_equal(np.sort(numbers) - numbers.min(), np.arange(len(numbers))):
        return "contains consecutive numbers, each once"
    within = [re.findall(r"\d+", str(image_id)) for image_id in values.index]
    if len(np.unique(numbers)) == len(numbers) and all(
        number in {float(digits) for digits in known} for number, known in zip(numbers, within)
    ):
        return "is a number within the ids"
    return ""
