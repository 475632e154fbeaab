"""Warnings of features that equal a target of the training fields."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.errors import shorten
from hpastack.stack.column_blocks import NamedColumns, sets_of_columns
from hpastack.stack.inputs import TrainingData
from hpastack.store import columns_of_targets


def leaks_warning(features: pd.DataFrame, y: np.ndarray, *, in_recipe: bool = False) -> str:
    """Return a warning that names the features that equal a target.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Of the training fields.
    y : ndarray of {0, 1}, shape (n, n_labels)
    in_recipe : bool, default=False
        Whether the remedy is a setting of a recipe.

    Returns
    -------
    str
        Empty if there are none.
    """
    equal = columns_of_targets(features, y)
    if not equal:
        return ""
    named = shorten([f"{column} (label {label})" for column, label in equal.items()])
    remedy = f"fit without {'it' if len(equal) == 1 else 'them'}"
    if in_recipe:
        remedy += f" (drop_columns: [{shorten([repr(column) for column in equal], 20)}])"
    return (
        f"{named}: the values of training fields equal a target, which is unknown for new fields: "
        f"scores will be far too good; {remedy}"
    )


def leaked_targets(inputs: TrainingData, named: NamedColumns) -> str:
    """Return the warning for the input of a fit; see `leaks_warning`.

    Parameters
    ----------
    inputs : TrainingData
    named : NamedColumns

    Returns
    -------
    str
    """
    sets = sets_of_columns(inputs.columns, inputs.y.shape[1], named)
    columns = [column for column, name in zip(inputs.columns, sets) if name is None]
    return leaks_warning(pd.DataFrame(inputs.blocks.features, columns=columns), inputs.y)
