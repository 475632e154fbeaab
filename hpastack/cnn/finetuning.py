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

from hpastack.backbones import Network, create_backbone, save_weights, weight_file
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
from hpastack.errors import InputError, shorten
from hpastack.fields import STAIN_INDEX, PackedFields, stain_moments
from hpastack.fields.paths import require_stains
from hpastack.files import atomic_write, differing_settings, digest_of, sha256
from hpastack.folds import FoldPlan, MultilabelStratifiedGroupShuffleSplit, labels_digest
from hpastack.labels import Vocabulary
from hpastack.parallel import cpu_budget

# Of the way from the same settings and fields to the weights; in their fingerprint.
_ALGORITHM = 2


def finetune_folds(
    folder: str | os.PathLike[str], catalogue: pd.DataFrame, plan: FoldPlan, vocabulary: Vocabulary,
    settings: CnnSettings, *, device: str = "auto", jobs: int | None = None,
    folds: Sequence[int] | None = None, keep_seconds: float = 300.0,
    packed: PackedFields | None = None, overwrite: bool = False, progress: bool = True,
    processes: Processes | None = None,
) -> CnnCheckpoint | None:  # fmt: skip
    """Fine-tune a backbone once for each fold, on the training fields of the others.

    Folds are trained one after the other on a GPU, or on all GPUs that a
    launcher such as ``torchrun`` has started processes for, and side by side in
    processes of one thread each on a CPU, so that the weights do not depend
    on `jobs`. Finished folds, and the state of those under way, lie in
    ``FOLDER.parts/`` until all are done; after a kill the work goes on there.

    Parameters
    ----------
    folder : path-like
        Where the checkpoints go, e.g. ``models/NAME``.
    catalogue : DataFrame
        As `hpastack.read_catalogue`; its test fields are not looked at.
    plan : FoldPlan
        Of exactly the training fields of `catalogue`.
    vocabulary : Vocabulary
    settings : CnnSettings
    device : str, default="auto"
        As `hpastack.backbones.choose_device`.
    jobs : int, optional
        Folds side by side on a CPU, decoding threads on a GPU; as many as
        this process may use if left out.
    folds : sequence of int, optional
        Only these, so that several machines that see the same files can do
        some each; all if left out. The last to finish publishes.
    keep_seconds : float, default=300.0
        How often the state of a training is kept, beside the end of each epoch.
    packed : PackedFields, optional
        As `hpastack.fields.packed.reading.find_packed`: where fields are read from if they fit.
    overwrite : bool, default=False
        Whether a CNN made in another way may be replaced. One that is the
        same is kept either way.
    progress : bool, default=True
    processes : Processes, optional
        As `hpastack.cnn.distributed.process_group` gives them, where the caller
        has joined them already; `device` is then not looked at.

    Returns
    -------
    CnnCheckpoint or None
        None if other folds are still to be trained.

    Raises
    ------
    InputError
        If the plan does not fit the catalogue, `folder` holds something else
        and may not be replaced, a setting is wrong, or training fails for a
        reason that a setting can mend.
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
    wanted = _checked_folds(folds, plan)
    fingerprint = training_fingerprint(catalogue, plan, vocabulary, settings)
    if folder.exists():
        _check_replaceable(folder, fingerprint, overwrite, settings, vocabulary, plan)
        if _is_complete(folder, fingerprint):
            return read_checkpoint(folder)
    starts = starting_weights(settings, plan)
    # Once before any work: a wrong name or file of weights is found here, and
    # pretrained weights are downloaded once and not by every fold.
    model = _new_model(settings, starts[0], len(vocabulary))
    require_stains(training, model.preprocessing.stains, f"backbone {settings.backbone}")
    work = folder.with_name(folder.name + ".parts")
    processes.wait()
    if processes.is_first:
        work.mkdir(parents=True, exist_ok=True)
        _take_over(work, folder, plan.n_folds, fingerprint)
    processes.wait()
    pending = [fold for fold in wanted if not is_finished(work / fold_file(fold), fingerprint)]
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
        joblib.Parallel(n_jobs=workers, prefer="processes")(
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
    """Return a digest of all that shapes the weights of fine-tuned CNNs.

    Parameters
    ----------
    catalogue, plan, vocabulary, settings
        As `finetune_folds`.

    Returns
    -------
    str
        SHA-256, in hexadecimal, over the settings, the fold plan, the names
        of the labels, and the training fields with their pixels and labels.
        How predictions are made (`views`) does not enter.
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
    """What the trainings of all folds have in common."""

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
        seen = [STAIN_INDEX[stain] for stain in model.preprocessing.stains]
        mean, sd = (
            tuple(values[stain] for stain in seen)
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
        "trained_on": f"{len(fields.train)} labelled fields, none of fold {fold}",
        "fold": fold,
        "n_watched": len(fields.watched),
        "fingerprint": task.fingerprint,
        "history": reached.history,
        "kept_epoch": reached.kept_epoch,
    }
    with atomic_write(work / fold_file(fold)) as draft:
        save_weights(draft, model, record)
    state.remove()


def _fold_fields(task: _Task, fold: int) -> FoldFields:
    """Say which fields the model of a fold is trained and watched on."""
    frame = task.plan.frame.loc[task.training.index]
    train = np.flatnonzero(frame["fold"] != fold)
    held_out = np.flatnonzero(frame["fold"] == fold)
    watched = np.array([], dtype=int)
    groups = None
    if task.settings.patience:
        splitter = MultilabelStratifiedGroupShuffleSplit(
            1, test_size=task.settings.watched_share, random_state=task.settings.seed
        )
        labels, clusters = task.indicator[train], frame["cluster"].to_numpy()[train]
        learnt, set_aside = next(splitter.split(labels, labels, clusters))
        train, watched = train[learnt], train[set_aside]
    if task.settings.metric_group is not None:
        groups = group_numbers(task.training, task.settings.metric_group, train)
    return FoldFields(task.source, task.indicator, train, held_out, watched, groups)


def _checked_folds(folds: Sequence[int] | None, plan: FoldPlan) -> list[int]:
    if folds is None:
        return list(range(plan.n_folds))
    unknown = sorted(set(folds) - set(range(plan.n_folds)))
    if unknown:
        raise InputError(f"no fold {shorten(unknown)}; the plan has folds 0 to {plan.n_folds - 1}")
    return sorted(set(folds))


def _new_model(settings: CnnSettings, weights: str, n_labels: int) -> Network:
    model = create_backbone(
        settings.backbone, weights=weights, stem=settings.stem, size=settings.size,
        # Not left out: that would be the crop of the weights, and training would not know of it.
        crop=settings.crop or settings.size, stains=settings.stains, num_classes=n_labels,
        pool=settings.pool, drop_rate=settings.drop_rate, seed=settings.seed,
    )  # fmt: skip
    model.preprocessing = replace(model.preprocessing, crop=settings.crop)
    return model


def _check_plan(training: pd.DataFrame, plan: FoldPlan) -> None:
    unplanned = training.index.difference(plan.frame.index)
    if len(unplanned):
        raise InputError(
            f"training fields without a fold: {shorten(unplanned)}; run python -m pipelines.cluster"
        )
    unknown = plan.frame.index.difference(training.index)
    if len(unknown):
        raise InputError(
            f"the fold plan has fields that the catalogue does not train on: {shorten(unknown)}; "
            "run python -m pipelines.cluster"
        )


def _check_replaceable(
    folder: Path, fingerprint: str, overwrite: bool,
    settings: CnnSettings, vocabulary: Vocabulary, plan: FoldPlan,
) -> None:  # fmt: skip
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} exists and holds no fine-tuned CNN; move it out of the way")
    manifest = _manifest(path)
    if overwrite or manifest.get("fingerprint") == fingerprint:
        return
    shaping, kept = settings.shaping(), manifest.get("settings")
    made_with = {key: kept.get(key) for key in shaping} if isinstance(kept, dict) else {}
    differing = differing_settings(
        {key: manifest.get(key) for key in ("vocabulary", "fold_plan")} | made_with,
        {"vocabulary": list(vocabulary.names), "fold_plan": plan.digest} | shaping,
        "the folder", "what is to be trained",
    )  # fmt: skip
    raise InputError(
        f"{folder} was made with other settings, fields, labels or folds "
        f"({differing or 'other fields, labels or weights to start from'}); give --overwrite to "
        "replace it, or rename the recipe to keep both"
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
    """Copy the folds that are finished in a published folder with others missing."""
    for fold in range(n_folds):
        path, earlier = work / fold_file(fold), folder / fold_file(fold)
        if is_finished(path, fingerprint):
            continue
        path.unlink(missing_ok=True)
        if is_finished(earlier, fingerprint):
            with atomic_write(path) as draft:
                shutil.copyfile(earlier, draft)
