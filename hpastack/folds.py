"""Folds for multi-label data that never split a cluster, and the plan that records them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, shorten

#: Raised whenever the same labels, groups and seed would give other folds.
ALGORITHM_VERSION = 1


def fold_digest(image_ids: Iterable[str], fold: ArrayLike) -> str:
    """Name a fold plan by its content, whatever the order of its rows.

    Parameters
    ----------
    image_ids : iterable of str, length n
    fold : array-like of int, shape (n,)

    Returns
    -------
    str
        sha256 in hex over the rows ``"<image_id>\\t<fold>\\n"`` sorted by id.
    """
    digest = hashlib.sha256()
    for image_id, number in sorted(zip(map(str, image_ids), np.asarray(fold).tolist())):
        digest.update(f"{image_id}\t{number}\n".encode())
    return digest.hexdigest()


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
        return fold_digest(self.frame.index, self.frame["fold"])

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
    _publish(path, plan.frame.to_csv(lineterminator="\n"))
    record = {**plan.record, "n_splits": plan.n_folds, "fold_plan": plan.digest}
    _publish(record_path, json.dumps(record, indent=2, sort_keys=True) + "\n")


def _publish(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


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
