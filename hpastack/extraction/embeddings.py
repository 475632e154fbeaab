"""Extraction of the embeddings of a catalogue of fields into a store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from hpastack.extraction.engine import WHOLE, Extraction, extract
from hpastack.extraction.settings import EmbeddingSettings
from hpastack.fields import Outcomes, PackedFields, stream_square_images
from hpastack.fields.paths import require_stains
from hpastack.files import refuse_existing, sha256
from hpastack.parallel import Shard, cpu_budget, one_thread_each


def extract_embeddings(
    path: str | os.PathLike[str],
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
    """Compute the embedding of every field of a catalogue, and write them to a store.

    Fields are rounded to 8 bits, as in fine-tuning, and prefetched in threads
    while the backbone runs; see `hpastack.backbones.stream.embed_stream`.

    Parameters
    ----------
    path : path-like
        The store to write, ``NAME.h5``; its columns are ``NAME__0``, ``NAME__1``, ...
    catalogue : DataFrame
        From `read_catalogue`.
    backbone, weights, stem, stains, crop, statistics, pool, seed
        As `hpastack.backbones.create_backbone`.
    size : int, default=512
        Longer side of the fields, in pixels; they are padded to a square.
    batch_size : int, default=32
        Number of fields per batch on a GPU.
    compile : bool, default=False
        Whether to compile the backbone first, which takes up to a minute and
        needs a C++ compiler on a CPU.
    storage : {"float32", "float16"}, default="float32"
        Precision of the values in the store.
    packed : PackedFields, optional
        Packed fields to read from, for the fields that they contain in a suitable form; the
        values are the same.
    device : str, default="auto"
        ``auto`` is the first GPU, or the CPU where there is none.
    record, shard, on_error, overwrite, progress
        As `extract_features`.
    jobs : int, optional
        Number of threads that read fields, and on a CPU also of threads that run the
        backbone. Default: the number of processors available to this process.

    Returns
    -------
    Extraction
        The kind of the store follows from `hpastack.backbones.embedding_kind`.

    Raises
    ------
    InputError
        As `extract_features` and `create_backbone`; also if torch is not
        installed, or the device is not available.
    """
    settings = EmbeddingSettings(
        backbone, str(weights), stem, stains=None if stains is None else list(stains),
        size=size, crop=crop, pool=pool, batch_size=batch_size, seed=seed, compile=compile,
        storage=storage,
    )  # fmt: skip
    path = Path(path)
    refuse_existing(path, overwrite)
    # Imported here, so that hand-crafted features do not need torch.
    from hpastack.backbones import (
        choose_device,
        compiled,
        create_backbone,
        embed_stream,
        embedding_columns,
        embedding_dimension,
        embedding_kind,
        expected_stains,
    )

    place = choose_device(device)
    require_stains(catalogue, expected_stains(backbone, weights, stains), f"backbone {backbone}")
    model = create_backbone(
        backbone, weights=weights, stem=stem, stains=stains, size=size, crop=crop,
        statistics=statistics, pool=pool, seed=seed,
    )  # fmt: skip
    columns = embedding_columns(path.stem, embedding_dimension(model))
    model = model.to(place)
    if record is None:
        record = {"type": "embedding", **settings.record(), **weights_record(weights)}
        if statistics is not None:
            record["stain_statistics"] = statistics
    kind = embedding_kind(backbone, weights, catalogue.index)

    jobs = jobs or cpu_budget()

    def measure(rows: pd.DataFrame) -> Outcomes:
        images = stream_square_images(rows, size, packed=packed, jobs=jobs, ahead=2 * batch_size)
        with closing(images):
            yield from embed_stream(model, images, batch_size=batch_size, jobs=jobs)

    with one_thread_each():
        if compile:
            model = compiled(model, batch_size)
        return extract(
            path, catalogue, measure,
            columns=columns, kind=kind, record=record, storage=storage,
            batch_size=batch_size,
            shard=shard, on_error=on_error, overwrite=overwrite, progress=progress,
        )  # fmt: skip


def weights_record(weights: str | Path) -> dict[str, str]:
    """Return what a store of embeddings records of its weights, besides their name.

    Parameters
    ----------
    weights : {"pretrained", "random"} or path-like

    Returns
    -------
    dict
        ``weights_sha256`` for a file, so that the store is outdated when the
        file changes; empty for weights referred to by name.

    Raises
    ------
    InputError
        If the file does not exist.
    """
    if _is_named(weights):
        return {}
    from hpastack.backbones import weight_file

    return {"weights_sha256": sha256(weight_file(weights))}


def _is_named(weights: str | Path) -> bool:
    return weights in ("pretrained", "random")
