"""Tables of pairs of duplicate fields."""

from __future__ import annotations

import os
import re
from itertools import combinations

import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.fields import STAINS
from hpastack.files import ID_NAMES, named_column, read_lines, read_text_table

#: Columns of a table of pairs that hold the distances between hashes, in bits of 256.
DISTANCE_COLUMNS = tuple(f"distance_{stain}" for stain in STAINS)
# What columns of other tables are called; no ids.
_HEADER = ("target", "predicted", "label", "labels", "fold", "cluster", "split", "twin")
# A similarity beside two ids would join all fields that have the same.
_DECIMAL = re.compile(r"[+-]?\d*[.]\d+([eE][+-]?\d+)?")
# Half the bits of a hash differ between unrelated fields.
_UNRELATED = 128


def read_duplicate_lists(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read known duplicates.

    Parameters
    ----------
    path : path-like
        Text: on each line two or more ids, separated by commas (or by semicolons or tabs), that
        show the same cells; blank lines are ignored. Or a table with the columns ``image_id`` (or
        ``Id``) and ``twin``, such as ``data/pairs.csv``.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin``: every pair of a line, the smaller id first,
        without duplicates.

    Raises
    ------
    InputError
        If a line holds a single or an empty id, the file no line at all, or the first line the
        names of columns of another table.
    """
    lines = read_lines(path)
    first = next((line for line in lines if line.strip()), "")
    named = {_plain(name) for name in _ids(first)} & {*_HEADER, *map(_plain, ID_NAMES)}
    if named and "twin" in named:
        table = read_text_table(path)
        column = named_column(table, ID_NAMES, path)
        groups = list(enumerate(table[[column, "twin"]].to_numpy().tolist(), start=2))
    elif named:
        raise InputError(
            f"{path}: line 1 names columns ({first.strip()[:60]}), so that this is another table; "
            "a line of duplicates holds two or more ids, or a table has the columns image_id, twin"
        )
    else:
        groups = [
            (number, _ids(line)) for number, line in enumerate(lines, start=1) if line.strip()
        ]
    pairs: set[tuple[str, str]] = set()
    for number, ids in groups:
        if len(ids) < 2 or "" in ids:
            raise InputError(
                f"{path}: line {number}: a line holds two or more ids separated by commas"
            )
        numbers = [image_id for image_id in ids if _DECIMAL.fullmatch(image_id)]
        if numbers:
            raise InputError(
                f"{path}: line {number}: {numbers[0]} is a number and no id; a line holds ids "
                "alone, so leave out columns of similarities"
            )
        pairs.update(combinations(sorted(set(ids)), 2))
    if not pairs:
        raise InputError(f"{path}: holds no pair of ids")
    return pd.DataFrame(sorted(pairs), columns=["image_id", "twin"])


def unknown_ids(
    pairs: pd.DataFrame, image_ids: pd.Index, path: str | os.PathLike[str]
) -> pd.Series:
    """Count the ids of listed pairs that are not in the catalogue.

    Parameters
    ----------
    pairs : DataFrame
        As `read_duplicate_lists` returns it.
    image_ids : Index
        The fields of the catalogue.
    path : path-like
        Where the pairs are from, for errors.

    Returns
    -------
    Series of int
        How many fields of the catalogue are listed with each unknown id, and so joined by it;
        indexed by unknown id, the most first.

    Raises
    ------
    InputError
        If most pairs hold no id of the catalogue.
    """
    known = pairs.isin(set(image_ids))
    n_strange = int((~known.any(axis=1)).sum())
    ids = pd.Index(pd.unique(pairs.to_numpy().ravel()))
    strange = ids.difference(image_ids)
    if n_strange == len(pairs):
        raise InputError(
            f"{path}: holds no id of the catalogue; its ids are {shorten(ids, 3)}, those of the "
            f"catalogue {shorten(image_ids, 3)}"
        )
    if 2 * n_strange > len(pairs):
        raise InputError(
            f"{path}: {n_strange} of {counted(len(pairs), 'pair holds', 'pairs hold')} no id of "
            "the catalogue: "
            f"{shorten(strange)}; those of the catalogue are {shorten(image_ids, 3)}; correct "
            "the ids, or leave these lines out"
        )
    mixed = pairs[known.any(axis=1) & ~known.all(axis=1)]
    outside = mixed["twin"].where(known["image_id"], mixed["image_id"])
    counts = outside.value_counts().reindex(strange, fill_value=0)
    return counts.sort_values(ascending=False, kind="stable")


def _ids(line: str) -> list[str]:
    mark = next((mark for mark in ",;\t" if mark in line), ",")
    return [image_id.strip() for image_id in line.split(mark)]


def _plain(name: str) -> str:
    return name.strip('"').lower().replace("_", "")


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
