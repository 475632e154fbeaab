"""Finished parts of a store that is being written: each a file with some of its rows."""

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

# Bytes of the CRC-32 appended to the HDF5 file, so that HDF5 never reads a damaged one.
_CHECKSUM = 4


@dataclass(frozen=True)
class Part:
    """Some rows of a store.

    Parameters
    ----------
    rows : ndarray of int64, shape (k,)
        Row numbers, ascending.
    values : ndarray, shape (k, n_columns)
        As stored.
    members : ndarray of float32, shape (n_members, test fields among them, n_columns)
    faults : dict of int to str
        Rows that could not be measured, with the reason for each; not among `rows`.
    """

    rows: np.ndarray
    values: np.ndarray
    members: np.ndarray
    faults: Mapping[int, str] = field(default_factory=dict)


class PartFolder:
    """Folder with the parts of one store; several processes may write to it at once.

    Parameters
    ----------
    path : Path
        Created if it does not exist.
    digest : str
        Digest of the store that is being written. Parts of any other store, damaged parts, and
        incomplete files of killed processes on this machine are removed.
    storage : dtype
        Type of the stored values.
    n_columns, n_members : int
    is_test : ndarray of bool, shape (n,)
        Which rows of the store have members.

    Raises
    ------
    InputError
        If `path` exists and is not a folder.
    """

    def __init__(
        self, path: Path, digest: str, storage: np.dtype, n_columns: int, n_members: int,
        is_test: np.ndarray,
    ) -> None:  # fmt: skip
        self.path = path
        self.digest = digest
        self._storage, self._n_columns, self._n_members = storage, n_columns, n_members
        self._is_test = is_test
        # Rows and faults of each file that was read.
        self._seen: dict[tuple[str, int], tuple[np.ndarray, Mapping[int, str]]] = {}
        # A store is renamed out of it, and it is renamed itself: a link would not work.
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise InputError(f"{path} is not a folder, as needed for the parts; remove it")
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
        """Yield the existing parts, ordered by their first rows."""
        for file in self._files():
            part = self._read(file)
            if part is not None:
                yield file, part

    def contents(self) -> list[tuple[np.ndarray, Mapping[int, str]]]:
        """Return the rows and the faults of all parts so far, of all writers.

        Each file is read once; a file that has disappeared since is still counted, because
        parts are only removed after publication.
        """
        for file in self._files():
            self._note(file)
        return list(self._seen.values())

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("part-*.h5"))

    def _note(self, file: Path) -> bool:
        """Record the contents of a part; return whether it is valid."""
        try:
            key = file.name, file.stat().st_mtime_ns
            if key not in self._seen:
                part = self._read(file)
                if part is None:
                    return False
                self._seen[key] = part.rows, part.faults
        except FileNotFoundError:  # published by another process in the meantime
            pass
        return True

    def temporary(self, name: str) -> Path:
        """Return a name for an incomplete file, which identifies its writer."""
        return self.path / f".{name}.{_own_name()}.tmp"

    def clear(self) -> None:
        """Remove all parts."""
        for file in self._files():
            file.unlink(missing_ok=True)
        self._seen.clear()

    def remove(self) -> None:
        """Remove the folder atomically: no other writer sees some of the parts only."""
        aside = self.path.with_name(f".{self.path.name}.{_own_name()}.old")
        try:
            os.replace(self.path, aside)
        except FileNotFoundError:  # another process has published the same store first
            return
        # Files that a shared disk does not release yet are removed by the next writer.
        shutil.rmtree(aside, ignore_errors=True)

    def write(self, part: Part) -> None:
        """Save a part: write it under a temporary name, flush it to disk, and rename it."""
        if not self._fits(part):
            raise ValueError(
                f"{self.path}: rows of a part must ascend, and must not have faults as well"
            )
        rows = np.sort(np.concatenate([part.rows, np.fromiter(part.faults, np.int64)]))
        name = f"part-{rows[0]:09d}-{zlib.crc32(rows.data):08x}.h5"
        # Assembled in memory, because HDF5 does not handle a full disk cleanly.
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
        # Not by HDF5, which cannot tell an unreachable disk from a damaged file.
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
        """Return whether a part can belong to this store."""
        rows, faults, n = part.rows, np.array(list(part.faults)), len(self._is_test)
        for numbers in (rows, faults):
            if numbers.ndim != 1 or (len(numbers) and (numbers.min() < 0 or numbers.max() >= n)):
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
    """Return a name of the process id namespace: containers may share a host name."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}{re.sub('[^0-9]', '', namespace)}"


def _is_orphan(file: Path) -> bool:
    """Return whether an incomplete file is of a process of this machine that has ended."""
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
