"""What fine-tuning leaves behind: a folder with the weights of every fold.

``cnn.json`` says what it is (backbone, preprocessing, labels, fold plan,
settings, scores, package versions, SHA-256 of each file of weights);
``fold_0.safetensors`` and so on are the weights, ``folds.csv`` the fold plan
they were trained with, ``history.csv`` a row for every epoch; ``tensorboard/`` holds
the curves.
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
    """Fine-tuned CNNs as they lie in a folder; made by `read_checkpoint`.

    Attributes
    ----------
    folder : Path
    settings : CnnSettings
    vocabulary : tuple of str
        Label names in the order of the outputs.
    preprocessing : tuple of Preprocessing
        One a fold: the statistics of a network trained from random weights are
        those of its own training fields.
    plan : FoldPlan
        Which fold, and so which model, each training field was held out from.
    digests : dict of str to str
        SHA-256 of each file of weights, in the order of the folds.
    scores : dict
        ``fold_macro_ap``: macro average precision of each model on the
        fields held out from it; ``kept_epoch``: whose weights it has.
    fingerprint : str
        Digest of all that shaped the weights.
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
        """Load the model that was trained without a fold.

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
        """Load the models of all folds, in their order, as `load_model` does."""
        return [self.load_model(fold, device) for fold in range(len(self.digests))]


def fold_file(fold: int) -> str:
    """Return the name of the file of weights of a fold."""
    return f"fold_{fold}.safetensors"


def is_finished(path: Path, fingerprint: str) -> bool:
    """Say whether a file holds the weights of a fold trained as `fingerprint` says."""
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
    """Complete a folder of finished folds and rename it to its place.

    Parameters
    ----------
    work : Path
        Holds the weights of every fold.
    folder : Path
        Where it goes; what was there before is replaced.
    settings, vocabulary, plan, fingerprint
        As `CnnCheckpoint`.

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
    # States of trainings, curves as they came, what kills and other fold plans left.
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
                # JSON knows no NaN, the score of a fold without any label.
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
    """Read what a folder of fine-tuned CNNs holds, and check that it is whole.

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
        If it is not such a folder, is of a newer format, or a file is
        missing or is not the one that was published.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} holds no fine-tuned CNN ({MANIFEST} is missing)")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise InputError(f"{path} is not the record of a fine-tuned CNN")
        if not 1 <= manifest["version"] <= VERSION:
            raise InputError(
                f"{path} is of format {manifest['version']}; this hpastack reads 1 to {VERSION}"
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
        raise InputError(f"{path} is damaged; fine-tune again") from error
    if checkpoint.plan.digest != manifest["fold_plan"]:
        raise InputError(f"{folder / PLAN} is not the fold plan that {path} names")
    if list(checkpoint.digests) != [fold_file(fold) for fold in range(checkpoint.plan.n_folds)]:
        raise InputError(f"{path} does not name one file of weights a fold")
    for name, digest in checkpoint.digests.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing; run finetune again to make it anew")
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name} is not the file of weights that {path} names")
    return checkpoint


def _settings(path: Path, record: dict[str, Any]) -> CnnSettings:
    try:
        return CnnSettings(**record)
    except InputError as error:
        raise InputError(f"{path}: settings: {error}") from None


def starting_weights(settings: CnnSettings, plan: FoldPlan) -> list[str]:
    """Say which weights the model of each fold starts from.

    Weights that were trained on labels of a held-out field would give these away, so
    that its prediction were none out of fold.

    Parameters
    ----------
    settings : CnnSettings
        Its `weights`: ``pretrained``, ``random``, a file, a folder that holds one, or the
        folder of a fine-tuned CNN, whose folds are those of `plan`.
    plan : FoldPlan

    Returns
    -------
    list of str, length n_folds
        The same for each; of a fine-tuned CNN the weights of the same fold.

    Raises
    ------
    InputError
        If the weights were trained on labels of a field that they would be tested on,
        or it is not known on which, unless `vouch_for_weights`.
    """
    weights = settings.weights
    if weights not in ("pretrained", "random") and (Path(weights) / MANIFEST).is_file():
        checkpoint = read_checkpoint(weights)
        if checkpoint.plan.digest != plan.digest:
            raise InputError(
                f"weights {weights} were trained with another fold plan, so that a fold would "
                "start from weights that saw its labels; use a CNN of this plan, or other weights"
            )
        started_from = checkpoint.settings.weights
        # Format 1, without kept_epoch, took any weights to start from.
        is_unchecked = "kept_epoch" not in checkpoint.scores
        is_known = started_from in ("pretrained", "random")
        if is_unchecked and not is_known and not settings.vouch_for_weights:
            raise InputError(
                f"weights {weights} were themselves started from {started_from}, maybe trained on "
                "labels of fields that are held out here; fine-tune them again, or set "
                "vouch_for_weights if these have seen none of these fields"
            )
        return [str(checkpoint.folder / name) for name in checkpoint.digests]
    kind = embedding_kind(settings.backbone, weights, plan.frame.index)
    if kind == "in_sample" and not settings.vouch_for_weights:
        raise InputError(
            f"weights {weights} were trained on labels, maybe of fields that are held out here; "
            "give the folder of a CNN fine-tuned with this fold plan, and each fold starts from "
            "its own, or set vouch_for_weights if they have seen none of these fields"
        )
    return [weights] * plan.n_folds


def folds_of(
    catalogue: pd.DataFrame, checkpoint: CnnCheckpoint, plan: FoldPlan | None
) -> np.ndarray:
    """Say which CNN has not seen each field of a catalogue.

    Parameters
    ----------
    catalogue : DataFrame
    checkpoint : CnnCheckpoint
    plan : FoldPlan, optional
        Checked to be that of the CNNs.

    Returns
    -------
    ndarray of int64, shape (n,)
        The fold of each training field, -1 for test fields, which none has seen.

    Raises
    ------
    InputError
        If the plan is another one, a training field has no fold, or a test field was
        trained on.
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
