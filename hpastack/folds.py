"""Folds for multi-label data that never split a cluster, and the plan that records them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from hpastack.catalogue import publish_text
from hpastack.errors import InputError, shorten
from hpastack.store import fold_digest

#: Raised whenever the same labels, groups and seed would give other folds.
ALGORITHM_VERSION = 1

# Numbers compared at once when swaps are tried: 16 MB of int64.
_SWAP_BLOCK = 2_000_000


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Which fold each training field is held out in, and the cluster it belongs to.

    Parameters
    ----------
    frame : DataFrame
        Indexed by ``image_id`` (training fields only), columns ``cluster``
        (str) and ``fold`` (int, 0 to n_folds - 1).
    record : dict, default={}
        How the plan was made: seed, algorithm version, number of folds,
        digest of ids and labels, the file it was imported from. Kept in the
        JSON file beside the plan.

    Raises
    ------
    InputError
        If a column is missing, an id is empty or doubled, a field has no
        cluster, or the fold numbers are not 0 to k - 1 with k of at least 2
        and none of them empty.

    Notes
    -----
    A plan made here never splits a cluster. A plan brought in from elsewhere
    may: `split_clusters` says which.
    """

    frame: pd.DataFrame
    record: dict = field(default_factory=dict)

    def __post_init__(self):
        missing = [name for name in ("cluster", "fold") if name not in self.frame.columns]
        if missing:
            raise InputError(f"a fold plan needs the column {missing[0]!r}")
        frame = self.frame[["cluster", "fold"]].copy()
        frame.index = pd.Index([str(image_id) for image_id in frame.index], name="image_id")
        _check_ids(frame.index, "a fold plan")
        frame["cluster"] = frame["cluster"].astype(str)
        unclustered = frame.index[frame["cluster"] == ""]
        if len(unclustered):
            raise InputError(
                f"a fold plan needs a cluster for every field; {unclustered[0]} has none"
            )
        if not pd.api.types.is_integer_dtype(frame["fold"]):
            raise InputError("the folds of a fold plan are whole numbers from 0")
        frame["fold"] = frame["fold"].astype(np.int64)
        _check_fold_numbers(frame["fold"].to_numpy(), "a fold plan")
        object.__setattr__(self, "frame", frame)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.frame["fold"].max()) + 1

    @property
    def digest(self) -> str:
        """What stores and models carry to say which folds they were made with."""
        return fold_digest(self.frame.index.tolist(), self.frame["fold"].to_numpy())

    @property
    def split_clusters(self) -> pd.DataFrame:
        """Clusters that lie in more than one fold, as `audit_folds` lists them."""
        return audit_folds(self.frame["fold"], self.frame["cluster"])


def audit_folds(fold: pd.Series, clusters: pd.Series) -> pd.DataFrame:
    """List the clusters that an assignment to folds splits.

    Parameters
    ----------
    fold : Series of int
        Fold of each training field, indexed by image id.
    clusters : Series of str
        Cluster of each field, indexed by image id; may hold more fields than
        `fold` (test fields), which are passed over.

    Returns
    -------
    DataFrame
        A row for each cluster in two or more folds, sorted by cluster:
        ``cluster``, ``n_fields`` (with a fold) and ``folds`` (ascending,
        separated by blanks). Empty if no cluster is split.

    Raises
    ------
    InputError
        If a field of `fold` has no cluster.

    Examples
    --------
    >>> fold = pd.Series({"a": 0, "b": 1, "c": 1})
    >>> audit_folds(fold, pd.Series({"a": "a", "b": "a", "c": "c"}))
      cluster  n_fields folds
    0       a         2   0 1
    """
    clusters = _take(clusters, fold.index, "the clusters")
    rows = []
    grouped = pd.DataFrame({"cluster": clusters.to_numpy(), "fold": fold.to_numpy()})
    n_folds = grouped.groupby("cluster")["fold"].nunique()
    split = grouped[grouped["cluster"].isin(n_folds.index[n_folds > 1])]
    for cluster, members in split.groupby("cluster"):
        folds = " ".join(str(number) for number in sorted(members["fold"].unique()))
        rows.append((cluster, len(members), folds))
    return pd.DataFrame(rows, columns=["cluster", "n_fields", "folds"])


def read_fold_table(path: str | os.PathLike, image_ids: Iterable[str]) -> pd.Series:
    """Read the folds somebody else used.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``Id`` or ``image_id``, and ``fold`` (whole
        numbers from 0, none left out). Other columns are passed over.
    image_ids : iterable of str
        The fields that must have a fold, in the order wanted.

    Returns
    -------
    Series of int64
        Fold of each field, indexed by ``image_id``, in the order of
        `image_ids`.

    Raises
    ------
    InputError
        If a column is missing, a fold is not a whole number from 0 or no
        field is in it, an id stands twice, a field has no fold, or the table
        holds an id that is not among `image_ids`.
    """
    table = _read_csv(path)
    column = next((name for name in ("image_id", "Id") if name in table.columns), None)
    if column is None or "fold" not in table.columns:
        raise InputError(f"{path}: a table of folds has the columns image_id (or Id) and fold")
    ids = pd.Index(table[column], name="image_id")
    _check_ids(ids, path)
    wanted = pd.Index([str(image_id) for image_id in image_ids], name="image_id")
    missing = wanted.difference(ids)
    if len(missing):
        raise InputError(f"{path}: no fold for {len(missing)} fields: {shorten(missing)}")
    unknown = ids.difference(wanted)
    if len(unknown):
        raise InputError(
            f"{path}: {len(unknown)} ids are not training fields of the catalogue: "
            f"{shorten(unknown)}"
        )
    fold = pd.Series(_fold_numbers(table, ids, path), index=ids, name="fold").loc[wanted]
    _check_fold_numbers(fold.to_numpy(), path)
    return fold


def read_fold_plan(path: str | os.PathLike) -> FoldPlan:
    """Read a fold plan.

    Parameters
    ----------
    path : path-like
        ``folds.csv`` with the columns ``image_id, cluster, fold``. The JSON
        file of the same name beside it, if there is one, becomes `record`.

    Returns
    -------
    FoldPlan

    Raises
    ------
    InputError
        If the table is no fold plan, or the JSON beside it belongs to
        another plan (the table was edited).
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    table = _read_csv(path)
    missing = [name for name in ("image_id", "cluster", "fold") if name not in table.columns]
    if missing:
        raise InputError(f"{path}: a fold plan has the columns image_id, cluster, fold")
    ids = pd.Index(table["image_id"], name="image_id")
    fold = _fold_numbers(table, ids, path)
    frame = pd.DataFrame({"cluster": table["cluster"].to_numpy(), "fold": fold}, index=ids)
    try:
        plan = FoldPlan(frame, _read_record(path.with_suffix(".json")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    recorded = plan.record.get("fold_plan", plan.digest)
    if recorded != plan.digest:
        raise InputError(
            f"{path}: does not fit {path.with_suffix('.json').name} beside it; "
            "make the folds again, or remove the JSON file if the table was edited on purpose"
        )
    return plan


def write_fold_plan(path: str | os.PathLike, plan: FoldPlan) -> None:
    """Write a fold plan, and beside it a JSON file that says how it was made.

    Parameters
    ----------
    path : path-like
        Where ``folds.csv`` goes; replaced in one rename.
    plan : FoldPlan

    Notes
    -----
    An older JSON file goes first and the new one comes last, so that a table
    never lies beside the record of another plan, not even after a kill.
    """
    path = Path(path)
    record_path = path.with_suffix(".json")
    record_path.unlink(missing_ok=True)
    publish_text(path, plan.frame.to_csv(lineterminator="\n"))
    record = {**plan.record, "n_splits": plan.n_folds, "fold_plan": plan.digest}
    publish_text(record_path, json.dumps(record, indent=2, sort_keys=True) + "\n")


class MultilabelStratifiedGroupKFold(BaseCrossValidator):
    """Cut multi-label rows into folds that keep groups whole and labels balanced.

    Groups, not rows, are dealt to the folds by iterative stratification [1]_:
    the rarest label first, of its groups the one with most positives first,
    each to the fold that lacks most of the label. Groups are then moved and
    swapped between folds as long as that lowers the relative deviation,
    summed over folds, labels and the number of rows.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    random_state : int, RandomState or None, default=0
        Settles ties. An int gives the same folds on every call and platform.

    Raises
    ------
    InputError
        If `n_splits` is not a whole number of at least 2.

    Notes
    -----
    Only integers are compared, and ties are broken by a hash of the seed and
    the name of the group, so that the folds depend neither on the order of
    the rows nor on the platform or the version of NumPy. Groups are known by
    their `repr`: strings, numbers and tuples of them do.

    A label that lives in fewer groups than folds is missing from some folds;
    `labels_missing_from_folds` names it.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the stratification of
       multi-label data", ECML PKDD 2011. :doi:`10.1007/978-3-642-23808-6_10`

    Examples
    --------
    >>> y = [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1]]
    >>> wells = ["A1", "A1", "A2", "A2", "A3", "A4"]
    >>> MultilabelStratifiedGroupKFold(n_splits=2).fold_numbers(y, wells).tolist()
    [1, 1, 0, 0, 0, 1]
    """

    # Tells scikit-learn's metadata routing to hand over the groups.
    __metadata_request__split = {"groups": True}

    def __init__(self, n_splits: int = 5, random_state: int | np.random.RandomState | None = 0):
        if not isinstance(n_splits, Integral) or isinstance(n_splits, bool) or n_splits < 2:
            raise InputError(f"n_splits is {n_splits!r}; it must be a whole number of at least 2")
        self.n_splits: int = int(n_splits)
        self.random_state: int | np.random.RandomState | None = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Say how many folds there are.

        Parameters
        ----------
        X, y, groups : object
            Not used; scikit-learn passes them.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple]:
        """Give the rows to train on and the rows held out, fold by fold.

        Parameters
        ----------
        X : sized or None
            Only its length is used.
        y : array-like of {0, 1}, shape (n, n_labels), or array-like, shape (n,)
            Indicator matrix; a vector of classes is taken as one-hot.
        groups : array-like of hashable, shape (n,), optional
            Rows that must stay together. Without it every row is its own group.

        Yields
        ------
        train, test : ndarray of int
            Row numbers, ascending.

        Raises
        ------
        InputError
            As `fold_numbers`, and if `X` and `y` differ in length.
        """
        if y is None:
            raise InputError("multi-label folds need the labels: split(X, y, groups)")
        fold = self.fold_numbers(y, groups)
        n_rows = fold.size if X is None else X.shape[0] if hasattr(X, "shape") else len(X)
        if n_rows != fold.size:
            raise InputError(f"X has {n_rows} rows and y has {fold.size}; they must be the same")
        for number in range(self.n_splits):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)

    def fold_numbers(self, y: Any, groups: Any = None) -> np.ndarray:
        """Give the fold in which each row is held out.

        Parameters
        ----------
        y, groups
            As for `split`.

        Returns
        -------
        ndarray of int64, shape (n,)
            0 to ``n_splits - 1``.

        Raises
        ------
        InputError
            If `y` holds anything but 0 and 1, the lengths differ, a row has no
            group (None or NaN), or there are fewer groups than folds.
        """
        indicator = _indicator(y)
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        codes, n_groups = _group_codes(groups, len(indicator), int(seed))
        if n_groups < self.n_splits:
            raise InputError(
                f"{n_groups} groups cannot fill {self.n_splits} folds; ask for fewer folds"
            )
        # A last column counts the rows, so that fold sizes are balanced like a label.
        amounts = np.zeros((n_groups, indicator.shape[1] + 1), dtype=np.int64)
        np.add.at(amounts, codes, np.c_[indicator, np.ones(len(indicator), dtype=np.int64)])
        group_fold = _improve(amounts, _stratify(amounts, self.n_splits), self.n_splits)
        fold = group_fold[codes]
        _check_split(fold, codes, n_groups, self.n_splits)
        return fold


def make_fold_plan(
    image_ids: Iterable[str],
    indicator: ArrayLike,
    clusters: pd.Series,
    n_splits: int = 5,
    random_state: int = 0,
) -> FoldPlan:
    """Plan the folds of the training fields.

    Parameters
    ----------
    image_ids : iterable of str, length n
        Training fields, in the order of the plan's rows.
    indicator : array-like of {0, 1}, shape (n, n_labels)
    clusters : Series of str
        Cluster of each field, indexed by image id; may hold further fields.
    n_splits : int, default=5
    random_state : int, default=0

    Returns
    -------
    FoldPlan
        Clusters whole; the same for any order of the rows.

    Raises
    ------
    InputError
        If a field has no cluster, an id stands twice, or there are fewer
        clusters than folds.

    Examples
    --------
    >>> clusters = pd.Series({"a": "a", "b": "a", "c": "c", "d": "d"})
    >>> plan = make_fold_plan(clusters.index, [[1], [1], [1], [1]], clusters, n_splits=2)
    >>> plan.frame["fold"].tolist()
    [1, 1, 0, 0]
    """
    ids = pd.Index([str(image_id) for image_id in image_ids], name="image_id")
    _check_ids(ids, "the training fields")
    indicator = _indicator(indicator)
    if len(indicator) != len(ids):
        raise InputError(f"{len(ids)} fields and {len(indicator)} rows of labels; they must fit")
    own = _take(clusters, ids, "the clusters")
    splitter = MultilabelStratifiedGroupKFold(n_splits, random_state=random_state)
    fold = splitter.fold_numbers(indicator, own.to_numpy(dtype=object))
    frame = pd.DataFrame({"cluster": own.to_numpy(), "fold": fold}, index=ids)
    record = {
        "algorithm_version": ALGORITHM_VERSION,
        "imported_from": "",
        "labels": labels_digest(ids, indicator),
        "seed": int(random_state),
    }
    return FoldPlan(frame, record)


def labels_digest(image_ids: Iterable[str], indicator: ArrayLike) -> str:
    """Name the labels that a plan was balanced for, whatever the order of rows.

    Parameters
    ----------
    image_ids : iterable of str, length n
    indicator : array-like of {0, 1}, shape (n, n_labels)

    Returns
    -------
    str
        sha256 in hex over the rows ``"<image_id>\\t<ids of its labels>\\n"``
        sorted by id.
    """
    digest = hashlib.sha256()
    rows = [" ".join(map(str, np.flatnonzero(row))) for row in np.asarray(indicator)]
    for image_id, labels in sorted(zip(map(str, image_ids), rows)):
        digest.update(f"{image_id}\t{labels}\n".encode())
    return digest.hexdigest()


def labels_missing_from_folds(
    indicator: ArrayLike, clusters: Any, n_splits: int, names: Sequence[str] | None = None
) -> list[str]:
    """Name the labels that cannot be in every fold.

    Parameters
    ----------
    indicator : array-like of {0, 1}, shape (n, n_labels)
    clusters : array-like of hashable, shape (n,)
    n_splits : int
    names : sequence of str, optional
        Label names; the column numbers by default.

    Returns
    -------
    list of str
        A warning for each label that lives in fewer clusters than folds, in
        the order of the columns.

    Examples
    --------
    >>> labels_missing_from_folds([[1, 1], [1, 0], [1, 0]], ["a", "b", "c"], 2, ["x", "y"])
    ['label y lives in 1 cluster, fewer than the 2 folds: it is missing from some folds']
    """
    indicator = _indicator(indicator)
    codes, n_groups = _group_codes(clusters, len(indicator), 0)
    warnings = []
    for label in range(indicator.shape[1]):
        lives_in = len(np.unique(codes[indicator[:, label] == 1]))
        if lives_in < n_splits:
            name = label if names is None else names[label]
            clusters_text = "1 cluster" if lives_in == 1 else f"{lives_in} clusters"
            warnings.append(
                f"label {name} lives in {clusters_text}, fewer than the {n_splits} folds: "
                "it is missing from some folds"
            )
    return warnings


def fold_report(y: Any, folds: ArrayLike, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Show how evenly labels are spread over folds.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels), or array-like, shape (n,)
    folds : array-like of int, shape (n,)
        Fold of each row, 0 to k - 1.
    names : sequence of str, optional
        Label names; the column numbers by default.

    Returns
    -------
    DataFrame
        A row for each label: ``positives``, ``fold_0`` to ``fold_<k-1>``
        (positives in the fold) and ``relative_deviation``: how far the folds
        are from an equal share on average, as a part of that share. The mean
        of that column judges the plan.

    Raises
    ------
    InputError
        If the lengths differ, or a fold is empty.

    Notes
    -----
    A label without positives has a relative deviation of NaN, which pandas
    leaves out of the mean.

    Examples
    --------
    >>> fold_report([[1, 1], [1, 0], [1, 1], [1, 1]], [0, 0, 1, 1])
           positives  fold_0  fold_1  relative_deviation
    label
    0              4       2       2            0.000000
    1              3       1       2            0.333333
    """
    indicator = _indicator(y)
    folds = np.asarray(folds)
    if folds.shape != (len(indicator),):
        raise InputError(f"{len(indicator)} rows of labels and {folds.size} folds; they must fit")
    _check_fold_numbers(folds, "the folds")
    counts = np.stack([indicator[folds == number].sum(0) for number in range(folds.max() + 1)])
    positives = counts.sum(0)
    share = positives / len(counts)
    deviation = np.full(len(share), np.nan)
    np.divide(np.abs(counts - share).mean(0), share, out=deviation, where=share > 0)
    labels = range(len(positives)) if names is None else list(names)
    report = pd.DataFrame({"positives": positives}, index=pd.Index(labels, name="label"))
    for number, row in enumerate(counts):
        report[f"fold_{number}"] = row
    report["relative_deviation"] = deviation
    return report


def _indicator(y: Any) -> np.ndarray:
    if hasattr(y, "toarray"):
        y = y.toarray()
    y = np.asarray(y)
    if y.ndim == 1:
        classes, codes = np.unique(y, return_inverse=True)
        return (codes[:, None] == np.arange(len(classes))).astype(np.int64)
    if y.ndim != 2:
        raise InputError(f"labels of shape {y.shape}; give (n, n_labels) or (n,)")
    good = np.isin(y, (0, 1))
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise InputError(
            f"labels are 0 or 1 in an indicator matrix; row {row}, column {column} "
            f"holds {y[row, column]}"
        )
    return y.astype(np.int64)


def _group_codes(groups: Any, n_rows: int, seed: int) -> tuple[np.ndarray, int]:
    """Number the groups in a seeded order that knows nothing of the order of the rows."""
    if groups is None:
        groups = np.arange(n_rows)
    elif not isinstance(groups, (pd.Series, pd.Index)) and getattr(groups, "ndim", 0) != 1:
        names = list(groups)
        groups = np.empty(len(names), dtype=object)  # keeps tuples as they are
        groups[:] = names
    if len(groups) != n_rows:
        raise InputError(f"{n_rows} rows of labels and {len(groups)} groups; they must fit")
    codes, names = pd.factorize(groups)
    if (codes < 0).any():
        raise InputError(f"row {int(np.argmax(codes < 0))} has no group; give every row one")
    keys = [
        hashlib.blake2b(f"{seed}\n{name!r}".encode(), digest_size=16).digest()
        for name in names.tolist()
    ]
    rank = np.empty(len(keys), dtype=np.int64)
    rank[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return rank[codes], len(keys)


def _stratify(amounts: np.ndarray, n_splits: int) -> np.ndarray:
    """Deal groups to folds, rarest label first; the slow version is in tests/reference."""
    n_groups, n_columns = amounts.shape
    steps = amounts * n_splits
    need = np.tile(amounts.sum(0), (n_splits, 1))  # n_splits times what the fold still lacks
    left = amounts[:, :-1].sum(0)
    fold = np.full(n_groups, -1, dtype=np.int64)
    while True:
        rarest = (
            int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin()) if left.any() else -1
        )
        open_groups = np.flatnonzero((fold < 0) & (amounts[:, rarest] > 0))
        # Stable: equal groups stay in their seeded order.
        order = np.lexsort((-amounts[open_groups, -1], -amounts[open_groups, rarest]))
        for group in open_groups[order].tolist():
            lack, rows = need[:, rarest].tolist(), need[:, -1].tolist()
            chosen = max(range(n_splits), key=lambda f: (lack[f], rows[f], (f + group) % n_splits))  # noqa: B023
            need[chosen] -= steps[group]
            fold[group] = chosen
        if rarest == -1:
            return fold
        left -= amounts[open_groups, :-1].sum(0)


def _improve(amounts: np.ndarray, fold: np.ndarray, n_splits: int) -> np.ndarray:
    """Move and swap groups while that lowers the summed relative deviation.

    Groups with equal amounts are interchangeable, so that only their kinds
    are looked at; which group of a kind goes where follows its seeded order.
    """
    totals = amounts.sum(0)
    kinds, kind = np.unique(amounts[:, totals > 0], axis=0, return_inverse=True)
    kind = kind.ravel()
    totals = totals[totals > 0]
    # Fixed-point 1 / total, as fine as 64 bits allow for the sum over all columns and folds.
    bits = min(40, 60 - (2 * len(totals) * n_splits).bit_length())
    weight = np.maximum((1 << bits) // totals, 1)
    held = np.zeros((len(kinds), n_splits), dtype=np.int64)
    np.add.at(held, (kind, fold), 1)
    steps = kinds * n_splits
    excess = held.T @ steps - totals  # n_splits times what the fold has too much

    def cost(rows: np.ndarray) -> np.ndarray:
        return np.abs(rows) @ weight

    def apply(given: int, source: int, target: int, taken: int | None = None) -> None:
        for one, start, end in ((given, source, target), (taken, target, source)):
            if one is not None:
                held[one, start] -= 1
                held[one, end] += 1
                excess[start] -= steps[one]
                excess[end] += steps[one]

    def move_costs(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        present = np.flatnonzero(held[:, source])
        moved = steps[present]
        return present, cost(excess[source] - moved) + cost(excess[target] + moved)

    for empty in np.flatnonzero(held.sum(0) == 0).tolist():
        best = None
        for source in np.flatnonzero(held.sum(0) > 1).tolist():
            present, costs = move_costs(source, empty)
            costs = costs - cost(excess[source])
            if best is None or costs.min() < best[0]:
                best = costs.min(), int(present[costs.argmin()]), source
        if best is not None:
            apply(best[1], best[2], empty)

    def improve_pair(source: int, target: int) -> bool:
        now = cost(excess[source]) + cost(excess[target])
        present, costs = move_costs(source, target)
        if costs.min() < now and held[:, source].sum() > 1:
            apply(int(present[costs.argmin()]), source, target)
            return True
        back = np.flatnonzero(held[:, target])
        n_tried = max(1, min(len(present), 32, _SWAP_BLOCK // (len(back) * len(totals))))
        tried = present[np.argsort(costs, kind="stable")[:n_tried]]
        net = steps[tried][:, None] - steps[back]  # (n_tried, n_back, n_columns)
        costs = cost(excess[source] - net) + cost(excess[target] + net)
        if costs.min() >= now:
            return False
        given, taken = np.unravel_index(costs.argmin(), costs.shape)
        apply(int(tried[given]), source, target, int(back[taken]))
        return True

    # Every step lowers a sum of integers, so this ends; the cap bounds the time on odd data.
    budget = 100 * n_splits * n_splits
    improved = True
    while improved and budget > 0:
        improved = False
        for source, target in permutations(range(n_splits), 2):
            while budget > 0 and improve_pair(source, target):
                improved = True
                budget -= 1
    order = np.argsort(kind, kind="stable")
    result = np.empty_like(fold)
    result[order] = np.repeat(np.tile(np.arange(n_splits), len(kinds)), held.ravel())
    return result


def _check_split(fold: np.ndarray, codes: np.ndarray, n_groups: int, n_splits: int) -> None:
    """Refuse a split that breaks what is promised: this would be a bug, not bad input."""
    lowest = np.full(n_groups, n_splits, dtype=np.int64)
    highest = np.full(n_groups, -1, dtype=np.int64)
    np.minimum.at(lowest, codes, fold)
    np.maximum.at(highest, codes, fold)
    if (lowest != highest).any():
        raise RuntimeError("a group was split between folds")
    if fold.min() < 0 or not (np.bincount(fold, minlength=n_splits)[:n_splits] > 0).all():
        raise RuntimeError("a fold was left empty, or a row without a fold")


def _read_csv(path: str | os.PathLike) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({error})") from None


def _read_record(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} beside it is no JSON ({error})") from None
    if not isinstance(record, dict):
        raise InputError(f"{path.name} beside it is no JSON object")
    return record


def _check_ids(ids: pd.Index, where: object) -> None:
    if len(ids) == 0:
        raise InputError(f"{where}: holds no fields")
    if (ids == "").any():
        raise InputError(f"{where}: row {int(np.argmax(ids == ''))} has an empty id")
    if ids.has_duplicates:
        doubled = ids[ids.duplicated()].unique()
        raise InputError(f"{where}: ids stand twice: {shorten(doubled)}")


def _fold_numbers(table: pd.DataFrame, ids: pd.Index, where: object) -> np.ndarray:
    texts = table["fold"].str.strip()
    # Up to six digits: anything longer is no fold number and would overflow.
    good = texts.str.fullmatch(r"[0-9]{1,6}").to_numpy(dtype=bool)
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(
            f"{where}: fold {table['fold'].iloc[row]!r} of {ids[row]} is not a whole number from 0"
        )
    return texts.astype(np.int64).to_numpy()


def _check_fold_numbers(fold: np.ndarray, where: object) -> None:
    if fold.min() < 0:
        raise InputError(f"{where}: fold {fold.min()} is below 0; folds count from 0")
    if fold.max() == 0:
        raise InputError(f"{where}: all fields are in fold 0; at least 2 folds are needed")
    present = np.unique(fold)
    if len(present) != fold.max() + 1:
        empty = next(number for number in range(int(fold.max())) if number not in present)
        raise InputError(
            f"{where}: fold {empty} is empty; folds are numbered 0 to k - 1 without gaps"
        )


def _take(clusters: pd.Series, ids: pd.Index, what: str) -> pd.Series:
    missing = ids.difference(clusters.index)
    if len(missing):
        raise InputError(f"{what} lack {len(missing)} fields: {shorten(missing)}")
    return clusters.loc[ids]
