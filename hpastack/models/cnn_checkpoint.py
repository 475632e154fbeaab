"""What fine-tuning leaves behind: a folder with the weights of every fold.

``cnn.json`` says what it is (backbone, preprocessing, labels, fold plan,
settings, scores, package versions, SHA-256 of each file of weights);
``fold_0.safetensors`` and so on are the weights, ``folds.csv`` the fold plan
they were trained with, ``history.csv`` a row for every epoch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hpastack._torch import safetensors
from hpastack.embeddings import Preprocessing, create_backbone, read_weights_record
from hpastack.errors import InputError
from hpastack.files import put_in_place
from hpastack.folds import FoldPlan, read_fold_plan, write_fold_plan
from hpastack.models.cnn_settings import CnnSettings
from hpastack.store import package_versions

FORMAT = "hpastack-cnn"
VERSION = 1

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
        fields held out from it.
    fingerprint : str
        Digest of all that shaped the weights.
    """

    folder: Path
    settings: CnnSettings
    vocabulary: tuple[str, ...]
    preprocessing: tuple[Preprocessing, ...]
    plan: FoldPlan
    digests: dict[str, str]
    scores: dict
    fingerprint: str

    def load_models(self, device) -> list:
        """Load the models of all folds.

        Parameters
        ----------
        device : torch.device

        Returns
        -------
        list of torch.nn.Module
            In the order of the folds, in evaluation mode, on `device`.
        """
        models = []
        for name, preprocessing in zip(self.digests, self.preprocessing, strict=True):
            model = create_backbone(
                self.settings.backbone, weights="random", size=self.settings.size,
                num_classes=len(self.vocabulary), pool=self.settings.pool,
            )  # fmt: skip
            model.load_state_dict(safetensors.torch.load_file(self.folder / name), strict=True)
            model.preprocessing = preprocessing
            models.append(model.to(device).eval())
        return models


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


def fold_history(folder: Path, folds: Sequence[int]) -> pd.DataFrame:
    """Collect the epochs of finished folds, as `history.csv` lists them.

    Parameters
    ----------
    folder : Path
    folds : sequence of int

    Returns
    -------
    DataFrame
        Columns ``fold``, ``epoch``, ``learning_rate``, ``loss``, ``macro_ap``.
    """
    rows = [
        {"fold": fold, **row}
        for fold in folds
        for row in read_weights_record(folder / fold_file(fold))["history"]
    ]
    return pd.DataFrame(rows, columns=["fold", "epoch", "learning_rate", "loss", "macro_ap"])


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
    history = fold_history(work, folds)
    history.to_csv(work / HISTORY, index=False, lineterminator="\n")
    write_fold_plan(work / PLAN, plan)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "settings": settings.record(),
        "preprocessing": [
            read_weights_record(work / fold_file(fold))["preprocessing"] for fold in folds
        ],
        "vocabulary": list(vocabulary),
        "fold_plan": plan.digest,
        "weights": {fold_file(fold): _sha256(work / fold_file(fold)) for fold in folds},
        "scores": {"fold_macro_ap": history.groupby("fold")["macro_ap"].last().tolist()},
        "fingerprint": fingerprint,
        "made_with": package_versions(),
    }
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    put_in_place(work, folder)
    return read_checkpoint(folder)


def read_checkpoint(folder) -> CnnCheckpoint:
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
            settings=CnnSettings(**manifest["settings"]),
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
        if _sha256(folder / name) != digest:
            raise InputError(f"{folder / name} is not the file of weights that {path} names")
    return checkpoint


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
