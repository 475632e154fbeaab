"""The output of fine-tuning: a folder with the weights of every fold.

``cnn.json`` is the manifest (backbone, preprocessing, labels, fold plan,
settings, scores, package versions, SHA-256 of each weight file);
``fold_0.safetensors`` and so on are the weights, ``folds.csv`` is the fold plan
of the training, ``history.csv`` has one row per epoch, and ``tensorboard/``
contains the curves.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.backbones import (
    Network,
    Preprocessing,
    create_backbone,
    embedding_kind,
    read_weights_record,
)
from hpastack.backbones._torch import safetensors, torch
from hpastack.cnn.history import TENSORBOARD
from hpastack.cnn.settings import CnnSettings
from hpastack.errors import InputError, shorten
from hpastack.files import package_versions, put_in_place, remove, sha256
from hpastack.folds import FoldPlan, read_fold_plan, write_fold_plan

FORMAT = "hpastack-cnn"
VERSION = 2

MANIFEST = "cnn.json"
PLAN = "folds.csv"
HISTORY = "history.csv"


@dataclass(frozen=True)
class CnnCheckpoint:
    """A folder of fine-tuned CNNs; created by `read_checkpoint`.

    Attributes
    ----------
    folder : Path
    settings : CnnSettings
    vocabulary : tuple of str
        Label names in the order of the outputs.
    preprocessing : tuple of Preprocessing
        One per fold: the statistics of a network trained from random weights are
        those of its own training fields.
    plan : FoldPlan
        The fold, and so the model, that each training field was held out from.
    digests : dict of str to str
        SHA-256 of each weight file, in the order of the folds.
    scores : dict
        ``fold_macro_ap``: macro average precision of each model on its held-out
        fields; ``kept_epoch``: the epoch of its weights.
    fingerprint : str
        Digest of everything that determines the weights.
    """

    folder: Path
    settings: CnnSettings
    vocabulary: tuple[str, ...]
    preprocessing: tuple[Preprocessing, ...]
    plan: FoldPlan
    digests: dict[str, str]
    scores: dict[str, Any]
    fingerprint: str

    def load_model(self, fold: int, device: torch.device) -> Network:
        """Return the model that was trained without a fold.

        Parameters
        ----------
        fold : int
        device : torch.device

        Returns
        -------
        torch.nn.Module
            In evaluation mode, on `device`.
        """
        model = create_backbone(
            self.settings.backbone, weights="random", size=self.settings.size,
            crop=self.settings.crop, stains=self.preprocessing[fold].stains,
            num_classes=len(self.vocabulary), pool=self.settings.pool,
        )  # fmt: skip
        path = self.folder / fold_file(fold)
        model.load_state_dict(safetensors.torch.load_file(path), strict=True)
        model.preprocessing = self.preprocessing[fold]
        return model.to(device).eval()

    def load_models(self, device: torch.device) -> list[Network]:
        """Return the models of all folds, in order; see `load_model`."""
        return [self.load_model(fold, device) for fold in range(len(self.digests))]


def fold_file(fold: int) -> str:
    """Return the name of the weight file of a fold."""
    return f"fold_{fold}.safetensors"


def is_finished(path: Path, fingerprint: str) -> bool:
    """Return whether a file contains the weights of a fold with this fingerprint."""
    if not path.is_file():
        return False
    try:
        return read_weights_record(path).get("fingerprint") == fingerprint
    except InputError:
        return False


def publish_checkpoint(
    work: Path, folder: Path, *, settings: CnnSettings, vocabulary: Sequence[str],
    plan: FoldPlan, fingerprint: str,
) -> CnnCheckpoint:  # fmt: skip
    """Complete a folder of finished folds and move it to its destination in one rename.

    Parameters
    ----------
    work : Path
        A folder with the weights of every fold.
    folder : Path
        The destination; any existing content is replaced.
    settings, vocabulary, plan, fingerprint
        As in `CnnCheckpoint`.

    Returns
    -------
    CnnCheckpoint
    """
    folds = range(plan.n_folds)
    records = [read_weights_record(work / fold_file(fold)) for fold in folds]
    history = pd.DataFrame(
        [{"fold": fold, **row} for fold in folds for row in records[fold]["history"]]
    )
    history.to_csv(work / HISTORY, index=False, lineterminator="\n")
    # Removed: training states, partial curves, and remains of killed runs and other fold plans.
    kept = {fold_file(fold) for fold in folds} | {HISTORY, TENSORBOARD}
    for path in work.iterdir():
        if path.name not in kept:
            remove(path)
    write_fold_plan(work / PLAN, plan)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "settings": settings.record(),
        "preprocessing": [record["preprocessing"] for record in records],
        "vocabulary": list(vocabulary),
        "fold_plan": plan.digest,
        "weights": {fold_file(fold): sha256(work / fold_file(fold)) for fold in folds},
        "scores": {
            "fold_macro_ap": [
                # JSON has no NaN, which is the score of a fold without labels.
                None if math.isnan(score) else score
                for score in (r["history"][r["kept_epoch"]]["macro_ap"] for r in records)
            ],
            "kept_epoch": [r["kept_epoch"] for r in records],
        },
        "fingerprint": fingerprint,
        "made_with": package_versions(),
    }
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    put_in_place(work, folder)
    return read_checkpoint(folder)


def read_checkpoint(folder: str | os.PathLike[str]) -> CnnCheckpoint:
    """Read a folder of fine-tuned CNNs, and check that it is complete.

    Parameters
    ----------
    folder : path-like
        ``models/NAME``.

    Returns
    -------
    CnnCheckpoint

    Raises
    ------
    InputError
        If it is not a folder of fine-tuned CNNs, has a newer format, or a file
        is missing or has changed.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} does not contain a fine-tuned CNN ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise InputError(f"{path} is not the manifest of a fine-tuned CNN")
        if not 1 <= manifest["version"] <= VERSION:
            raise InputError(
                f"{path} has format version {manifest['version']}; this version of hpastack reads "
                f"1 to {VERSION}"
            )
        checkpoint = CnnCheckpoint(
            folder=folder,
            settings=_settings(path, manifest["settings"]),
            vocabulary=tuple(manifest["vocabulary"]),
            preprocessing=tuple(
                Preprocessing.from_record(record) for record in manifest["preprocessing"]
            ),
            plan=read_fold_plan(folder / PLAN),
            digests=dict(manifest["weights"]),
            scores=manifest["scores"],
            fingerprint=manifest["fingerprint"],
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is corrupt; fine-tune again") from error
    if checkpoint.plan.digest != manifest["fold_plan"]:
        raise InputError(f"{folder / PLAN} is not the fold plan recorded in {path}")
    if list(checkpoint.digests) != [fold_file(fold) for fold in range(checkpoint.plan.n_folds)]:
        raise InputError(f"{path} does not list one weight file per fold")
    for name, digest in checkpoint.digests.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; run finetune again to restore it")
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name} does not match the SHA-256 recorded in {path}")
    return checkpoint


def _settings(path: Path, record: dict[str, Any]) -> CnnSettings:
    try:
        return CnnSettings(**record)
    except InputError as error:
        raise InputError(f"{path}: settings: {error}") from None


def starting_weights(settings: CnnSettings, plan: FoldPlan) -> list[str]:
    """Return the initial weights of the model of each fold.

    Weights that were trained on the labels of a held-out field leak these labels, so its
    predictions would not be out of fold.

    Parameters
    ----------
    settings : CnnSettings
        Its `weights`: ``pretrained``, ``random``, a file, a folder with weights, or the
        folder of a fine-tuned CNN with the folds of `plan`.
    plan : FoldPlan

    Returns
    -------
    list of str, length n_folds
        The same for each fold; for a fine-tuned CNN the weights of the same fold.

    Raises
    ------
    InputError
        If the weights were trained on the labels of fields that they would be tested on,
        or their training fields are unknown, unless `vouch_for_weights` is set.
    """
    weights = settings.weights
    if weights not in ("pretrained", "random") and (Path(weights) / MANIFEST).is_file():
        checkpoint = read_checkpoint(weights)
        if checkpoint.plan.digest != plan.digest:
            raise InputError(
                f"weights: {weights} was trained with another fold plan, so the weights of a fold "
                "were trained on labels of its held-out fields; use a CNN of this fold plan, or "
                "other weights"
            )
        started_from = checkpoint.settings.weights
        # Format 1, without kept_epoch, accepted any initial weights.
        is_unchecked = "kept_epoch" not in checkpoint.scores
        is_known = started_from in ("pretrained", "random")
        if is_unchecked and not is_known and not settings.vouch_for_weights:
            raise InputError(
                f"weights: {weights} was fine-tuned from {started_from}, which may have been "
                "trained on labels of fields that are held out here; fine-tune it again, or set "
                "vouch_for_weights if it was not"
            )
        return [str(checkpoint.folder / name) for name in checkpoint.digests]
    kind = embedding_kind(settings.backbone, weights, plan.frame.index)
    if kind == "in_sample" and not settings.vouch_for_weights:
        raise InputError(
            f"weights: {weights} was trained on labels, possibly of fields that are held out here; "
            "use the folder of a CNN fine-tuned with this fold plan, so that each fold starts from "
            "its own weights, or set vouch_for_weights if it was not trained on these fields"
        )
    return [weights] * plan.n_folds


def folds_of(
    catalogue: pd.DataFrame, checkpoint: CnnCheckpoint, plan: FoldPlan | None
) -> np.ndarray:
    """Return the fold, and so the CNN, that each field of a catalogue was held out from.

    Parameters
    ----------
    catalogue : DataFrame
    checkpoint : CnnCheckpoint
    plan : FoldPlan, optional
        If given, it must be the fold plan of the CNNs.

    Returns
    -------
    ndarray of int64, shape (n,)
        The fold of each training field, -1 for test fields, which no CNN was trained on.

    Raises
    ------
    InputError
        If `plan` differs, a training field has no fold, or a CNN was trained on a test
        field.
    """
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
            f"training fields without a fold in {checkpoint.folder}: "
            f"{shorten(catalogue.index[is_training & ~known])}; fine-tune again"
        )
    if (~is_training & known).any():
        raise InputError(
            f"test fields that {checkpoint.folder} was trained on: "
            f"{shorten(catalogue.index[~is_training & known])}; their predictions would not "
            "be out of fold"
        )
    fold = own.frame["fold"].reindex(catalogue.index).fillna(-1)
    return fold.to_numpy(dtype=np.int64)
