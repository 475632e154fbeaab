"""The finished parts of a store that is being made: some of its rows, in a file of their own."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from hpastack.errors import InputError
from hpastack.files import fixed_strings, flush

# Bytes of the CRC-32 behind the HDF5 file, so that HDF5 is never given a damaged one.
_CHECKSUM = 4


@dataclass(frozen=True)
class Part:
    """Some rows of a store.

    Parameters
    ----------
    rows : ndarray of int64, shape (k,)
        Which rows, ascending.
    values : ndarray, shape (k, n_columns)
        As they are kept.
    members : ndarray of float32, shape (n_members, test fields among them, n_columns)
    faults : dict of int to str
        Rows that could not be measured, with what is wrong with each; not among `rows`.
    """

    rows: np.ndarray
    values: np.ndarray
    members: np.ndarray
    faults: Mapping[int, str] = field(default_factory=dict)


class PartFolder:
    """The folder in which the parts of one store lie; several processes may fill it at once.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    digest : str
        Of what is being made. Parts of anything else, damaged ones, and what killed
        processes of this machine left half-written are removed.
    storage : dtype
        Of the values.
    n_columns, n_members : int
    is_test : ndarray of bool, shape (n,)
        Which of all rows have members.

    Raises
    ------
    InputError
        If something else stands at `path`.
    """

    def __init__(
        self, path: Path, digest: str, storage: np.dtype, n_columns: int, n_members: int,
        is_test: np.ndarray,
    ) -> None:  # fmt: skip
        self.path = path
        self.digest = digest
        self._storage, self._n_columns, self._n_members = storage, n_columns, n_members
        self._is_test = is_test
        # What was seen of each file: its rows and its faults.
        self._seen: dict[tuple[str, int], tuple[np.ndarray, Mapping[int, str]]] = {}
        # A store is renamed out of it, and it is renamed itself: a link would not do.
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise InputError(f"{path} is no folder, but parts are kept in one; remove it")
        path.mkdir(parents=True, exist_ok=True)
        for aside in path.parent.glob(f".{path.name}.*.old"):
            shutil.rmtree(aside, ignore_errors=True)
        for file in self._files():
            if not self._note(file):
                file.unlink(missing_ok=True)
        for file in path.glob(".*.tmp"):
            if _is_orphan(file):
                file.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[Path, Part]]:
        """Read the parts that there are, in the order of their first rows."""
        for file in self._files():
            part = self._read(file)
            if part is not None:
                yield file, part

    def contents(self) -> list[tuple[np.ndarray, Mapping[int, str]]]:
        """Return the rows and the faults of all parts seen so far, by whomever they were written.

        A file is read once; one that has gone since is still counted, because
        parts are only removed when all are published.
        """
        for file in self._files():
            self._note(file)
        return list(self._seen.values())

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("part-*.h5"))

    def _note(self, file: Path) -> bool:
        """Keep in mind what a part holds; say whether it counts."""
        try:
            key = file.name, file.stat().st_mtime_ns
            if key not in self._seen:
                part = self._read(file)
                if part is None:
                    return False
                self._seen[key] = part.rows, part.faults
        except FileNotFoundError:  # published meanwhile by another process
            pass
        return True

    def temporary(self, name: str) -> Path:
        """Return a name for a half-written file, by which its writer is known."""
        return self.path / f".{name}.{_own_name()}.tmp"

    def clear(self) -> None:
        """Remove all parts."""
        for file in self._files():
            file.unlink(missing_ok=True)
        self._seen.clear()

    def remove(self) -> None:
        """Remove the folder, in one step for others: no writer finds half of the parts."""
        aside = self.path.with_name(f".{self.path.name}.{_own_name()}.old")
        try:
            os.replace(self.path, aside)
        except FileNotFoundError:  # another has published the same, and was quicker
            return
        # What a shared disk does not let go yet is removed by the next to begin.
        shutil.rmtree(aside, ignore_errors=True)

    def write(self, part: Part) -> None:
        """Keep a part: under a temporary name, flushed to the disk, and renamed."""
        if not self._fits(part):
            raise ValueError(f"{self.path}: rows of a part ascend, and are done or set aside")
        rows = np.sort(np.concatenate([part.rows, np.fromiter(part.faults, np.int64)]))
        name = f"part-{rows[0]:09d}-{zlib.crc32(rows.data):08x}.h5"
        # Put together in memory: the disk may be full, and HDF5 is at a loss then.
        with h5py.File(name, "w", driver="core", backing_store=False) as file:
            file.attrs["digest"] = np.bytes_(self.digest.encode())
            file.create_dataset("rows", data=part.rows)
            file.create_dataset("values", data=part.values)
            file.create_dataset("members", data=part.members)
            if part.faults:
                file.create_dataset("fault_rows", data=np.fromiter(part.faults, np.int64))
                file.create_dataset("fault_reasons", data=fixed_strings(part.faults.values()))
            file.flush()
            image = file.id.get_file_image()
        temporary = self.temporary(name)
        try:
            temporary.write_bytes(image + zlib.crc32(image).to_bytes(_CHECKSUM, "little"))
            flush(temporary)
            key = name, temporary.stat().st_mtime_ns
            os.replace(temporary, self.path / name)
        finally:
            temporary.unlink(missing_ok=True)
        self._seen[key] = part.rows, part.faults

    def _read(self, path: Path) -> Part | None:
        """Read a part; None if it is damaged or a part of something else."""
        # Not by HDF5, to which a disk that does not answer and a damaged file are the same.
        data = path.read_bytes()
        image = data[:-_CHECKSUM]
        if data[-_CHECKSUM:] != zlib.crc32(image).to_bytes(_CHECKSUM, "little"):
            return None
        try:
            with h5py.File(io.BytesIO(image), "r") as file:
                if file.attrs["digest"] != self.digest.encode():
                    return None
                faults = {}
                if "fault_rows" in file:
                    reasons = [text.decode() for text in file["fault_reasons"][()].tolist()]
                    faults = dict(zip(file["fault_rows"][()].tolist(), reasons, strict=True))
                rows, values, members = (file[name][()] for name in ("rows", "values", "members"))
                part = Part(rows, values, members, faults)
                return part if self._fits(part) else None
        except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError):
            return None

    def _fits(self, part: Part) -> bool:
        """Say whether a part can be one of this store."""
        rows, faults, n = part.rows, np.array(list(part.faults)), len(self._is_test)
        for some in (rows, faults):
            if some.ndim != 1 or (len(some) and (some.min() < 0 or some.max() >= n)):
                return False
        if rows.dtype != np.int64 or np.any(np.diff(rows) <= 0) or np.isin(faults, rows).any():
            return False
        shape = (self._n_members, np.count_nonzero(self._is_test[rows]), self._n_columns)
        return (
            part.values.dtype == self._storage
            and part.values.shape == (len(rows), self._n_columns)
            and part.members.dtype == "<f4"
            and part.members.shape == shape
        )


def _own_name() -> str:
    return f"{_machine()}.{os.getpid()}"


def _machine() -> str:
    """Name what process ids count in: containers may share the name of their host."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}{re.sub('[^0-9]', '', namespace)}"


def _is_orphan(file: Path) -> bool:
    """Say whether what is half-written is of a process of this machine that is no more."""
    match = re.fullmatch(r"\..*\.(\d+)\.tmp", file.name)
    if match is None or f".{_machine()}.{match[1]}." not in file.name:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(match[1]) == os.getpid()
