"""Nearest neighbours of fields, and label scores from the labels of the neighbours."""

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

# Queries searched at once, which limits the memory.
_BLOCK = 4096


@dataclass(frozen=True)
class NeighbourScores:
    """Label scores of fields from their nearest training fields.

    Attributes
    ----------
    scores : DataFrame of float, shape (n, n_labels)
        Fraction of the neighbours with each label, weighted by similarity; one
        row per query field.
    similarity : DataFrame of float, shape (n, 2)
        ``nearest`` and ``mean``: cosine to the nearest neighbour, and mean
        cosine to all neighbours.
    """

    scores: pd.DataFrame
    similarity: pd.DataFrame


def unit_vectors(tables: Sequence[pd.DataFrame], *, measured: Sequence[bool] = ()) -> np.ndarray:
    """Convert tables of target-free features to unit vectors, to compare fields by cosine.

    Parameters
    ----------
    tables : sequence of DataFrame of float, shape (n, d)
        Embeddings or hand-crafted features, with the same index of ids.
    measured : sequence of bool, optional
        Whether each table has measured features, in different units, rather
        than an embedding. Default: none. Measured features are first converted
        to `field_components`.

    Returns
    -------
    ndarray of float32, shape (n, sum of their dimensions)
        Rows of length 1. The mean of each table is subtracted (embeddings
        mostly point in the same direction), and all tables have the same
        weight. A field at the mean of all tables is a zero vector, similar to
        no other.

    Raises
    ------
    InputError
        If there is no table, the tables are not of the same fields in the same
        order, one is empty, or a value is not finite.
    """
    if not tables:
        raise InputError("tables is empty; pass at least one table of features")
    parts = []
    for table, is_measured in zip(tables, measured or [False] * len(tables), strict=True):
        if not table.index.equals(tables[0].index):
            raise InputError("tables: the tables must have the same fields in the same order")
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
    """Find the most similar reference fields of each query, by brute force.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, d)
    references : ndarray of float32, shape (m, d)
        Both as `unit_vectors` returns them.
    n_neighbours : int
        Number of neighbours to find; limited by the number of references.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    rows : ndarray of int, shape (n, k)
        Rows of `references`, nearest first; ties are broken by the order of
        the references.
    cosines : ndarray of float32, shape (n, k)
        Cosine to each of these.

    Raises
    ------
    InputError
        If there is no reference, or `n_neighbours` is below 1.
    """
    if n_neighbours < 1:
        raise InputError(f"n_neighbours is {n_neighbours}; it must be at least 1", "n_neighbours")
    if not len(references):
        raise InputError("references is empty; there is no field that can be a neighbour")
    k = min(n_neighbours, len(references))
    # For vectors of equal length the nearest are those with the largest cosine.
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(references)
    rows = np.empty((len(queries), k), dtype=np.int64)
    cosines = np.empty((len(queries), k), dtype=np.float32)
    starts = range(0, len(queries), _BLOCK)
    for start in progress_bar(starts, what="neighbours", show=progress):
        block = queries[start : start + _BLOCK]
        nearest = np.sort(search.kneighbors(block, return_distance=False), axis=1)
        of_block = np.einsum("nd,nkd->nk", block, references[nearest])
        order = np.argsort(-of_block, axis=1, kind="stable")
        rows[start : start + _BLOCK] = np.take_along_axis(nearest, order, axis=1)
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
    """Score the labels of each field by the labels of its nearest training fields [1]_.

    The neighbours of a training field are in the other folds, so that neither
    its own labels nor those of its cluster are used; those of any other field
    are among all training fields.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        As `unit_vectors` returns them, one row per field.
    y : DataFrame of 0 and 1, shape (n_train, n_labels)
        Labels of the training fields, indexed by image id.
    fold : Series of int, shape (n_train,)
        Fold of each training field, indexed by image id: a plan that splits no cluster.
    image_ids : sequence of str
        The field of each row of `vectors`.
    n_neighbours : int, default=32
        Number of neighbours of each field.
    temperature : float, default=0.2
        The weight of a neighbour is 1/e if its cosine is lower by `temperature` than
        that of the nearest neighbour, whose weight is 1.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    NeighbourScores
        Scores are ``(sum of w * y + p) / (sum of w + 1)``, with the weights w of the
        neighbours, 1 for the nearest, and the prevalence p of the label among the
        training fields searched; in [0, 1].

    Raises
    ------
    InputError
        If a training field has no vector or no fold, there are fewer than two
        folds, ids are duplicate, or a parameter is out of range.

    References
    ----------
    .. [1] T. Cover and P. Hart, "Nearest neighbor pattern classification", IEEE
       Trans. Inf. Theory 13(1), 21-27, 1967. :doi:`10.1109/TIT.1967.1053964`

    Examples
    --------
    Two kinds of field, in two folds; each field has identical fields in the other fold:

    >>> ids = list("abcdef")
    >>> vectors = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    >>> y = pd.DataFrame({"first": [1, 1, 1, 0, 0, 0]}, index=ids)
    >>> fold = pd.Series([0, 1, 1, 0, 1, 1], index=ids)
    >>> result = neighbour_scores(vectors, y, fold, ids, n_neighbours=2)
    >>> result.scores["first"].round(2).tolist(), result.similarity["nearest"].tolist()
    ([0.83, 0.75, 0.75, 0.17, 0.25, 0.25], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; it must be above 0", "temperature")
    ids = pd.Index(image_ids)
    if ids.has_duplicates:
        raise InputError(f"image_ids: duplicate ids: {shorten(ids[ids.duplicated()].unique())}")
    if len(ids) != len(vectors):
        raise InputError(
            f"image_ids has {counted(len(ids), 'id')} and vectors has "
            f"{counted(len(vectors), 'row')}; the numbers must be equal"
        )
    missing = y.index.difference(ids)
    if len(missing):
        raise InputError(f"training fields that are not in image_ids: {shorten(missing)}")
    without_fold = y.index.difference(fold.index)
    if len(without_fold):
        raise InputError(f"training fields without a fold: {shorten(without_fold)}")
    rows_of_train = ids.get_indexer(y.index)
    fold_of_train = fold.loc[y.index].to_numpy()
    if len(np.unique(fold_of_train)) < 2:
        raise InputError("fold: out-of-fold neighbours need at least two folds")
    labels = y.to_numpy(dtype=np.float64)
    fold_of_row = np.full(len(ids), -1)
    fold_of_row[rows_of_train] = fold_of_train

    scores = np.empty((len(ids), labels.shape[1]))
    similarity = np.empty((len(ids), 2))
    for number in np.unique(fold_of_row):
        queries = np.flatnonzero(fold_of_row == number)
        references = fold_of_train != number if number >= 0 else np.ones(len(y), bool)
        scores[queries], similarity[queries] = label_votes(
            vectors[queries], vectors[rows_of_train[references]], labels[references],
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
    """Score labels of query fields by the labels of their nearest reference fields.

    Parameters
    ----------
    queries : ndarray of float32, shape (n, d)
    references : ndarray of float32, shape (m, d)
        Both as `unit_vectors` returns them.
    labels : ndarray of {0, 1}, shape (m, n_labels)
        Labels of the references.
    n_neighbours, temperature, progress
        As `neighbour_scores`.

    Returns
    -------
    scores : ndarray of float, shape (n, n_labels)
        As in `NeighbourScores`.
    similarity : ndarray of float, shape (n, 2)
        As in `NeighbourScores`.
    """
    rows, cosines = nearest_fields(queries, references, n_neighbours, progress=progress)
    weights = np.exp((cosines - cosines[:, :1]) / temperature, dtype=np.float64)
    prevalence = labels.mean(axis=0)
    shares = np.einsum("nk,nkl->nl", weights, labels[rows])
    scores = (shares + prevalence) / (weights.sum(axis=1) + 1)[:, None]
    return scores, np.stack([cosines[:, 0], cosines.mean(axis=1)], axis=1)


def _normalised(values: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    # A field at the mean leaves only rounding error, which must not be scaled to unit length.
    least = 1e-5 * max(float(length.max(initial=0)), 1e-30)
    return (values * np.where(length > least, 1 / np.maximum(length, least), 0)).astype(np.float32)
