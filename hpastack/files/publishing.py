"""Atomic writes: a file appears under its name complete, or not at all."""

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
    """Write a file or folder under a temporary name; rename it at the end.

    An existing file at `path` is replaced only if the block ends without an
    exception; otherwise it is unchanged and the temporary file is removed.

    Parameters
    ----------
    path : path-like
        The final path; missing parent folders are created.

    Yields
    ------
    Path
        An unused temporary path in the same folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # With the thread id, because several threads may write one path: each publishes a whole file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    remove(temporary)
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        remove(temporary)


def publish_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in one atomic rename.

    Parameters
    ----------
    path : path-like
        Replaced if it exists; its folder is created if needed.
    text : str
        Written as UTF-8.
    """
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def refuse_existing(path: str | os.PathLike[str], overwrite: bool, note: str = "") -> None:
    """Check that an output does not exist or may be replaced.

    Parameters
    ----------
    path : path-like
        A file or folder to be written.
    overwrite : bool
        Whether it may be replaced.
    note : str, default=""
        Remark on the existing output for the message, such as "of other fields".

    Raises
    ------
    InputError
        If it exists and `overwrite` is false.
    """
    if not overwrite and Path(path).exists():
        problem = f"exists, {note}" if note else "exists"
        raise InputError(f"{path} {problem}; pass overwrite=True", "overwrite")


def put_in_place(finished: Path, path: Path) -> None:
    """Rename a finished file or folder to its final path, replacing an existing one.

    Parameters
    ----------
    finished : Path
        On the same file system as `path`.
    path : Path
    """
    if path.is_dir():
        # A folder cannot be replaced in one call, so the old one is moved aside first.
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
    """Convert errors caused by a full disk to an `InputError` with a remedy.

    HDF5 reports a full disk in several ways.

    Parameters
    ----------
    folder : path-like
        The folder on the full disk, for the message.
    remedy : str
        What to do, for the message.

    Raises
    ------
    InputError
        If the block ends with an error caused by a full disk or an exceeded quota.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        messages = ("No space left", "quota exceeded")
        if not is_full and not any(message in str(error) for message in messages):
            raise
        raise InputError(f"{folder}: the disk is full; {remedy}") from error


def flush(path: Path) -> None:
    """Flush a finished file to disk, so that it is never renamed before its bytes are written."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Flush the file names in a folder to disk, if the system supports it."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
