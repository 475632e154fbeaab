"""Texts in HDF5."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from h5py import h5d, h5g, h5l, h5o

from hpastack.errors import InputError

#: The end of messages about files that break their format in a way that harms who reads them.
UNTRUSTED = "it is not to be trusted"


def fixed_strings(values: Iterable[str]) -> np.ndarray:
    """Return texts as HDF5 keeps them here: bytes of one length, UTF-8, padded with zeros."""
    # Fixed length: HDF5's variable-length strings are slow and cannot be bounded when read.
    return np.array([value.encode() for value in values], dtype=np.bytes_)


def plain_dataset(group: h5g.GroupID, name: bytes, path: str | os.PathLike[str]) -> h5d.DatasetID:
    """Open a dataset of an untrusted file, if its numbers lie in this file and nowhere else.

    Parameters
    ----------
    group : h5py.h5g.GroupID
    name : bytes
        Of something in it.
    path : path-like
        Of the file, for messages.

    Returns
    -------
    h5py.h5d.DatasetID
        Neither its shape nor its type has been read.

    Raises
    ------
    InputError
        If it is a soft or external link, not a dataset, or its storage is external or virtual.
    """
    if group.links.get_info(name).type == h5l.TYPE_HARD:
        # Its kind is not queried beforehand: for that, HDF5 walks through all that belongs to it.
        dataset = h5o.open(group, name)
        if isinstance(dataset, h5d.DatasetID):
            settings = dataset.get_create_plist()
            if not settings.get_external_count() and settings.get_layout() != h5d.VIRTUAL:
                return dataset
    raise InputError(f"{path}: {name.decode(errors='replace')!r} is not plain data; {UNTRUSTED}")


def filters(dataset: h5d.DatasetID) -> list[int]:
    """Return the numbers of the filters of a dataset, in order; a filter can inflate it."""
    settings = dataset.get_create_plist()
    return [settings.get_filter(position)[0] for position in range(settings.get_nfilters())]
