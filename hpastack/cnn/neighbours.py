"""Neighbours as fine-tuned CNNs see them, without a field's own labels having a say.

The encoder of a fold has seen the labels of all training fields but those of its
fold. It is asked about these, and about test fields, which it has not seen either;
the fields it was trained on answer. So training and test fields are scored alike.
The encoders of two folds see in different spaces: their embeddings are never compared.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from hpastack.backbones import Network
from hpastack.catalogue import catalogue_digest
from hpastack.cnn.checkpoint import CnnCheckpoint, folds_of, read_checkpoint
from hpastack.cnn.distributed import Processes, process_group, worker_count
from hpastack.cnn.field_source import FieldSource
from hpastack.cnn.inference import deterministic, predict_features
from hpastack.errors import InputError, counted
from hpastack.fields import PackedFields
from hpastack.fields.paths import require_stains
from hpastack.files import atomic_write, digest_of
from hpastack.labels import Vocabulary
from hpastack.parallel import cpu_budget, progress_bar
from hpastack.similarity import SIMILARITIES, NeighbourScores, label_votes, unit_vectors

# Fields embedded together as a task of its own on a CPU.
_BLOCK = 256


def cnn_neighbour_scores(
    folder: str | os.PathLike[str], catalogue: pd.DataFrame, vocabulary: Vocabulary,
    parts: str | os.PathLike[str], *, n_neighbours: int = 32, temperature: float = 0.2,
    packed: PackedFields | None = None, device: str = "auto",
    jobs: int | None = None, progress: bool = True,
) -> NeighbourScores:  # fmt: skip
    """Score fields by the labels of those that fine-tuned CNNs find most like them.

    Parameters
    ----------
    folder : path-like
        Of `hpastack.finetune_folds`.
    catalogue : DataFrame
        All training fields of the CNNs' fold plan, with their labels, and any test fields.
    vocabulary : Vocabulary
    parts : path-like
        A folder for what is finished; after a kill the work goes on there. The caller
        removes it when the scores are safe.
    n_neighbours, temperature
        As `hpastack.neighbour_scores`.
    packed, device, jobs
        As `hpastack.finetune_folds`.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    NeighbourScores
        A training field is scored by the CNN of its own fold, among the training fields of the
        other folds; a test field by all CNNs among the fields of each: the mean.

    Raises
    ------
    InputError
        If the CNNs and the catalogue do not fit, or a training field of theirs is missing.
    """
    checkpoint = read_checkpoint(folder)
    require_stains(catalogue, checkpoint.preprocessing[0].stains, f"the CNN {folder}")
    fold = folds_of(catalogue, checkpoint, None)
    missing = checkpoint.plan.frame.index.difference(catalogue.index)
    if len(missing):
        raise InputError(
            f"{counted(len(missing), 'training field')} of {folder} are not in the catalogue, such "
            "as "
            f"{missing[0]}; their labels are needed"
        )
    labels = np.zeros((len(catalogue), len(vocabulary)))
    is_training = fold >= 0
    labels[is_training] = vocabulary.indicator(catalogue["target"][is_training], allow_empty=True)
    digest = _digest(checkpoint, catalogue, labels, n_neighbours, temperature)
    scores = np.zeros(labels.shape)
    similarity = np.zeros((len(catalogue), len(SIMILARITIES)))
    n_folds = checkpoint.plan.n_folds
    with process_group(device) as processes:
        for k in range(n_folds):
            part = Path(parts) / f"{digest}-{k}.npz"
            asked, answering = (fold == k) | (fold == -1), (fold >= 0) & (fold != k)
            if not part.is_file():
                vectors = _fold_vectors(checkpoint, k, catalogue, processes, packed, jobs, progress)
                votes = label_votes(
                    vectors[asked], vectors[answering], labels[answering],
                    n_neighbours=n_neighbours, temperature=temperature, progress=progress,
                )  # fmt: skip
                with atomic_write(part) as draft, open(draft, "wb") as file:
                    np.savez(file, scores=votes[0], similarity=votes[1])
            with np.load(part) as found:
                # A test field is asked of every fold.
                share = np.where(fold[asked] == -1, 1 / n_folds, 1.0)[:, None]
                scores[asked] += share * found["scores"]
                similarity[asked] += share * found["similarity"]
    return NeighbourScores(
        pd.DataFrame(scores, catalogue.index, range(len(vocabulary))),
        pd.DataFrame(similarity, catalogue.index, list(SIMILARITIES)),
    )


def _fold_vectors(
    checkpoint: CnnCheckpoint, fold: int, catalogue: pd.DataFrame, processes: Processes,
    packed: PackedFields | None, jobs: int | None, progress: bool,
) -> np.ndarray:  # fmt: skip
    """Embed every field with the encoder of a fold."""
    model = checkpoint.load_model(fold, processes.device)
    jobs = jobs or cpu_budget()
    starts = range(0, len(catalogue), _BLOCK)
    workers = worker_count(processes, jobs, len(starts))
    embedded = joblib.Parallel(n_jobs=workers, prefer="processes", return_as="generator")(
        joblib.delayed(_embed_block)(
            model,
            catalogue.iloc[start : start + _BLOCK],
            checkpoint,
            packed,
            max(1, jobs // workers),
        )
        for start in starts
    )
    blocks = list(progress_bar(embedded, total=len(starts), what=f"fold {fold}", show=progress))
    return unit_vectors([pd.DataFrame(np.concatenate(blocks), catalogue.index)])


def _embed_block(
    model: Network,
    catalogue: pd.DataFrame,
    checkpoint: CnnCheckpoint,
    packed: PackedFields | None,
    jobs: int,
) -> np.ndarray:
    settings = checkpoint.settings
    source = FieldSource(catalogue, settings.size, packed=packed, jobs=jobs, memory_limit=math.inf)
    with deterministic(next(model.parameters()).device):
        return predict_features(
            model, source, np.arange(len(catalogue)), settings.batch_size,
            precision=settings.precision,
        )  # fmt: skip


def _digest(
    checkpoint: CnnCheckpoint, catalogue: pd.DataFrame, labels: np.ndarray, n_neighbours: int,
    temperature: float,
) -> str:  # fmt: skip
    parts = [
        list(checkpoint.digests.values()), catalogue_digest(catalogue),
        hashlib.sha256(labels.tobytes()).hexdigest(), n_neighbours, temperature,
    ]  # fmt: skip
    return digest_of(parts)[:16]
