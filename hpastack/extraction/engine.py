"""Extraction engine: streams the fields of a catalogue into a store.

Fields are read and measured as a stream, and each finished block is saved, so
that a killed process loses at most one block. The store is published by a single rename.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest
from hpastack.errors import InputError, shorten
from hpastack.fields import Outcome, Outcomes
from hpastack.files import atomic_write, refuse_existing
from hpastack.parallel import Shard, progress_bar
from hpastack.store import StoreHeader, StoreWriter

_BLOCK_SIZE = 256
# Maximum time between saves, for fields that are slow to measure.
_KEEP_SECONDS = 30.0

#: Takes rows of a catalogue; yields one outcome per row, in order.
Measure = Callable[[pd.DataFrame], Outcomes]

#: The only shard of an extraction that is not sharded.
WHOLE = Shard(0, 1)


@dataclass(frozen=True)
class Extraction:
    """Result of an extraction.

    Parameters
    ----------
    path : Path
        The store.
    n_fields, n_columns : int
        Size of the store, or of its finished part.
    skipped : dict of str to str
        Skipped fields and the reason for each; if the store is not
        published yet, only those of this shard.
    skipped_path : Path
        The table that lists the skipped fields, if there are any.
    n_missing : int
        Number of fields that other shards have not finished. The store is published
        when it is 0.
    """

    path: Path
    n_fields: int
    n_columns: int
    skipped: dict[str, str]
    skipped_path: Path
    n_missing: int = 0


def extract(
    path: Path,
    catalogue: pd.DataFrame,
    measure: Measure,
    *,
    columns: list[str],
    kind: str,
    record: Mapping[str, Any],
    shard: Shard,
    on_error: str,
    overwrite: bool,
    progress: bool,
    allow_nan: bool = False,
    storage: str = "float32",
    batch_size: int = 1,
) -> Extraction:
    """Stream a catalogue through `measure` (rows -> one outcome per row, in order) into a store."""
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error is {on_error!r}; it must be 'raise' or 'skip'", "on_error")
    refuse_existing(path, overwrite)
    header = StoreHeader(
        kind=kind, content="features", columns=columns, recipe=dict(record),
        made_from=catalogue_digest(catalogue), allow_nan=allow_nan, storage=storage,
    )  # fmt: skip
    # A multiple of the batch size, so that batches are the same after an interruption.
    block_size = max(1, _BLOCK_SIZE // batch_size) * batch_size
    writer = StoreWriter(path, header, catalogue.index, block_size=block_size, overwrite=True)
    _fill(writer, catalogue, measure, shard, on_error, progress)
    skipped_path = path.with_name(f"{path.stem}.skipped.csv")
    n_missing, faults = writer.n_missing(), writer.faults()
    n_fields = len(catalogue) - n_missing - len(faults)
    if n_missing:
        own = {writer.image_ids[row] for row in shard.rows(len(catalogue))}
        faults = {image_id: fault for image_id, fault in faults.items() if image_id in own}
    elif faults and on_error == "raise":  # skipped by another process
        raise InputError(next(iter(faults.values())))
    elif len(faults) == len(catalogue):
        raise InputError(f"no field could be measured: {shorten(faults.values(), 1)}")
    else:
        _list_skipped(skipped_path, faults)
        writer.publish()
    return Extraction(path, n_fields, len(columns), faults, skipped_path, n_missing)


def _fill(
    writer: StoreWriter,
    catalogue: pd.DataFrame,
    measure: Measure,
    shard: Shard,
    on_error: str,
    progress: bool,
) -> None:
    """Measure the unfinished rows of a shard."""
    own = shard.rows(len(catalogue))
    pending = writer.pending(own)
    if not pending:
        return
    rows = np.concatenate(pending)
    name = writer.path.stem + ("" if shard.count == 1 else f" {shard}")
    bar = progress_bar(
        total=len(own), initial=len(own) - len(rows), what=name, unit="field", show=progress,
        delay=0,  # the progress of an interrupted run is shown immediately
    )  # fmt: skip
    block = _Block(writer)
    with bar, closing(measure(catalogue.iloc[rows])) as outcomes:
        try:
            for row, outcome in zip(rows.tolist(), outcomes, strict=True):
                if isinstance(outcome, InputError) and on_error == "raise":
                    raise outcome
                block.add(row, outcome)
                bar.update()
        finally:  # measured rows are saved even when interrupted
            block.keep()


class _Block:
    """The rows measured since the last block was written."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer = writer
        self._start()

    def _start(self) -> None:
        self._values: dict[int, np.ndarray] = {}
        self._faults: dict[int, str] = {}
        self._began = time.monotonic()

    def add(self, row: int, outcome: Outcome) -> None:
        if isinstance(outcome, InputError):
            self._faults[row] = str(outcome)
        else:
            self._values[row] = outcome
        n_rows = len(self._values) + len(self._faults)
        is_due = time.monotonic() - self._began > _KEEP_SECONDS
        if n_rows >= self._writer.block_size or is_due:
            self.keep()

    def keep(self) -> None:
        values, faults = self._values, self._faults
        if not values and not faults:
            return
        shape = (len(values), len(self._writer.header.columns))
        matrix = np.stack(list(values.values())) if values else np.zeros(shape, np.float32)
        self._writer.write(list(values), matrix, faults=faults)
        self._start()  # only after the write: if it is interrupted, it is repeated


def _list_skipped(path: Path, faults: dict[str, str]) -> None:
    if not faults:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as draft, open(draft, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image_id", "reason"])
        table.writerows(faults.items())
