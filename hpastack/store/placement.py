"""Where the bytes of a dataset lie in its file, and reading them from there.

HDF5 says once, when a store is opened, where its numbers lie; they are read
without it. So no handle of HDF5 outlives the opening, its lock is not taken, and
rows by id never go through its slow selections.
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

# Rows this close to each other are read in one piece with what lies between them; rows this
# long are read each for itself. A read costs about as much as copying so many bytes.
_GAP_BYTES = 32 * 1024
_LONG_BYTES = 2 * 1024
_SCRATCH_BYTES = 2 * 1024**2


@dataclass(frozen=True)
class DatasetLayout:
    """Say where the numbers of a dataset lie: in chunks, of which a contiguous one has one.

    Parameters
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        As the numbers are kept, with their byte order.
    chunk : tuple of int
        Shape of a chunk; those at the far ends may reach beyond the data.
    offsets : ndarray of int64, a dimension an axis
        Place in the file of the first byte of each chunk.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...]
    offsets: np.ndarray

    @property
    def is_contiguous(self) -> bool:
        """Whether all lies in one piece."""
        return self.chunk == self.shape

    def as_rows(self) -> DatasetLayout:
        """Return the same numbers, contiguous, as a matrix whose rows lie along the last axis."""
        shape = (math.prod(self.shape[:-1]), self.shape[-1])
        return DatasetLayout(shape, self.dtype, shape, self.offsets.reshape(1, 1))


class SharedFile:
    """Read bytes of a file from any thread and process, always of the very same file.

    A handle is opened for each thread and process that reads, when it first
    does; none is taken through a fork. A handle that is in use when the file is
    closed by another thread is closed after that.

    Parameters
    ----------
    path : Path
    identity : tuple of int, optional
        Of the file that it must be.

    Attributes
    ----------
    place : Path
        The absolute path.
    identity : tuple of int
        Inode, size in bytes and time of change.
    """

    def __init__(self, path: Path, identity: tuple[int, ...] | None = None) -> None:
        self.path = path
        self.place = path.absolute()  # the folder that is worked in may change meanwhile
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
        """Say whether the path still leads to this file."""
        try:
            return _identity(os.stat(self.place)) == self.identity
        except OSError:
            return False

    def close(self) -> None:
        """Give the handles back; nothing can be read from now on."""
        self._is_closed = True
        self._local = threading.local()

    def check_open(self) -> None:
        """Refuse to go on with a closed file."""
        if self._is_closed:
            raise ValueError(f"{self.path} is closed; read from it within its `with` block")

    def read_into(self, array: np.ndarray, offset: int) -> None:
        """Fill a contiguous array with the bytes from `offset` on."""
        self.read_each([array], [offset])

    def read_each(self, arrays: Iterable[np.ndarray], offsets: Iterable[int]) -> None:
        """Fill several contiguous arrays, each with the bytes from its offset on."""
        self.check_open()
        local = self._local
        # What was opened before a fork belongs to the other process.
        if getattr(local, "process", None) != os.getpid():
            self._keep(_Handle(self.place))
            local = self._local
        file = local.handle
        seek, readinto = file.seek, file.readinto
        for array, offset in zip(arrays, offsets):
            seek(offset)
            done = readinto(array)
            if done != array.nbytes:
                self._read_rest(file, memoryview(array).cast("B")[done:])  # type: ignore[arg-type]

    def _read_rest(self, file: FileIO, rest: memoryview) -> None:
        """Read on where the system gave less than was asked for, as it does above 2 GiB."""
        while len(rest):
            done = file.readinto(rest)
            if not done:
                raise InputError(f"{self.path} ends too early; it was cut short, make it again")
            rest = rest[done:]

    def _keep(self, handle: _Handle) -> None:
        if handle.identity != self.identity:
            raise InputError(f"{self.path} was replaced while it was open; open it again")
        self._local.handle = handle
        self._local.process = os.getpid()


class _Handle(FileIO):
    """An open file that closes itself, without a warning, once nothing refers to it."""

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
        What to turn the numbers into; left as they are kept if left out.

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
        # Piece by piece: what is kept in half precision never stands in memory twice.
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
    """Read rows of a matrix, in the order asked for.

    They are visited in the order of the file. Rows that lie close to each other
    are read in one piece, straight to where they are wanted if that is in one
    piece too.

    Parameters
    ----------
    file : SharedFile
    layout : DatasetLayout
        Of two dimensions.
    rows : ndarray of int, shape (k,)
        In any order, also repeated.
    out : ndarray, shape (k, n_columns)
        Filled; contiguous. Numbers are converted to its type.
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
                if height > len(scratch):  # kept: new memory costs more than reading into it
                    scratch = np.empty((min(most, 2 * height), wide), layout.dtype)
                for column, offset in enumerate(layout.offsets[above]):
                    file.read_into(scratch[:height], int(offset) + below * row_bytes)
                    left = column * wide
                    width = min(wide, out.shape[1] - left)
                    out[target, left : left + width] = scratch[taken, :width]
            begin = stop


def reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Make a dataset in one piece; return the place in the file of its first byte."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)  # the same bytes whenever it is made
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(dtype, logical=True)
    return h5py.h5d.create(file.id, name.encode(), kind, space, settings).get_offset()
