"""Clusters of fields that must stay together, and analyses of their links.

Near-duplicates and shared wells, antibodies or plates are links; union-find
joins linked fields into clusters. The links of an implausibly large cluster are
ranked by how many fields they connect, and training fields whose labels
disagree with those of their cluster are listed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)

from hpastack.catalogue import training_fields
from hpastack.clusters.pairs import pair_strength
from hpastack.errors import InputError, counted, shorten
from hpastack.files import check_unique, read_text_table, take_rows


def clusters_from_keys(
    image_ids: Iterable[str],
    pairs: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
) -> pd.Series:
    """Join fields that share a pair or a group value into clusters, by union-find.

    Parameters
    ----------
    image_ids : iterable of str, length n
    pairs : DataFrame, optional
        Columns ``image_id`` and ``twin``. Ids that are not among `image_ids`
        get no cluster, but fields linked to the same unknown id are joined.
    groups : DataFrame, optional
        Indexed by image id. Fields with the same value in any one column are
        joined; NaN, None and the empty string join nothing.

    Returns
    -------
    Series of str
        Name of each field's cluster, which is the smallest image id in it;
        indexed by ``image_id``, in the order of `image_ids`.

    Raises
    ------
    InputError
        If there are duplicate ids in `image_ids` or `groups`, or `groups` lacks
        a field.

    Examples
    --------
    >>> pairs = pd.DataFrame({"image_id": ["d"], "twin": ["b"]})
    >>> wells = pd.DataFrame({"well": ["A1", "A1", "", ""]}, index=list("abcd"))
    >>> clusters_from_keys(list("abcd"), pairs, wells).tolist()
    ['a', 'a', 'c', 'a']
    """
    ids = pd.Index([str(image_id) for image_id in image_ids], name="image_id", dtype=object)
    check_unique(ids, "the fields")
    start, end, n_nodes = _links(ids, pairs, _rows_of_groups(groups, ids))
    links = coo_array((np.ones(len(start), dtype=np.int8), (start, end)), shape=(n_nodes, n_nodes))
    component = connected_components(links, directed=False)[1][: len(ids)]
    names = pd.Series(ids, index=ids, name="cluster")
    return names.groupby(component).transform("min").astype(str)


def weakest_links(
    members: Iterable[str],
    pairs: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
    *,
    n_links: int = 5,
) -> pd.DataFrame:
    """Rank the links of a cluster by the number of fields their removal would split off.

    The strongest spanning tree of the cluster is used (groups first, then
    pairs by `pair_strength`). Each of its links is ranked by how many fields
    would no longer be connected to the largest part without this link and all
    weaker ones.

    Parameters
    ----------
    members : iterable of str
        The fields of one cluster.
    pairs, groups
        As for `clusters_from_keys`.
    n_links : int, default=5
        Number of links to return.

    Returns
    -------
    DataFrame
        ``link`` (``pair``, or the name of a group column), ``image_id`` and
        ``twin`` of a pair, or the ``value`` of a group, its ``strength``
        (missing for groups) and ``n_split_off``; sorted by ``n_split_off``,
        largest first. Links that split off a single field are excluded.

    Raises
    ------
    InputError
        If `members` do not form a single cluster.

    Examples
    --------
    >>> pairs = pd.DataFrame({"image_id": ["b", "a"], "twin": ["c", "d"]})
    >>> wells = pd.DataFrame({"well": ["A1", "A1", "A2", "A2"]}, index=list("abcd"))
    >>> weakest_links("abcd", pairs.iloc[:1], wells)[["link", "image_id", "twin", "n_split_off"]]
       link image_id twin  n_split_off
    0  pair        b    c            2
    """
    ids = pd.Index([str(image_id) for image_id in members], name="image_id", dtype=object)
    groups = _rows_of_groups(groups, ids)
    start, end, n_nodes = _links(ids, pairs, groups)
    n_pairs = 0 if pairs is None else len(pairs)
    strength = np.empty(0) if pairs is None else pair_strength(pairs).to_numpy()
    # Integer costs, so that equally strong links tie on every machine; groups precede all pairs.
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
        raise InputError(
            f"members: {counted(len(ids), 'field belongs', 'fields belong')} to "
            f"{counted(n_parts, 'cluster')}; pass the fields of a single cluster"
        )
    walk, parent = breadth_first_order(tree, 0, directed=False)
    below = np.zeros(n_nodes, dtype=np.int64)
    below[: len(ids)] = 1
    largest_below = np.zeros(n_nodes, dtype=np.int64)  # the largest subtree below a node
    for node in walk[:0:-1].tolist():
        above = parent[node]
        below[above] += below[node]
        largest_below[above] = max(largest_below[above], below[node])

    names = _group_names(ids, groups)
    rows: list[tuple[Any, ...]] = []
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

    Fields that show the same cells, or the same well, should have the same
    labels. Where they differ, an annotation may be wrong.

    Parameters
    ----------
    clusters : Series of str
        Indexed by image id, as `clusters_from_keys` returns them.
    catalogue : DataFrame
        Indexed by image id, with ``split``, ``target`` and ``source``.

    Returns
    -------
    DataFrame
        One row per training field of such a cluster: ``cluster``,
        ``image_id``, ``target``, ``source``, ``n_same`` (training fields of
        the cluster with exactly these labels, itself included) and ``n_fields``
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
    train = training_fields(catalogue)
    table = pd.DataFrame(
        {
            "cluster": take_rows(clusters, train.index, "the clusters").to_numpy(),
            "image_id": train.index,
            "target": train["target"].to_numpy(),
            "source": train["source"].to_numpy(),
        }
    )
    labels = table["target"].map(lambda target: frozenset(target.split()))
    key = labels.map(lambda names: " ".join(sorted(names)))
    same = table.groupby([table["cluster"], key])["image_id"]
    table["n_same"] = same.transform("size")
    table["n_fields"] = table.groupby("cluster")["image_id"].transform("size")
    table = table[table["n_same"] < table["n_fields"]]
    return table.sort_values(["cluster", "image_id"], ignore_index=True)


def _rows_of_groups(groups: pd.DataFrame | None, ids: pd.Index) -> pd.DataFrame | None:
    if groups is None:
        return None
    return take_rows(groups.set_axis(groups.index.map(str)), ids, "the groups")


def _links(
    ids: pd.Index, pairs: pd.DataFrame | None, groups: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the nodes that each link joins, and the number of nodes.

    Nodes are numbered: fields first, then unknown ids, then values of groups.
    """
    n_nodes = len(ids)
    starts: list[np.ndarray] = []
    ends: list[np.ndarray] = []
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
    # 32 bits: SciPy 1.11 silently joins nothing in graphs with 64-bit indices.
    start = np.concatenate(starts or [np.empty(0, np.int64)]).astype(np.int32)
    end = np.concatenate(ends or [np.empty(0, np.int64)]).astype(np.int32)
    return start, end, n_nodes


def _factorized(
    ids: pd.Index, groups: pd.DataFrame | None
) -> Iterable[tuple[Any, np.ndarray, pd.Index]]:
    if groups is None:
        return
    for column in groups.columns:
        values = groups[column].astype(object)
        yield column, *pd.factorize(values.mask(values == ""))


def _group_names(ids: pd.Index, groups: pd.DataFrame | None) -> list[tuple[str, object]]:
    """Return column and value of the nodes that represent groups, in their order."""
    return [(column, value) for column, _, values in _factorized(ids, groups) for value in values]


def read_assignment(path: str | os.PathLike[str], column: str) -> pd.Series:
    """Read the cluster, or the domain, of each field.

    Parameters
    ----------
    path : path-like
        ``clusters.csv`` or ``domains.csv``: a column ``image_id`` and one
        named `column`.
    column : str
        ``cluster`` or ``domain``.

    Returns
    -------
    Series of str
        Indexed by ``image_id``.

    Raises
    ------
    InputError
        If a column is missing, there are duplicate ids, or a field has no value.
    FileNotFoundError
        If there is no such file.
    """
    table = read_text_table(path)
    if not {"image_id", column} <= set(table.columns):
        raise InputError(f"{path}: the columns image_id and {column} are required")
    values = table.set_index("image_id")[column]
    check_unique(values.index, path)
    empty = values.index[values == ""]
    if len(empty):
        raise InputError(f"{path}: {shorten(empty)} has no {column}")
    return values
