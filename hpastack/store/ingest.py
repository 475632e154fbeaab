"""Import of predictions and features made elsewhere.

Tables with one column per label or feature, label sets
(``Id,Predicted`` with ``"0 16"``), and NPY or NPZ matrices whose ids are in an
accompanying file.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.files import (
    ID_NAMES,
    check_ids,
    is_parquet,
    named_column,
    read_lines,
    read_parquet,
    read_text_table,
)
from hpastack.labels import Vocabulary, label_ids, numbered_label
from hpastack.store.decimal_marks import is_marked_number, with_decimal_points

_ANSWERS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_LABEL_SET_COLUMNS = ("predicted", "target", "label", "labels")


def read_table(
    path: str | os.PathLike[str],
    *,
    ids: str | os.PathLike[str] | None = None,
    key: str | None = None,
) -> pd.DataFrame:
    """Read a table made elsewhere, in any supported format.

    Parameters
    ----------
    path : path-like
        ``.npy``, ``.npz``, Parquet (numbers are not converted), or a table in a format of
        `hpastack.files.read_text_table`.
    ids : path-like, optional
        For a matrix without ids: a text file with one id per line, or a CSV
        with a column ``Id``, in the order of the rows. Default for an NPY:
        ``NAME.ids.txt`` in the same folder.
    key : str, optional
        Name of the array in an NPZ; required if it contains several.

    Returns
    -------
    DataFrame
        Indexed by `image_id`; the columns of a matrix are numbered, unless
        ``NAME.columns.txt`` in the same folder names them, one per line.

    Raises
    ------
    InputError
        If it is not a table, ids are missing, duplicate or of the wrong number, or the array is not
        a matrix.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix in (".npy", ".npz"):
        matrix, own_ids = _read_matrix(path, key)
        if ids is None and own_ids is None and path.with_suffix(".ids.txt").is_file():
            ids = path.with_suffix(".ids.txt")
        if ids is not None:
            own_ids = read_ids(ids)
        if own_ids is None:
            raise InputError(f"{path} has no ids; pass the file that lists them as ids", "ids")
        if len(own_ids) != len(matrix):
            raise InputError(
                f"{path} has {counted(len(matrix), 'row')}, but there are "
                f"{counted(len(own_ids), 'id')}"
            )
        table = pd.DataFrame(matrix, index=own_ids, columns=_column_names(path, matrix.shape[1]))
    elif is_parquet(path):
        table = _with_ids(read_parquet(path), path)
    else:
        # All cells as text: "0" may be an id, a label set or a number, depending on the column.
        table = _with_ids(read_text_table(path), path)
    if table.empty:
        raise InputError(f"{path} has no rows")
    if table.index.hasnans:
        raise InputError(f"{path}: row {int(np.argmax(table.index.isna())) + 1} has no id")
    table.index = pd.Index([str(image_id) for image_id in table.index], name="image_id")
    check_ids(table.index, path)
    return table


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read image ids from a text file (one per line) or a table with a column ``Id``.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If the file does not exist, or a table has no column of ids.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".txt":
        return _lines(path)
    return list(_with_ids(read_text_table(path), path).index)


def prediction_matrix(
    table: pd.DataFrame,
    vocabulary: Vocabulary,
    where: str | os.PathLike[str],
    *,
    allow_nan: bool = False,
) -> tuple[np.ndarray, bool]:
    """Return a table of predictions or scores as a matrix with columns in label order.

    Parameters
    ----------
    table : DataFrame
        One column per label, named by the label's id, its name, or anything that ends in
        ``__<id>``. In names, case, spaces and punctuation do not matter (``Rods...Rings`` is
        ``Rods & rings``; only ``+`` does), unless several labels differ in nothing else. Or a
        single column ``Predicted`` of label sets.
    vocabulary : Vocabulary
    where : path-like
        Name of the table in error messages.
    allow_nan : bool, default=False
        As for `numbers`.

    Returns
    -------
    values : ndarray of float, shape (n, n_labels)
    are_label_sets : bool

    Raises
    ------
    InputError
        If a label has no column, a column is not a label, or a value is not a
        number.
    """
    if table.shape[1] == 1 and str(table.columns[0]).lower() in _LABEL_SET_COLUMNS:
        texts = table.iloc[:, 0].fillna("").astype(str)
        # Texts that are not ids are passed to the vocabulary, which reports them.
        targets = texts.map(lambda text: text if label_ids(text) is None else label_ids(text))
        try:
            return vocabulary.indicator(targets, allow_empty=True).astype(float), True
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    plain: dict[str, list[int]] = {}
    for label, name in enumerate(vocabulary.names):
        plain.setdefault(_plain(name), []).append(label)
    labels = [_label_of(str(column), vocabulary, plain) for column in table.columns]
    unknown = [column for column, label in zip(table.columns, labels) if label is None]
    if unknown:
        raise InputError(
            f"{where}: columns {shorten(unknown)} are not labels; name them 0 to "
            f"{len(vocabulary) - 1} or by label name, drop them, or import "
            "the table with content='features'",
            "drop",
            "content",
        )
    missing = [k for k in range(len(vocabulary)) if k not in labels]
    if missing:
        raise InputError(f"{where} has no column for label {shorten(missing)}")
    if len(labels) > len(vocabulary):
        raise InputError(f"{where} has several columns for the same label")
    order = np.argsort(np.array(labels, dtype=int))
    return numbers(table.iloc[:, order], where, allow_nan=allow_nan), False


def numbers(
    table: pd.DataFrame, where: str | os.PathLike[str], *, allow_nan: bool = False
) -> np.ndarray:
    """Return a table as float64, and check that all values are finite numbers.

    Parameters
    ----------
    table : DataFrame
        Indexed by image id. Decimal commas and thousands separators in text are converted
        where they are unambiguous, as described in
        `hpastack.store.decimal_marks.with_decimal_points`.
    where : path-like
        Name of the table in error messages.
    allow_nan : bool, default=False
        Whether NaN and empty cells are accepted, as NaN.

    Returns
    -------
    ndarray of float64, shape of `table`

    Raises
    ------
    InputError
        If a value is not a number, infinite, or NaN where that is not
        allowed.
    """
    table = with_decimal_points(table)
    values = np.empty(table.shape)
    for position, column in enumerate(table.columns):
        cells = table.iloc[:, position]
        if cells.dtype == object or pd.api.types.is_string_dtype(cells.dtype):
            answers = cells.astype(str).str.strip().str.lower().map(_ANSWERS)
            cells = answers if answers.notna().all() else cells
        numeric = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float)
        is_bad = ~np.isfinite(numeric)
        if allow_nan:
            text = table.iloc[:, position].fillna("nan").astype(str).str.strip().str.lower()
            is_bad &= ~text.isin(("", "nan")).to_numpy()
        bad = np.flatnonzero(is_bad)
        if len(bad):
            cell = table.iloc[bad[0], position]
            raise InputError(
                f"{where}: {cell!r} in column {str(column)!r} of field {table.index[bad[0]]} "
                "is not a finite number"
                + (
                    "; write decimal points instead of commas, and no thousands separators"
                    if is_marked_number(cell)
                    else ""
                )
            )
        values[:, position] = numeric
    return values


def check_coverage(
    image_ids: Sequence[str],
    catalogue: pd.DataFrame,
    where: str | os.PathLike[str],
    *,
    remedy: str = "",
) -> None:
    """Check that a table covers each split of the catalogue completely or not at all.

    Parameters
    ----------
    image_ids : sequence of str
    catalogue : DataFrame
    where : path-like
        Name of the table in error messages.
    remedy : str, optional
        What to do about missing fields, for the message.

    Raises
    ------
    InputError
        If an id is not in the catalogue, or some but not all fields of a split
        are covered.
    """
    ids = pd.Index(image_ids)
    unknown = ids[~ids.isin(catalogue.index)]
    if len(unknown):
        raise InputError(
            f"{where}: {counted(len(unknown), 'id is', 'ids are')} not in the catalogue: "
            f"{shorten(unknown)}"
        )
    for split in ("train", "test"):
        fields = catalogue.index[catalogue["split"] == split]
        missing = fields[~fields.isin(ids)]
        if 0 < len(missing) < len(fields):
            raise InputError(
                f"{where} lacks {len(missing)} of {len(fields)} {split} fields of the "
                f"catalogue: {shorten(missing)}" + (f"; {remedy}" if remedy else "")
            )


def stacked_members(
    tables: Sequence[pd.DataFrame], names: Sequence[str | os.PathLike[str]]
) -> np.ndarray:
    """Return the predictions of several models for the same fields as one array, rows by id.

    Parameters
    ----------
    tables : sequence of DataFrame, length n_members
        Indexed by image id; the same columns, the same fields in any order.
    names : sequence of path-like, length n_members
        Names of the tables in error messages.

    Returns
    -------
    ndarray of float32, shape (n_members, n_fields, n_columns)
        Rows in the order of the first table.

    Raises
    ------
    InputError
        If a table does not have the same fields as the first.
    """
    image_ids = tables[0].index
    for table, name in zip(tables, names):
        for place, other, lacking in (
            (name, names[0], image_ids.difference(table.index)),
            (names[0], name, table.index.difference(image_ids)),
        ):
            if len(lacking):
                raise InputError(
                    f"{place} lacks {counted(len(lacking), 'field')} of {other}: "
                    f"{shorten(lacking)}; all members "
                    "must predict the same fields"
                )
    return np.stack([table.loc[image_ids].to_numpy(dtype=np.float32) for table in tables])


def table_digest(
    image_ids: Sequence[str], values: np.ndarray, members: np.ndarray | None = None
) -> str:
    """Return the digest of an imported table: of its ids and its values.

    Parameters
    ----------
    image_ids : sequence of str
    values : ndarray
    members : ndarray, optional
        Predictions of the members, if the store has any.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256("\n".join(image_ids).encode())
    for matrix in (values,) if members is None else (values, members):
        digest.update(np.ascontiguousarray(matrix, dtype=np.float32).tobytes())
    return digest.hexdigest()


def _label_of(column: str, vocabulary: Vocabulary, plain: Mapping[str, list[int]]) -> int | None:
    if column not in vocabulary.names:
        label = numbered_label(column.rsplit("__", 1)[-1])
        if label is not None:
            return label if label < len(vocabulary) else None
        alike = plain.get(_plain(column), [])
        return alike[0] if len(alike) == 1 else None
    return vocabulary.names.index(column)


def _plain(name: str) -> str:
    """Return a name without what R, databases and web pages change in names of columns."""
    bare = re.sub(r"[^\w+]|_", "", unescape(name).casefold())
    return bare if any(map(str.isalpha, bare)) else name


def _read_matrix(path: Path, key: str | None) -> tuple[np.ndarray, list[str] | None]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise InputError(f"{path} is not a plain array; save it without pickled objects") from None
    ids = None
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            names = [name for name in loaded.files if name not in ("ids", "image_ids")]
            if key is None and len(names) != 1:
                raise InputError(
                    f"{path} contains the arrays {shorten(names)}; choose one as key", "key"
                )
            if key is not None and key not in loaded.files:
                raise InputError(
                    f"{path} has no array {key!r}; it contains {shorten(names)}", "key"
                )
            matrix = loaded[key or names[0]]
            for name in ("ids", "image_ids"):
                if name in loaded.files:
                    ids = [str(value) for value in loaded[name]]
    else:
        matrix = loaded
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: an array of shape {matrix.shape} and type {matrix.dtype} is not a numeric "
            "matrix with one row per field"
        )
    return matrix, ids


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_lines(path) if line.strip()]


def _column_names(path: Path, n_columns: int) -> list[str] | None:
    """Return the column names of a matrix from the file beside it; None if there is none."""
    beside = path.with_suffix(".columns.txt")
    if path.suffix != ".npy" or not beside.is_file():
        return None
    names = _lines(beside)
    if len(names) != n_columns:
        raise InputError(
            f"{path} has {counted(n_columns, 'column')}, but {beside} names {len(names)}"
        )
    return names


def _with_ids(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    return table.set_index(named_column(table, ID_NAMES, path))
