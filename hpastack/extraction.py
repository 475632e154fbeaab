"""Fields in, feature sets out: the one engine that streams a catalogue into a store.

Fields are read and measured in a stream, finished blocks are kept as they come, so
that a kill loses at most one block, and the store is published in one rename.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from hpastack.catalogue import catalogue_digest
from hpastack.cpu_budget import cpu_budget, one_thread_each
from hpastack.errors import InputError, shorten
from hpastack.features import (
    chosen_families,
    feature_columns,
    field_features,
    undefined_columns,
)
from hpastack.files import published, sha256
from hpastack.images import read_field, stain_rows
from hpastack.packed import PackedFields
from hpastack.shards import Shard
from hpastack.squares import squares_ahead
from hpastack.store import StoreHeader, StoreWriter
from hpastack.workers import spread

_BLOCK_SIZE = 256
# Longest that work is done without being kept: fields may be slow.
_KEEP_SECONDS = 30.0

#: The values of a field, or what is wrong with it.
Outcome = np.ndarray | InputError
Outcomes = Generator[Outcome, None, None]
#: Takes rows of a catalogue; gives an outcome for each, in order.
Measure = Callable[[pd.DataFrame], Outcomes]


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


def extract_features(
    path,
    catalogue: pd.DataFrame,
    families: Iterable[str] | None = None,
    *,
    size: int | None = 512,
    record: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    shard: Shard = WHOLE,
    on_error: Literal["raise", "skip"] = "raise",
    overwrite: bool = False,
    progress: bool = True,
) -> Extraction:
    """Measure the hand-crafted features of every field of a catalogue, into a store.

    Works in threads of this process. An active `joblib.parallel_config` is
    honoured, so that the fields can be spread over processes or machines that see
    the same files. The result does not depend on either.

    Parameters
    ----------
    path : path-like
        The store to make, ``NAME.h5``.
    catalogue : DataFrame
        As `read_catalogue` gives it.
    families : iterable of str, optional
        As `hpastack.field_features`.
    size : int or None, default=512
        Longer side of the fields when measured, in pixels; None for fields as they are.
    record : mapping, optional
        Settings to keep in the store as its recipe; those above if left out.
    jobs : int, optional
        Workers; as `hpastack.workers.spread` if left out.
    shard : Shard, default=Shard(0, 1)
        Measure a share of the fields only. Several processes, on machines that
        share the folder, fill one store; the last to finish publishes it.
    on_error : {"raise", "skip"}, default="raise"
        What to do about a field that cannot be read or measured: stop, or
        leave it out and list it in ``NAME.skipped.csv`` beside the store.
    overwrite : bool, default=False
        Whether an existing store may be replaced.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    Extraction

    Raises
    ------
    InputError
        If the store exists and `overwrite` is false, a family is unknown, a
        field is bad (named, with its file) and `on_error` is ``raise``, or
        every field is bad.
    """
    families = chosen_families(families)
    columns = feature_columns(families)
    if record is None:
        record = {"type": "handcrafted", "families": families, "size": size or "original"}

    def measure(rows: pd.DataFrame) -> Outcomes:
        tasks = (
            (image_id, stains, families, size)
            for image_id, stains in zip(rows.index, stain_rows(rows))
        )
        return spread(_measure_field, tasks, jobs)

    return _extract(
        Path(path), catalogue, measure,
        columns=columns, kind="label_free", record=record, block_size=_BLOCK_SIZE,
        allow_nan=bool(undefined_columns(families)),
        shard=shard, on_error=on_error, overwrite=overwrite, progress=progress,
    )  # fmt: skip


def extract_embeddings(
    path,
    catalogue: pd.DataFrame,
    backbone: str,
    *,
    weights: str | Path = "pretrained",
    stem: str = "average",
    stains: Sequence[str] | None = None,
    size: int = 512,
    crop: int | None = None,
    statistics: Mapping[str, tuple[float, float]] | None = None,
    pool: str | None = None,
    batch_size: int = 32,
    seed: int = 0,
    compile: bool = False,
    storage: Literal["float32", "float16"] = "float32",
    packed: PackedFields | None = None,
    device: str = "auto",
    record: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    shard: Shard = WHOLE,
    on_error: Literal["raise", "skip"] = "raise",
    overwrite: bool = False,
    progress: bool = True,
) -> Extraction:
    """Turn every field of a catalogue into the vector that a CNN sees in it, into a store.

    Fields are rounded to 8 bits, as in fine-tuning, and read ahead in threads
    while the backbone works; `hpastack.forward.embed_stream` says how.

    Parameters
    ----------
    path : path-like
        The store to make, ``NAME.h5``; its columns are ``NAME__0``, ``NAME__1``, ...
    catalogue : DataFrame
        As `read_catalogue` gives it.
    backbone, weights, stem, stains, crop, statistics, pool, seed
        As `hpastack.embeddings.create_backbone`.
    size : int, default=512
        Longer side of the fields, in pixels; padded to a square.
    batch_size : int, default=32
        Fields that pass through the backbone together on a GPU.
    compile : bool, default=False
        Whether to compile the backbone first, which takes up to a minute and
        needs a C++ compiler on a CPU.
    storage : {"float32", "float16"}, default="float32"
        Precision in which the store keeps them.
    packed : PackedFields, optional
        Where fields are read from if they are there and fit; the values are
        the same.
    device : str, default="auto"
        ``auto`` is the first GPU, or the CPU where there is none.
    record, shard, on_error, overwrite, progress
        As `extract_features`.
    jobs : int, optional
        Threads that read fields, and on a CPU as many that pass them through the
        backbone; as many as this process may use processors if left out.

    Returns
    -------
    Extraction
        Of what kind the store is, `hpastack.embeddings.embedding_kind` says.

    Raises
    ------
    InputError
        As `extract_features` and `create_backbone`; also if torch is not
        installed, or there is no such device.
    """
    path = Path(path)
    _refuse_existing(path, overwrite)
    # Not above: hand-crafted features are measured without torch.
    from hpastack import embeddings, forward

    place = embeddings.choose_device(device)
    model = embeddings.create_backbone(
        backbone, weights=weights, stem=stem, stains=stains, size=size, crop=crop,
        statistics=statistics, pool=pool, seed=seed,
    )  # fmt: skip
    columns = embeddings.embedding_columns(path.stem, embeddings.embedding_dimension(model))
    model = model.to(place)
    if record is None:
        record = {
            "type": "embedding", "backbone": backbone, "weights": str(weights), "stem": stem,
            "size": size, "batch_size": batch_size, "seed": seed, "compile": compile,
            "storage": storage, **weights_record(weights),
        }  # fmt: skip
        optional = {"stains": stains, "crop": crop, "pool": pool, "stain_statistics": statistics}
        record |= {key: value for key, value in optional.items() if value is not None}
    kind = embeddings.embedding_kind(backbone, weights, catalogue.index)

    workers = jobs or cpu_budget()

    def measure(rows: pd.DataFrame) -> Outcomes:
        squares = _read_squares(rows, size, packed, workers, ahead=2 * batch_size)
        with closing(squares):
            yield from forward.embed_stream(model, squares, batch_size=batch_size, workers=workers)

    with one_thread_each():
        if compile:
            model = forward.compiled(model, batch_size)
        return _extract(
            path, catalogue, measure,
            columns=columns, kind=kind, record=record, storage=storage,
            # Whole batches, so that they are the same whether the work was interrupted or not.
            block_size=max(1, _BLOCK_SIZE // batch_size) * batch_size,
            shard=shard, on_error=on_error, overwrite=overwrite, progress=progress,
        )  # fmt: skip


def handcrafted_columns(record: Mapping[str, Any]) -> list[str] | None:
    """Name the columns that a store has if it is made now by its recipe.

    Parameters
    ----------
    record : mapping
        Recipe of a store.

    Returns
    -------
    list of str or None
        None if it is not one of hand-crafted features, or of families that there are
        no more.
    """
    if record.get("type") != "handcrafted":
        return None
    try:
        return feature_columns(record["families"])
    except InputError:
        return None


def weights_record(weights: str | Path) -> dict[str, str]:
    """Say what a store of embeddings must keep of its weights, beside their name.

    Parameters
    ----------
    weights : {"pretrained", "random"} or path-like

    Returns
    -------
    dict
        ``weights_sha256`` of a file, so that a store is out of date when the
        file changes; empty for weights known by name.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if _is_named(weights):
        return {}
    from hpastack.embeddings import weight_file

    return {"weights_sha256": sha256(weight_file(weights))}


def _is_named(weights: str | Path) -> bool:
    return weights in ("pretrained", "random")


def _measure_field(image_id: str, stains: dict, families: list[str], size: int | None) -> Outcome:
    """Read and measure one field; top level, so that it can be sent to other processes."""
    try:
        values = field_features(read_field(stains, size), families)
    except (InputError, OSError) as error:
        return _fault(image_id, error)
    except Exception as error:
        error.add_note(f"while measuring field {image_id}")
        raise
    return np.array(list(values.values()), dtype=np.float32)


def _read_squares(
    rows: pd.DataFrame, size: int, packed: PackedFields | None, threads: int, ahead: int
) -> Outcomes:
    """Hand out fields as networks see them; a bad one is handed out as what is wrong with it."""
    squares = squares_ahead(rows, size, packed=packed, threads=threads, ahead=ahead)
    with closing(squares):
        for image_id, square in squares:
            try:
                yield square.result()
            except (InputError, OSError) as error:
                yield _fault(image_id, error)


def _fault(image_id: str, error: Exception) -> InputError:
    reason = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename}: {error.strerror}"
    return InputError(f"field {image_id}: {reason.removeprefix(f'field {image_id}: ')}")


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; give --overwrite to replace it")


def _extract(
    path: Path,
    catalogue: pd.DataFrame,
    measure: Measure,
    *,
    columns: list[str],
    kind: str,
    record: Mapping[str, Any],
    block_size: int,
    shard: Shard,
    on_error: str,
    overwrite: bool,
    progress: bool,
    allow_nan: bool = False,
    storage: str = "float32",
) -> Extraction:
    """Stream a catalogue through `measure` (rows -> an outcome a row, in order) into a store."""
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error is {on_error!r}; it is 'raise' or 'skip'")
    _refuse_existing(path, overwrite)
    header = StoreHeader(
        kind=kind, content="features", columns=columns, recipe=dict(record),
        made_from=catalogue_digest(catalogue), allow_nan=allow_nan, storage=storage,
    )  # fmt: skip
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
    bar = tqdm(
        total=len(own), initial=len(own) - len(rows), desc=name, unit="field",
        disable=not progress,
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

    def __init__(self, writer: StoreWriter):
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
    with published(path) as draft, open(draft, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image_id", "reason"])
        table.writerows(faults.items())
