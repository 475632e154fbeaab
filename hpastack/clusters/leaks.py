"""Test fields with a duplicate among the training fields."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from hpastack.clusters.pairs import pair_strength
from hpastack.errors import InputError, counted, shorten
from hpastack.files import read_text_table


def leaks(pairs: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """List the test fields that have a duplicate among the training fields.

    Parameters
    ----------
    pairs : DataFrame
        ``image_id``, ``twin`` and further columns, as `near_duplicates`.
    catalogue : DataFrame
        Indexed by image id, with ``split``, ``target`` and ``source``.

    Returns
    -------
    DataFrame
        ``image_id`` (the test field), ``twin`` (the duplicate: a training
        field, extra data included), ``twin_target``, ``twin_source``,
        ``strength`` (as `pair_strength`), then the further columns of `pairs`;
        sorted by test field, the strongest duplicate first; ties are broken by
        the order of the catalogue. Where the two fields of a pair are swapped,
        the shift is inverted.
    """
    split = catalogue["split"]
    first, second = pairs["image_id"].map(split), pairs["twin"].map(split)
    forward = pairs[(first == "test") & (second == "train")]
    backward = pairs[(first == "train") & (second == "test")]
    backward = backward.rename(columns={"image_id": "twin", "twin": "image_id"})
    mirror = backward["mirror"] if "mirror" in pairs else pd.Series("", backward.index)
    for column, along in (("shift_y", "top-bottom"), ("shift_x", "left-right")):
        if column in pairs:
            # Along the mirrored axis the shift is the same in both directions.
            inverted = 0 - backward[column]  # not -0.0 where there is no shift
            backward[column] = inverted.where(mirror != along, backward[column])
    table = pd.concat([forward, backward])[list(pairs.columns)]
    table.insert(2, "twin_target", table["twin"].map(catalogue["target"]))
    table.insert(3, "twin_source", table["twin"].map(catalogue["source"]))
    table.insert(4, "strength", pair_strength(table).round(4))
    row = catalogue.index.get_indexer(pd.Index(table["twin"], dtype=object))
    order = np.lexsort((row, -table["strength"].to_numpy(), table["image_id"].to_numpy(str)))
    return table.iloc[order].reset_index(drop=True)


def read_leaks(path: str | os.PathLike[str], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Read the list of leaks of a workspace.

    Parameters
    ----------
    path : path-like
        ``leaks.csv``, written from the table of `leaks`.
    catalogue : DataFrame
        Indexed by image id, with ``split`` and ``target``.

    Returns
    -------
    DataFrame
        As `leaks`, all columns as text. The labels of the duplicates are those
        of `catalogue`, not those in the file.

    Raises
    ------
    InputError
        If the file lacks a column, names fields that are not test or training
        fields of the catalogue, respectively, or if a cell of the column
        ``strength`` is neither empty nor a number from 0 to 1.
    FileNotFoundError
        If there is no such file.
    """
    table = read_text_table(path)
    missing = [name for name in ("image_id", "twin", "twin_source") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]!r} is missing; run: hpastack cluster --overwrite"
        )
    for column, split in (("image_id", "test"), ("twin", "train")):
        fields = catalogue.index[catalogue["split"] == split]
        unknown = pd.Index(table[column].unique()).difference(fields)
        if len(unknown):
            raise InputError(
                f"{path}: column {column!r} holds ids that are not {split} fields of the "
                f"catalogue: {shorten(unknown)}; run: hpastack cluster --overwrite"
            )
    if "strength" in table:  # earlier versions did not write it
        _check_strengths(table, path)
    return table.assign(twin_target=table["twin"].map(catalogue["target"]))


def strongest_twins(twins: pd.DataFrame) -> pd.DataFrame:
    """Return, for each leaked test field, the duplicate whose labels it takes over.

    Parameters
    ----------
    twins : DataFrame
        As `leaks` returns them.

    Returns
    -------
    DataFrame
        For each test field, the row of its strongest annotated duplicate;
        indexed by the id of the test field.
    """
    return twins[twins["twin_target"] != ""].drop_duplicates("image_id").set_index("image_id")


def _check_strengths(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Check that the strengths of a list of leaks are numbers from 0 to 1, or empty."""
    texts = table["strength"]
    is_valid = pd.to_numeric(texts, errors="coerce").between(0, 1) | (texts == "")
    invalid = np.flatnonzero(~is_valid)
    if len(invalid):
        first = invalid[0]
        others = f", nor are those of {counted(len(invalid) - 1, 'other row')}"
        raise InputError(
            f"{path}: row {first + 1} (field {table['image_id'].iloc[first]}), column 'strength': "
            f"{texts.iloc[first]!r} is not a number from 0 to 1"
            f"{others if len(invalid) > 1 else ''}; correct the file, or run: "
            "hpastack cluster --overwrite"
        )
