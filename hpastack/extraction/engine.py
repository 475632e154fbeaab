"""Fields in, feature sets out: the one engine that streams a catalogue into a store.

Fields are read and measured in a stream, finished blocks are kept as they come, so
that a kill loses at most one block, and the store is published in one rename.
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
# Longest that work is done without being kept: fields may be slow.
_KEEP_SECONDS = 30.0

#: Takes rows of a catalogue; gives an outcome for each, in order.
Measure = Callable[[pd.DataFrame], Outcomes]

#: The share of who works alone.
WHOLE = Shard(0, 1)


@dataclass(frozen=True)
class Extraction:
    """Say what an extraction made.

    Parameters
    ----------
    path : Path
        The store.
    n_fields, n_columns : int
        Its size, or of what is finished of it.
    skipped : dict of str to str
        Fields left out, with what is wrong with each; of a store that is not
        published yet, those of the own shard.
    skipped_path : Path
        The table that lists them, if there are any.
    n_missing : int
        Fields that other shards have not finished. The store is published
        when there are none.
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
        raise InputError(f"on_error is {on_error!r}; it is 'raise' or 'skip'")
    refuse_existing(path, overwrite)
    header = StoreHeader(
        kind=kind, content="features", columns=columns, recipe=dict(record),
        made_from=catalogue_digest(catalogue), allow_nan=allow_nan, storage=storage,
    )  # fmt: skip
    # Whole batches, so that they are the same whether the work was interrupted or not.
    block_size = max(1, _BLOCK_SIZE // batch_size) * batch_size
    writer = StoreWriter(path, header, catalogue.index, block_size=block_size, overwrite=True)
    _fill(writer, catalogue, measure, shard, on_error, progress)
    skipped_path = path.with_name(f"{path.stem}.skipped.csv")
    n_missing, faults = writer.n_missing(), writer.faults()
    n_fields = len(catalogue) - n_missing - len(faults)
    if n_missing:
        own = {writer.image_ids[row] for row in shard.rows(len(catalogue))}
        faults = {image_id: fault for image_id, fault in faults.items() if image_id in own}
    elif faults and on_error == "raise":  # of another process, which left them out
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
    """Measure the rows of a shard that are not finished yet."""
    own = shard.rows(len(catalogue))
    pending = writer.pending(own)
    if not pending:
        return
    rows = np.concatenate(pending)
    name = writer.path.stem + ("" if shard.count == 1 else f" {shard}")
    bar = progress_bar(
        total=len(own), initial=len(own) - len(rows), what=name, unit="field", show=progress,
        delay=0,  # what an interrupted run left is shown at once
    )  # fmt: skip
    block = _Block(writer)
    with bar, closing(measure(catalogue.iloc[rows])) as outcomes:
        try:
            for row, outcome in zip(rows.tolist(), outcomes, strict=True):
                if isinstance(outcome, InputError) and on_error == "raise":
                    raise outcome
                block.add(row, outcome)
                bar.update()
        finally:  # also when stopped: what was measured is kept
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
        self._start()  # not before: who stops the writing has it written once more


def _list_skipped(path: Path, faults: dict[str, str]) -> None:
    if not faults:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as draft, open(draft, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image_id", "reason"])
        table.writerows(faults.items())
