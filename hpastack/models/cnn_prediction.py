"""Predict every field with fine-tuned CNNs that never saw it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from hpastack.catalogue import catalogue_digest
from hpastack.embeddings import choose_device
from hpastack.errors import InputError, shorten
from hpastack.folds import FoldPlan
from hpastack.models.cnn_checkpoint import CnnCheckpoint, read_checkpoint
from hpastack.models.cnn_fields import FieldSource
from hpastack.models.cnn_training import predict_logits, repeatable
from hpastack.store import StoreHeader, StoreWriter


def predict_store(
    folder, catalogue: pd.DataFrame, path, *, plan: FoldPlan | None = None,
    views: int | None = None, batch_size: int | None = None, device: str = "auto",
    jobs: int | None = None, overwrite: bool = False, progress: bool = True,
) -> Path:  # fmt: skip
    """Predict the fields of a catalogue with fine-tuned CNNs, out of fold, into a store.

    A training field is predicted by the one model that was trained without
    its fold; a test field by all of them, whose logits are averaged. What
    each predicts is kept beside the mean.

    Parameters
    ----------
    folder : path-like
        Of `finetune_folds`.
    catalogue : DataFrame
        Training fields must be of the fold plan that the CNNs were trained
        with; test fields may be any others.
    path : path-like
        The store to make; its name becomes the prefix of the columns,
        ``<name>__<label id>``.
    plan : FoldPlan, optional
        Checked to be the plan that the CNNs were trained with.
    views, batch_size : int, optional
        As `CnnSettings`; those of the training if left out.
    device, jobs, progress
        As `finetune_folds`.
    overwrite : bool, default=False
        Whether an existing store may be replaced.

    Returns
    -------
    Path
        The store: logits, of kind ``out_of_fold``, with the fold of each
        field (-1 for test fields) and, of test fields, the logits of each
        model as members.

    Raises
    ------
    InputError
        If the CNNs or the plan do not fit the catalogue, or the store exists.
    """
    path = Path(path)
    checkpoint = read_checkpoint(folder)
    settings = replace(
        checkpoint.settings,
        views=views or checkpoint.settings.views,
        batch_size=batch_size or checkpoint.settings.batch_size,
    )
    fold = _folds_of(catalogue, checkpoint, plan)
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
    torch_device = choose_device(device)
    n_members = checkpoint.plan.n_folds if (fold == -1).any() else 0
    writer = StoreWriter(
        path, header, catalogue.index, fold=fold, n_members=n_members, overwrite=overwrite
    )
    blocks = writer.pending()
    jobs = jobs or joblib.cpu_count()
    workers = worker_count(torch_device, jobs, len(blocks))
    models = checkpoint.load_models(torch_device) if blocks else []
    predicted = joblib.Parallel(n_jobs=workers, prefer="processes", return_as="generator")(
        joblib.delayed(_predict_block)(
            models, catalogue.iloc[block], fold[block], settings.size, settings.views,
            settings.batch_size, max(1, jobs // workers),
        )
        for block in blocks
    )  # fmt: skip
    bar = tqdm(
        total=sum(block.stop - block.start for block in blocks), desc="predicting", unit="field",
        delay=1, disable=not progress,
    )  # fmt: skip
    with bar:
        for block, (values, members) in zip(blocks, predicted, strict=True):
            writer.write(block, values, members if n_members else None)
            bar.update(len(values))
    return writer.publish()


def worker_count(device, jobs: int, n_tasks: int) -> int:
    """Return how many tasks run side by side on a device."""
    # A GPU is shared badly by processes; tasks take their turns on it.
    return 1 if device.type != "cpu" else max(1, min(jobs, n_tasks))


def _predict_block(
    models, catalogue, fold, size, views, batch_size, threads
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of the fields, and for test fields those of each model."""
    source = FieldSource(catalogue, size, threads=threads, memory_limit=math.inf)
    n_labels = models[0].num_classes
    test_rows = np.flatnonzero(fold == -1)
    values = np.zeros((len(catalogue), n_labels), np.float32)
    members = np.zeros((len(models), len(test_rows), n_labels), np.float32)
    with repeatable(next(models[0].parameters()).device):
        for k, model in enumerate(models):
            rows = np.flatnonzero(fold == k)
            values[rows] = predict_logits(model, source, rows, batch_size, views=views)
            members[k] = predict_logits(model, source, test_rows, batch_size, views=views)
            values[test_rows] += 1.0 / len(models) * members[k]
    return values, members


def _folds_of(catalogue: pd.DataFrame, checkpoint: CnnCheckpoint, plan: FoldPlan | None):
    own = checkpoint.plan
    if plan is not None and plan.digest != own.digest:
        raise InputError(
            f"{checkpoint.folder} was trained with another fold plan "
            f"({own.digest[:12]}, not {plan.digest[:12]}); fine-tune again"
        )
    is_training = (catalogue["split"] == "train").to_numpy()
    known = catalogue.index.isin(own.frame.index)
    if (is_training & ~known).any():
        raise InputError(
            f"training fields that {checkpoint.folder} has no fold for: "
            f"{shorten(catalogue.index[is_training & ~known])}; fine-tune again"
        )
    if (~is_training & known).any():
        raise InputError(
            f"test fields that {checkpoint.folder} was trained on: "
            f"{shorten(catalogue.index[~is_training & known])}; predictions of these would not "
            "be out of fold"
        )
    fold = own.frame["fold"].reindex(catalogue.index).fillna(-1)
    return fold.to_numpy(dtype=np.int64)
