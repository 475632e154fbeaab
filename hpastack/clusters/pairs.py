"""Tables of pairs of duplicate fields."""

from __future__ import annotations

import os
import re
from itertools import combinations

import pandas as pd

from hpastack.errors import InputError, counted, shorten
from hpastack.fields import STAINS
from hpastack.files import ID_NAMES, named_column, read_lines, read_text_table

#: Columns of a table of pairs with the distances between hashes, in bits (of 256).
DISTANCE_COLUMNS = tuple(f"distance_{stain}" for stain in STAINS)
# Names of columns of other tables, which are not ids.
_HEADER = ("target", "predicted", "label", "labels", "fold", "cluster", "split", "twin")
# A similarity listed with two ids would join all fields with the same similarity.
_DECIMAL = re.compile(r"[+-]?\d*[.]\d+([eE][+-]?\d+)?")
# Between unrelated fields half the bits of a hash differ.
_UNRELATED = 128


def read_duplicate_lists(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a list of known duplicates.

    Parameters
    ----------
    path : path-like
        A text file: on each line two or more ids of fields that show the same cells, separated by
        commas, semicolons or tabs; empty lines are ignored. Or a table with the columns
        ``image_id`` (or ``Id``) and ``twin``, such as ``data/pairs.csv``.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin``: all pairs of ids of the same line, the smaller
        id first, without duplicate rows.

    Raises
    ------
    InputError
        If a line has a single id, an empty id or a decimal number, the file has no pair, or its
        first line names the columns of another table.
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
            f"{path}: line 1 names columns ({first.strip()[:60]}), so this is not a list of "
            "duplicates; write two or more ids on each line, or a table with the columns "
            "image_id, twin"
        )
    else:
        groups = [
            (number, _ids(line)) for number, line in enumerate(lines, start=1) if line.strip()
        ]
    pairs: set[tuple[str, str]] = set()
    for number, ids in groups:
        if len(ids) < 2 or "" in ids:
            raise InputError(
                f"{path}: line {number}: each line needs two or more ids, separated by commas"
            )
        numbers = [image_id for image_id in ids if _DECIMAL.fullmatch(image_id)]
        if numbers:
            raise InputError(
                f"{path}: line {number}: {numbers[0]} is a number, not an id; remove columns of "
                "similarities"
            )
        pairs.update(combinations(sorted(set(ids)), 2))
    if not pairs:
        raise InputError(f"{path}: the file contains no pair of ids")
    return pd.DataFrame(sorted(pairs), columns=["image_id", "twin"])


def unknown_ids(
    pairs: pd.DataFrame, image_ids: pd.Index, path: str | os.PathLike[str]
) -> pd.Series:
    """Count the fields that each unknown id of the listed pairs would join.

    Parameters
    ----------
    pairs : DataFrame
        As `read_duplicate_lists` returns them.
    image_ids : Index
        The fields of the catalogue.
    path : path-like
        File of the pairs, for error messages.

    Returns
    -------
    Series of int
        Number of fields of the catalogue that are paired with each id that is not in the
        catalogue, and so joined by it; indexed by that id, largest number first.

    Raises
    ------
    InputError
        If neither id of most pairs is in the catalogue.
    """
    known = pairs.isin(set(image_ids))
    n_unknown_pairs = int((~known.any(axis=1)).sum())
    ids = pd.Index(pd.unique(pairs.to_numpy().ravel()))
    unknown = ids.difference(image_ids)
    if n_unknown_pairs == len(pairs):
        raise InputError(
            f"{path}: none of the ids is in the catalogue; ids of the file: {shorten(ids, 3)}; "
            f"ids of the catalogue: {shorten(image_ids, 3)}"
        )
    if 2 * n_unknown_pairs > len(pairs):
        raise InputError(
            f"{path}: {n_unknown_pairs} of {counted(len(pairs), 'pair has', 'pairs have')} no id "
            f"that is in the catalogue; unknown ids: {shorten(unknown)}; ids of the catalogue: "
            f"{shorten(image_ids, 3)}; correct the ids, or remove these lines"
        )
    mixed = pairs[known.any(axis=1) & ~known.all(axis=1)]
    outside = mixed["twin"].where(known["image_id"], mixed["image_id"])
    counts = outside.value_counts().reindex(unknown, fill_value=0)
    return counts.sort_values(ascending=False, kind="stable")


def _ids(line: str) -> list[str]:
    mark = next((mark for mark in ",;\t" if mark in line), ",")
    return [image_id.strip() for image_id in line.split(mark)]


def _plain(name: str) -> str:
    return name.strip('"').lower().replace("_", "")


def pair_strength(pairs: pd.DataFrame) -> pd.Series:
    """Similarity of the two fields of each pair.

    Parameters
    ----------
    pairs : DataFrame
        A table of pairs; of the columns ``evidence``, ``distance_<stain>``,
        ``correlation`` and ``cosine`` those that it has are used.

    Returns
    -------
    Series of float
        From 0 to 1, in the order of `pairs`: the maximum of 1 for a listed
        pair, the correlation of the overlap, the cosine of the embeddings,
        and, for a pair found by its hashes, 1 minus the mean distance of the
        comparable stains divided by 128, the distance of unrelated fields.

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
