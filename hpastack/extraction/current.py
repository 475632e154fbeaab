"""Whether a store is up to date with its recipe and fields."""

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
#: "other" (made by a recipe of another name or type).
State = Literal["missing", "current", "outdated", "other"]


def store_record(
    recipe: Mapping[str, Any], root: str | Path = ".", catalogue: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Return the record of a recipe that a store keeps.

    Parameters
    ----------
    recipe : mapping
        Name, type and settings of a recipe of features.
    root : path-like, default="."
        Folder to which the path of its table of stain statistics is relative.
    catalogue : DataFrame, optional
        The fields; hand-crafted features depend on their stains and sizes.

    Returns
    -------
    dict
        The recipe; for embeddings also the digest of the weights file and
        the stain statistics, so that a change of either makes the store outdated.

    Raises
    ------
    InputError
        If the file of weights or of statistics is missing or invalid.
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
    """Return whether a store is up to date with its recipe and fields.

    Parameters
    ----------
    path : path-like
        The store.
    record : mapping
        From `store_record`.
    made_from : str
        Digest of the catalogue, from `hpastack.catalogue.catalogue_digest`.

    Returns
    -------
    {"missing", "current", "outdated", "other"}

    Raises
    ------
    InputError
        If the file is not a store.
    """
    if not Path(path).exists():
        return "missing"
    record = dict(record)
    if is_current(path, record, made_from, handcrafted_columns(record)):
        return "current"
    with open_store(path) as store:
        is_own = all(store.recipe.get(key) == record.get(key) for key in ("name", "type"))
    return "outdated" if is_own else "other"
