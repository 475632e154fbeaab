"""Importance of columns for each label, from the stores that a stack was fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.stack import StackClassifier
from hpastack.stack.explaining import column_importance, explain
from hpastack.store import open_store

#: Number of training fields that are explained: a compromise between precision and time.
N_FIELDS = 100


def stored_importance(
    stack: StackClassifier,
    stores: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    n_fields: int = N_FIELDS,
    seed: int = 0,
) -> pd.DataFrame | None:
    """Mean change of the log-odds of each label by each column (SHAP values).

    Parameters
    ----------
    stack : StackClassifier
        Fitted.
    stores : mapping
        Stores in the record of the stack, by name.
    folder : Path
        Folder of the stores.
    n_fields : int, default=100
        Number of training fields, sampled at random; all if there are fewer.
    seed : int, default=0

    Returns
    -------
    DataFrame or None
        Table of `hpastack.stack.column_importance`. None if the stack has no members,
        or if a store is missing or has changed since fitting, because its current
        values do not explain this stack.
    """
    if not stores or not stack.members_:
        return None
    image_ids = stack.oof_probabilities_.index
    rows = np.random.default_rng(seed).permutation(len(image_ids))[:n_fields]
    chosen = list(image_ids[np.sort(rows)])
    frames = []
    for name, made in stores.items():
        path = folder / f"{name}.h5"
        if not path.is_file():
            return None
        with open_store(path) as store:
            if (store.made_from, store.recipe) != (made.get("made_from"), made.get("recipe")):
                return None
            if len(pd.Index(chosen).difference(pd.Index(store.image_ids))):
                return None
            frames.append(store.to_frame(chosen))
    table = pd.concat(frames, axis=1)
    if len(set(stack.feature_names_in_) - set(table.columns)):
        return None
    return column_importance(explain(stack, table[list(stack.feature_names_in_)]))
