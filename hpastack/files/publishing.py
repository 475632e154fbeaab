"""Files that appear under their name complete or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpastack.errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name to write a file or folder under; rename it at the end.

    What stood at `path` is replaced only when the block ends without an
    exception; otherwise it is untouched and the temporary file is removed.

    Parameters
    ----------
    path : path-like
        The final place; missing folders above it are made.

    Yields
    ------
    Path
        A name beside it that nothing stands at.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of this thread too: several may write one path, and each publishes a whole one.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    remove(temporary)
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        remove(temporary)


def publish_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file under a temporary name in its folder and rename it.

    Parameters
    ----------
    path : path-like
        Replaced if it exists; its folder is made if needed.
    text : str
        Written as UTF-8.
    """
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def refuse_existing(path: str | os.PathLike[str], overwrite: bool, note: str = "") -> None:
    """Raise an error if output exists that may not be replaced.

    Parameters
    ----------
    path : path-like
        A file or folder that is to be written.
    overwrite : bool
        Whether it may be replaced.
    note : str, default=""
        What is to be said of what exists, such as "of other fields".

    Raises
    ------
    InputError
        If it exists and `overwrite` is false.
    """
    if not overwrite and Path(path).exists():
        what = f"exists, {note}" if note else "exists"
        raise InputError(f"{path} {what}; pass overwrite=True", "overwrite")


def put_in_place(finished: Path, path: Path) -> None:
    """Rename a finished file or folder to its place, replacing what stands there.

    Parameters
    ----------
    finished : Path
        On the same file system as `path`.
    path : Path
    """
    if path.is_dir():
        # A folder cannot be replaced in one call: move the old one aside first.
        aside = path.with_name(f".{path.name}.{os.getpid()}.old")
        os.replace(path, aside)
        try:
            os.replace(finished, path)
        except OSError:
            os.replace(aside, path)
            raise
        shutil.rmtree(aside)
    else:
        os.replace(finished, path)


@contextmanager
def disk_guard(folder: str | os.PathLike[str], remedy: str) -> Iterator[None]:
    """Turn a full disk into a mistake with a remedy; HDF5 says it in several ways.

    Parameters
    ----------
    folder : path-like
        Where there is no room, for the message.
    remedy : str
        What to do.

    Raises
    ------
    InputError
        If the block ends with the error of a full disk or of a used-up quota.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        said = ("No space left", "quota exceeded")
        if not is_full and not any(words in str(error) for words in said):
            raise
        raise InputError(f"{folder}: the disk is full; {remedy}") from error


def flush(path: Path) -> None:
    """Wait until a finished file is on the disk, so that its rename never precedes its bytes."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do so."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
