"""Fine-tune a CNN once for each fold of a fold plan."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest
from hpastack.embeddings import (
    Preprocessing,
    choose_device,
    create_backbone,
    save_weights,
    weight_file,
)
from hpastack.errors import InputError, shorten
from hpastack.folds import FoldPlan, labels_digest
from hpastack.labels import Vocabulary
from hpastack.models.cnn_checkpoint import (
    HISTORY,
    MANIFEST,
    CnnCheckpoint,
    fold_file,
    fold_history,
    is_finished,
    publish_checkpoint,
    read_checkpoint,
)
from hpastack.models.cnn_fields import FieldSource, stain_statistics
from hpastack.models.cnn_prediction import worker_count
from hpastack.models.cnn_settings import CnnSettings
from hpastack.models.cnn_training import train_model


def finetune_folds(
    folder, catalogue: pd.DataFrame, plan: FoldPlan, vocabulary: Vocabulary,
    settings: CnnSettings, *, device: str = "auto", jobs: int | None = None,
    overwrite: bool = False, progress: bool = True,
) -> CnnCheckpoint:  # fmt: skip
    """Fine-tune a backbone once for each fold, on the training fields of the others.

    Folds are trained one after the other on a GPU, and side by side in
    processes of one thread each on a CPU, so that the weights do not depend
    on `jobs`. Finished folds lie in ``FOLDER.parts/`` until all are done, and
    are not trained again after a kill.

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
        As `hpastack.embeddings.choose_device`.
    jobs : int, optional
        Folds side by side on a CPU, decoding threads on a GPU; as many as
        this process may use if left out.
    overwrite : bool, default=False
        Whether a CNN made in another way may be replaced. One that is the
        same is kept either way.
    progress : bool, default=True

    Returns
    -------
    CnnCheckpoint

    Raises
    ------
    InputError
        If the plan does not fit the catalogue, `folder` holds something else
        and may not be replaced, a setting is wrong, or training fails for a
        reason that a setting can mend.
    """
    folder = Path(folder)
    training = catalogue[catalogue["split"] == "train"]
    _check_plan(training, plan)
    fingerprint = training_fingerprint(catalogue, plan, vocabulary, settings)
    if folder.exists():
        _check_replaceable(folder, fingerprint, overwrite)
        if _is_complete(folder, fingerprint):
            return read_checkpoint(folder)
    torch_device = choose_device(device)
    # Once before any work: a wrong name or file of weights is found here, and
    # pretrained weights are downloaded once and not by every fold.
    _new_model(settings, len(vocabulary))
    work = folder.with_name(folder.name + ".parts")
    work.mkdir(parents=True, exist_ok=True)
    pending = _pending_folds(work, folder, plan.n_folds, fingerprint)
    finished = [fold for fold in range(plan.n_folds) if fold not in pending]
    history = fold_history(work, finished)
    history.to_csv(work / HISTORY, index=False, lineterminator="\n")
    if pending:
        jobs = jobs or joblib.cpu_count()
        source = FieldSource(training, settings.size, threads=jobs, progress=progress)
        indicator = vocabulary.indicator(training["target"])
        fold = plan.frame["fold"].loc[training.index].to_numpy()
        joblib.Parallel(n_jobs=worker_count(torch_device, jobs, len(pending)), prefer="processes")(
            joblib.delayed(_train_fold)(
                work, k, source, indicator, fold, settings, fingerprint, torch_device, progress
            )
            for k in pending
        )
    return publish_checkpoint(
        work, folder, settings=settings, vocabulary=vocabulary.names, plan=plan,
        fingerprint=fingerprint,
    )  # fmt: skip


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
    training = catalogue[catalogue["split"] == "train"]
    shaping = {key: value for key, value in settings.record().items() if key != "views"}
    if settings.weights not in ("pretrained", "random"):
        content = weight_file(settings.weights).read_bytes()
        shaping["weights"] = hashlib.sha256(content).hexdigest()
    parts = {
        "settings": shaping,
        "plan": plan.digest,
        "vocabulary": list(vocabulary.names),
        "fields": catalogue_digest(training),
        "labels": labels_digest(training.index, vocabulary.indicator(training["target"])),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _train_fold(
    work, fold, source, indicator, folds, settings, fingerprint, device, progress
) -> None:  # fmt: skip
    train_rows, held_out_rows = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    model = _new_model(settings, indicator.shape[1])
    if settings.weights == "random":
        statistics = stain_statistics(source, train_rows)
        model.preprocessing = Preprocessing(settings.size, *statistics)
    history: list[dict] = []

    def report(row):
        history.append(row)
        # One short line in one call: folds that run side by side do not mix theirs.
        with open(work / HISTORY, "a", encoding="utf-8") as file:
            file.write(",".join(str(value) for value in (fold, *row.values())) + "\n")

    model = train_model(
        model, source, indicator, train_rows, held_out_rows, settings, device=device,
        stream=fold, report=report, progress=progress,
    )  # fmt: skip
    record = {
        "trained_on": f"{len(train_rows)} labelled fields, all but those of fold {fold}",
        "fold": fold,
        "fingerprint": fingerprint,
        "history": history,
    }
    temporary = work / f".{fold_file(fold)}.{os.getpid()}.tmp"
    try:
        save_weights(temporary, model, record)
        os.replace(temporary, work / fold_file(fold))
    finally:
        temporary.unlink(missing_ok=True)


def _new_model(settings: CnnSettings, n_labels: int):
    return create_backbone(
        settings.backbone, weights=settings.weights, stem=settings.stem, size=settings.size,
        num_classes=n_labels, pool=settings.pool, drop_rate=settings.drop_rate,
        seed=settings.seed,
    )  # fmt: skip


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


def _check_replaceable(folder: Path, fingerprint: str, overwrite: bool) -> None:
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise InputError(f"{folder} exists and holds no fine-tuned CNN; move it out of the way")
    if not (overwrite or _fingerprint(manifest) == fingerprint):
        raise InputError(
            f"{folder} was made with other settings, fields, labels or folds; "
            "give --overwrite to replace it"
        )


def _fingerprint(manifest: Path) -> str:
    try:
        return json.loads(manifest.read_text(encoding="utf-8")).get("fingerprint", "")
    except (ValueError, AttributeError):
        return ""


def _is_complete(folder: Path, fingerprint: str) -> bool:
    try:
        return read_checkpoint(folder).fingerprint == fingerprint
    except InputError:
        return False


def _pending_folds(work: Path, folder: Path, n_folds: int, fingerprint: str) -> list[int]:
    """Name the folds that are still to be trained; take over those that are not."""
    pending = []
    for fold in range(n_folds):
        path, published = work / fold_file(fold), folder / fold_file(fold)
        if is_finished(path, fingerprint):
            continue
        path.unlink(missing_ok=True)
        if is_finished(published, fingerprint):
            temporary = work / f".{fold_file(fold)}.{os.getpid()}.tmp"
            shutil.copyfile(published, temporary)
            os.replace(temporary, path)
        else:
            pending.append(fold)
    return pending
