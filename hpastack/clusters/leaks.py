"""Test fields with a duplicate among the training fields."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from hpastack.clusters.pairs import pair_strength
from hpastack.errors import InputError, shorten
from hpastack.files import read_text_table


def leaks(pairs: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """List the test fields that have a twin among the training fields.

    Parameters
    ----------
    pairs : DataFrame
        ``image_id``, ``twin`` and further columns, as `near_duplicates`.
    catalogue : DataFrame
        Indexed by image id, with ``split``, ``target`` and ``source``.

    Returns
    -------
    DataFrame
        ``image_id`` (the test field), ``twin`` (the training field, extra data
        included), ``twin_target``, ``twin_source``, ``strength`` (as
        `pair_strength`), then the further columns of `pairs`; sorted by test
        field, the strongest twin first, of equal ones the earlier row of the
        catalogue. A shift is turned round where the pair is.
    """
    split = catalogue["split"]
    first, second = pairs["image_id"].map(split), pairs["twin"].map(split)
    forward = pairs[(first == "test") & (second == "train")]
    backward = pairs[(first == "train") & (second == "test")]
    backward = backward.rename(columns={"image_id": "twin", "twin": "image_id"})
    mirror = backward["mirror"] if "mirror" in pairs else pd.Series("", backward.index)
    for column, along in (("shift_y", "top-bottom"), ("shift_x", "left-right")):
        if column in pairs:
            # Along the axis that was mirrored, both ways round are the same shift.
            turned = 0 - backward[column]  # not -0.0 where there is no shift
            backward[column] = turned.where(mirror != along, backward[column])
    found = pd.concat([forward, backward])[list(pairs.columns)]
    found.insert(2, "twin_target", found["twin"].map(catalogue["target"]))
    found.insert(3, "twin_source", found["twin"].map(catalogue["source"]))
    found.insert(4, "strength", pair_strength(found).round(4))
    row = catalogue.index.get_indexer(pd.Index(found["twin"], dtype=object))
    order = np.lexsort((row, -found["strength"].to_numpy(), found["image_id"].to_numpy(str)))
    return found.iloc[order].reset_index(drop=True)


def read_leaks(path: str | os.PathLike[str], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Read the list of leaks of a workspace.

    Parameters
    ----------
    path : path-like
        ``leaks.csv``, as `leaks` lists them.
    catalogue : DataFrame
        Indexed by image id, with ``split`` and ``target``.

    Returns
    -------
    DataFrame
        As `leaks`, all columns text. Labels of the twins are those that the
        catalogue has now.

    Raises
    ------
    InputError
        If it is no such list, or names fields that are not (test and training)
        fields of the catalogue.
    FileNotFoundError
        If there is no such file.
    """
    twins = read_text_table(path)
    missing = [name for name in ("image_id", "twin", "twin_source") if name not in twins.columns]
    if missing:
        raise InputError(
            f"{path}: no column {missing[0]}; run: python -m pipelines.cluster --overwrite"
        )
    for column, split in (("image_id", "test"), ("twin", "train")):
        fields = catalogue.index[catalogue["split"] == split]
        strangers = pd.Index(twins[column].unique()).difference(fields)
        if len(strangers):
            raise InputError(
                f"{path}: no {split} fields of the catalogue: {shorten(strangers)}; "
                "run: python -m pipelines.cluster --overwrite"
            )
    return twins.assign(twin_target=twins["twin"].map(catalogue["target"]))


def strongest_twins(twins: pd.DataFrame) -> pd.DataFrame:
    """Choose the twin of each leaked test field that gives it its labels.

    Parameters
    ----------
    twins : DataFrame
        As `leaks` lists them.

    Returns
    -------
    DataFrame
        The strongest twin with labels of each test field, indexed by the id of
        the test field.
    """
    return twins[twins["twin_target"] != ""].drop_duplicates("image_id").set_index("image_id")
