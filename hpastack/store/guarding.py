"""Guarded reading of untrusted HDF5 files.

HDF5 gets a file object instead of a path, so it reads the very file
that is already open; and the bytes it requests are checked before they are returned. Observed in
HDF5 2.0.0: a global heap with an entry of zero length causes an infinite loop, and a
B-tree that refers back to itself crashes the process. Numbers are not read through HDF5.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from hpastack.errors import InputError
from hpastack.store.placement import SharedFile

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# A global heap with its version byte: text may contain the four letters, but not this byte.
_HEAP = b"GCOL\x01"
_HEAP_HEADER = 16
# B-trees of groups (0) and of chunks (1); likewise.
_TREES = (b"TREE\x00", b"TREE\x01")
_TREE_HEADER = 24
# Signatures of newer versions of the HDF5 format, which h5py writes on request.
_YOUNGER = (b"OHDR\x02", b"BTHD\x00", b"FRHP\x00", b"FAHD\x00", b"EAHD\x00")
# Length of the longest of these signatures minus one: it may be split across two reads.
_OVERLAP = 4
# A valid store takes about thirty reads, and a few for each hundred chunks.
_MOST_READS = 200_000


class GuardedFile(io.RawIOBase):
    """Read-only file object for `h5py` that checks what HDF5 reads.

    Parameters
    ----------
    source : SharedFile
    rank : int, optional
        Number of dimensions of the dataset whose chunks are looked up.
    """

    def __init__(self, source: SharedFile, rank: int | None = None) -> None:
        super().__init__()
        self._source = source
        self._rank = rank
        self._position = 0
        self._n_reads = 0

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the file."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = start[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the position in the file."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read from the current position, and reject structures that would hang or crash HDF5."""
        self._n_reads += 1
        if self._n_reads > _MOST_READS:
            raise OSError("HDF5 does not stop reading")
        begin = self._position
        count = max(0, min(len(buffer), self._source.size - begin))
        if count:
            self._source.read_into(np.frombuffer(buffer, np.uint8, count), begin)
            self._guard(begin, begin + count)
        self._position = begin + count
        return count

    def _guard(self, begin: int, end: int) -> None:
        start = max(0, begin - _OVERLAP)
        data = self._bytes(start, end + _OVERLAP - start)
        for mark, is_sound in (
            (_HEAP, self._is_sound_heap),
            *((mark, self._is_sound_tree) for mark in _TREES),
            *((mark, None) for mark in _YOUNGER),
        ):
            place = data.find(mark)
            while place >= 0:
                if is_sound is None:
                    raise InputError(
                        f"{self._source.path} uses a newer version of the HDF5 format than stores "
                        "do; write it again with h5py, libver='earliest'"
                    )
                if not is_sound(start + place):
                    raise InputError(f"{self._source.path} is corrupt; make it again")
                place = data.find(mark, place + 1)

    def _bytes(self, place: int, count: int) -> bytes:
        array = np.zeros(max(0, min(count, self._source.size - place)), np.uint8)
        if len(array):
            self._source.read_into(array, place)
        return array.tobytes()

    def _is_sound_heap(self, place: int) -> bool:
        """Return whether a global heap is valid: walk through its entries as HDF5 does."""
        n_bytes = int.from_bytes(self._bytes(place + 8, 8), "little")
        end, at = place + n_bytes, place + _HEAP_HEADER
        if n_bytes < _HEAP_HEADER or end > self._source.size:
            return False
        while at + 16 <= end:
            entry = self._bytes(at, 16)
            number, size = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[8:], "little")
            # Entry 0 is the free space; its size includes its own header.
            step = 16 + -(-size // 8) * 8 if number else size
            if step < 16 or at + step > end:
                return False
            at += step
        return True

    def _is_sound_tree(self, place: int) -> bool:
        """Return whether every child of a node has a lower level than the node."""
        header = self._bytes(place, _TREE_HEADER)
        if len(header) < _TREE_HEADER:
            return False
        kind, level, n_children = header[4], header[5], int.from_bytes(header[6:8], "little")
        if level == 0:  # its children are not nodes
            return True
        if kind == 0:
            key = 8
        elif self._rank is None:  # chunks are not looked up
            return True
        else:
            key = 8 + 8 * (self._rank + 1)
        entries = self._bytes(place + _TREE_HEADER, n_children * (key + 8))
        for at in range(key, len(entries), key + 8):
            child = self._bytes(int.from_bytes(entries[at : at + 8], "little"), 6)
            if child[:4] == b"TREE" and child[5] >= level:
                return False
        return True


def check_start(source: SharedFile) -> None:
    """Check that a file begins like an HDF5 file of the version that stores use.

    Parameters
    ----------
    source : SharedFile

    Raises
    ------
    InputError
        If it does not.
    """
    start = np.zeros(16, np.uint8)
    if source.size >= len(start):
        source.read_into(start, 0)
    data = start.tobytes()
    if not data.startswith(_SIGNATURE):
        raise InputError(f"{source.path} is not an HDF5 file, or is damaged; make it again")
    # Version of the superblock, and the sizes of addresses and lengths.
    if data[8] > 1 or data[13:15] != b"\x08\x08":
        raise InputError(
            f"{source.path} uses another version of the HDF5 format than stores do; write it again "
            "with h5py, libver='earliest'"
        )
