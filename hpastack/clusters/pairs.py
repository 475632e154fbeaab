"""Tables of pairs of duplicate fields."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pandas as pd

from hpastack.errors import InputError
from hpastack.fields import STAINS

#: Columns of a table of pairs that hold the distances between hashes, in bits of 256.
DISTANCE_COLUMNS = tuple(f"distance_{stain}" for stain in STAINS)
# Half the bits of a hash differ between unrelated fields.
_UNRELATED = 128


def read_duplicate_lists(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read known duplicates.

    Parameters
    ----------
    path : path-like
        Text: on each line two or more ids, separated by commas, that show the
        same cells. Blank lines are passed over.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin``: every pair of a line, the smaller id first,
        without doubles.

    Raises
    ------
    InputError
        If a line holds a single or an empty id, or the file no line at all.
    """
    pairs: set[tuple[str, str]] = set()
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        ids = [image_id.strip() for image_id in line.split(",")]
        if len(ids) < 2 or "" in ids:
            raise InputError(
                f"{path}: line {number}: a line holds two or more ids separated by commas"
            )
        pairs.update(combinations(sorted(set(ids)), 2))
    if not pairs:
        raise InputError(f"{path}: holds no pair of ids")
    return pd.DataFrame(sorted(pairs), columns=["image_id", "twin"])


def pair_strength(pairs: pd.DataFrame) -> pd.Series:
    """Say how closely the two fields of each pair resemble each other.

    Parameters
    ----------
    pairs : DataFrame
        A table of pairs; whatever it holds of ``evidence``,
        ``distance_<stain>``, ``correlation`` and ``cosine`` is used.

    Returns
    -------
    Series of float
        From 0 to 1, in the order of `pairs`: the best of 1 for a pair that
        was listed, the correlation of the overlap, the cosine of the
        embeddings, and, for a pair found by its hashes, 1 less the mean
        distance of the stains that can be compared, in parts of the distance
        of unrelated fields.

    Examples
    --------
    >>> pairs = pd.DataFrame({"evidence": ["hash", "shift"], "distance_red": [32, 120],
    ...                       "distance_blue": [0, None], "correlation": [None, 0.97]})
    >>> pair_strength(pairs).tolist()
    [0.875, 0.97]
    """
    evidence = pairs["evidence"] if "evidence" in pairs else pd.Series("hash", pairs.index)
    strength = pd.DataFrame(
        {"listed": evidence.str.contains("listed").astype(float)}, index=pairs.index
    )
    columns = [column for column in DISTANCE_COLUMNS if column in pairs]
    distance = pairs[columns].apply(pd.to_numeric).astype(float).mean(axis=1)
    by_hash = evidence.str.contains("hash")
    strength["hash"] = (1 - distance / _UNRELATED).where(by_hash)
    for column in ("correlation", "cosine"):
        if column in pairs:
            strength[column] = pd.to_numeric(pairs[column]).astype(float)
    return strength.max(axis=1).clip(0, 1).rename("strength")
