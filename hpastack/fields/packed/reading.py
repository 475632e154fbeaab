"""The packed file: every field decoded once, at one size, as square 8-bit images.

Networks read fields many times; from the packed file, a field costs one read
instead of decoding four files. ``docs/formats.md`` describes the format.
"""

from __future__ import annotations

import os
import threading
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.fields.formats.faults import MAX_PIXELS
from hpastack.fields.stains import STAINS
from hpastack.files import UNTRUSTED, filters, plain_dataset

FORMAT = "hpastack-packed"
VERSION = 1

# Datasets with the kind of their dtype and their number of dimensions; exactly these are allowed.
_DATASETS = {"fields": ("u", 4), "image_ids": ("S", 1), "content": ("S", 1), "checksums": ("u", 1)}
_REMEDY = "run: hpastack prepare --pack SIZE --overwrite"


class PackedFields:
    """Reader of a packed file, for use from any thread or process.

    It can be pickled: the copy reopens the file. Each process and thread that
    reads opens its own handle.

    Parameters
    ----------
    path : path-like
        Written by `hpastack.fields.packed.writing.pack_fields`.

    Attributes
    ----------
    path : Path
    size : int
        Side of the images, in pixels.
    image_ids : list of str
        The field of each row.
    content : list of str
        Digest of the files from which each row was made, as in the catalogue.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another format version, or has
        any contents that a packed file does not have.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with _opened(self.path) as file:
            self.size = _checked_size(file, self.path)
            self.image_ids = [value.decode() for value in file["image_ids"][()].tolist()]
            self.content = [value.decode() for value in file["content"][()].tolist()]
            self._checksums = file["checksums"][()]
            self._is_compressed = bool(filters(file["fields"].id))
        self._row = {image_id: row for row, image_id in enumerate(self.image_ids)}
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self.image_ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedFields, (self.path,)

    def rows(self, catalogue: pd.DataFrame) -> np.ndarray:
        """Find the rows of the fields of a catalogue.

        Parameters
        ----------
        catalogue : DataFrame
            Indexed by image id, with a column ``content``.

        Returns
        -------
        ndarray of int, shape (n,)
            Row of each field; -1 if it is not in the file, or was packed from
            other files than those of the catalogue.
        """
        rows = np.array([self._row.get(image_id, -1) for image_id in catalogue.index], dtype=int)
        for position, content in enumerate(catalogue["content"]):
            if rows[position] >= 0 and self.content[rows[position]] != content:
                rows[position] = -1
        return rows

    def read(self, row: int) -> np.ndarray:
        """Read one field.

        Parameters
        ----------
        row : int
            From `rows`.

        Returns
        -------
        ndarray of uint8, shape (4, size, size)

        Raises
        ------
        InputError
            If the field is damaged according to its checksum; it is named.
        """
        shape = (len(STAINS), self.size, self.size)
        n_bytes, data = len(STAINS) * self.size**2, b""
        try:
            # Not decompressed by HDF5, which has one lock for all threads.
            chunks, place = self._dataset().id, (row, 0, 0, 0)
            # gzip enlarges incompressible data by far less than 1 %.
            if 0 < chunks.get_chunk_info_by_coord(place).size <= 1.01 * n_bytes + 64:
                skipped, data = chunks.read_direct_chunk(place)
                if self._is_compressed and not skipped:
                    data = zlib.decompressobj().decompress(data, n_bytes + 1)
        except (OSError, RuntimeError, zlib.error):
            data = b""
        if len(data) != n_bytes or zlib.crc32(data) != self._checksums[row]:
            raise InputError(
                f"{self.path}: field {self.image_ids[row]} is damaged in this file; {_REMEDY}"
            )
        return np.frombuffer(data, np.uint8).reshape(shape).copy()

    def _dataset(self) -> h5py.Dataset:
        # A handle opened before a fork belongs to the parent process.
        if getattr(self._local, "process", None) != os.getpid():
            self._local.dataset = _opened(self.path)["fields"]
            self._local.process = os.getpid()
        return self._local.dataset


def find_packed(path: str | os.PathLike[str]) -> PackedFields | None:
    """Open the packed file of a workspace, if it has one.

    Parameters
    ----------
    path : path-like
        `hpastack.Workspace.packed`.

    Returns
    -------
    PackedFields or None

    Raises
    ------
    InputError
        As `PackedFields`.
    """
    return PackedFields(path) if Path(path).exists() else None


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(f"{path} is missing; run: hpastack prepare --pack SIZE")
    try:
        return h5py.File(path, "r")
    except OSError:
        raise InputError(f"{path} is not an HDF5 file, or is damaged; {_REMEDY}") from None


def _checked_size(file: h5py.File, path: Path) -> int:
    """Return the side of the images; reject anything but a packed file before reading its data."""
    if file.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is an HDF5 file, but not a packed file of hpastack")
    version = int(file.attrs.get("version", 0))
    if version != VERSION:
        raise InputError(
            f"{path} is a packed file of format {version}; this hpastack reads format {VERSION}"
        )
    wrong = sorted(set(file) ^ set(_DATASETS))
    if wrong:
        raise InputError(f"{path}: missing or unexpected datasets {shorten(wrong)}; {UNTRUSTED}")
    for name, (kind, n_dimensions) in _DATASETS.items():
        dataset = h5py.Dataset(plain_dataset(file.id, name.encode(), path))
        if dataset.dtype.kind != kind or len(dataset.shape or ()) != n_dimensions:
            raise InputError(f"{path}: {name!r} is not plain data; {UNTRUSTED}")
    size, n = int(file.attrs.get("size", 0)), len(file["fields"])
    fields = file["fields"]
    chunk = (1, len(STAINS), size, size)
    if (
        not 1 <= size**2 <= MAX_PIXELS
        or n < 1
        or fields.dtype != np.uint8
        or fields.shape[1:] != chunk[1:]
        or fields.chunks != chunk
        or filters(fields.id) not in ([], [h5py.h5z.FILTER_DEFLATE])
    ):
        raise InputError(
            f"{path}: fields with shape {fields.shape}, chunks {fields.chunks} and dtype "
            f"{fields.dtype} for a size of {size}; {UNTRUSTED}"
        )
    room = path.stat().st_size
    for name in ("image_ids", "content", "checksums"):
        dataset = file[name]
        if dataset.shape != (n,) or dataset.chunks is not None or dataset.nbytes > room:
            raise InputError(
                f"{path}: {name!r} has shape {dataset.shape} for {counted(n, 'field')}; {UNTRUSTED}"
            )
        room -= dataset.nbytes
    return size
