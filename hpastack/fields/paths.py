"""The files of a field, as listed in a row of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from hpastack.errors import InputError
from hpastack.fields.formats.decoding import read_bytes
from hpastack.fields.formats.faults import FileFault, StrPath, size_text
from hpastack.fields.formats.planes import split_plane
from hpastack.fields.stains import STAINS

#: The key of a row for the bit depth of its 16-bit files; 16 without it.
BITS = "bits"

#: The key of a row for the stains of a field, separated by spaces; all four without it.
STAINS_OF_FIELD = "stains"

#: The key of a row for the micrometres per pixel of its files; unknown without it.
PIXEL_SIZE = "pixel_size"

Row = Mapping[str, Any] | pd.Series


class StainFile(NamedTuple):
    """The file of one stain, read but not decoded."""

    stain: str
    path: StrPath
    file: StrPath  # the path without its plane
    plane: int | None
    data: bytes


def stain_rows(catalogue: pd.DataFrame) -> Iterator[dict[str, StrPath]]:
    """Iterate over the rows needed to read the fields of a catalogue, in its order.

    A row has the paths of the stains and, if they are columns of the catalogue,
    ``bits`` and ``stains``.
    """
    names = [*STAINS, *(name for name in (BITS, STAINS_OF_FIELD) if name in catalogue)]
    columns = [catalogue[name] for name in names]
    return (dict(zip(names, values)) for values in zip(*columns))


def row_stains(row: Row) -> tuple[str, ...]:
    """Return the stains of a field in the order of `STAINS`; all if its row does not list them."""
    text = row.get(STAINS_OF_FIELD)
    if text is None or text != text or text == "":
        return STAINS
    return tuple(stain for stain in STAINS if stain in str(text).split())


def stains_of(catalogue: pd.DataFrame) -> tuple[str, ...]:
    """Return the stains that all fields of a catalogue have.

    Parameters
    ----------
    catalogue : DataFrame

    Returns
    -------
    tuple of str
        In the order of `STAINS`; all without a column ``stains``.
    """
    if STAINS_OF_FIELD not in catalogue:
        return STAINS
    texts = catalogue[STAINS_OF_FIELD].unique()
    combinations = [set(row_stains({STAINS_OF_FIELD: text})) for text in texts]
    return tuple(stain for stain in STAINS if all(stain in own for own in combinations))


def require_stains(catalogue: pd.DataFrame, stains: Iterable[str], what: str) -> None:
    """Check that all fields have the stains that a network or a feature needs.

    Parameters
    ----------
    catalogue : DataFrame
    stains : iterable of str
    what : str
        The network or feature, for the message.

    Raises
    ------
    InputError
        If a field lacks one of them.
    """
    available = stains_of(catalogue)
    missing = [stain for stain in stains if stain not in available]
    if missing:
        raise InputError(
            f"{what} needs the {' and the '.join(missing)} stain, which some fields of the "
            f"catalogue lack; use only the stains that all fields have: "
            f"stains: [{', '.join(available)}]"
        )


def field_bits(row: Row) -> int:
    """Return the bit depth of the 16-bit files of a field."""
    _require_row(row)
    bits = row.get(BITS)
    return 16 if bits is None or bits == "" or bits != bits else int(bits)


def field_pixel_size(row: Row) -> float | None:
    """Return the micrometres per pixel of the files of a field.

    Parameters
    ----------
    row : mapping or Series
        As for `read_field`.

    Returns
    -------
    float or None
        None if the row does not specify it.

    Raises
    ------
    InputError
        If it is not a positive number of micrometres below 1,000.

    Examples
    --------
    >>> field_pixel_size({"pixel_size": "0.16"}), field_pixel_size({})
    (0.16, None)
    """
    _require_row(row)
    value = row.get(PIXEL_SIZE)
    if value is None or value == "" or value != value:
        return None
    try:
        size = float(value)
    except (TypeError, ValueError):
        size = 0.0
    if not 0 < size < 1000:
        raise InputError(f"pixel_size {value!r} is not a number of micrometres per pixel")
    return size


def stain_file(row: Row, stain: str) -> StainFile:
    """Read the file of one stain."""
    path, file, plane = _stain_path(row, stain)
    return StainFile(stain, path, file, plane, read_bytes(file))


def stain_files(row: Row) -> Iterator[StainFile]:
    """Read the files of the stains of a field; a file with several stains is read once."""
    cached: dict[StrPath, bytes] = {}
    for stain in row_stains(row):
        path, file, plane = _stain_path(row, stain)
        data = cached.get(file) or read_bytes(file)
        if plane is not None:  # a file without planes has one stain and is not needed again
            cached[file] = data
        yield StainFile(stain, path, file, plane, data)


def _require_row(row: Row) -> None:
    if not isinstance(row, (Mapping, pd.Series)):
        actual = repr(row) if isinstance(row, str) else f"a {type(row).__name__}"
        raise InputError(
            f"row is {actual}; it must be a mapping with the paths of the {', '.join(STAINS)} "
            "stain: a row of the catalogue, catalogue.loc[image_id], or a dict",
            "row",
        )


def _stain_path(row: Row, stain: str) -> tuple[StrPath, StrPath, int | None]:
    _require_row(row)
    path = row.get(stain)
    if path is None or path == "" or path != path:  # NaN in a hand-made table
        raise FileFault("", f"no path for the {stain} stain of the field")
    return path, *split_plane(path)


def require_shape(shape: tuple[int, ...], first: tuple[int, ...], path: StrPath) -> None:
    """Check that a stain has the same size as the first one of its field."""
    if shape != first:
        raise FileFault(
            path,
            f"{size_text(shape)}, but the {STAINS[0]} stain of the field has {size_text(first)}; "
            "all stains of a field must have the same size",
        )
