"""Export of stores as tables for other programs, block by block, published by one rename."""

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

#: Formats to which a store can be exported.
EXPORTS = ("csv", "npy", "parquet")


def export_store(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Write a store as a table that other programs and ``ingest`` can read.

    A CSV or Parquet table has the column ``image_id`` and the columns of the
    store. An NPY matrix is accompanied by its ids, ``NAME.ids.txt``, and its columns,
    ``NAME.columns.txt``, one per line. If the store has folds, those of the
    training fields are written to ``NAME.folds.csv`` (``image_id,fold``). Single
    precision is preserved: a CSV has as many digits as needed. The predictions of
    members are not exported, only their mean.

    Parameters
    ----------
    path : path-like
        The store.
    target : path-like
        The table to write; ends in ``.csv``, ``.npy`` or ``.parquet``.
    overwrite : bool, default=False
        Whether existing files may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    list of Path
        The files written, the table last.

    Raises
    ------
    InputError
        If the format is unknown, a file already exists, pyarrow is not
        installed, an id or column cannot be written on one line, or the store cannot
        be opened.
    """
    target = Path(target)
    write = _WRITERS.get(target.suffix)
    if write is None:
        raise InputError(f"{target}: stores can be exported as {', '.join(_WRITERS)}")
    with open_store(path) as store:
        if "image_id" in store.columns and target.suffix != ".npy":
            raise InputError(f"{store.path}: a column is named image_id; export to npy instead")
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
            # Before the table: once it exists, all accompanying files exist.
            for file, text in files.items():
                with atomic_write(file) as half:
                    half.write_text(text, encoding="utf-8", newline="\n")
    return [*files, target]


def _lines(store: Store, texts: list[str], what: str) -> str:
    for text in texts:
        if text.splitlines() != [text] or text != text.strip():
            raise InputError(
                f"{store.path}: the {what} {text!r} cannot be written on one line; export to csv "
                "instead"
            )
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
                # The shortest text that round-trips in single precision; one row at a time,
                # because it takes 16 times the memory of the numbers.
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
        raise InputError(
            f"{store.path}: export to parquet needs pyarrow; pip install pyarrow"
        ) from None
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
