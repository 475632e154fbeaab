"""Out-of-fold predictions of fine-tuned CNNs."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import joblib
import numpy as np
import pandas as pd

from hpastack.backbones import Network
from hpastack.catalogue import catalogue_digest
from hpastack.cnn.checkpoint import folds_of, read_checkpoint
from hpastack.cnn.distributed import Processes, process_group, worker_count
from hpastack.cnn.field_source import FieldSource
from hpastack.cnn.inference import deterministic, predict_logits
from hpastack.cnn.settings import CnnSettings
from hpastack.fields import PackedFields
from hpastack.fields.paths import require_stains
from hpastack.folds import FoldPlan
from hpastack.parallel import cpu_budget, progress_bar, worker_processes
from hpastack.store import StoreHeader, StoreWriter


def predict_store(
    folder: str | os.PathLike[str], catalogue: pd.DataFrame, path: str | os.PathLike[str], *,
    plan: FoldPlan | None = None, views: Literal[1, 8] | None = None,
    crops: Literal[1, 5] | None = None,
    batch_size: int | None = None,
    packed: PackedFields | None = None, device: str = "auto", jobs: int | None = None,
    overwrite: bool = False, progress: bool = True, processes: Processes | None = None,
) -> Path:  # fmt: skip
    """Write the out-of-fold predictions of fine-tuned CNNs for a catalogue to a store.

    A training field is predicted by the one model that was trained without
    its fold, a test field by all of them. For test fields the logits of each
    model are stored beside their mean.

    Parameters
    ----------
    folder : path-like
        Folder written by `finetune_folds`.
    catalogue : DataFrame
        Training fields must be in the fold plan that the CNNs were trained
        with; test fields may be any others.
    path : path-like
        The store to write; its name is the prefix of the columns,
        ``<name>__<label id>``.
    plan : FoldPlan, optional
        If given, it must be the fold plan that the CNNs were trained with.
    views, crops, batch_size : int, optional
        As in `CnnSettings`; default: those of the training.
    packed, device, jobs, progress, processes
        As in `finetune_folds`.
    overwrite : bool, default=False
        Whether an existing store may be replaced.

    Returns
    -------
    Path
        The store: logits, of kind ``out_of_fold``, with the fold of each
        field (-1 for test fields) and, for test fields, the logits of each
        model as members.

    Raises
    ------
    InputError
        If the CNNs or the plan do not match the catalogue, or the store exists.
    """
    if processes is None:
        with process_group(device) as processes:
            return predict_store(
                folder, catalogue, path, plan=plan, views=views, crops=crops,
                batch_size=batch_size, packed=packed, jobs=jobs, overwrite=overwrite,
                progress=progress, processes=processes,
            )  # fmt: skip
    path = Path(path)
    checkpoint = read_checkpoint(folder)
    require_stains(catalogue, checkpoint.preprocessing[0].stains, f"the CNN {folder}")
    settings = replace(
        checkpoint.settings,
        views=views or checkpoint.settings.views,
        crops=crops or checkpoint.settings.crops,
        batch_size=batch_size or checkpoint.settings.batch_size,
    )
    fold = folds_of(catalogue, checkpoint, plan)
    name = path.name.removesuffix(".h5")
    header = StoreHeader(
        kind="out_of_fold",
        content="logits",
        columns=[f"{name}__{label}" for label in range(len(checkpoint.vocabulary))],
        recipe={"type": "cnn", **settings.record(), "checkpoints": checkpoint.digests},
        made_from=catalogue_digest(catalogue),
        fold_plan=checkpoint.plan.digest,
        vocabulary=list(checkpoint.vocabulary),
    )
    n_members = checkpoint.plan.n_folds if (fold == -1).any() else 0
    writer = StoreWriter(
        path, header, catalogue.index, fold=fold, n_members=n_members, overwrite=overwrite
    )
    # All processes must list the pending blocks before any block is written.
    blocks = writer.pending()
    processes.wait()
    blocks = blocks[processes.share]
    jobs = jobs or cpu_budget()
    workers = worker_count(processes, jobs, len(blocks))
    models = checkpoint.load_models(processes.device) if blocks else []
    predicted = worker_processes(workers, return_as="generator")(
        joblib.delayed(_predict_block)(
            models, catalogue.iloc[block], fold[block], settings, packed, max(1, jobs // workers)
        )
        for block in blocks
    )
    bar = progress_bar(
        total=sum(map(len, blocks)), what="predicting", unit="field",
        show=progress and processes.is_first,
    )  # fmt: skip
    with bar:
        for block, (values, members) in zip(blocks, predicted, strict=True):
            writer.write(block, values, members if n_members else None)
            bar.update(len(values))
    processes.wait()
    if processes.is_first:
        writer.publish()
    processes.wait()
    return path


def _predict_block(
    models: list[Network],
    catalogue: pd.DataFrame,
    fold: np.ndarray,
    settings: CnnSettings,
    packed: PackedFields | None,
    jobs: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of all fields, and for test fields those of each model."""
    source = FieldSource(catalogue, settings.size, packed=packed, jobs=jobs, memory_limit=math.inf)
    n_labels = models[0].num_classes
    test_rows = np.flatnonzero(fold == -1)
    values = np.zeros((len(catalogue), n_labels), np.float32)
    members = np.zeros((len(models), len(test_rows), n_labels), np.float32)
    with deterministic(next(models[0].parameters()).device):
        for k, model in enumerate(models):
            own_rows = np.flatnonzero(fold == k)
            logits = predict_logits(
                model, source, np.concatenate([own_rows, test_rows]), settings.batch_size,
                views=settings.views, crops=settings.crops, precision=settings.precision,
            )  # fmt: skip
            values[own_rows], members[k] = logits[: len(own_rows)], logits[len(own_rows) :]
            values[test_rows] += 1.0 / len(models) * members[k]
    return values, members
