"""Extraction of the hand-crafted features of a catalogue of fields into a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.extraction.engine import WHOLE, Extraction, extract
from hpastack.extraction.settings import HandcraftedSettings
from hpastack.features import chosen_families, columns_of_stains, field_features, undefined_columns
from hpastack.fields import STAINS, Outcome, Outcomes, field_fault, read_field, stain_rows
from hpastack.fields.paths import stains_of
from hpastack.parallel import Shard, spread_on_this_machine
from hpastack.store import open_store

#: The column of the family `compartments` that is 1 for a field without a nucleus.
NO_NUCLEUS = "compartments_no_nucleus__blue"


def extract_features(
    path: str | os.PathLike[str],
    catalogue: pd.DataFrame,
    families: Iterable[str] | None = None,
    *,
    size: int | None = 512,
    enlarge: bool = False,
    record: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    shard: Shard = WHOLE,
    on_error: Literal["raise", "skip"] = "raise",
    overwrite: bool = False,
    progress: bool = True,
) -> Extraction:
    """Measure the hand-crafted features of every field of a catalogue, and write them to a store.

    Runs in threads of this process, or in processes on this machine if there is
    enough work for them to be faster. An active `joblib.parallel_config` is honoured,
    so that fields can be distributed over machines that share the files. The result
    does not depend on any of this.

    Parameters
    ----------
    path : path-like
        The store to write, ``NAME.h5``.
    catalogue : DataFrame
        From `read_catalogue`.
    families : iterable of str, optional
        Names of feature families, as for `hpastack.field_features`. Default: all except
        ``minimal``.
    size : int or None, default=512
        Longer side to which the fields are resized, in pixels; None for the original size.
    enlarge : bool, default=False
        Whether fields smaller than `size` are enlarged to it, by bilinear interpolation;
        otherwise they are measured as they are.
    record : mapping, optional
        Settings to keep in the store as its recipe. Default: the settings above.
    jobs : int, optional
        Number of workers. Default: `hpastack.parallel.cpu_budget` on this machine, or all workers
        of a cluster.
    shard : Shard, default=Shard(0, 1)
        Measure only this shard of the fields. Several processes, on machines that
        share the folder, fill one store; the last to finish publishes it.
    on_error : {"raise", "skip"}, default="raise"
        What to do with a field that cannot be read or measured: stop with an error, or
        skip it and list it in ``NAME.skipped.csv`` beside the store.
    overwrite : bool, default=False
        Whether an existing store may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Extraction

    Raises
    ------
    InputError
        If the store exists and `overwrite` is false, a parameter is invalid, a
        field cannot be read or measured and `on_error` is ``raise`` (the message names the field
        and its file), or no field can be measured.
    """
    families = chosen_families(families)
    stains = stains_of(catalogue)
    columns = columns_of_stains(families, stains)
    settings = HandcraftedSettings(families, "original" if size is None else size, enlarge)
    if record is None:
        record = handcrafted_record({"type": "handcrafted", **settings.record()}, catalogue)

    def measure(rows: pd.DataFrame) -> Outcomes:
        tasks = (
            (image_id, row, families, columns, side)
            for image_id, row, side in zip(rows.index, stain_rows(rows), _sides(rows, settings))
        )
        return spread_on_this_machine(_measure_field, tasks, len(rows), jobs)

    return extract(
        Path(path), catalogue, measure,
        columns=columns, kind="target_free", record=record,
        allow_nan=bool(undefined_columns(families)),
        shard=shard, on_error=on_error, overwrite=overwrite, progress=progress,
    )  # fmt: skip


def handcrafted_columns(record: Mapping[str, Any]) -> list[str] | None:
    """Return the columns that the recipe of a store produces in this version.

    Parameters
    ----------
    record : mapping
        Recipe of a store.

    Returns
    -------
    list of str or None
        None if the recipe is not of hand-crafted features, or names families that no longer
        exist.
    """
    if record.get("type") != "handcrafted":
        return None
    try:
        return columns_of_stains(record["families"], record.get("stains", STAINS))
    except InputError:
        return None


def handcrafted_record(recipe: Mapping[str, Any], catalogue: pd.DataFrame) -> dict[str, Any]:
    """Return the record that a store of hand-crafted features keeps of its recipe.

    Parameters
    ----------
    recipe : mapping
        Name, type and settings.
    catalogue : DataFrame
        The fields.

    Returns
    -------
    dict
        The recipe with ``stains`` where the fields lack one, and with ``enlarge`` only where
        fields are smaller than ``size``: elsewhere it makes no difference, and stores made
        before there was this setting stay up to date.
    """
    record = dict(recipe)
    stains = stains_of(catalogue)
    if stains != STAINS:
        record["stains"] = list(stains)
    enlarge = record.pop("enlarge", False)
    if n_smaller(catalogue, recipe["size"]):
        record["enlarge"] = enlarge
    return record


def n_smaller(catalogue: pd.DataFrame, size: int | str) -> int:
    """Return the number of fields whose longer side is below the size of a recipe.

    Parameters
    ----------
    catalogue : DataFrame
    size : int or "original"

    Returns
    -------
    int
    """
    return 0 if size == "original" else int((_longer_sides(catalogue) < size).sum())


def _longer_sides(catalogue: pd.DataFrame) -> pd.Series:
    return catalogue[["height", "width"]].max(axis=1)


def _sides(catalogue: pd.DataFrame, settings: HandcraftedSettings) -> Iterable[int | None]:
    """Return the longer side at which each field is measured; None: as it is."""
    if settings.pixels is None or settings.enlarge:
        return [settings.pixels] * len(catalogue)
    return _longer_sides(catalogue).clip(upper=settings.pixels).tolist()


def fields_without_nuclei(path: str | os.PathLike[str]) -> int | None:
    """Count the fields of a store in which no nucleus was found.

    Parameters
    ----------
    path : path-like
        The store.

    Returns
    -------
    int or None
        None if this is unknown, as in a store without the family `compartments`.
    """
    with open_store(path) as store:
        if NO_NUCLEUS not in store.columns:
            return None
        return int(store.rows(store.image_ids, [NO_NUCLEUS]).sum())


def _measure_field(
    image_id: str, row: dict[str, Any], families: list[str], columns: list[str], side: int | None
) -> Outcome:
    """Read and measure one field; a top-level function, so that it can be pickled."""
    try:
        values = field_features(read_field(row, side), families)
    except (InputError, OSError) as error:
        return field_fault(image_id, error)
    except Exception as error:
        error.add_note(f"while measuring field {image_id}")
        raise
    return np.array([values[column] for column in columns], dtype=np.float32)
