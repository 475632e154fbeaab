"""Fold plans: the fold of each training field, written to a file and audited."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted, shorten
from hpastack.files import (
    ID_NAMES,
    check_ids,
    named_column,
    publish_text,
    read_text_table,
    take_rows,
)
from hpastack.folds.inputs import indicator_of
from hpastack.folds.report import check_fold_numbers


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """The fold in which each training field is held out, and its cluster.

    Parameters
    ----------
    frame : DataFrame
        Indexed by ``image_id`` (training fields only), columns ``cluster``
        (str) and ``fold`` (int, 0 to n_folds - 1).
    record : dict, default={}
        How the plan was made: seed, algorithm version, number of folds,
        digest of ids and labels, the file it was imported from. Saved in the
        JSON file beside the plan.

    Raises
    ------
    InputError
        If a column is missing, an id is empty or duplicate, a field has no
        cluster, or the fold numbers are not 0 to k - 1, with k at least 2 and
        no fold empty.

    Notes
    -----
    A plan made by `make_fold_plan` never splits a cluster. An imported plan
    may: `split_clusters` lists the clusters that it splits.
    """

    frame: pd.DataFrame
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [name for name in ("cluster", "fold") if name not in self.frame.columns]
        if missing:
            raise InputError(f"a fold plan: column {missing[0]!r} is missing")
        frame = self.frame[["cluster", "fold"]].copy()
        frame.index = pd.Index([str(image_id) for image_id in frame.index], name="image_id")
        _check_ids(frame.index, "a fold plan")
        unclustered = frame.index[frame["cluster"].isna() | (frame["cluster"].astype(str) == "")]
        if len(unclustered):
            raise InputError(
                f"a fold plan: field {unclustered[0]} has no cluster; every field needs one"
            )
        frame["cluster"] = frame["cluster"].astype(str)
        if not pd.api.types.is_integer_dtype(frame["fold"]):
            raise InputError("a fold plan: column 'fold' must be whole numbers from 0")
        frame["fold"] = frame["fold"].astype(np.int64)
        check_fold_numbers(frame["fold"].to_numpy(), "a fold plan")
        object.__setattr__(self, "frame", frame)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.frame["fold"].max()) + 1

    @property
    def digest(self) -> str:
        """Digest that identifies the folds in the stores and models made with them."""
        return fold_digest(self.frame.index.tolist(), self.frame["fold"].to_numpy())

    @property
    def split_clusters(self) -> pd.DataFrame:
        """Clusters with fields in more than one fold, as `audit_folds` lists them."""
        return audit_folds(self.frame["fold"], self.frame["cluster"])

    @property
    def groups(self) -> pd.Series:
        """Group of each field that no fold splits: its cluster, or its part of a split cluster."""
        clusters = self.frame["cluster"]
        is_split = clusters.isin(self.split_clusters["cluster"])
        return clusters.mask(is_split, clusters + " in fold " + self.frame["fold"].astype(str))


def audit_folds(fold: pd.Series, clusters: pd.Series) -> pd.DataFrame:
    """List the clusters that an assignment to folds splits.

    Parameters
    ----------
    fold : Series of int
        Fold of each training field, indexed by image id.
    clusters : Series of str
        Cluster of each field, indexed by image id; fields that are not in
        `fold` (test fields) are ignored.

    Returns
    -------
    DataFrame
        One row per cluster in two or more folds, sorted by cluster:
        ``cluster``, ``n_fields`` (fields with a fold) and ``folds``
        (ascending, separated by spaces). Empty if no cluster is split.

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
    clusters = take_rows(clusters, fold.index, "the clusters")
    if clusters.isna().any():
        raise InputError(f"fields without a cluster: {shorten(clusters.index[clusters.isna()])}")
    rows = []
    grouped = pd.DataFrame({"cluster": clusters.to_numpy(), "fold": fold.to_numpy()})
    n_folds = grouped.groupby("cluster")["fold"].nunique()
    split = grouped[grouped["cluster"].isin(n_folds.index[n_folds > 1])]
    for cluster, members in split.groupby("cluster"):
        folds = " ".join(str(number) for number in sorted(members["fold"].unique()))
        rows.append((cluster, len(members), folds))
    return pd.DataFrame(rows, columns=["cluster", "n_fields", "folds"])


def read_fold_table(path: str | os.PathLike[str], image_ids: Iterable[str]) -> pd.Series:
    """Read a table of folds made elsewhere.

    Parameters
    ----------
    path : path-like
        CSV with the columns ``Id`` or ``image_id``, and ``fold`` (whole
        numbers from 0, without gaps). Other columns are ignored.
    image_ids : iterable of str
        The fields that must have a fold, in the order of the result.

    Returns
    -------
    Series of int64
        Fold of each field, indexed by ``image_id``, in the order of
        `image_ids`.

    Raises
    ------
    InputError
        If a column is missing, a fold is not a whole number from 0, a fold is
        empty, there are duplicate ids, a field has no fold, or the table has an
        id that is not in `image_ids`.
    """
    table = read_text_table(path)
    table = table.rename(columns={named_column(table, ("fold",), path): "fold"})
    ids = pd.Index(table[named_column(table, ID_NAMES, path)], name="image_id")
    _check_ids(ids, path)
    training_ids = pd.Index([str(image_id) for image_id in image_ids], name="image_id")
    missing = training_ids.difference(ids)
    if len(missing):
        raise InputError(
            f"{path}: {counted(len(missing), 'field has', 'fields have')} no fold: "
            f"{shorten(missing)}"
        )
    unknown = ids.difference(training_ids)
    if len(unknown):
        raise InputError(
            f"{path}: ids that are not training fields of the catalogue: {shorten(unknown)}; "
            "remove these rows"
        )
    fold = pd.Series(_fold_numbers(table, ids, path), index=ids, name="fold").loc[training_ids]
    check_fold_numbers(fold.to_numpy(), path)
    return fold


def read_fold_plan(path: str | os.PathLike[str]) -> FoldPlan:
    """Read a fold plan.

    Parameters
    ----------
    path : path-like
        ``folds.csv`` with the columns ``image_id, cluster, fold``. The JSON
        file of the same name in the same folder, if it exists, becomes
        `record`.

    Returns
    -------
    FoldPlan

    Raises
    ------
    InputError
        If the table is not a fold plan, or the JSON file belongs to another
        plan (the table was edited).
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    table = read_text_table(path)
    missing = [name for name in ("image_id", "cluster", "fold") if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]!r} is missing; a fold plan has the columns image_id, "
            "cluster, fold"
        )
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
            f"{path}: the folds do not match {path.with_suffix('.json').name} in the same folder; "
            "make the folds again, or remove the JSON file if the table was edited on purpose"
        )
    return plan


def write_fold_plan(path: str | os.PathLike[str], plan: FoldPlan) -> None:
    """Write a fold plan, and the record of how it was made in a JSON file beside it.

    Parameters
    ----------
    path : path-like
        Path of ``folds.csv``; an existing file is replaced in one rename.
    plan : FoldPlan

    Notes
    -----
    An older JSON file is removed first and the new one is written last, so
    that a table is never beside the record of another plan, not even after
    the process was killed.
    """
    path = Path(path)
    record_path = path.with_suffix(".json")
    record_path.unlink(missing_ok=True)
    publish_text(path, plan.frame.to_csv(lineterminator="\n"))
    record = {**plan.record, "n_splits": plan.n_folds, "fold_plan": plan.digest}
    publish_text(record_path, json.dumps(record, indent=2, sort_keys=True) + "\n")


def make_fold_plan(
    image_ids: Iterable[str],
    indicator: ArrayLike,
    clusters: pd.Series,
    n_splits: int = 5,
    random_state: int = 0,
    *,
    balance: pd.DataFrame | None = None,
    balance_weights: Mapping[str, float] | None = None,
) -> FoldPlan:
    """Assign the training fields to folds.

    Parameters
    ----------
    image_ids : iterable of str, length n
        Training fields, in the order of the plan's rows.
    indicator : array-like of {0, 1}, shape (n, n_labels)
    clusters : Series of str
        Cluster of each field, indexed by image id; further fields are ignored.
    n_splits : int, default=5
        Number of folds.
    random_state : int, default=0
        Seed that breaks ties.
    balance : DataFrame, optional
        Indexed by image id; columns whose levels are balanced too (cell line,
        source, domain). Further fields are ignored. A missing value is a
        separate level.
    balance_weights : dict of column name to float, optional
        The columns of `balance` to use, and the weight of their levels relative
        to a label. Default: all columns, each with weight 1.

    Returns
    -------
    FoldPlan
        No cluster is split. The folds do not depend on the order of the rows.

    Raises
    ------
    InputError
        If a field has no cluster or no row in `balance`, there are duplicate ids,
        there are fewer clusters than folds, or a column to balance is unknown
        or holds fractions.

    Examples
    --------
    >>> clusters = pd.Series({"a": "a", "b": "a", "c": "c", "d": "d"})
    >>> plan = make_fold_plan(clusters.index, [[1], [1], [1], [1]], clusters, n_splits=2)
    >>> plan.frame["fold"].tolist()
    [1, 1, 0, 0]
    """
    ids = pd.Index([str(image_id) for image_id in image_ids], name="image_id")
    _check_ids(ids, "the training fields")
    indicator = indicator_of(indicator)
    if len(indicator) != len(ids):
        raise InputError(
            f"image_ids has {counted(len(ids), 'id')} and indicator has "
            f"{counted(len(indicator), 'row')}; the numbers must be equal"
        )
    cluster_of_field = take_rows(clusters, ids, "the clusters")
    if balance is None and balance_weights:
        raise InputError(
            "balance_weights has no effect without balance; pass the data frame with these columns"
        )
    if balance is not None:
        if balance_weights is None:
            balance_weights = dict.fromkeys(balance.columns, 1.0)
        balance = take_rows(balance, ids, "the columns to balance")
    # Imported here: only the splitter needs scikit-learn, which is slow to import.
    from hpastack.folds.splitter import ALGORITHM_VERSION, MultilabelStratifiedGroupKFold

    splitter = MultilabelStratifiedGroupKFold(
        n_splits, random_state=random_state, balance=balance_weights
    )
    fold = splitter.fold_numbers(indicator, cluster_of_field.to_numpy(dtype=object), balance)
    frame = pd.DataFrame({"cluster": cluster_of_field.to_numpy(), "fold": fold}, index=ids)
    record = {
        "algorithm_version": ALGORITHM_VERSION,
        "balance": {str(name): float(weight) for name, weight in (balance_weights or {}).items()},
        "imported_from": "",
        "labels": labels_digest(ids, indicator),
        "seed": int(random_state),
    }
    return FoldPlan(frame, record)


def check_plan(plan: FoldPlan, image_ids: Iterable[str], indicator: ArrayLike) -> None:
    """Check that a plan was made for these fields and labels.

    Parameters
    ----------
    plan : FoldPlan
    image_ids : iterable of str, length n
        The current training fields.
    indicator : array-like of {0, 1}, shape (n, n_labels)
        Their current labels.

    Raises
    ------
    InputError
        If the fields differ, or the labels differ from those recorded with the
        plan.
    """
    ids = pd.Index([str(image_id) for image_id in image_ids])
    differing = plan.frame.index.symmetric_difference(ids)
    if len(differing):
        raise InputError(
            f"the fold plan and the training fields differ in {counted(len(differing), 'field')}: "
            f"{shorten(differing)}; run: hpastack cluster --overwrite"
        )
    if plan.record.get("labels", None) not in (None, labels_digest(ids, indicator)):
        raise InputError(
            "labels have changed since the folds were made; to keep the folds run: "
            "hpastack cluster --folds data/folds.csv --overwrite, or without --folds to "
            "make new ones, for which CNNs have to be trained again"
        )


def labels_digest(image_ids: Iterable[str], indicator: ArrayLike) -> str:
    """Return the digest of the labels for which a plan was balanced, for any order of the rows.

    Parameters
    ----------
    image_ids : iterable of str, length n
    indicator : array-like of {0, 1}, shape (n, n_labels)

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the lines
        ``"<image_id>\\t<ids of its labels>\\n"``, sorted by image id.
    """
    digest = hashlib.sha256()
    rows = [" ".join(map(str, np.flatnonzero(row))) for row in np.asarray(indicator)]
    for image_id, labels in sorted(zip(map(str, image_ids), rows)):
        digest.update(f"{image_id}\t{labels}\n".encode())
    return digest.hexdigest()


def _read_record(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} in the same folder is not valid JSON ({error})") from None
    if not isinstance(record, dict):
        raise InputError(f"{path.name} in the same folder is not a JSON object")
    return record


def _check_ids(ids: pd.Index, where: object) -> None:
    if len(ids) == 0:
        raise InputError(f"{where}: there are no fields")
    check_ids(ids, where)


def _fold_numbers(table: pd.DataFrame, ids: pd.Index, where: object) -> np.ndarray:
    texts = table["fold"].str.strip()
    # Up to six digits: anything longer is not a fold number and would overflow.
    good = texts.str.fullmatch(r"[0-9]{1,6}").to_numpy(dtype=bool)
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(
            f"{where}: fold {table['fold'].iloc[row]!r} of field {ids[row]} is not a whole number "
            "from 0"
        )
    return texts.astype(np.int64).to_numpy()


def fold_digest(image_ids: Iterable[str], fold: Iterable[int]) -> str:
    """Return the digest that identifies a fold plan.

    Parameters
    ----------
    image_ids : iterable of str, length n
        Training fields, in any order.
    fold : array-like of int, shape (n,)

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the sorted lines ``image_id,fold``.

    Examples
    --------
    >>> fold_digest(["b", "a"], [1, 0]) == fold_digest(["a", "b"], [0, 1])
    True
    """
    lines = sorted(f"{image_id},{int(k)}\n" for image_id, k in zip(image_ids, fold, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
