"""What a stack may keep from one fit to the next, known by the digest of all it depends on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hpastack.files import published

#: Bytes that are kept; the files not used for longest go first.
MAX_BYTES = 2_000_000_000

#: Raised whenever the same settings and inputs would give other numbers.
ALGORITHM_VERSION = 3


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
    found = hashlib.blake2b(f"version {ALGORITHM_VERSION}".encode(), digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            kind, content = f"{part.dtype.str} {part.shape}", np.ascontiguousarray(part).data
        elif isinstance(part, bytes):
            kind, content = f"bytes {len(part)}", memoryview(part)
        else:
            text = json.dumps(part, sort_keys=True, default=_plain).encode()
            kind, content = f"json {len(text)}", memoryview(text)
        # What a part is and how long comes first, so that no two parts can run into each other.
        found.update(f"\n{kind}\n".encode())
        found.update(content)
    return found.hexdigest()


class StackCache:
    """A folder of arrays, one file a digest.

    Anything in it may be deleted at any time. A file that cannot be read is
    as good as none, and no file is ever half-written.

    Parameters
    ----------
    folder : path-like or None
        Made when first written to. None keeps nothing.
    """

    def __init__(self, folder):
        self._folder = None if folder is None else Path(folder)

    def get(self, what: str, key: str) -> dict[str, np.ndarray] | None:
        """Return what was kept under a digest, or None."""
        if self._folder is None:
            return None
        path = self._path(what, key)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                found = {name: kept[name] for name in kept.files}
        except Exception:
            # Missing, cut short, of another program, on a disk that fails: it is made again.
            return None
        with suppress(OSError):  # deleted meanwhile, or the folder is read-only
            os.utime(path)
        return found

    def put(self, what: str, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a digest, if the disk takes them: a fit is not lost to a full one."""
        if self._folder is None:
            return
        try:
            with published(self._path(what, key)) as temporary, temporary.open("wb") as file:
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

    def _path(self, what: str, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{what}-{key}.npz"


def json_to_array(value: Any) -> np.ndarray:
    """Return what JSON can hold as an array of bytes."""
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


def json_from_array(array: np.ndarray) -> Any:
    """Return what `json_to_array` turned into an array."""
    return json.loads(array.tobytes())


def packed(models: Mapping[tuple[int, int, int], bytes]) -> dict[str, np.ndarray]:
    """Return boosters as arrays.

    Parameters
    ----------
    models : dict of (fold, label, bag) to bytes

    Returns
    -------
    dict of ndarray
        ``model_keys`` (m, 3), ``model_ends`` (m,) and ``model_bytes``.
    """
    keys = sorted(models)
    return {
        "model_keys": np.array(keys, dtype=np.int64).reshape(-1, 3),
        "model_ends": np.cumsum([len(models[key]) for key in keys], dtype=np.int64),
        "model_bytes": np.frombuffer(b"".join(models[key] for key in keys), dtype=np.uint8),
    }


def unpacked(arrays: Mapping[str, np.ndarray]) -> dict[tuple[int, int, int], bytes]:
    """Return the boosters that `packed` turned into arrays."""
    content, ends = arrays["model_bytes"].tobytes(), arrays["model_ends"].tolist()
    models = {}
    for key, start, end in zip(arrays["model_keys"].tolist(), [0, *ends], ends):
        fold, label, bag = key
        models[fold, label, bag] = content[start:end]
    return models


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
