"""What a stack may keep from one fit to the next, known by the digest of all it depends on."""

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

#: Bytes that are kept; the files not used for longest go first.
MAX_BYTES = 2_000_000_000

#: Raised whenever the same settings and inputs would give other numbers.
ALGORITHM_VERSION = 5


def digest(*parts: Any) -> str:
    """Return what names a result: a digest of all that it depends on.

    Parameters
    ----------
    *parts : ndarray, bytes, or what JSON can hold

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
        # What a part is and how long comes first, so that no two parts can run into each other.
        hashed.update(f"\n{kind}\n".encode())
        hashed.update(content)
    return hashed.hexdigest()


class Kept(Protocol):
    """A result that can be kept: as arrays by name, never as a pickle."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return all that it is made from again."""
        ...

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """Return what `to_arrays` gave the arrays of."""
        ...


T = TypeVar("T", bound=Kept)


class StackCache:
    """A folder of arrays, one file per digest.

    Anything in it may be deleted at any time. A file that cannot be read is
    as good as none, and no file is ever half-written.

    Parameters
    ----------
    folder : path-like or None
        Made when first written to. None keeps nothing.
    """

    def __init__(self, folder: str | PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder)

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def remember(self, name: str, key: str, make: Callable[[], T], kind: type[T]) -> T:
        """Return what was kept under a digest, or make and keep it.

        Parameters
        ----------
        name : str
            What the file name begins with.
        key : str
            `digest` of all that the result depends on.
        make : callable
            Returns the result; only called if it was not kept.
        kind : type
            Of the result, see `Kept`.

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
            # Missing, cut short, of another program, on a disk that fails: it is made again.
            return None
        with suppress(OSError):  # deleted meanwhile, or the folder is read-only
            os.utime(path)
        return arrays

    def _put(self, name: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a digest, if the disk takes them: a fit is not lost to a full one."""
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
    """Return what JSON can hold as an array of bytes."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def json_from_array(array: np.ndarray) -> Any:
    """Return what `json_to_array` turned into an array."""
    return json.loads(array.tobytes())


def _plain(value: Any) -> Any:
    # A parameter may be a number of NumPy.
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is nothing that a digest is made of")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # deleted meanwhile by another run
