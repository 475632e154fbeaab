"""What HDF5 gets to see of a file from a stranger, and what it must not stumble over.

HDF5 is handed an object to read from instead of a path: so it reads the very file
that is open already, and sees zeros where numbers lie, once it is known where that is.
A malformed heap of texts sends HDF5 round without end (seen in 2.0.0); heaps are
looked at before it follows an attribute into one.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from hpastack.errors import InputError
from hpastack.store.placement import SharedFile

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# With the number of its version: text may hold the four letters, but not this byte.
_HEAP = b"GCOL\x01"
_HEAP_HEADER = 16
_PIECE_BYTES = 4 * 1024**2
# A sound store takes some ten reads, and one for each hundred chunks.
_MOST_READS = 200_000


class Metadata(io.RawIOBase):
    """The bytes of a file, with zeros in some places; read-only, to open it with `h5py`.

    Parameters
    ----------
    source : SharedFile
    hidden : sequence of (int, int)
        Begin and end of what reads as zeros.
    """

    def __init__(self, source: SharedFile, hidden: Sequence[tuple[int, int]] = ()):
        super().__init__()
        self._source = source
        self._hidden = np.array(sorted(hidden), np.int64).reshape(-1, 2)
        # Also right where some lie in each other.
        self._ends = np.maximum.accumulate(self._hidden[:, 1]) if len(hidden) else np.zeros(0)
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

    def readinto(self, buffer) -> int:
        """Read on, at most to the end of the file."""
        self._n_reads += 1
        if self._n_reads > _MOST_READS:
            raise OSError("HDF5 reads without end")
        begin = self._position
        count = max(0, min(len(buffer), self._source.size - begin))
        piece = np.frombuffer(buffer, np.uint8, count)
        if count:
            self._source.read_into(piece, begin)
        end = begin + count
        for low, high in self._hidden[
            np.searchsorted(self._ends, begin, "right") : np.searchsorted(self._hidden[:, 0], end)
        ].tolist():
            piece[max(0, low - begin) : max(0, high - begin)] = 0
        self._position = end
        return count

    def visible(self) -> list[tuple[int, int]]:
        """Return begin and end of the pieces that are not hidden."""
        pieces, begin = [], 0
        for low, high in self._hidden.tolist():
            if low > begin:
                pieces.append((begin, low))
            begin = max(begin, high)
        if begin < self._source.size:
            pieces.append((begin, self._source.size))
        return pieces


def check_start(source: SharedFile) -> None:
    """Refuse what does not begin as an HDF5 file with addresses of 64 bits.

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
    # Sizes of addresses and lengths, where this version of the superblock has them.
    sizes = data[13:15] if data[8] < 2 else data[9:11]
    if sizes != b"\x08\x08":
        raise InputError(f"{source.path} has addresses of other sizes than a store; not read")


def check_heaps(view: Metadata, path) -> None:
    """Refuse a file with a heap of texts that HDF5 would not come to the end of.

    Parameters
    ----------
    view : Metadata
        As HDF5 will see it.
    path : path-like
        For the message.

    Raises
    ------
    InputError
    """
    for begin, end in view.visible():
        for start in range(begin, end, _PIECE_BYTES):
            # The mark of a heap may lie across two pieces, or run into what is hidden.
            data = _read(view, start, min(_PIECE_BYTES, end - start) + len(_HEAP) - 1)
            place = data.find(_HEAP)
            while place >= 0:
                if not _is_sound(view, start + place):
                    raise InputError(f"{path} is damaged: its texts cannot be read; make it again")
                place = data.find(_HEAP, place + 1)


def _is_sound(view: Metadata, place: int) -> bool:
    """Walk through a heap as HDF5 does: a header, then entries one after the other."""
    n_bytes = int.from_bytes(_read(view, place + 8, 8), "little")
    end, at = place + n_bytes, place + _HEAP_HEADER
    if n_bytes < _HEAP_HEADER or end > view.seek(0, io.SEEK_END):
        return False
    while at + 16 <= end:
        entry = _read(view, at, 16)
        number, size = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[8:], "little")
        # The entry 0 is what is free; its size counts its own header.
        step = 16 + -(-size // 8) * 8 if number else size
        if step < 16 or at + step > end:
            return False
        at += step
    return True


def _read(view: Metadata, place: int, count: int) -> bytes:
    buffer = bytearray(count)
    view.seek(place)
    return bytes(buffer[: view.readinto(buffer)])
