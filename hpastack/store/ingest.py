"""Bring in predictions and features that were made elsewhere.

Tables with a column a label or feature, label sets
(``Id,Predicted`` with ``"0 16"``), and NPY or NPZ matrices whose ids stand in a
file beside them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
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

# A spreadsheet writes so where the comma is the decimal point.
_DECIMAL_COMMA = re.compile(r"\s*[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?\s*")
_ANSWERS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
# 1,234 is one number or the other.
_THOUSANDS = re.compile(r"\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*")
_LABEL_SET_COLUMNS = ("predicted", "target", "label", "labels")


def read_table(
    path: str | os.PathLike[str],
    *,
    ids: str | os.PathLike[str] | None = None,
    key: str | None = None,
) -> pd.DataFrame:
    """Read a table made elsewhere, whatever its format.

    Parameters
    ----------
    path : path-like
        ``.npy``, ``.npz``, or a table as `hpastack.files.read_text_table` takes it; numbers of
        Parquet stay as they are.
    ids : path-like, optional
        For a matrix without ids: a text file with one id a line, or a CSV
        with a column ``Id``; the rows are in its order. Left out, an NPY has
        them in ``NAME.ids.txt`` beside it.
    key : str, optional
        The array of an NPZ; needed where it holds several.

    Returns
    -------
    DataFrame
        Indexed by `image_id`; columns are numbered for a matrix, unless
        ``NAME.columns.txt`` beside it names them, one a line.

    Raises
    ------
    InputError
        If it is no table, ids are missing, doubled or of the wrong number, or the array is not a
        matrix.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if path.suffix in (".npy", ".npz"):
        matrix, own_ids = _read_matrix(path, key)
        if ids is None and own_ids is None and path.with_suffix(".ids.txt").is_file():
            ids = path.with_suffix(".ids.txt")
        if ids is not None:
            own_ids = read_ids(ids)
        if own_ids is None:
            raise InputError(f"{path} has no ids; name the file that lists them with --ids")
        if len(own_ids) != len(matrix):
            raise InputError(
                f"{path} has {counted(len(matrix), 'row')}, but there are "
                f"{counted(len(own_ids), 'id')}"
            )
        table = pd.DataFrame(matrix, index=own_ids, columns=_column_names(path, matrix.shape[1]))
    elif is_parquet(path):
        table = _with_ids(read_parquet(path), path)
    else:
        # Every cell as text: "0" is an id, a label set or a number, as its column says.
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
        If there is no such file, or a table has no column of ids.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
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
    """Order the columns of a table of predictions or scores by label.

    Parameters
    ----------
    table : DataFrame
        A column a label, named by its id, its name, or anything that ends in
        ``__<id>``; or a single column ``Predicted`` of label sets.
    vocabulary : Vocabulary
    where : path-like
        What to call the table in errors.
    allow_nan : bool, default=False
        As `numbers`.

    Returns
    -------
    values : ndarray of float, shape (n, n_labels)
    are_label_sets : bool

    Raises
    ------
    InputError
        If a label has no column, a column is no label, or a value is not a
        number.
    """
    if table.shape[1] == 1 and str(table.columns[0]).lower() in _LABEL_SET_COLUMNS:
        texts = table.iloc[:, 0].fillna("").astype(str)
        # What is not read as ids is left for the vocabulary to name.
        targets = texts.map(lambda text: text if label_ids(text) is None else label_ids(text))
        try:
            return vocabulary.indicator(targets, allow_empty=True).astype(float), True
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    labels = [_label_of(str(column), vocabulary) for column in table.columns]
    strange = [column for column, label in zip(table.columns, labels) if label is None]
    if strange:
        raise InputError(
            f"{where}: columns {shorten(strange)} are no labels; name them 0 to "
            f"{len(vocabulary) - 1} or by label name, leave them out with --drop, or bring "
            "the table in as --content features"
        )
    missing = [k for k in range(len(vocabulary)) if k not in labels]
    if missing:
        raise InputError(f"{where} has no column for label {shorten(missing)}")
    if len(labels) > len(vocabulary):
        raise InputError(f"{where} has two columns for one label")
    order = np.argsort(np.array(labels, dtype=int))
    return numbers(table.iloc[:, order], where, allow_nan=allow_nan), False


def numbers(
    table: pd.DataFrame, where: str | os.PathLike[str], *, allow_nan: bool = False
) -> np.ndarray:
    """Return a table as float64, naming what is not a finite number.

    Parameters
    ----------
    table : DataFrame
        Indexed by image id.
    where : path-like
        What to call the table in errors.
    allow_nan : bool, default=False
        Whether NaN and empty cells are taken, as NaN.

    Returns
    -------
    ndarray of float64, shape of `table`

    Raises
    ------
    InputError
        If a value is not a number, infinite, or NaN where that is not
        allowed.
    """
    table = _with_decimal_points(table)
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
            found = table.iloc[bad[0], position]
            comma = isinstance(found, str) and _DECIMAL_COMMA.fullmatch(found)
            raise InputError(
                f"{where}: {found!r} in column {str(column)!r} of field {table.index[bad[0]]} "
                "is not a finite number"
                + ("; write decimal points instead of commas" if comma else "")
            )
        values[:, position] = numeric
    return values


def _with_decimal_points(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of texts with points for decimal commas, where the commas are such."""
    texts = [
        k for k in range(table.shape[1]) if not pd.api.types.is_numeric_dtype(table.dtypes.iloc[k])
    ]
    with_comma: list[int] = []
    may_be_thousands = True
    for position in texts:
        column = table.iloc[:, position].dropna().astype(str)
        has_comma = column.str.contains(",", regex=False)
        if column[~has_comma].str.contains(".", regex=False).any():
            return table
        if not has_comma.any():
            continue
        held = column[has_comma]
        if not held.str.fullmatch(_DECIMAL_COMMA).all():
            return table
        may_be_thousands &= bool(held.str.fullmatch(_THOUSANDS).all())
        with_comma.append(position)
    if not with_comma or may_be_thousands:
        return table
    table = table.copy()
    for position in with_comma:
        column = table.iloc[:, position]
        points = column.astype(str).str.replace(",", ".", regex=False)
        table.isetitem(position, np.where(column.isna(), column, points))
    return table


def check_coverage(
    image_ids: Sequence[str],
    catalogue: pd.DataFrame,
    where: str | os.PathLike[str],
    *,
    remedy: str = "",
) -> None:
    """Reject a table that leaves a split of the catalogue half covered.

    Parameters
    ----------
    image_ids : sequence of str
    catalogue : DataFrame
    where : path-like
        What to call the table in errors.
    remedy : str, optional
        What to do about fields that are missing, for the message.

    Raises
    ------
    InputError
        If an id is not in the catalogue, or some but not all fields of a split
        are covered.
    """
    given = pd.Index(image_ids)
    unknown = given[~given.isin(catalogue.index)]
    if len(unknown):
        raise InputError(
            f"{where}: {counted(len(unknown), 'id is', 'ids are')} not in the catalogue: "
            f"{shorten(unknown)}"
        )
    for split in ("train", "test"):
        fields = catalogue.index[catalogue["split"] == split]
        missing = fields[~fields.isin(given)]
        if 0 < len(missing) < len(fields):
            raise InputError(
                f"{where} lacks {len(missing)} of {len(fields)} {split} fields of the "
                f"catalogue: {shorten(missing)}" + (f"; {remedy}" if remedy else "")
            )


def stacked_members(
    tables: Sequence[pd.DataFrame], names: Sequence[str | os.PathLike[str]]
) -> np.ndarray:
    """Put the predictions of several models for the same fields on each other, rows by id.

    Parameters
    ----------
    tables : sequence of DataFrame, length n_members
        Indexed by image id; the same columns, the same fields in any order.
    names : sequence of path-like, length n_members
        What to call the tables in errors.

    Returns
    -------
    ndarray of float32, shape (n_members, n_fields, n_columns)
        Rows in the order of the first table.

    Raises
    ------
    InputError
        If a table has other fields than the first.
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
                    f"{shorten(lacking)}; members "
                    "predict the same fields"
                )
    return np.stack([table.loc[image_ids].to_numpy(dtype=np.float32) for table in tables])


def table_digest(
    image_ids: Sequence[str], values: np.ndarray, members: np.ndarray | None = None
) -> str:
    """Return the digest of a table brought in: its ids and its values.

    Parameters
    ----------
    image_ids : sequence of str
    values : ndarray
    members : ndarray, optional
        Of a store with members.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256("\n".join(image_ids).encode())
    for matrix in (values,) if members is None else (values, members):
        digest.update(np.ascontiguousarray(matrix, dtype=np.float32).tobytes())
    return digest.hexdigest()


def _label_of(column: str, vocabulary: Vocabulary) -> int | None:
    if column not in vocabulary.names:
        label = numbered_label(column.rsplit("__", 1)[-1])
        if label is not None:
            return label if label < len(vocabulary) else None
    return vocabulary.names.index(column) if column in vocabulary.names else None


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
                raise InputError(f"{path} holds {shorten(names)}; choose one with --key")
            if key is not None and key not in loaded.files:
                raise InputError(f"{path} has no array {key!r}; it holds {shorten(names)}")
            matrix = loaded[key or names[0]]
            for name in ("ids", "image_ids"):
                if name in loaded.files:
                    ids = [str(value) for value in loaded[name]]
    else:
        matrix = loaded
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: an array of shape {matrix.shape} and type {matrix.dtype} is no matrix of "
            "numbers, a row a field"
        )
    return matrix, ids


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_lines(path) if line.strip()]


def _column_names(path: Path, n_columns: int) -> list[str] | None:
    """Return the names of the columns of a matrix that lie beside it; None if none do."""
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
