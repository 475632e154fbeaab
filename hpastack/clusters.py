"""Clusters of fields that must stay together, and what their links give away.

Near-duplicates and shared wells, antibodies or plates are links; union-find
joins them. The links then say what holds a giant cluster together, where the
labels of a cluster disagree, and which test fields have a twin whose labels are
known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)

from hpastack.channels import STAINS
from hpastack.errors import InputError, shorten
from hpastack.tables import read_text_table, take_rows

#: Columns of a table of pairs that hold the distances between hashes, in bits of 256.
DISTANCE_COLUMNS = tuple(f"distance_{stain}" for stain in STAINS)
# Half the bits of a hash differ between unrelated fields.
_UNRELATED = 128


def read_duplicate_lists(path: str | os.PathLike) -> pd.DataFrame:
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


def clusters_from_keys(
    image_ids: Iterable[str],
    pairs: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
) -> pd.Series:
    """Join fields that share any key into clusters, by union-find.

    Parameters
    ----------
    image_ids : iterable of str, length n
    pairs : DataFrame, optional
        Columns ``image_id`` and ``twin``. Ids that are not among `image_ids`
        get no cluster, but fields linked to the same one are joined.
    groups : DataFrame, optional
        Indexed by image id. Fields with the same value in any one column are
        joined; NaN, None and the empty string join nothing.

    Returns
    -------
    Series of str
        Name of each field's cluster, its smallest image id, indexed by
        ``image_id`` in the order given.

    Raises
    ------
    InputError
        If an id stands twice, or `groups` lacks a field or holds one twice.

    Examples
    --------
    >>> pairs = pd.DataFrame({"image_id": ["d"], "twin": ["b"]})
    >>> wells = pd.DataFrame({"well": ["A1", "A1", "", ""]}, index=list("abcd"))
    >>> clusters_from_keys(list("abcd"), pairs, wells).tolist()
    ['a', 'a', 'c', 'a']
    """
    ids = pd.Index([str(image_id) for image_id in image_ids], name="image_id", dtype=object)
    if ids.has_duplicates:
        raise InputError(f"ids stand twice: {shorten(ids[ids.duplicated()].unique())}")
    start, end, n_nodes = _links(ids, pairs, _own(groups, ids))
    links = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(n_nodes, n_nodes))
    component = connected_components(links, directed=False)[1][: len(ids)]
    names = pd.Series(ids, index=ids, name="cluster")
    return names.groupby(component).transform("min").astype(str)


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


def weakest_links(
    members: Iterable[str],
    pairs: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
    *,
    n_links: int = 5,
) -> pd.DataFrame:
    """Say what holds a cluster together: the links whose removal would split off most.

    Of all ways to span the cluster the one with the strongest links is taken
    (groups first, then pairs by `pair_strength`). Each of its links is then
    judged by how many fields it alone, with links weaker than itself, keeps
    from falling off the largest part.

    Parameters
    ----------
    members : iterable of str
        The fields of one cluster.
    pairs, groups
        As for `clusters_from_keys`.
    n_links : int, default=5
        How many links to name.

    Returns
    -------
    DataFrame
        ``link`` (``pair``, or the name of a group column), ``image_id`` and
        ``twin`` of a pair, or the ``value`` of a group, its ``strength``
        (missing for groups) and ``n_split_off``; those that split off most
        first. Links that split off a single field are left out.

    Raises
    ------
    InputError
        If `members` are not one cluster.

    Examples
    --------
    >>> pairs = pd.DataFrame({"image_id": ["b", "a"], "twin": ["c", "d"]})
    >>> wells = pd.DataFrame({"well": ["A1", "A1", "A2", "A2"]}, index=list("abcd"))
    >>> weakest_links("abcd", pairs.iloc[:1], wells)[["link", "image_id", "twin", "n_split_off"]]
       link image_id twin  n_split_off
    0  pair        b    c            2
    """
    ids = pd.Index([str(image_id) for image_id in members], name="image_id", dtype=object)
    groups = _own(groups, ids)
    start, end, n_nodes = _links(ids, pairs, groups)
    n_pairs = 0 if pairs is None else len(pairs)
    strength = np.empty(0) if pairs is None else pair_strength(pairs).to_numpy()
    # Whole numbers, so that equal links tie on every machine; groups come before all pairs.
    cost = np.ones(len(start))
    cost[:n_pairs] = 2 + np.rint((1 - strength) * 1e6)
    order = np.lexsort((end, start, cost))
    _, first = np.unique(np.c_[start, end][order], axis=0, return_index=True)
    kept = order[np.sort(first)]
    tree = minimum_spanning_tree(
        coo_array((cost[kept], (start[kept], end[kept])), shape=(n_nodes, n_nodes)).tocsr()
    )
    n_parts = len(np.unique(connected_components(tree, directed=False)[1][: len(ids)]))
    if n_parts > 1:
        raise InputError(f"{len(ids)} fields are {n_parts} clusters; give the fields of one")
    walk, parent = breadth_first_order(tree, 0, directed=False)
    below = np.zeros(n_nodes, dtype=np.int64)
    below[: len(ids)] = 1
    largest_below = np.zeros(n_nodes, dtype=np.int64)  # of the parts that hang on a node
    for node in walk[:0:-1].tolist():
        above = parent[node]
        below[above] += below[node]
        largest_below[above] = max(largest_below[above], below[node])

    names = _group_names(ids, groups)
    rows: list[tuple] = []
    link_of = {(start[k], end[k]): k for k in kept[::-1].tolist()}
    for node in walk[1:].tolist():
        above = int(parent[node])
        k = link_of.get((node, above), link_of.get((above, node), n_pairs))
        if k < n_pairs:
            split_off = min(below[node], len(ids) - below[node])
            assert pairs is not None
            first, second = pairs["image_id"].iloc[k], pairs["twin"].iloc[k]
            rows.append(("pair", first, second, None, strength[k], split_off))
    for node, (column, value) in enumerate(names, start=n_nodes - len(names)):
        split_off = len(ids) - max(largest_below[node], len(ids) - below[node])
        rows.append((column, None, None, value, np.nan, split_off))
    columns = ["link", "image_id", "twin", "value", "strength", "n_split_off"]
    table = pd.DataFrame(rows, columns=columns)
    table = table[table["n_split_off"] > 1]
    keys = ["n_split_off", "link", "image_id", "twin", "value"]
    table = table.sort_values(keys, ascending=[False, True, True, True, True])
    return table.head(n_links).reset_index(drop=True)


def label_disagreements(clusters: pd.Series, catalogue: pd.DataFrame) -> pd.DataFrame:
    """List the training fields of clusters whose labels disagree.

    Fields that show the same cells, or the same well, should carry the same
    labels. Where they don't, one of them may be wrong.

    Parameters
    ----------
    clusters : Series of str
        Indexed by image id, as `clusters_from_keys` gives them.
    catalogue : DataFrame
        Indexed by image id, with ``split``, ``target`` and ``source``.

    Returns
    -------
    DataFrame
        A row for each training field of such a cluster: ``cluster``,
        ``image_id``, ``target``, ``source``, ``n_same`` (training fields of
        the cluster with just these labels, itself included) and ``n_fields``
        (training fields of the cluster); sorted by cluster and id.

    Examples
    --------
    >>> catalogue = pd.DataFrame(
    ...     {"split": "train", "target": ["0 16", "16 0", "2"], "source": "hpa"},
    ...     index=["a", "b", "c"])
    >>> clusters = pd.Series(["a", "a", "a"], index=["a", "b", "c"])
    >>> label_disagreements(clusters, catalogue)
      cluster image_id target source  n_same  n_fields
    0       a        a   0 16    hpa       2         3
    1       a        b   16 0    hpa       2         3
    2       a        c      2    hpa       1         3
    """
    train = catalogue[catalogue["split"] == "train"]
    table = pd.DataFrame(
        {
            "cluster": take_rows(clusters, train.index, "the clusters").to_numpy(),
            "image_id": train.index,
            "target": train["target"].to_numpy(),
            "source": train["source"].to_numpy(),
        }
    )
    labels = table["target"].map(lambda target: frozenset(target.split()))
    key = labels.map(lambda one: " ".join(sorted(one)))
    same = table.groupby([table["cluster"], key])["image_id"]
    table["n_same"] = same.transform("size")
    table["n_fields"] = table.groupby("cluster")["image_id"].transform("size")
    table = table[table["n_same"] < table["n_fields"]]
    return table.sort_values(["cluster", "image_id"], ignore_index=True)


def leaks(pairs: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """List the test fields that have a twin among the training fields.

    Parameters
    ----------
    pairs : DataFrame
        ``image_id``, ``twin`` and further columns, as `near_duplicates`.
    catalogue : DataFrame
        Indexed by image id, with ``split``, ``target`` and ``source``.

    Returns
    -------
    DataFrame
        ``image_id`` (the test field), ``twin`` (the training field, extra data
        included), ``twin_target``, ``twin_source``, ``strength`` (as
        `pair_strength`), then the further columns of `pairs`; sorted by test
        field, the strongest twin first, of equal ones the earlier row of the
        catalogue. A shift is turned round where the pair is.
    """
    split = catalogue["split"]
    first, second = pairs["image_id"].map(split), pairs["twin"].map(split)
    forward = pairs[(first == "test") & (second == "train")]
    backward = pairs[(first == "train") & (second == "test")]
    backward = backward.rename(columns={"image_id": "twin", "twin": "image_id"})
    mirror = backward["mirror"] if "mirror" in pairs else pd.Series("", backward.index)
    for column, along in (("shift_y", "top-bottom"), ("shift_x", "left-right")):
        if column in pairs:
            # Along the axis that was mirrored, both ways round are the same shift.
            turned = 0 - backward[column]  # not -0.0 where there is no shift
            backward[column] = turned.where(mirror != along, backward[column])
    found = pd.concat([forward, backward])[list(pairs.columns)]
    found.insert(2, "twin_target", found["twin"].map(catalogue["target"]))
    found.insert(3, "twin_source", found["twin"].map(catalogue["source"]))
    found.insert(4, "strength", pair_strength(found).round(4))
    row = catalogue.index.get_indexer(pd.Index(found["twin"], dtype=object))
    order = np.lexsort((row, -found["strength"].to_numpy(), found["image_id"].to_numpy(str)))
    return found.iloc[order].reset_index(drop=True)


def read_leaks(path: str | os.PathLike, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Read the list of leaks of a workspace.

    Parameters
    ----------
    path : path-like
        ``leaks.csv``, as `leaks` lists them.
    catalogue : DataFrame
        Indexed by image id, with ``split`` and ``target``.

    Returns
    -------
    DataFrame
        As `leaks`, all columns text. Labels of the twins are those that the
        catalogue has now.

    Raises
    ------
    InputError
        If it is no such list, or names fields that are not (test and training)
        fields of the catalogue.
    FileNotFoundError
        If there is no such file.
    """
    twins = read_text_table(path)
    missing = [name for name in ("image_id", "twin", "twin_source") if name not in twins.columns]
    if missing:
        raise InputError(
            f"{path}: no column {missing[0]}; run: python -m pipelines.cluster --overwrite"
        )
    for column, split in (("image_id", "test"), ("twin", "train")):
        fields = catalogue.index[catalogue["split"] == split]
        strangers = pd.Index(twins[column].unique()).difference(fields)
        if len(strangers):
            raise InputError(
                f"{path}: no {split} fields of the catalogue: {shorten(strangers)}; "
                "run: python -m pipelines.cluster --overwrite"
            )
    return twins.assign(twin_target=twins["twin"].map(catalogue["target"]))


def strongest_twins(twins: pd.DataFrame) -> pd.DataFrame:
    """Choose the twin of each leaked test field that gives it its labels.

    Parameters
    ----------
    twins : DataFrame
        As `leaks` lists them.

    Returns
    -------
    DataFrame
        The strongest twin with labels of each test field, indexed by the id of
        the test field.
    """
    return twins[twins["twin_target"] != ""].drop_duplicates("image_id").set_index("image_id")


def _own(groups: pd.DataFrame | None, ids: pd.Index) -> pd.DataFrame | None:
    if groups is None:
        return None
    return take_rows(groups.set_axis(groups.index.map(str)), ids, "the groups")


def _links(
    ids: pd.Index, pairs: pd.DataFrame | None, groups: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Number the ends of all links: fields first, then unknown ids, then values of groups."""
    n_nodes = len(ids)
    starts, ends = [], []
    if pairs is not None and len(pairs):
        named = pd.concat([pairs["image_id"], pairs["twin"]], ignore_index=True)
        named = named.map(str).astype(object)
        nodes = ids.append(pd.Index(named.unique(), dtype=object).difference(ids, sort=False))
        numbers = nodes.get_indexer(pd.Index(named, dtype=object))
        starts.append(numbers[: len(pairs)])
        ends.append(numbers[len(pairs) :])
        n_nodes = len(nodes)
    for _, codes, values in _factorized(ids, groups):
        members = np.flatnonzero(codes >= 0)
        starts.append(members)
        ends.append(codes[members] + n_nodes)
        n_nodes += len(values)
    start = np.concatenate(starts or [np.empty(0, dtype=np.int64)])
    end = np.concatenate(ends or [np.empty(0, dtype=np.int64)])
    return start, end, n_nodes


def _factorized(ids: pd.Index, groups: pd.DataFrame | None) -> Iterable[tuple]:
    if groups is None:
        return
    for column in groups.columns:
        values = groups[column].astype(object)
        yield column, *pd.factorize(values.mask(values == ""))


def _group_names(ids: pd.Index, groups: pd.DataFrame | None) -> list[tuple[str, object]]:
    """Name the nodes that stand for values of groups, in their order."""
    return [(column, value) for column, _, values in _factorized(ids, groups) for value in values]
