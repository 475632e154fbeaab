"""Is a store what its recipe makes now?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hpastack.extraction.embeddings import weights_record
from hpastack.extraction.handcrafted import handcrafted_columns, handcrafted_record
from hpastack.fields import read_stain_statistics
from hpastack.store import is_current, open_store

#: "missing", "current", "outdated" (the recipe, the fields or their columns have changed), or
#: "other" (a recipe of another name or type made it).
State = Literal["missing", "current", "outdated", "other"]


def store_record(
    recipe: Mapping[str, Any], root: str | Path = ".", catalogue: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Return what a store keeps of its recipe.

    Parameters
    ----------
    recipe : mapping
        Name, type and settings of a recipe of features.
    root : path-like, default="."
        Folder from which its table of stain statistics is looked for.
    catalogue : DataFrame, optional
        The fields; hand-crafted features depend on their stains and sizes.

    Returns
    -------
    dict
        The recipe; that of embeddings with the digest of a file of weights and
        with the statistics, so that a change of either makes the store outdated.

    Raises
    ------
    InputError
        If the file of weights or of statistics is missing or not valid.
    """
    record = dict(recipe)
    if record["type"] == "handcrafted" and catalogue is not None:
        record = handcrafted_record(record, catalogue)
    if record["type"] == "embedding":
        record |= weights_record(record["weights"])
        if record.get("statistics") is not None:
            statistics = read_stain_statistics(Path(root) / record["statistics"])
            record["stain_statistics"] = {stain: list(pair) for stain, pair in statistics.items()}
    return record


def store_state(path: str | Path, record: Mapping[str, Any], made_from: str) -> State:
    """Say whether a store is what its recipe makes now.

    Parameters
    ----------
    path : path-like
        The store.
    record : mapping
        As `store_record` returns it.
    made_from : str
        Digest of the catalogue, as `hpastack.catalogue.catalogue_digest`.

    Returns
    -------
    {"missing", "current", "outdated", "other"}

    Raises
    ------
    InputError
        If there is a file that is not a store.
    """
    if not Path(path).exists():
        return "missing"
    record = dict(record)
    if is_current(path, record, made_from, handcrafted_columns(record)):
        return "current"
    with open_store(path) as store:
        is_own = all(store.recipe.get(key) == record.get(key) for key in ("name", "type"))
    return "outdated" if is_own else "other"
