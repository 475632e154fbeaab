"""What commands that compare fields by their features share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest
from hpastack.labels import Vocabulary
from hpastack.pictures import Captioned, read_tile
from hpastack.similarity import unit_vectors
from hpastack.stack import gather_target_free
from hpastack.workspace import Workspace

# Longer side of a field on a contact sheet, in pixels.
_TILE = 200


def store_vectors(
    stores: list[str],
    workspace: Workspace,
    catalogue: pd.DataFrame,
    image_ids: list[str] | None = None,
) -> np.ndarray:
    """Return unit vectors of fields, whose dot products are their cosine similarities.

    Parameters
    ----------
    stores : list of str
        Names of target-free stores.
    workspace : Workspace
    catalogue : DataFrame
    image_ids : list of str, optional
        Fields of the catalogue to return. If omitted, all.

    Returns
    -------
    ndarray of float32, shape (n, d)
    """
    ids = list(catalogue.index) if image_ids is None else image_ids
    vocabulary = workspace.vocabulary()
    made_from = catalogue_digest(catalogue)
    tables, measured = [], []
    for name in stores:
        inputs = gather_target_free([workspace.store(name)], ids, vocabulary, made_from=made_from)
        tables.append(inputs.table)
        (store,) = inputs.stores.values()
        measured.append(store["recipe"].get("type") == "handcrafted")
    return unit_vectors(tables, measured=measured)


def label_names(row: pd.Series, vocabulary: Vocabulary) -> str:
    """Return the names of the annotated labels of a field, to be shown."""
    if row["split"] != "train":
        return "test field"
    names = [vocabulary.names[int(label)] for label in row["target"].split()]
    return ", ".join(names) or "no label"


def captioned_tile(
    row: pd.Series, vocabulary: Vocabulary, cosine: float | None = None
) -> Captioned:
    """Return an image of a field with its id, its labels and its cosine to another field."""
    lines = [str(row.name), label_names(row, vocabulary)]
    if cosine is not None:
        lines.append(f"cosine {cosine:.3f}")
    return Captioned(read_tile(row, _TILE), tuple(lines))
