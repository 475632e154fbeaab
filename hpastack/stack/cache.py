"""Cache of intermediate results of a fit, keyed by a digest of all that they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from hpastack.files import atomic_write

#: Size limit in bytes; the least recently used files are deleted first.
MAX_BYTES = 2_000_000_000

#: Incremented whenever the same settings and inputs would give other numbers.
ALGORITHM_VERSION = 5


def digest(*parts: Any) -> str:
    """Return the key of a result: a digest of all that it depends on.

    Parameters
    ----------
    *parts : ndarray, bytes, or a value that JSON can represent

    Returns
    -------
    str
        BLAKE2b, 32 hexadecimal digits.
    """
    hashed = hashlib.blake2b(f"version {ALGORITHM_VERSION}".encode(), digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            kind, content = f"{part.dtype.str} {part.shape}", np.ascontiguousarray(part).data
        elif isinstance(part, bytes):
            kind, content = f"bytes {len(part)}", memoryview(part)
        else:
            text = json.dumps(part, sort_keys=True, default=_plain).encode()
            kind, content = f"json {len(text)}", memoryview(text)
        # Type and length of a part come first, so that the boundaries of parts are unambiguous.
        hashed.update(f"\n{kind}\n".encode())
        hashed.update(content)
    return hashed.hexdigest()


class Kept(Protocol):
    """A result that the cache can keep: as arrays by name, never as a pickle."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays from which `from_arrays` restores the result."""
        ...

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """Return the object that `to_arrays` was called on."""
        ...


T = TypeVar("T", bound=Kept)


class StackCache:
    """A folder of arrays, one file per digest.

    Any file may be deleted at any time. A file that cannot be read is treated
    as missing, and files are written atomically.

    Parameters
    ----------
    folder : path-like or None
        Created on the first write. With None nothing is kept.
    """

    def __init__(self, folder: str | PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder)

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def remember(self, name: str, key: str, make: Callable[[], T], kind: type[T]) -> T:
        """Return the result stored under a digest, or compute and store it.

        Parameters
        ----------
        name : str
            Prefix of the file name.
        key : str
            `digest` of all that the result depends on.
        make : callable
            Returns the result; only called if it is not stored.
        kind : type
            Type of the result, see `Kept`.

        Returns
        -------
        object of type `kind`
        """
        arrays = self._get(name, key)
        if arrays is not None:
            return kind.from_arrays(arrays)
        result = make()
        if self.keeps:
            self._put(name, key, result.to_arrays())
        return result

    def _get(self, name: str, key: str) -> dict[str, np.ndarray] | None:
        if self._folder is None:
            return None
        path = self._path(name, key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                arrays = {array: kept[array] for array in kept.files}
        except Exception:
            # Missing, truncated, from another program, on a failing disk: it is computed again.
            return None
        with suppress(OSError):  # deleted in the meantime, or the folder is read-only
            os.utime(path)
        return arrays

    def _put(self, name: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays under a digest, if possible: a full disk must not abort a fit."""
        assert self._folder is not None
        try:
            with atomic_write(self._path(name, key)) as temporary, temporary.open("wb") as file:
                np.savez(file, **dict(arrays))  # type: ignore[arg-type]
        except OSError:
            return
        total = 0
        for path in sorted(
            self._folder.glob(f"*-{'[0-9a-f]' * 32}.npz"), key=_last_used, reverse=True
        ):
            total += _size(path)
            if total > MAX_BYTES:
                path.unlink(missing_ok=True)

    def _path(self, name: str, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}-{key}.npz"


def json_to_array(value: Any) -> np.ndarray:
    """Return a value that JSON can represent as an array of bytes."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def json_from_array(array: np.ndarray) -> Any:
    """Return the value that `json_to_array` turned into an array."""
    return json.loads(array.tobytes())


def _plain(value: Any) -> Any:
    # A parameter may be a NumPy scalar.
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be part of a digest")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # deleted in the meantime by another run
