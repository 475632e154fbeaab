"""Human-readable summary of a store."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd

from hpastack.errors import counted, shorten
from hpastack.files.sizes import size_text
from hpastack.store.reading import Store
from hpastack.store.verifying import is_of_catalogue, unfinished_rows


def store_summary(
    store: Store, catalogue: pd.DataFrame | None = None, fold_plan: str | None = None
) -> dict[str, str]:
    """Return a summary of a store.

    Parameters
    ----------
    store : Store
    catalogue : DataFrame, optional
        The fields of a workspace, to report which of them are in the store.
    fold_plan : str, optional
        Digest of the fold plan of the workspace, to compare with.

    Returns
    -------
    dict of str to str
        Name of each property to its value, one line each.
    """
    facts = {
        "contents": f"{store.content}, {store.kind}",
        "format": f"{store.version}, {store.storage}, {size_text(store.path.stat().st_size)}",
        "rows": f"{counted(len(store), 'field')}, such as {store.image_ids[0]}",
        "columns": f"{len(store.columns):,}: {_families(store.columns)}",
    }
    if store.allow_nan:
        facts["NaN"] = "allowed in some columns"
    if store.fold is not None:
        numbers, counts = np.unique(store.fold, return_counts=True)
        facts["folds"] = ", ".join(
            f"{'test' if number < 0 else number}: {count:,}"
            for number, count in zip(numbers.tolist(), counts.tolist())
        )
    if store.n_members:
        facts["members"] = (
            f"{counted(store.n_members, 'model')}, each with its predictions of the test fields"
        )
    if store.fold_plan:
        comparison = {None: "", store.fold_plan: ", that of the workspace"}
        facts["fold plan"] = store.fold_plan + comparison.get(
            fold_plan, ", NOT that of the workspace"
        )
    elif store.kind == "out_of_fold":
        facts["fold plan"] = "unknown"
    if store.vocabulary:
        facts["labels"] = shorten(store.vocabulary, 4)
    facts["recipe"] = json.dumps(store.recipe, sort_keys=True)
    facts["made from"] = store.made_from or "unknown"
    if catalogue is not None:
        current = {True: "the fields of the catalogue", False: "OTHER fields than the catalogue's"}
        is_current = is_of_catalogue(store, catalogue)
        if is_current is not None:
            facts["made from"] += f": {current[is_current]}"
        facts["catalogue"] = _coverage(store, catalogue)
    facts["made with"] = ", ".join(f"{name} {number}" for name, number in store.made_with.items())
    unfinished = unfinished_rows(store.path)
    if unfinished is not None:
        facts["being made again"] = (
            f"{counted(unfinished, 'field is', 'fields are')} in {store.path.name}.parts"
        )
    return facts


def _families(columns: list[str]) -> str:
    """Return the number of columns by prefix, up to the first underscores."""
    by_store = Counter(column.split("__", 1)[0] for column in columns)
    if len(by_store) > 1:
        by_store = Counter(column.split("_", 1)[0] for column in columns)
    if len(by_store) == len(columns):
        return shorten(columns, 3)
    return shorten((f"{name}_... {count:,}" for name, count in by_store.most_common()), 10)


def _coverage(store: Store, catalogue: pd.DataFrame) -> str:
    """Return which fields of the catalogue are in a store, and which others the store has."""
    own = pd.Index(store.image_ids)
    parts = []
    for split in ("train", "test"):
        fields = catalogue.index[catalogue["split"] == split]
        missing = fields[~fields.isin(own)]
        lacking = f" (lacks {shorten(missing, 3)})" if 0 < len(missing) < len(fields) else ""
        parts.append(f"{len(fields) - len(missing):,} of {len(fields):,} {split} fields{lacking}")
    extra = own[~own.isin(catalogue.index)]
    if len(extra):
        parts.append(f"{len(extra):,} not in the catalogue ({shorten(extra, 3)})")
    return ", ".join(parts)
