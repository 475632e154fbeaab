"""Out-of-fold neighbour scores in the embeddings of fine-tuned CNNs.

The CNN of a fold was trained on the labels of all training fields except those of its
fold. Queries are the fields of its fold and the test fields; the reference set is the
fields that it was trained on. Training and test fields are therefore scored in the same
way, and never by their own labels. Each CNN has its own embedding space, so embeddings of
two CNNs are never compared.
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
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import PackedFields
from hpastack.fields.paths import require_stains
from hpastack.files import atomic_write, digest_of
from hpastack.labels import Vocabulary
from hpastack.parallel import cpu_budget, progress_bar, worker_processes
from hpastack.similarity import SIMILARITIES, NeighbourScores, label_votes, unit_vectors

# Fields per task when embedding on a CPU.
_BLOCK = 256


def cnn_neighbour_scores(
    folder: str | os.PathLike[str], catalogue: pd.DataFrame, vocabulary: Vocabulary,
    parts: str | os.PathLike[str], *, n_neighbours: int = 32, temperature: float = 0.2,
    packed: PackedFields | None = None, device: str = "auto",
    jobs: int | None = None, progress: bool = True,
) -> NeighbourScores:  # fmt: skip
    """Score fields by the labels of their nearest neighbours in the embeddings of CNNs.

    Parameters
    ----------
    folder : path-like
        Folder written by `hpastack.finetune_folds`.
    catalogue : DataFrame
        All training fields of the CNNs' fold plan, with their labels, and any test fields.
    vocabulary : Vocabulary
    parts : path-like
        Folder for intermediate results, from which an interrupted run resumes. The caller
        removes it once the scores are saved.
    n_neighbours, temperature
        As in `hpastack.neighbour_scores`.
    packed, device, jobs
        As in `hpastack.finetune_folds`.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    NeighbourScores
        A training field is scored by the CNN of its own fold, against the training fields of
        the other folds. The score of a test field is the mean over all CNNs, each against the
        fields it was trained on.

    Raises
    ------
    InputError
        If the CNNs do not match the catalogue, or one of their training fields is missing.
    """
    checkpoint = read_checkpoint(folder)
    require_stains(catalogue, checkpoint.preprocessing[0].stains, f"the CNN {folder}")
    fold = folds_of(catalogue, checkpoint, None)
    missing = checkpoint.plan.frame.index.difference(catalogue.index)
    if len(missing):
        raise InputError(
            f"{counted(len(missing), 'training field')} of {folder} missing from the catalogue: "
            f"{shorten(missing)}; their labels are needed"
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
            is_query, is_reference = (fold == k) | (fold == -1), (fold >= 0) & (fold != k)
            if not part.is_file():
                vectors = _fold_vectors(checkpoint, k, catalogue, processes, packed, jobs, progress)
                votes = label_votes(
                    vectors[is_query], vectors[is_reference], labels[is_reference],
                    n_neighbours=n_neighbours, temperature=temperature, progress=progress,
                )  # fmt: skip
                with atomic_write(part) as draft, open(draft, "wb") as file:
                    np.savez(file, scores=votes[0], similarity=votes[1])
            with np.load(part) as arrays:
                # Test fields are queries of every fold.
                share = np.where(fold[is_query] == -1, 1 / n_folds, 1.0)[:, None]
                scores[is_query] += share * arrays["scores"]
                similarity[is_query] += share * arrays["similarity"]
    return NeighbourScores(
        pd.DataFrame(scores, catalogue.index, range(len(vocabulary))),
        pd.DataFrame(similarity, catalogue.index, list(SIMILARITIES)),
    )


def _fold_vectors(
    checkpoint: CnnCheckpoint, fold: int, catalogue: pd.DataFrame, processes: Processes,
    packed: PackedFields | None, jobs: int | None, progress: bool,
) -> np.ndarray:  # fmt: skip
    """Return the embeddings of all fields by the CNN of a fold."""
    model = checkpoint.load_model(fold, processes.device)
    jobs = jobs or cpu_budget()
    starts = range(0, len(catalogue), _BLOCK)
    workers = worker_count(processes, jobs, len(starts))
    embedded = worker_processes(workers, return_as="generator")(
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
