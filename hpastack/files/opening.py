"""Opening text files: compressed or not, in any Unicode encoding."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, TextIO

from hpastack.errors import InputError, counted, shorten

StrPath = str | os.PathLike[str]

# File types are recognised by their first bytes, not by the file name.
_ZIP = b"PK\x03\x04"
_COMPRESSED: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_PARQUET = b"PAR1"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_TAR_MARK, _TAR_PLACE = b"ustar", 257
_HTML = (b"<html", b"<!doctype html", b"<table", b"<meta", b"<head", b"<body", b"<!--", b"<?xml")
# Files that are not text, with the remedy.
_OTHER_FILES = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as .xlsx or as CSV UTF-8"),
    (b"\x93NUMPY", "a NumPy array; a table is needed"),
    (b"\x89HDF", "an HDF5 file; a table is needed"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"%PDF", "a PDF; save the table as CSV UTF-8"),
    (b"ARROW1", "an Arrow (Feather) file; save it as Parquet or CSV"),
)


@contextmanager
def opened_text(path: StrPath) -> Iterator[TextIO]:
    """Open a text file for reading once from the start.

    Parameters
    ----------
    path : path-like
        UTF-8 with or without a byte order mark, UTF-16 or UTF-32; uncompressed, compressed
        with gzip, bzip2, xz or (with zstandard) zstd, or the only file in a ZIP or tar archive. A
        pipe is possible, except for ZIP.

    Yields
    ------
    TextIO
        Line breaks are not translated.

    Raises
    ------
    InputError
        If the file is not a text file, is corrupt, or is an archive of several files; also while
        reading, if it is not Unicode text.
    OSError
        If the file cannot be read.
    """
    try:
        with open(path, "rb") as file, _decompressed(file, path) as raw:
            encoding = _encoding(raw, path)
            with io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
                yield text
    except UnicodeError:
        raise InputError(
            f"{path}: not UTF-8 text; in a spreadsheet program, save it as CSV UTF-8"
        ) from None
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: corrupt: {error}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(f"{path}: corrupt: {error}") from None  # raised by gzip and bzip2


def read_lines(path: StrPath) -> list[str]:
    """Read the lines of a text file.

    Parameters
    ----------
    path : path-like
        As for `opened_text`.

    Returns
    -------
    list of str
        Without line breaks.

    Raises
    ------
    InputError, OSError
        As `opened_text`.
    """
    with opened_text(path) as file:
        return file.read().splitlines()


def is_parquet(path: StrPath) -> bool:
    """Return whether a file is in Apache Parquet format.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
    """
    return _starts_with(path, _PARQUET)


def is_workbook(path: StrPath) -> bool:
    """Return whether a file is an Excel workbook, that is, a ZIP archive that contains one.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
    """
    if not _starts_with(path, _ZIP):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _starts_with(path: StrPath, magic: bytes) -> bool:
    if not os.path.isfile(path):
        return False  # a pipe cannot be read twice
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _decompressed(file: io.BufferedReader, path: StrPath) -> IO[bytes]:
    start = file.peek(8)[:8]
    for magic, kind in _COMPRESSED:
        if start.startswith(magic):
            stream: Any = kind(fileobj=file) if kind is gzip.GzipFile else kind(file)
            return _unpacked(io.BufferedReader(stream), path)
    if start.startswith(_ZSTANDARD):
        return _unpacked(io.BufferedReader(_zstandard(file, path)), path)
    if not start.startswith(_ZIP):
        return _unpacked(file, path)
    archive = zipfile.ZipFile(io.BytesIO(file.read()))
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if _is_spreadsheet(archive):
        raise InputError(f"{path}: an OpenDocument spreadsheet; save it as .xlsx or as CSV UTF-8")
    _require_one(names, "ZIP", path)
    member: Any = archive.open(names[0])
    return io.BufferedReader(member)


def _is_spreadsheet(archive: zipfile.ZipFile) -> bool:
    return "mimetype" in archive.namelist() and b"opendocument" in archive.read("mimetype")


def _unpacked(file: io.BufferedReader, path: StrPath) -> IO[bytes]:
    """Return the only file in a tar archive; any other file unchanged."""
    start = file.peek(512)
    if start[_TAR_PLACE : _TAR_PLACE + len(_TAR_MARK)] != _TAR_MARK:
        return file
    try:
        with tarfile.open(fileobj=io.BytesIO(file.read())) as archive:
            # macOS writes a file beginning with ._ next to each file.
            members = [
                member
                for member in archive
                if member.isfile() and not os.path.basename(member.name).startswith("._")
            ]
            _require_one([member.name for member in members], "tar", path)
            content = archive.extractfile(members[0])
            assert content is not None  # None only for members that are not files
            return io.BufferedReader(io.BytesIO(content.read()))
    except tarfile.TarError as error:
        raise InputError(f"{path}: corrupt: {error}") from None


def _zstandard(file: io.BufferedReader, path: StrPath) -> Any:
    try:
        from compression import zstd  # Python 3.14 and later
    except ImportError:
        pass
    else:
        return zstd.ZstdFile(file)
    try:
        import zstandard
    except ImportError:
        raise InputError(
            f"{path}: compressed with Zstandard; unpack it (unzstd), or pip install zstandard"
        ) from None
    return zstandard.ZstdDecompressor().stream_reader(file)


def _require_one(names: list[str], kind: str, path: StrPath) -> None:
    if len(names) != 1:
        raise InputError(
            f"{path}: a {kind} archive of {counted(len(names), 'file')} ({shorten(names, 3)}); "
            "unpack it and pass one of them"
        )


def _encoding(file: Any, path: StrPath) -> str:
    start = file.peek(8)[:8]
    for magic, problem in _OTHER_FILES:
        if start.startswith(magic):
            raise InputError(f"{path}: {problem}")
    # In any Unicode encoding: without byte order mark, and without the zeros of UTF-16.
    beginning = file.peek(256)[:256].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    if beginning.lower().startswith(_HTML):
        raise InputError(
            f"{path}: an HTML or XML document, which some programs save as .xls; open it in a "
            "spreadsheet program and save it as .xlsx or as CSV UTF-8"
        )
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    # Without a byte order mark: the first characters of a table are ASCII, so in UTF-16 every
    # second byte is 0.
    if len(start) >= 4 and start[1] == start[3] == 0 != start[0]:
        return "utf-16-le"
    if len(start) >= 4 and start[0] == start[2] == 0 != start[1]:
        return "utf-16-be"
    return "utf-8-sig"
