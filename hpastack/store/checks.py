"""What a store must be before anything in it is used: it may come from a stranger."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from hpastack.errors import InputError, shorten
from hpastack.store.header import DATASETS, FORMAT, MAX_MEMBERS, PREDICTIONS, VERSION

# Formats 1 and 2 have values in single precision only, format 3 in half precision only.
_HALVES_VERSION = 3
_NEEDED = ("image_ids", "columns", "values")


def check_file(file: h5py.File, path: Path) -> None:
    """Refuse a file that is no store, is of a newer format, or is not to be trusted.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    path : Path
        For the message.

    Raises
    ------
    InputError
    """
    if file.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is an HDF5 file, but not a store; bring it in with ingest")
    version = int(file.attrs.get("version", 0))
    if not 1 <= version <= VERSION:
        raise InputError(
            f"{path} is a store of format {version}; this hpastack reads 1 to {VERSION}"
        )
    for name in file:
        link = file.get(name, getlink=True)
        known = name in DATASETS and DATASETS[name] <= version
        if not known or not isinstance(link, h5py.HardLink):
            raise InputError(f"{path} holds {name!r}, which no store has; it is not to be trusted")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise InputError(f"{path}: {name!r} is not plain data; it is not to be trusted")
    missing = [name for name in _NEEDED if name not in file]
    if missing:
        raise InputError(f"{path} lacks {shorten(missing)}; make it again")
    _check_shapes(file, path)
    halves = file["values"].dtype == np.float16
    if version != VERSION and halves != (version == _HALVES_VERSION):
        raise InputError(
            f"{path}: values of type {file['values'].dtype} in a store of format {version}; it is "
            "not to be trusted"
        )


def _check_shapes(file: h5py.File, path: Path) -> None:
    """Refuse datasets that do not fit each other, before any of them is read whole."""
    if any(len(file[name].shape or ()) != 1 for name in ("image_ids", "columns")):
        raise InputError(f"{path}: its ids and columns are no lists; it is not to be trusted")
    n, d = len(file["image_ids"]), len(file["columns"])
    for name, shape in (("values", (n, d)), ("fold", (n,)), ("checksums", (n,))):
        if name in file and file[name].shape != shape:
            raise InputError(
                f"{path}: {name!r} has the shape {file[name].shape} instead of {shape}; it is not "
                "to be trusted"
            )
    if "members" not in file:
        return
    if "fold" not in file or file.attrs.get("content") not in PREDICTIONS:
        raise InputError(
            f"{path} has members, which only predictions with folds have; it is not to be trusted"
        )
    members = file["members"]
    n_test = int(np.count_nonzero(file["fold"][()] == -1))
    fits = members.shape is not None and members.shape[1:] == (n_test, d)
    if not fits or not 1 <= len(members) <= MAX_MEMBERS or members.dtype != np.float32:
        raise InputError(
            f"{path}: members of shape {members.shape} and type {members.dtype} for {n_test} test "
            f"fields and {d} columns; it is not to be trusted"
        )
