"""Strings in HDF5, and datasets of untrusted HDF5 files."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from h5py import h5d, h5g, h5l, h5o

from hpastack.errors import InputError

#: End of messages about files that violate their format in a way that could harm the reader.
UNTRUSTED = "it is not to be trusted"


def fixed_strings(values: Iterable[str]) -> np.ndarray:
    """Return strings as stored in HDF5 files: UTF-8 bytes of fixed length, padded with zeros."""
    # Fixed length, because variable-length strings are slow and cannot be bounded on reading.
    return np.array([value.encode() for value in values], dtype=np.bytes_)


def plain_dataset(group: h5g.GroupID, name: bytes, path: str | os.PathLike[str]) -> h5d.DatasetID:
    """Open a dataset of an untrusted file, if all its data are in this file.

    Parameters
    ----------
    group : h5py.h5g.GroupID
    name : bytes
        Name of an object in the group.
    path : path-like
        Path of the file, for messages.

    Returns
    -------
    h5py.h5d.DatasetID
        Its shape and type have not been read yet.

    Raises
    ------
    InputError
        If it is a soft or external link, not a dataset, or its storage is external or virtual.
    """
    if group.links.get_info(name).type == h5l.TYPE_HARD:
        # The object type is not queried first, because HDF5 would traverse everything below it.
        dataset = h5o.open(group, name)
        if isinstance(dataset, h5d.DatasetID):
            settings = dataset.get_create_plist()
            if not settings.get_external_count() and settings.get_layout() != h5d.VIRTUAL:
                return dataset
    raise InputError(f"{path}: {name.decode(errors='replace')!r} is not plain data; {UNTRUSTED}")


def filters(dataset: h5d.DatasetID) -> list[int]:
    """Return the ids of a dataset's filters, in order; a filter may expand the data."""
    settings = dataset.get_create_plist()
    return [settings.get_filter(position)[0] for position in range(settings.get_nfilters())]
