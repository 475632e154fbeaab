"""Stores as tables for other programs, piece by piece and published whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.files import atomic_write, refuse_existing
from hpastack.parallel import progress_bar
from hpastack.store.reading import Store, open_store

#: What a store can be exported as.
EXPORTS = ("csv", "npy", "parquet")


def export_store(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Write a store as a table that other programs and ``ingest`` read.

    A CSV or parquet table has the column ``image_id`` and the columns of the
    store. An NPY matrix has its ids beside it, ``NAME.ids.txt``, and its columns,
    ``NAME.columns.txt``, a line each. Where the store has folds, those of the
    training fields stand in ``NAME.folds.csv`` (``image_id,fold``). Single
    precision survives: a CSV has as many digits as that takes. The predictions of
    members are not exported, only their mean.

    Parameters
    ----------
    path : path-like
        The store.
    target : path-like
        The table to make; ends in ``.csv``, ``.npy`` or ``.parquet``.
    overwrite : bool, default=False
        Whether files that are there may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    list of Path
        What was written, the table last.

    Raises
    ------
    InputError
        If the format is unknown, a file is there already, pyarrow is not
        installed, an id or column cannot stand on a line, or the store cannot
        be opened.
    """
    target = Path(target)
    write = _WRITERS.get(target.suffix)
    if write is None:
        raise InputError(f"{target}: stores are exported as {', '.join(_WRITERS)}")
    with open_store(path) as store:
        if "image_id" in store.columns and target.suffix != ".npy":
            raise InputError(f"{store.path}: a column is called image_id; use npy")
        texts = {}
        if target.suffix == ".npy":
            texts["ids.txt"] = _lines(store, store.image_ids, "id")
            texts["columns.txt"] = _lines(store, store.columns, "column")
        if store.fold is not None:
            texts["folds.csv"] = _folds(store)
        files = {target.with_name(f"{target.stem}.{end}"): text for end, text in texts.items()}
        for file in [*files, target]:
            # Several tables of one store share its folds.
            is_same = file in files and file.is_file() and file.read_bytes() == files[file].encode()
            refuse_existing(file, overwrite or is_same)
        blocks = list(store._blocks_of_rows())
        with atomic_write(target) as temporary:
            desc = f"export {store.name}"
            write(temporary, store, progress_bar(blocks, what=desc, show=progress))
            # Before the table: where it stands, all it needs stands beside it.
            for file, text in files.items():
                with atomic_write(file) as half:
                    half.write_text(text, encoding="utf-8", newline="\n")
    return [*files, target]


def _lines(store: Store, texts: list[str], what: str) -> str:
    for text in texts:
        if text.splitlines() != [text] or text != text.strip():
            raise InputError(f"{store.path}: the {what} {text!r} does not stand on a line; use csv")
    return "".join(f"{text}\n" for text in texts)


def _folds(store: Store) -> str:
    fold = pd.Series(store.fold, pd.Index(store.image_ids, name="image_id"), name="fold")
    return fold[fold >= 0].to_csv(lineterminator="\n")


def _write_csv(path: Path, store: Store, blocks: Iterable[np.ndarray]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image_id", *store.columns])
        for rows in blocks:
            for row, of_row in zip(rows.tolist(), store._read(rows, None)):
                # The shortest text from which single precision comes back; a row at a time,
                # because it takes 16 times the room of the numbers.
                table.writerow([store.image_ids[row], *of_row.astype("U16").tolist()])


def _write_npy(path: Path, store: Store, blocks: Iterable[np.ndarray]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(store), len(store.columns))}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for rows in blocks:
            file.write(store._read(rows, None).astype("<f4", copy=False).data)


def _write_parquet(path: Path, store: Store, blocks: Iterable[np.ndarray]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(f"{store.path}: parquet needs pyarrow; pip install pyarrow") from None
    fields = [pyarrow.field("image_id", pyarrow.string())]
    fields += [pyarrow.field(column, pyarrow.float32()) for column in store.columns]
    schema = pyarrow.schema(fields)
    with parquet.ParquetWriter(path, schema) as file:
        for rows in blocks:
            values = store._read(rows, None)
            arrays: list[Any] = [pyarrow.array([store.image_ids[row] for row in rows])]
            arrays += [pyarrow.array(column) for column in values.T]
            file.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


_WRITERS: dict[str, Callable[[Path, Store, Iterable[np.ndarray]], None]] = {
    ".csv": _write_csv,
    ".npy": _write_npy,
    ".parquet": _write_parquet,
}
