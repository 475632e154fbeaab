"""The finished parts of a store that is being made: some of its rows, in a file of their own."""

from __future__ import annotations

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

from hpastack.files import flush
from hpastack.store.header import fixed_strings


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

    def checksum(self) -> int:
        """Return the CRC-32 of all it holds."""
        checksum = 0
        for array in (self.rows, self.values, self.members):
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        for row, reason in self.faults.items():
            checksum = zlib.crc32(f"{row}={reason}\n".encode(), checksum)
        return checksum


class PartFolder:
    """The folder in which the parts of one store lie; several processes may fill it at once.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    digest : str
        Of what is being made. Parts of anything else, damaged ones, and what killed
        processes of this machine left half-written are removed.
    """

    def __init__(self, path: Path, digest: str):
        self.path = path
        self.digest = digest
        # What was seen of each file: its rows and its faults.
        self._seen: dict[tuple[str, int], tuple[np.ndarray, Mapping[int, str]]] = {}
        path.mkdir(parents=True, exist_ok=True)
        for aside in path.parent.glob(f".{path.name}.*.old"):
            if _is_orphan(aside):
                shutil.rmtree(aside, ignore_errors=True)
        for file, part in self._files():
            if part is None:
                file.unlink(missing_ok=True)
        for file in path.glob(".*.tmp"):
            if _is_orphan(file):
                file.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[Path, Part]]:
        """Read the parts that there are, in the order of their first rows."""
        for file, part in self._files():
            if part is not None:
                yield file, part

    def contents(self) -> list[tuple[np.ndarray, Mapping[int, str]]]:
        """Return the rows and the faults of all parts seen so far, by whomever they were written.

        A file is read once; one that has gone since is still counted, because
        parts are only removed when all are published.
        """
        for file in sorted(self.path.glob("part-*.h5")):
            try:
                key = file.name, file.stat().st_mtime_ns
                if key not in self._seen and (part := self._read(file)) is not None:
                    self._seen[key] = part.rows, part.faults
            except FileNotFoundError:
                continue
        return list(self._seen.values())

    def _files(self) -> Iterator[tuple[Path, Part | None]]:
        for file in sorted(self.path.glob("part-*.h5")):
            yield file, self._read(file)

    def temporary(self, name: str) -> Path:
        """Return a name for a half-written file, by which its writer is known."""
        return self.path / f".{name}.{_own_name()}.tmp"

    def remove(self) -> None:
        """Remove the folder, in one step for others: no writer finds half of the parts."""
        aside = self.path.with_name(f".{self.path.name}.{_own_name()}.old")
        os.replace(self.path, aside)
        shutil.rmtree(aside)

    def write(self, part: Part) -> None:
        """Keep a part: under a temporary name, flushed to the disk, and renamed."""
        rows = np.sort(np.concatenate([part.rows, np.fromiter(part.faults, np.int64)]))
        name = f"part-{rows[0]:09d}-{zlib.crc32(rows.data):08x}.h5"
        # Put together in memory: the disk may be full, and HDF5 is at a loss then.
        with h5py.File(name, "w", driver="core", backing_store=False) as file:
            file.attrs["digest"] = self.digest
            file.attrs["checksum"] = part.checksum()
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
            temporary.write_bytes(image)
            flush(temporary)
            os.replace(temporary, self.path / name)
        finally:
            temporary.unlink(missing_ok=True)

    def _read(self, path: Path) -> Part | None:
        """Read a part; None if it is damaged or a part of something else."""
        try:
            with h5py.File(path, "r") as file:
                if file.attrs["digest"] != self.digest:
                    return None
                faults = {}
                if "fault_rows" in file:
                    reasons = [text.decode() for text in file["fault_reasons"][()].tolist()]
                    faults = dict(zip(file["fault_rows"][()].tolist(), reasons, strict=True))
                rows, values, members = (file[name][()] for name in ("rows", "values", "members"))
                part = Part(rows, values, members, faults)
                return part if part.checksum() == file.attrs["checksum"] else None
        except FileNotFoundError:  # published meanwhile by another process
            raise
        except (OSError, KeyError, ValueError, RuntimeError):
            return None


def _own_name() -> str:
    return f"{socket.gethostname()}.{os.getpid()}"


def _is_orphan(file: Path) -> bool:
    """Say whether what is half-written or half-removed is of a process here that is no more."""
    match = re.fullmatch(r"\..*\.(\d+)\.(tmp|old)", file.name)
    if match is None or f".{socket.gethostname()}.{match[1]}." not in file.name:
        return False
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(match[1]) == os.getpid()
