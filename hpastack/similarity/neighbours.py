"""Neighbours: the fields that look most like a field, and what their labels say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from hpastack.errors import InputError, counted, shorten
from hpastack.parallel import progress_bar
from hpastack.similarity.components import field_components, field_matrix

#: Columns of the similarities of `NeighbourScores`.
SIMILARITIES = ("nearest", "mean")

# Queries searched at once: bounds the memory.
_BLOCK = 4096


@dataclass(frozen=True)
class NeighbourScores:
    """What the nearest training fields say of each field.

    Attributes
    ----------
    scores : DataFrame of float, shape (n, n_labels)
        For each label the share of it among the neighbours, weighted by
        similarity; rows as the fields asked for.
    similarity : DataFrame of float, shape (n, 2)
        ``nearest`` and ``mean``: cosine to the nearest neighbour, and the mean
        over all of them.
    """

    scores: pd.DataFrame
    similarity: pd.DataFrame


def unit_vectors(tables: Sequence[pd.DataFrame], *, measured: Sequence[bool] = ()) -> np.ndarray:
    """Turn sets of target-free columns into vectors whose cosines say how alike fields look.

    Parameters
    ----------
    tables : sequence of DataFrame of float, shape (n, d)
        Embeddings or hand-crafted features, with the same index of ids.
    measured : sequence of bool, optional
        Which of them hold measured columns, of many units, rather than an
        embedding; none if left out. Such a table is described by its
        `field_components` first.

    Returns
    -------
    ndarray of float32, shape (n, sum of their dimensions)
        Rows of length 1. Each table has its mean taken off (embeddings mostly
        point one way) and the same weight. A field at the mean of all
        tables is a zero vector, and like no other.

    Raises
    ------
    InputError
        If the tables differ in their fields, one is empty, or a value is not finite.
    """
    if not tables:
        raise InputError("no table of features to look for neighbours in")
    parts = []
    for table, is_measured in zip(tables, measured or [False] * len(tables), strict=True):
        if not table.index.equals(tables[0].index):
            raise InputError("the tables of features are not of the same fields in one order")
        if is_measured:
            values = field_components(table).to_numpy(np.float32)
        else:
            order, rows = field_matrix(table)
            values = np.empty_like(rows)
            values[order] = rows
        values = values - values.mean(axis=0, dtype=np.float64).astype(np.float32)
        parts.append(_normalised(values))
    return _normalised(np.concatenate(parts, axis=1))


def nearest_fields(
    queries: np.ndarray, references: np.ndarray, n_neighbours: int, *, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar of many fields, by brute force.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, d)
    references : ndarray of float32, shape (m, d)
        Both as `unit_vectors` gives them.
    n_neighbours : int
        How many to find; fewer if there are fewer references.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    rows : ndarray of int, shape (n, k)
        Of `references`, nearest first; of equally near ones the earlier.
    cosines : ndarray of float32, shape (n, k)

    Raises
    ------
    InputError
        If there is no reference, or `n_neighbours` is below 1.
    """
    if n_neighbours < 1:
        raise InputError(f"{n_neighbours} neighbours; take 1 or more")
    if not len(references):
        raise InputError("no field to be a neighbour")
    k = min(n_neighbours, len(references))
    # On vectors of one length the nearest are those with the largest cosine.
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(references)
    rows = np.empty((len(queries), k), dtype=np.int64)
    cosines = np.empty((len(queries), k), dtype=np.float32)
    starts = range(0, len(queries), _BLOCK)
    for start in progress_bar(starts, what="neighbours", show=progress):
        block = queries[start : start + _BLOCK]
        found = np.sort(search.kneighbors(block, return_distance=False), axis=1)
        of_block = np.einsum("nd,nkd->nk", block, references[found])
        order = np.argsort(-of_block, axis=1, kind="stable")
        rows[start : start + _BLOCK] = np.take_along_axis(found, order, axis=1)
        cosines[start : start + _BLOCK] = np.take_along_axis(of_block, order, axis=1)
    return rows, cosines


def neighbour_scores(
    vectors: np.ndarray,
    y: pd.DataFrame,
    fold: pd.Series,
    image_ids: Sequence[str],
    *,
    n_neighbours: int = 32,
    temperature: float = 0.2,
    progress: bool = True,
) -> NeighbourScores:
    """Score each label of a field by the labels of the training fields that look most like it.

    A training field is scored by those of the other folds, so that neither its
    own labels nor those of its cluster take part; any other field by all
    training fields.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        As `unit_vectors` gives them, a row a field.
    y : DataFrame of 0 and 1, shape (n_train, n_labels)
        Labels of the training fields, indexed by image id.
    fold : Series of int, shape (n_train,)
        Fold of each training field, indexed by image id: a plan that keeps clusters whole.
    image_ids : sequence of str
        The field of each row of `vectors`.
    n_neighbours : int, default=32
    temperature : float, default=0.2
        A neighbour whose cosine is this much lower than that of the nearest counts
        1/e as much.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    NeighbourScores
        Scores are ``(sum of w * y + p) / (sum of w + 1)`` with the weights w of the
        neighbours, 1 for the nearest, and the prevalence p among those that could
        have been neighbours; in [0, 1].

    Raises
    ------
    InputError
        If a training field has no vector or no fold, there are fewer than two
        folds, or a parameter is out of range.

    References
    ----------
    .. [1] T. Cover and P. Hart, "Nearest neighbor pattern classification", IEEE
       Trans. Inf. Theory 13(1), 21-27, 1967. :doi:`10.1109/TIT.1967.1053964`

    Examples
    --------
    Two looks, in two folds; the third field of a look has both others as neighbours:

    >>> ids = list("abcdef")
    >>> vectors = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    >>> y = pd.DataFrame({"first": [1, 1, 1, 0, 0, 0]}, index=ids)
    >>> fold = pd.Series([0, 1, 1, 0, 1, 1], index=ids)
    >>> found = neighbour_scores(vectors, y, fold, ids, n_neighbours=2)
    >>> found.scores["first"].round(2).tolist(), found.similarity["nearest"].tolist()
    ([0.83, 0.75, 0.75, 0.17, 0.25, 0.25], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; it is above 0")
    ids = pd.Index(image_ids)
    if len(ids) != len(vectors) or ids.has_duplicates:
        raise InputError(f"{counted(len(ids), 'id')}, each once, for {len(vectors)} vectors")
    missing = y.index.difference(ids)
    if len(missing):
        raise InputError(f"training fields without a vector: {shorten(missing)}")
    without_fold = y.index.difference(fold.index)
    if len(without_fold):
        raise InputError(f"training fields without a fold: {shorten(without_fold)}")
    rows_of_train = ids.get_indexer(y.index)
    fold_of_train = fold.loc[y.index].to_numpy()
    if len(np.unique(fold_of_train)) < 2:
        raise InputError("neighbours out of fold need at least two folds")
    labels = y.to_numpy(dtype=np.float64)
    fold_of_row = np.full(len(ids), -1)
    fold_of_row[rows_of_train] = fold_of_train

    scores = np.empty((len(ids), labels.shape[1]))
    similarity = np.empty((len(ids), 2))
    for number in np.unique(fold_of_row):
        asked = np.flatnonzero(fold_of_row == number)
        answering = fold_of_train != number if number >= 0 else np.ones(len(y), bool)
        scores[asked], similarity[asked] = label_votes(
            vectors[asked], vectors[rows_of_train[answering]], labels[answering],
            n_neighbours=n_neighbours, temperature=temperature, progress=progress,
        )  # fmt: skip
    return NeighbourScores(
        pd.DataFrame(scores, ids, y.columns),
        pd.DataFrame(similarity, ids, list(SIMILARITIES)),
    )


def label_votes(
    queries: np.ndarray, references: np.ndarray, labels: np.ndarray, *,
    n_neighbours: int, temperature: float, progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Score labels of some fields by those of the most similar of others.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, d)
    references : ndarray of float32, shape (m, d)
        Both as `unit_vectors` gives them.
    labels : ndarray of {0, 1}, shape (m, n_labels)
        Of the references.
    n_neighbours, temperature, progress
        As `neighbour_scores`.

    Returns
    -------
    scores : ndarray of float, shape (n, n_labels)
        As `NeighbourScores`.
    similarity : ndarray of float, shape (n, 2)
        Likewise.
    """
    found, cosines = nearest_fields(queries, references, n_neighbours, progress=progress)
    weights = np.exp((cosines - cosines[:, :1]) / temperature, dtype=np.float64)
    prevalence = labels.mean(axis=0)
    shares = np.einsum("nk,nkl->nl", weights, labels[found])
    scores = (shares + prevalence) / (weights.sum(axis=1) + 1)[:, None]
    return scores, np.stack([cosines[:, 0], cosines.mean(axis=1)], axis=1)


def _normalised(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    # What is left of a field at the mean is rounding, and must not be blown up to a direction.
    least = 1e-5 * max(float(length.max(initial=0)), 1e-30)
    return (values * np.where(length > least, 1 / np.maximum(length, least), 0)).astype(np.float32)
