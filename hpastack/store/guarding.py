"""What HDF5 gets to see of a file from a stranger, and what it must not stumble over.

HDF5 is handed an object to read from instead of a path, so it reads the very file
that is open already; and what it asks for is looked at before it gets it. Seen in
2.0.0: a heap of texts with an entry of no length sends it round without end, and a
tree that leads back to itself ends the process. Numbers are not read through it.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from hpastack.errors import InputError
from hpastack.store.placement import SharedFile

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# A heap with the number of its version: text may hold the four letters, but not this byte.
_HEAP = b"GCOL\x01"
_HEAP_HEADER = 16
# Trees of groups (0) and of chunks (1); likewise.
_TREES = (b"TREE\x00", b"TREE\x01")
_TREE_HEADER = 24
# What only younger kinds of files have, which h5py writes when told to.
_YOUNGER = (b"OHDR\x02", b"BTHD\x00", b"FRHP\x00", b"FAHD\x00", b"EAHD\x00")
# The longest of these marks, less one: it may lie across two reads.
_OVERLAP = 4
# A sound store takes some thirty reads, and a few for each hundred chunks.
_MOST_READS = 200_000


class GuardedFile(io.RawIOBase):
    """The bytes of a file, to open it with `h5py`; read-only.

    Parameters
    ----------
    source : SharedFile
    rank : int, optional
        Number of dimensions of the one dataset whose chunks are looked up.
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
        """Move to a place in the file."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = start[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the place in the file."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read on, at most to the end of the file; refuse what HDF5 would stumble over."""
        self._n_reads += 1
        if self._n_reads > _MOST_READS:
            raise OSError("HDF5 reads without end")
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
                        f"{self._source.path} is of a younger kind of HDF5 than a store; write it "
                        "again with h5py, libver='earliest'"
                    )
                if not is_sound(start + place):
                    raise InputError(f"{self._source.path} is damaged within; make it again")
                place = data.find(mark, place + 1)

    def _bytes(self, place: int, count: int) -> bytes:
        array = np.zeros(max(0, min(count, self._source.size - place)), np.uint8)
        if len(array):
            self._source.read_into(array, place)
        return array.tobytes()

    def _is_sound_heap(self, place: int) -> bool:
        """Walk through a heap of texts as HDF5 does: a header, then entry after entry."""
        n_bytes = int.from_bytes(self._bytes(place + 8, 8), "little")
        end, at = place + n_bytes, place + _HEAP_HEADER
        if n_bytes < _HEAP_HEADER or end > self._source.size:
            return False
        while at + 16 <= end:
            entry = self._bytes(at, 16)
            number, size = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[8:], "little")
            # The entry 0 is what is free; its size counts its own header.
            step = 16 + -(-size // 8) * 8 if number else size
            if step < 16 or at + step > end:
                return False
            at += step
        return True

    def _is_sound_tree(self, place: int) -> bool:
        """Say whether every child of a node is nearer to the leaves than the node."""
        header = self._bytes(place, _TREE_HEADER)
        if len(header) < _TREE_HEADER:
            return False
        kind, level, n_children = header[4], header[5], int.from_bytes(header[6:8], "little")
        if level == 0:  # its children are no nodes
            return True
        if kind == 0:
            key = 8
        elif self._rank is None:  # no chunk is looked up
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
    """Refuse what does not begin as an HDF5 file of the kind of a store.

    Parameters
    ----------
    source : SharedFile

    Raises
    ------
    InputError
    """
    start = np.zeros(16, np.uint8)
    if source.size >= len(start):
        source.read_into(start, 0)
    data = start.tobytes()
    if not data.startswith(_SIGNATURE):
        raise InputError(f"{source.path} is not an HDF5 file, or is damaged; make it again")
    # The superblock's version, and the sizes of addresses and lengths.
    if data[8] > 1 or data[13:15] != b"\x08\x08":
        raise InputError(
            f"{source.path} is of another kind of HDF5 than a store; write it again with h5py, "
            "libver='earliest'"
        )
