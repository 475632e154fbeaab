"""Reading published stores."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.files.notebook_html import html_details, html_facts, html_table
from hpastack.store.checks import Contents, read_contents
from hpastack.store.checksums import MemberRows, RowChecksums
from hpastack.store.header import FORMER_KINDS
from hpastack.store.placement import DatasetLayout, SharedFile, read_rows, read_whole

_BLOCK_BYTES = 8 * 1024**2
_REMEDY = (
    "make it again, list all problems with verify_store (on the command line: "
    "hpastack store NAME --verify), or read it anyway with verify=False"
)
# Attempts to open a store that is replaced in the meantime.
_ATTEMPTS = 10


class Store:
    """A published store, open for reading; returned by `open_store`.

    May be read from any thread and, after a fork or pickling, from any process:
    each opens its own handle at its first read, and raises an error if the file was
    replaced in the meantime. The attributes remain available after closing.

    Values are verified against the checksums of the store (since format 4), unless it
    was opened with ``verify=False``: if numbers, ids, columns, folds or settings differ from those
    that were written, `InputError` is raised.

    Attributes
    ----------
    path : Path
    name : str
        File name without ``.h5``.
    version : int
        Version of the format.
    image_ids, columns : list of str
    kind, content, made_from, fold_plan : str
        As `StoreHeader`.
    storage : {"float32", "float16"}
        Precision in which the values are stored.
    digest : str
        Digest of everything except the numbers, as stored; empty before format 4.
    recipe, made_with : dict
        Settings and package versions with which it was made.
    vocabulary : list of str or None
        Label names of predictions and scores.
    allow_nan : bool
        Whether NaN is a documented value of some column.
    fold : ndarray of int, shape (n,), or None
        Fold of each field, -1 for test fields.
    n_members : int
        Number of models whose individual predictions of the test fields are stored besides their
        mean; 0 if only the mean is stored.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        _identity: tuple[int, ...] | None = None,
        *,
        verify: bool = True,
    ) -> None:
        self.path = Path(path)
        self._file, self._contents = _opened(self.path, _identity)
        contents = self._contents
        self._verify = verify
        self._row_checksums: RowChecksums | None = None
        if verify and contents.has_changed():
            self._file.close()
            raise InputError(
                f"{self.path}: header, columns, ids or folds differ from those that were written "
                f"(digest); {_REMEDY}"
            )
        attributes = contents.attributes
        self.name = self.path.name.removesuffix(".h5")
        self.version: int = attributes["version"]
        self.kind: str = FORMER_KINDS.get(attributes["kind"], attributes["kind"])
        self.content: str = attributes["content"]
        self.made_from: str = attributes["made_from"]
        self.fold_plan: str = attributes["fold_plan"]
        self.digest: str = attributes.get("digest", "")
        self.allow_nan = bool(attributes["allow_nan"])
        self.recipe = contents.recipe
        self.made_with = contents.made_with
        self.vocabulary = contents.vocabulary
        self.image_ids = contents.image_ids
        self.columns = contents.columns
        self.fold = contents.fold
        self.storage = self._place("values").dtype.name
        self.n_members = self._place("members").shape[0] if self._has("members") else 0
        self._row: dict[str, int] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    def __reduce__(self) -> tuple[Any, ...]:
        self._file.check_open()
        # By path, not by content: reopened when unpickled.
        return partial(Store, verify=self._verify), (self._file.place, self._file.identity)

    def _has(self, name: str) -> bool:
        return name in self._contents.layouts

    def _place(self, name: str) -> DatasetLayout:
        return self._contents.layouts[name]

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, as at the end of a ``with`` block."""
        self._file.close()

    def _repr_html_(self) -> str:
        n_labels = f", {counted(len(self.vocabulary), 'label')}" if self.vocabulary else ""
        facts = {
            "contents": f"{self.content}, {self.kind}{n_labels}",
            "rows x columns": f"{counted(len(self), 'field')} x "
            f"{counted(len(self.columns), 'column')}, {self.storage}",
            "columns": shorten(self.columns, 4),
            "fold plan": self.fold_plan,
            "made with": ", ".join(f"{name} {n}" for name, n in self.made_with.items()),
            "made when": _written(self.path),
            "file": f"{self.path} (format {self.version})",
        }
        recipe = [[name, json.dumps(value)] for name, value in sorted(self.recipe.items())]
        table = html_table(["setting", "value"], recipe)
        return html_facts(f"Store {self.name}", facts) + html_details("recipe", table)

    def values(self) -> np.ndarray:
        """Return the whole matrix, float32, shape (n, n_columns)."""
        self._file.check_open()
        if not self._is_verified():
            return read_whole(self._file, self._place("values"), np.dtype(np.float32))
        out = np.empty(self._place("values").shape, np.float32)
        for rows in self._blocks_of_rows():
            out[rows[0] : rows[-1] + 1] = self._read(rows, None)
        return out

    def members(self) -> np.ndarray | None:
        """Return the predictions of each member for the test fields.

        Returns
        -------
        ndarray of float32, shape (n_members, n_test, n_columns), or None
            The rows with fold -1, in order; None if only their mean
            is stored.
        """
        self._file.check_open()
        if not self._has("members"):
            return None
        if not self._is_verified():
            return read_whole(self._file, self._place("members"), np.dtype(np.float32))
        out = np.empty(self._place("members").shape, np.float32)
        members, first = MemberRows(self._file, self._contents.layouts), 0
        for rows in self._blocks_of_rows(1 + self.n_members):
            rows = rows[self.fold[rows] == -1]  # type: ignore[index]
            of_block = members.at(np.arange(first, first + len(rows)))
            self._check(rows, self._kept(rows), of_block)
            out[:, first : first + len(rows)] = of_block
            first += len(rows)
        return out

    def rows(self, image_ids: Iterable[str], columns: Sequence[str] | None = None) -> np.ndarray:
        """Return the rows of some fields.

        Only these rows are read; the cost does not depend on their order.

        Parameters
        ----------
        image_ids : sequence of str, length k
            Fields to read, in the order of the result; may contain duplicates.
        columns : sequence of str, optional
            Columns to return, in this order. Default: all.

        Returns
        -------
        ndarray of float32, shape (k, n_columns)

        Raises
        ------
        InputError
            If an id or column is not in the store.
        """
        self._file.check_open()
        return self._read(self._rows_of(image_ids), self._columns_of(columns))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the matrix in blocks of whole rows, for a matrix too large to be in memory twice.

        Yields
        ------
        ndarray of float32, shape (n_rows, n_columns)
            In the order of the store; about 8 MiB, and at least one row.
        """
        self._file.check_open()
        for rows in self._blocks_of_rows():
            yield self._read(rows, None)

    def to_frame(
        self, image_ids: Iterable[str] | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return rows by id, as a data frame.

        Parameters
        ----------
        image_ids : sequence of str, optional
            Fields to read, in this order. Default: all, in the order of the store.
        columns : sequence of str, optional
            Columns to return, in this order. Default: all.

        Returns
        -------
        DataFrame
            One row per field, indexed by `image_id`.

        Raises
        ------
        InputError
            If an id or column is not in the store.
        """
        if image_ids is None and columns is None:
            image_ids, values = self.image_ids, self.values()
        else:
            image_ids = self.image_ids if image_ids is None else list(image_ids)
            values = self.rows(image_ids, columns)
        index = pd.Index(image_ids, name="image_id", dtype=object)
        return pd.DataFrame(values, index, self.columns if columns is None else list(columns))

    def _rows_of(self, image_ids: Iterable[str]) -> np.ndarray:
        if self._row is None:
            self._row = {image_id: row for row, image_id in enumerate(self.image_ids)}
        image_ids = list(image_ids)
        find = self._row.get
        rows = np.array([find(image_id, -1) for image_id in image_ids], dtype=np.int64)
        if (rows < 0).any():
            missing = [image_ids[i] for i in np.flatnonzero(rows < 0)]
            raise InputError(
                f"{self.path} lacks {len(missing)} of {counted(len(image_ids), 'field')}: "
                f"{shorten(missing)}"
            )
        return rows

    def _columns_of(self, columns: Sequence[str] | None) -> np.ndarray | None:
        if columns is None:
            return None
        place = {column: position for position, column in enumerate(self.columns)}
        missing = [column for column in columns if column not in place]
        if missing:
            raise InputError(f"{self.path} has no columns {shorten(missing)}")
        return np.array([place[column] for column in columns], dtype=np.int64)

    def _blocks_of_rows(self, n_matrices: int = 1) -> Iterator[np.ndarray]:
        """Yield blocks of row numbers; a block of `n_matrices` matrices is bounded in size."""
        at_once = max(1, _BLOCK_BYTES // (4 * n_matrices * len(self.columns)))
        for start in range(0, len(self), at_once):
            yield np.arange(start, min(start + at_once, len(self)))

    def _read(self, rows: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        n_columns = len(self.columns)
        is_whole = columns is None
        if is_whole and not self._is_verified():
            out = np.empty((len(rows), n_columns), np.float32)
            read_rows(self._file, self._place("values"), rows, out)
            return out
        # Whole rows are read block by block and verified; then the columns are selected.
        out = np.empty((len(rows), n_columns if is_whole else len(columns)), np.float32)  # type: ignore[arg-type]
        at_once = max(1, _BLOCK_BYTES // (4 * n_columns * (1 + self.n_members)))
        for start in range(0, len(rows), at_once):
            of_block = rows[start : start + at_once]
            kept = self._kept(of_block)
            if self._is_verified():
                self._check(of_block, kept)
            out[start : start + at_once] = kept if is_whole else kept[:, columns]
        return out

    def _kept(self, rows: np.ndarray) -> np.ndarray:
        """Read whole rows in the type in which they are stored."""
        layout = self._place("values")
        out = np.empty((len(rows), len(self.columns)), layout.dtype)
        read_rows(self._file, layout, rows, out)
        return out

    def _is_verified(self) -> bool:
        return self._verify and self._has("checksums")

    def _check(self, rows: np.ndarray, kept: np.ndarray, members: np.ndarray | None = None) -> None:
        """Raise an error if rows differ from those that were written."""
        if self._row_checksums is None:
            self._row_checksums = RowChecksums(self._file, self._contents.layouts, self.fold)
        checksums = self._row_checksums
        changed = (
            checksums.changed(rows, kept)
            if members is None
            else checksums.changed_with(rows, kept, members)
        )
        if changed.any():
            ids = [self.image_ids[row] for row in rows[changed].tolist()]
            raise InputError(
                f"{self.path}: the numbers of {shorten(ids)} differ from those that were written "
                f"(checksum); {_REMEDY}"
            )


def open_store(path: str | os.PathLike[str], *, verify: bool = True) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : path-like
        The file, such as ``features/texture.h5``.
    verify : bool, default=True
        Whether to verify the values that are read against the checksums of the store, at a cost of
        about a nanosecond per byte. To find all problems of a store, use `verify_store`.

    Returns
    -------
    Store
        Use it in a ``with`` block, or call its `close`; otherwise it is closed when it is garbage
        collected. Its `to_frame` returns rows and columns as a data frame.

    Raises
    ------
    InputError
        If the file does not exist, is not a store, is damaged, is of a newer
        format, or contains anything that is not part of the format (stores are untrusted
        input). Changed numbers are detected when they are read.
    """
    return Store(path, verify=verify)


def is_current(
    path: str | os.PathLike[str],
    recipe: dict[str, Any],
    made_from: str,
    columns: Sequence[str] | None = None,
) -> bool:
    """Return whether a store exists and was made with these settings from these inputs.

    Parameters
    ----------
    path : path-like
    recipe : dict
        As for `StoreHeader`.
    made_from : str
        Digest of the inputs.
    columns : sequence of str, optional
        Columns that it must have, because the columns of a recipe may differ between
        versions. Default: any.

    Returns
    -------
    bool
    """
    if not Path(path).is_file():
        return False
    with open_store(path) as store:
        same_recipe = store.recipe == json.loads(json.dumps(recipe))
        same_columns = columns is None or store.columns == list(columns)
        return same_recipe and same_columns and store.made_from == made_from


def _written(path: Path) -> str:
    """Return when a file was last modified, in local time; empty if it no longer exists."""
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime)
    except OSError:
        return ""
    return f"{written:%Y-%m-%d %H:%M}"


def _opened(path: Path, identity: tuple[int, ...] | None) -> tuple[SharedFile, Contents]:
    """Open a store and read its contents except the matrices, both from the very same file."""
    if not path.is_file():
        raise InputError(f"{path}: no such store")
    for _ in range(_ATTEMPTS):
        file = SharedFile(path, identity)
        try:
            contents = read_contents(file)
        except InputError:
            is_in_place = file.is_in_place()
            file.close()
            if is_in_place:
                raise
            continue
        if file.is_in_place():
            return file, contents
        file.close()
    raise InputError(f"{path} was replaced repeatedly while it was opened; try again")
