"""Position of the bytes of a dataset in its file, and direct reads from there.

When a store is opened, HDF5 is queried once for the positions of its numbers; they are then read
without HDF5. So no HDF5 handle outlives the opening, its lock is not taken, and
reads of rows by id avoid its slow selections.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise, product
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike

from hpastack.errors import InputError

# Rows separated by at most this gap are read together with the bytes between them; rows of at least
# this length are read individually. A read costs about as much as copying so many bytes.
_GAP_BYTES = 32 * 1024
_LONG_BYTES = 2 * 1024
_SCRATCH_BYTES = 2 * 1024**2


@dataclass(frozen=True)
class DatasetLayout:
    """Position of the numbers of a dataset in its file, by chunks; a contiguous one has one chunk.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        Type as stored, with byte order.
    chunk : tuple of int
        Shape of a chunk; the last chunk of an axis may extend beyond the data.
    offsets : ndarray of int64, one dimension per axis
        Position in the file of the first byte of each chunk.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...]
    offsets: np.ndarray

    @property
    def is_contiguous(self) -> bool:
        """Whether the dataset is one contiguous block."""
        return self.chunk == self.shape

    def as_rows(self) -> DatasetLayout:
        """Return the layout of a contiguous dataset as a matrix whose rows are its last axis."""
        shape = (math.prod(self.shape[:-1]), self.shape[-1])
        return DatasetLayout(shape, self.dtype, shape, self.offsets.reshape(1, 1))


class SharedFile:
    """Reader of the bytes of one file from any thread and process.

    Each thread and process opens its own handle at its first
    read; no handle is inherited through a fork. A handle that is in use when another thread
    closes the file is closed afterwards. All handles refer to the same file: if it was replaced,
    an error is raised.

    Parameters
    ----------
    path : Path
    identity : tuple of int, optional
        Identity that the file must have.

    Attributes
    ----------
    place : Path
        The absolute path.
    identity : tuple of int
        Inode, size in bytes and modification time.
    """

    def __init__(self, path: Path, identity: tuple[int, ...] | None = None) -> None:
        self.path = path
        self.place = path.absolute()  # the working directory may change
        self._is_closed = False
        self._local = threading.local()
        handle = _Handle(self.place)
        self.identity = handle.identity if identity is None else identity
        self._keep(handle)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.identity[1]

    def is_in_place(self) -> bool:
        """Return whether the path still refers to this file."""
        try:
            return _identity(os.stat(self.place)) == self.identity
        except OSError:
            return False

    def close(self) -> None:
        """Close the handles; nothing can be read afterwards."""
        self._is_closed = True
        self._local = threading.local()

    def check_open(self) -> None:
        """Raise an error if the file is closed."""
        if self._is_closed:
            raise ValueError(f"{self.path} is closed; read it within its `with` block")

    def read_into(self, array: np.ndarray, offset: int) -> None:
        """Fill a contiguous array with the bytes that start at `offset`."""
        self.read_each([array], [offset])

    def read_each(self, arrays: Iterable[np.ndarray], offsets: Iterable[int]) -> None:
        """Fill several contiguous arrays, each with the bytes that start at its offset."""
        self.check_open()
        local = self._local
        # A handle opened before a fork belongs to the parent process.
        if getattr(local, "process", None) != os.getpid():
            self._keep(_Handle(self.place))
            local = self._local
        file = local.handle
        seek, readinto = file.seek, file.readinto
        for array, offset in zip(arrays, offsets):
            seek(offset)
            done = readinto(array)
            if done != array.nbytes:
                self._read_remainder(file, memoryview(array).cast("B")[done:])  # type: ignore[arg-type]

    def _read_remainder(self, file: FileIO, remainder: memoryview) -> None:
        """Continue after a short read, as the system returns for more than 2 GiB."""
        while len(remainder):
            done = file.readinto(remainder)
            if not done:
                raise InputError(f"{self.path} is truncated; make it again")
            remainder = remainder[done:]

    def _keep(self, handle: _Handle) -> None:
        if handle.identity != self.identity:
            raise InputError(f"{self.path} was replaced while it was open; open it again")
        self._local.handle = handle
        self._local.process = os.getpid()


class _Handle(FileIO):
    """An open file that is closed, without a warning, when it is garbage collected."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.identity = _identity(os.fstat(self.fileno()))

    def __del__(self) -> None:
        self.close()


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_whole(
    file: SharedFile, layout: DatasetLayout, dtype: DTypeLike | None = None
) -> np.ndarray:
    """Read a dataset of any number of dimensions.

    Parameters
    ----------
    file : SharedFile
    layout : DatasetLayout
    dtype : dtype, optional
        Type of the result. Default: the type as stored.

    Returns
    -------
    ndarray
    """
    whole = np.empty(layout.shape, dtype or layout.dtype)
    if not whole.size:
        return whole
    if layout.is_contiguous and whole.dtype == layout.dtype:
        file.read_into(whole, int(layout.offsets.flat[0]))
    elif layout.is_contiguous and whole.ndim > 1:
        # In pieces, so that half-precision data are not in memory twice.
        flat = whole.reshape(-1, whole.shape[-1])
        read_rows(file, layout.as_rows(), np.arange(len(flat)), flat)
    else:
        chunk = np.empty(layout.chunk, layout.dtype)
        for place in product(*map(range, layout.offsets.shape)):
            file.read_into(chunk, int(layout.offsets[place]))
            inside = tuple(
                slice(i * side, min((i + 1) * side, length))
                for i, side, length in zip(place, layout.chunk, layout.shape)
            )
            whole[inside] = chunk[tuple(slice(piece.stop - piece.start) for piece in inside)]
    return whole


def read_rows(file: SharedFile, layout: DatasetLayout, rows: np.ndarray, out: np.ndarray) -> None:
    """Read rows of a matrix, in the requested order.

    The file is read in ascending order. Neighbouring rows
    are read together, directly into the output if they are contiguous there,
    too.

    Parameters
    ----------
    file : SharedFile
    layout : DatasetLayout
        Layout of a matrix.
    rows : ndarray of int, shape (k,)
        In any order; may contain duplicates.
    out : ndarray, shape (k, n_columns)
        Contiguous output array. Numbers are converted to its type.
    """
    if not len(rows):
        return
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    steps = np.diff(ordered)
    tall, wide = layout.chunk
    row_bytes = wide * layout.dtype.itemsize
    most = max(1, _SCRATCH_BYTES // row_bytes)
    apart = (steps > max(1, _GAP_BYTES // row_bytes)) | (np.diff(ordered // tall) > 0)
    ends = np.concatenate([[0], np.flatnonzero(apart) + 1, [len(rows)]])
    is_direct = out.dtype == layout.dtype and wide == out.shape[1]
    scratch = np.empty((0, wide), layout.dtype)
    is_in_order = bool((np.diff(order) == 1).all())
    if is_direct and row_bytes >= _LONG_BYTES and not (is_in_order and (steps == 1).all()):
        places = layout.offsets[ordered // tall, 0] + ordered % tall * row_bytes
        file.read_each((out[position] for position in order.tolist()), places.tolist())
        return
    for begin, end in pairwise(ends.tolist()):
        while begin < end:
            first = int(ordered[begin])
            stop = begin + int(np.searchsorted(ordered[begin:end], first + most))
            wanted = order[begin:stop]
            is_single = stop - begin == 1
            target = slice(wanted[0], wanted[-1] + 1) if is_in_order or is_single else wanted
            above, below = divmod(first, tall)
            straight = isinstance(target, slice) and bool((steps[begin : stop - 1] == 1).all())
            if is_direct and straight:
                place = int(layout.offsets[above, 0]) + below * row_bytes
                file.read_into(out[target], place)
            else:
                height = int(ordered[stop - 1]) - first + 1
                taken = slice(height) if straight else ordered[begin:stop] - first
                if height > len(scratch):  # reused: allocation costs more than reading into it
                    scratch = np.empty((min(most, 2 * height), wide), layout.dtype)
                for column, offset in enumerate(layout.offsets[above]):
                    file.read_into(scratch[:height], int(offset) + below * row_bytes)
                    left = column * wide
                    width = min(wide, out.shape[1] - left)
                    out[target, left : left + width] = scratch[taken, :width]
            begin = stop


def reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Create a contiguous dataset; return the position in the file of its first byte."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)  # the same bytes at any time
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.h5d.create(file.id, name.encode(), kind, space, settings).get_offset()
