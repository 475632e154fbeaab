"""Fine-tune a CNN once for each fold of a fold plan."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from hpastack.backbones import Network, create_backbone, expected_stains, save_weights, weight_file
from hpastack.catalogue import catalogue_digest, training_fields
from hpastack.cnn.arcface import group_numbers
from hpastack.cnn.checkpoint import (
    MANIFEST,
    CnnCheckpoint,
    fold_file,
    is_finished,
    publish_checkpoint,
    read_checkpoint,
    starting_weights,
)
from hpastack.cnn.distributed import Processes, process_group, worker_count
from hpastack.cnn.field_source import FieldSource
from hpastack.cnn.history import FoldCurves
from hpastack.cnn.lightning_module import FoldFields
from hpastack.cnn.settings import CnnSettings
from hpastack.cnn.training import train_model
from hpastack.cnn.training_state import StateFile
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import STAIN_INDEX, PackedFields, stain_moments
from hpastack.fields.paths import require_stains
from hpastack.files import atomic_write, differing_settings, digest_of, sha256
from hpastack.folds import FoldPlan, MultilabelStratifiedGroupShuffleSplit, labels_digest
from hpastack.labels import Vocabulary
from hpastack.parallel import cpu_budget, worker_processes

# Version of the training algorithm; part of the fingerprint of the weights.
_ALGORITHM = 2


def finetune_folds(
    folder: str | os.PathLike[str], catalogue: pd.DataFrame, plan: FoldPlan, vocabulary: Vocabulary,
    settings: CnnSettings, *, device: str = "auto", jobs: int | None = None,
    folds: Sequence[int] | None = None, keep_seconds: float = 300.0,
    packed: PackedFields | None = None, overwrite: bool = False, progress: bool = True,
    processes: Processes | None = None,
) -> CnnCheckpoint | None:  # fmt: skip
    """Fine-tune a backbone once for each fold, on the training fields of the other folds.

    On GPUs, folds are trained one after another, on one GPU or on all GPUs for
    which a launcher such as ``torchrun`` has started processes. On a CPU they are
    trained in parallel, in processes of one thread each, so that the weights do
    not depend on `jobs`. Finished folds and the states of unfinished ones are
    kept in ``FOLDER.parts/`` until all are done; after an interruption, training
    resumes from there.

    Parameters
    ----------
    folder : path-like
        Output folder, e.g. ``models/NAME``.
    catalogue : DataFrame
        As returned by `hpastack.read_catalogue`; its test fields are not used.
    plan : FoldPlan
        Must contain exactly the training fields of `catalogue`.
    vocabulary : Vocabulary
    settings : CnnSettings
    device : str, default="auto"
        As in `hpastack.backbones.choose_device`.
    jobs : int, optional
        Folds in parallel on a CPU, decoding threads on a GPU; default: as many
        as this process may use.
    folds : sequence of int, optional
        Folds to train; default: all. Several machines with a shared file system
        can train some each; the last to finish publishes the result.
    keep_seconds : float, default=300.0
        Interval between saved training states, in addition to the end of each
        epoch.
    packed : PackedFields, optional
        From `hpastack.fields.packed.reading.find_packed`: packed fields to read from where they
        match.
    overwrite : bool, default=False
        Whether to replace a CNN with another fingerprint (other settings, fields,
        labels or folds). An identical one is always kept.
    progress : bool, default=True
    processes : Processes, optional
        From `hpastack.cnn.distributed.process_group`, if the caller has already
        joined it; `device` is then ignored.

    Returns
    -------
    CnnCheckpoint or None
        None if other folds have not been trained yet.

    Raises
    ------
    InputError
        If the plan does not match the catalogue, `folder` has other content
        that may not be replaced, a setting is wrong, or training fails for a
        reason that a setting can fix.
    """
    if processes is None:
        with process_group(device) as processes:
            return finetune_folds(
                folder, catalogue, plan, vocabulary, settings, jobs=jobs, folds=folds,
                keep_seconds=keep_seconds, packed=packed, overwrite=overwrite, progress=progress,
                processes=processes,
            )  # fmt: skip
    folder = Path(folder)
    training = training_fields(catalogue)
    _check_plan(training, plan)
    requested = _checked_folds(folds, plan)
    fingerprint = training_fingerprint(catalogue, plan, vocabulary, settings)
    if folder.exists():
        _check_replaceable(folder, fingerprint, overwrite, settings, vocabulary, plan)
        if _is_complete(folder, fingerprint):
            return read_checkpoint(folder)
    starts = starting_weights(settings, plan)
    # Before the weights are read or downloaded.
    stains = expected_stains(settings.backbone, starts[0], settings.stains)
    require_stains(training, stains, f"backbone {settings.backbone}")
    # Before any work: this detects a wrong name or weight file, and downloads
    # pretrained weights once rather than in every fold.
    _new_model(settings, starts[0], len(vocabulary))
    work = folder.with_name(folder.name + ".parts")
    processes.wait()
    if processes.is_first:
        work.mkdir(parents=True, exist_ok=True)
        _take_over(work, folder, plan.n_folds, fingerprint)
    processes.wait()
    pending = [fold for fold in requested if not is_finished(work / fold_file(fold), fingerprint)]
    if pending:
        jobs = jobs or cpu_budget()
        task = _Task(
            work=work,
            source=FieldSource(
                training,
                settings.size,
                packed=packed,
                jobs=jobs,
                progress=progress and processes.is_first,
            ),
            indicator=vocabulary.indicator(training["target"]),
            plan=plan,
            training=training,
            settings=settings,
            starts=starts,
            fingerprint=fingerprint,
            keep_seconds=keep_seconds,
            progress=progress,
        )
        workers = worker_count(processes, jobs, len(pending))
        worker_processes(workers)(
            joblib.delayed(_train_fold)(task, fold, processes) for fold in pending
        )
    processes.wait()
    if not all(is_finished(work / fold_file(k), fingerprint) for k in range(plan.n_folds)):
        return None
    if processes.is_first:
        publish_checkpoint(
            work, folder, settings=settings, vocabulary=vocabulary.names, plan=plan,
            fingerprint=fingerprint,
        )  # fmt: skip
    processes.wait()
    return read_checkpoint(folder)


def training_fingerprint(
    catalogue: pd.DataFrame, plan: FoldPlan, vocabulary: Vocabulary, settings: CnnSettings
) -> str:
    """Return a digest of everything that determines the weights of fine-tuned CNNs.

    Parameters
    ----------
    catalogue, plan, vocabulary, settings
        As in `finetune_folds`.

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the settings, the fold plan, the label
        names, and the training fields with their pixels and labels. Settings
        of prediction (such as `views`) are not included.
    """
    training = training_fields(catalogue)
    shaping = settings.shaping()
    if settings.weights not in ("pretrained", "random"):
        starts = dict.fromkeys(starting_weights(settings, plan))
        shaping["weights"] = [sha256(weight_file(start)) for start in starts]
    parts = {
        "algorithm": _ALGORITHM,
        "settings": shaping,
        "plan": plan.digest,
        "vocabulary": list(vocabulary.names),
        "fields": catalogue_digest(training),
        "labels": labels_digest(training.index, vocabulary.indicator(training["target"])),
    }
    if settings.metric_group is not None:
        numbers = group_numbers(training, settings.metric_group, np.arange(len(training)))
        parts["groups"] = numbers.tolist()
    return digest_of(parts)


@dataclass(frozen=True)
class _Task:
    """The inputs that the trainings of all folds share."""

    work: Path
    source: FieldSource
    indicator: np.ndarray
    plan: FoldPlan
    training: pd.DataFrame
    settings: CnnSettings
    starts: list[str]
    fingerprint: str
    keep_seconds: float
    progress: bool


def _train_fold(task: _Task, fold: int, processes: Processes) -> None:
    settings, work = task.settings, task.work
    fields = _fold_fields(task, fold)
    model = _new_model(settings, task.starts[fold], task.indicator.shape[1])
    if settings.weights == "random" or settings.normalise == "fields":
        stains = [STAIN_INDEX[stain] for stain in model.preprocessing.stains]
        mean, sd = (
            tuple(values[stain] for stain in stains)
            for values in stain_moments(task.source.sample(fields.train))
        )
        model.preprocessing = replace(model.preprocessing, scaling="fixed", mean=mean, sd=sd)
    state = StateFile(work / f"fold_{fold}.state", task.fingerprint, task.keep_seconds)
    curves = FoldCurves(work, fold)
    if processes.is_first and not state.is_there():
        curves.clear()
    try:
        model, reached = train_model(
            model, fields, settings, processes, stream=fold, state=state,
            report=curves.epoch if processes.is_first else None,
            report_step=curves.step if processes.is_first else None, progress=task.progress,
        )  # fmt: skip
    finally:
        curves.close()
    if not processes.is_first:
        return
    record = {
        "trained_on": f"{counted(len(fields.train), 'labelled field')}, none of fold {fold}",
        "fold": fold,
        "n_watched": len(fields.validation),
        "fingerprint": task.fingerprint,
        "history": reached.history,
        "kept_epoch": reached.kept_epoch,
    }
    with atomic_write(work / fold_file(fold)) as draft:
        save_weights(draft, model, record)
    state.remove()


def _fold_fields(task: _Task, fold: int) -> FoldFields:
    """Return the training, held-out and validation fields of a fold's model."""
    frame = task.plan.frame.loc[task.training.index]
    train = np.flatnonzero(frame["fold"] != fold)
    held_out = np.flatnonzero(frame["fold"] == fold)
    validation = np.array([], dtype=int)
    groups = None
    if task.settings.patience:
        splitter = MultilabelStratifiedGroupShuffleSplit(
            1, test_size=task.settings.watched_share, random_state=task.settings.seed
        )
        labels, clusters = task.indicator[train], frame["cluster"].to_numpy()[train]
        learnt, set_aside = next(splitter.split(labels, labels, clusters))
        train, validation = train[learnt], train[set_aside]
    if task.settings.metric_group is not None:
        groups = group_numbers(task.training, task.settings.metric_group, train)
    return FoldFields(task.source, task.indicator, train, held_out, validation, groups)


def _checked_folds(folds: Sequence[int] | None, plan: FoldPlan) -> list[int]:
    if folds is None:
        return list(range(plan.n_folds))
    unknown = sorted(set(folds) - set(range(plan.n_folds)))
    if unknown:
        raise InputError(
            f"folds: unknown fold {shorten(unknown)}; the plan has folds 0 to {plan.n_folds - 1}",
            "folds",
        )
    return sorted(set(folds))


def _new_model(settings: CnnSettings, weights: str, n_labels: int) -> Network:
    model = create_backbone(
        settings.backbone, weights=weights, stem=settings.stem, size=settings.size,
        # Always set: the default would be the crop of the weights, which training would ignore.
        crop=settings.crop or settings.size, stains=settings.stains, num_classes=n_labels,
        pool=settings.pool, drop_rate=settings.drop_rate, seed=settings.seed,
    )  # fmt: skip
    model.preprocessing = replace(model.preprocessing, crop=settings.crop)
    return model


def _check_plan(training: pd.DataFrame, plan: FoldPlan) -> None:
    unplanned = training.index.difference(plan.frame.index)
    if len(unplanned):
        raise InputError(
            f"training fields without a fold: {shorten(unplanned)}; run hpastack cluster"
        )
    unknown = plan.frame.index.difference(training.index)
    if len(unknown):
        raise InputError(
            f"fields of the fold plan that are not training fields of the catalogue: "
            f"{shorten(unknown)}; run hpastack cluster"
        )


def _check_replaceable(
    folder: Path, fingerprint: str, overwrite: bool,
    settings: CnnSettings, vocabulary: Vocabulary, plan: FoldPlan,
) -> None:  # fmt: skip
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{folder} exists and does not contain a fine-tuned CNN; move it elsewhere"
        )
    manifest = _manifest(path)
    if overwrite or manifest.get("fingerprint") == fingerprint:
        return
    shaping, kept = settings.shaping(), manifest.get("settings")
    made_with = {key: kept.get(key) for key in shaping} if isinstance(kept, dict) else {}
    differing = differing_settings(
        {key: manifest.get(key) for key in ("vocabulary", "fold_plan")} | made_with,
        {"vocabulary": list(vocabulary.names), "fold_plan": plan.digest} | shaping,
        "the folder", "the recipe",
    )  # fmt: skip
    raise InputError(
        f"{folder} was made with other settings, fields, labels or folds "
        f"({differing or 'other fields, labels or initial weights'}); pass overwrite=True to "
        "replace it, or rename the recipe to keep both",
        "overwrite",
    )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _is_complete(folder: Path, fingerprint: str) -> bool:
    try:
        return read_checkpoint(folder).fingerprint == fingerprint
    except InputError:
        return False


def _take_over(work: Path, folder: Path, n_folds: int, fingerprint: str) -> None:
    """Copy the finished folds of a published folder in which other folds are missing."""
    for fold in range(n_folds):
        path, earlier = work / fold_file(fold), folder / fold_file(fold)
        if is_finished(path, fingerprint):
            continue
        path.unlink(missing_ok=True)
        if is_finished(earlier, fingerprint):
            with atomic_write(path) as draft:
                shutil.copyfile(earlier, draft)
