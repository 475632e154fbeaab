"""All searches for near-duplicates combined in one table of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpastack.clusters.embedded import embedding_pairs
from hpastack.clusters.hashing import FieldHashes, checked_hashes
from hpastack.clusters.links import clusters_from_keys
from hpastack.clusters.pairs import DISTANCE_COLUMNS
from hpastack.clusters.settings import DuplicateSettings
from hpastack.clusters.shifted import shifted_pairs
from hpastack.clusters.unshifted import duplicate_pairs, name_pairs

#: Columns of a table of pairs.
PAIR_COLUMNS = (
    "image_id", "twin", "evidence", *DISTANCE_COLUMNS, "correlation", "shift_y", "shift_x",
    "mirror", "cosine",
)  # fmt: skip


def near_duplicates(
    hashes: FieldHashes | pd.DataFrame | None,
    *,
    max_distance: int | Mapping[str, int] = 48,
    min_stains: int = 3,
    shifted: bool = True,
    min_correlation: float = 0.88,
    min_similarity: float = 0.38,
    mirrored: bool = False,
    embeddings: pd.DataFrame | None = None,
    min_cosine: float = 0.98,
    jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find near-duplicate fields: unshifted copies, shifted copies, and similar embeddings.

    Parameters
    ----------
    hashes : FieldHashes, DataFrame or None
        From `hash_fields`, or a catalogue, whose images are then read and hashed.
        With None only embeddings are compared.
    max_distance : int or mapping of stain to int, default=48
        Maximum number of bits, of 256, in which the hashes of a stain may
        differ: one number for all stains, or one for each.
    min_stains : int, default=3
        Number of stains that must agree; an empty stain never agrees.
    shifted : bool, default=True
        Whether to search for shifted copies too.
    min_correlation : float, default=0.88
        Minimum correlation of the overlapping parts of a shifted copy and its
        original.
    min_similarity : float, default=0.38
        Minimum similarity of the power spectra of two fields for them to be
        registered. Lower values find copies with larger shifts, but take
        longer.
    mirrored : bool, default=False
        Whether to search for mirrored copies too; three times the work.
    embeddings : DataFrame, optional
        One row per field, indexed by image id. If omitted, embeddings are not
        compared.
    min_cosine : float, default=0.98
        Minimum cosine of two embeddings after subtraction of the mean embedding.
    jobs : int, optional
        Number of threads. Default: one for each processor that this process may use.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DataFrame
        One row per pair, sorted: ``image_id``, ``twin`` (id of the other
        field), ``evidence`` (the searches that found the pair, ``hash``,
        ``shift`` and ``embedding``, joined by ``+``), ``distance_<stain>``
        (bits), ``correlation``, ``shift_y``, ``shift_x`` (fractions of the
        side) and ``mirror`` (missing if not found by ``shift``), ``cosine``
        (missing if not found by ``embedding``).

    Raises
    ------
    InputError
        If a parameter is out of range, ids are duplicate, an embedding is not
        finite, an image cannot be read, or there are more than ten million
        pairs.

    See Also
    --------
    duplicate_pairs : The search for copies that are not shifted.
    shifted_pairs : The search for shifted copies, and which shifts it finds.
    embedding_pairs : The comparison of embeddings.
    duplicate_clusters : Clusters of the pairs found and of groups.
    """
    DuplicateSettings(
        max_distance=dict(max_distance) if isinstance(max_distance, Mapping) else max_distance,
        min_stains=min_stains, shifted=shifted, min_correlation=min_correlation,
        min_similarity=min_similarity, mirrored=mirrored, min_cosine=min_cosine,
    )  # fmt: skip
    keys = ["image_id", "twin"]
    pairs_of: dict[str, pd.DataFrame] = {}  # by search
    if hashes is not None:
        hashes = checked_hashes(hashes)
        pairs_of["hash"] = duplicate_pairs(
            hashes.hashes, hashes.valid, hashes.image_ids, max_distance=max_distance,
            min_stains=min_stains, jobs=jobs, progress=progress,
        )[keys]  # fmt: skip
        if shifted:
            pairs_of["shift"] = shifted_pairs(
                hashes, min_correlation=min_correlation, min_stains=min_stains,
                min_similarity=min_similarity, mirrored=mirrored, jobs=jobs,
                progress=progress,
            ).drop(columns=list(DISTANCE_COLUMNS))  # fmt: skip
    if embeddings is not None:
        if hashes is not None:  # the same order of fields, so that pairs match
            order = embeddings.index.to_numpy(dtype=object, copy=True)
            known = embeddings.index.isin(hashes.image_ids)
            shared = set(order[known])
            order[known] = [image_id for image_id in hashes.image_ids if image_id in shared]
            embeddings = embeddings.loc[order]
        pairs_of["embedding"] = embedding_pairs(
            embeddings, min_cosine=min_cosine, progress=progress
        )
    pairs = pd.DataFrame(columns=keys, dtype=object)
    for search, table in pairs_of.items():
        pairs = pairs.merge(table.assign(**{f"by {search}": True}), how="outer", on=keys)
    is_found_by = [(search, pairs[f"by {search}"].notna()) for search in pairs_of]
    evidence = np.full(len(pairs), "", dtype=object)
    for search, is_found in is_found_by:
        plus = np.where((evidence != "") & is_found, "+", "")
        evidence = evidence + plus + np.where(is_found, search, "").astype(object)
    pairs["evidence"] = evidence
    if hashes is not None:
        rows = pd.Index(hashes.image_ids, dtype=object)
        numbers = np.c_[tuple(rows.get_indexer(pd.Index(pairs[key])) for key in keys)]
        known = (numbers >= 0).all(axis=1)  # embeddings may include further fields
        measured = name_pairs(numbers[known], hashes.hashes, hashes.valid, None)
        measured.index = pairs.index[known]
        pairs[list(DISTANCE_COLUMNS)] = measured[list(DISTANCE_COLUMNS)].reindex(pairs.index)
    pairs = pairs.reindex(columns=list(PAIR_COLUMNS))
    return pairs.sort_values(keys, ignore_index=True)


def duplicate_clusters(
    hashes: FieldHashes | pd.DataFrame, groups: pd.DataFrame | None = None, **options: Any
) -> pd.Series:
    """Join near-duplicates, and fields of the same group, into clusters.

    Parameters
    ----------
    hashes : FieldHashes or DataFrame
        A catalogue is hashed first.
    groups : DataFrame, optional
        Group columns (well, antibody), indexed by image id.
    **options
        As `near_duplicates`.

    Returns
    -------
    Series of str
        As `clusters_from_keys`.
    """
    hashes = checked_hashes(hashes)
    pairs = near_duplicates(hashes, **options)
    return clusters_from_keys(hashes.image_ids, pairs, groups)
