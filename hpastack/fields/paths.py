"""The files of a field, as a row of the catalogue names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from hpastack.fields.formats.decoding import read_bytes
from hpastack.fields.formats.faults import FileFault, StrPath, size_text
from hpastack.fields.formats.planes import split_plane
from hpastack.fields.stains import STAINS

#: The key of a row for the bits that values of its 16-bit files use; all 16 without it.
BITS = "bits"

Row = Mapping[str, Any] | pd.Series


class StainFile(NamedTuple):
    """The file of one stain, read but not decoded."""

    stain: str
    path: StrPath
    file: StrPath  # the path without its plane
    plane: int | None
    data: bytes


def stain_rows(catalogue: pd.DataFrame) -> Iterator[dict[str, StrPath]]:
    """Give what is needed to read each field of a catalogue, in its order.

    These are the paths of its stains, and its bits where the catalogue says them.
    """
    names = [*STAINS, BITS] if BITS in catalogue else STAINS
    columns = [catalogue[name] for name in names]
    return (dict(zip(names, values)) for values in zip(*columns))


def field_bits(row: Row) -> int:
    """Return how many bits the values of the 16-bit files of a field use."""
    bits = row.get(BITS)
    return 16 if bits is None or bits == "" or bits != bits else int(bits)


def stain_file(row: Row, stain: str) -> StainFile:
    """Read the file of one stain."""
    path, file, plane = _stain_path(row, stain)
    return StainFile(stain, path, file, plane, read_bytes(file))


def stain_files(row: Row) -> Iterator[StainFile]:
    """Read the files of the four stains, one that holds several of them once."""
    held: dict[StrPath, bytes] = {}
    for stain in STAINS:
        path, file, plane = _stain_path(row, stain)
        data = held.get(file) or read_bytes(file)
        if plane is not None:  # any other stands for one stain, and would take room for nothing
            held[file] = data
        yield StainFile(stain, path, file, plane, data)


def _stain_path(row: Row, stain: str) -> tuple[StrPath, StrPath, int | None]:
    path = row.get(stain)
    if path is None or path == "" or path != path:  # NaN in a hand-made table
        raise FileFault("", f"no path to the {stain} stain of the field")
    return path, *split_plane(path)


def require_shape(shape: tuple[int, ...], first: tuple[int, ...], path: StrPath) -> None:
    """Refuse a stain of another size than the first one of its field."""
    if shape != first:
        raise FileFault(
            path,
            f"{size_text(shape)}, but the {STAINS[0]} stain of the field has {size_text(first)}; "
            "the four stains need one size",
        )
