"""The inputs of a report, gathered and checked once for all sections."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.files import check_unique, read_text_table, take_rows
from hpastack.labels import Vocabulary
from hpastack.metrics import cluster_draws, f1_scores, score_interval
from hpastack.report.embedded import Pictures
from hpastack.report.seconds import Seconds
from hpastack.stack import StackClassifier, check_labels, load_stack, read_manifest
from hpastack.stack.score_tables import OutOfFold

_Rows = TypeVar("_Rows", pd.DataFrame, pd.Series)


@dataclass(frozen=True, eq=False)
class Facts:
    """A fitted stack with the data of its workspace.

    Rows of all arrays are the training fields, in the order of `image_ids`; columns
    are the labels, in the order of `names`.

    Parameters
    ----------
    folder : Path
        Folder of the stack.
    manifest : dict
        Manifest of the stack, from `hpastack.stack.read_manifest`.
    stack : StackClassifier
    y : ndarray of {0, 1}, shape (n, n_labels)
        Annotated labels.
    clusters : ndarray of str, shape (n,), or None
        Cluster of each field; None if unknown.
    catalogue : DataFrame or None
        All training and test fields of the workspace, from `hpastack.read_catalogue`.
    pictures : Pictures
        Thumbnails of the fields.
    importance : DataFrame or None
        Table of `hpastack.stack.column_importance`.
    places : dict of str to Path
        Existing files and folders of the workspace, by the name of the property of
        `hpastack.Workspace`.
    rivals : sequence of Facts
        Other stacks to compare with.
    seconds : dict of str to dict of str to float
        Durations of ``fit`` and ``predict`` of each predictor in seconds; empty if unknown.
    """

    folder: Path
    manifest: dict[str, Any]
    stack: StackClassifier
    y: np.ndarray
    clusters: np.ndarray | None = None
    catalogue: pd.DataFrame | None = None
    pictures: Pictures = field(default_factory=Pictures)
    importance: pd.DataFrame | None = None
    places: Mapping[str, Path] = field(default_factory=dict)
    rivals: Sequence[Facts] = ()
    seconds: Seconds = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """Name of the stack."""
        return self.folder.resolve().name

    @property
    def names(self) -> list[str]:
        """Names of the labels."""
        return self.stack.labels_

    @property
    def record(self) -> dict[str, Any]:
        """Record of how the stack was made: recipe, stores, notes."""
        return self.manifest["record"]

    @property
    def table(self) -> pd.DataFrame:
        """Scores by label."""
        return self.stack.label_table_

    @property
    def start(self) -> str:
        """Starting point of the members: ``consensus`` or, without CNNs, ``prior``."""
        return "consensus" if "consensus_f1" in self.table else "prior"

    @property
    def image_ids(self) -> pd.Index:
        """Ids of the training fields."""
        return self.stack.oof_probabilities_.index

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels predicted out of fold."""
        return self.stack.oof_labels_.to_numpy()

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Probabilities predicted out of fold."""
        return self.stack.oof_probabilities_.to_numpy(dtype=float)

    @cached_property
    def draws(self) -> np.ndarray | None:
        """Weight of each field in each bootstrap draw of clusters."""
        if self.clusters is None or not self.stack.n_bootstrap:
            return None
        return cluster_draws(
            self.clusters, n_draws=self.stack.n_bootstrap, seed=int(self.stack.seed_)
        )

    @cached_property
    def f1_interval(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Lower and upper ends of the interval of the F1 of the stack for each label."""
        if self.draws is None:
            return None
        low, high = score_interval(
            f1_scores(self.y, self.labels), f1_scores(self.y, self.labels, self.draws)
        )
        return np.clip(low, 0, 1), np.clip(high, 0, 1)

    def system(self, image_ids: pd.Index) -> OutOfFold:
        """Return the out-of-fold predictions of the stack, in the order of some ids.

        Raises
        ------
        InputError
            If the stack was fitted on other fields.
        """
        rows = self.image_ids.get_indexer(image_ids)
        if len(rows) != len(self.image_ids) or (rows < 0).any():
            raise InputError(
                f"{self.folder} was fitted on other fields; only stacks fitted on the same fields "
                "can be compared",
                "compare",
            )
        return OutOfFold(self.probabilities[rows], self.labels[rows])

    @cached_property
    def submitted(self) -> pd.DataFrame | None:
        """Predicted labels of the test fields, 0 or 1, by id; None without a submission."""
        folder = self.places.get("submissions")
        path = None if folder is None else folder / f"{self.name}.csv"
        if path is None or not path.is_file():
            return None
        table = read_text_table(path)
        missing = [name for name in ("Id", "Predicted") if name not in table]
        if missing:
            raise InputError(
                f"{path}: no column {missing[0]}; a submission has the columns Id and Predicted"
            )
        check_unique(table["Id"], str(path))
        targets = table.set_index("Id")["Predicted"]
        try:
            indicator = Vocabulary(self.names).indicator(targets, allow_empty=True)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        return pd.DataFrame(indicator, targets.index, self.names)

    @cached_property
    def counts_labels(self) -> bool:
        """Whether macro scores are over labels with positives only, unlike in earlier versions."""
        return "n_labels_scored" in self.stack.cv_results_


def gather_facts(
    stack_folder: str | os.PathLike[str],
    targets: pd.DataFrame,
    clusters: pd.Series | None = None,
    **others: Any,
) -> Facts:
    """Read a stack, and check that it was fitted on these labels and clusters.

    Parameters
    ----------
    stack_folder : path-like
    targets : DataFrame of {0, 1}
        See `hpastack.write_report`.
    clusters : Series, optional
    **others
        Other parameters of `Facts`.

    Returns
    -------
    Facts

    Raises
    ------
    InputError
        If the folder is not a stack, or one of its training fields has no label or
        cluster, or another one than at fitting.
    """
    folder = Path(stack_folder)
    manifest, stack = read_manifest(folder), load_stack(folder)
    y = _true_labels(folder, stack, targets)
    cluster = None if clusters is None else _true_clusters(folder, stack, y, clusters)
    return Facts(folder, manifest, stack, y, cluster, **others)


def _true_labels(folder: Path, stack: StackClassifier, targets: pd.DataFrame) -> np.ndarray:
    y = _of_stack(folder, stack, targets, "labels")
    check_labels(stack.labels_, targets.columns, folder)
    # Charts of the current labels would contradict scores on other labels.
    table = stack.label_table_
    f1 = f1_scores(y, stack.oof_labels_.to_numpy())
    same = np.isclose(f1, table["stack_f1"]) & (y.sum(axis=0) == table["positives"].to_numpy())
    if not same.all():
        raise InputError(
            f"{folder} was fitted on other labels of these fields than those of this workspace "
            f"(different: {shorten(table.index[~same])}); fit the stack again"
        )
    return y


def _true_clusters(
    folder: Path, stack: StackClassifier, y: np.ndarray, clusters: pd.Series
) -> np.ndarray:
    cluster = _of_stack(folder, stack, clusters, "clusters")
    n_clusters = [len(np.unique(cluster[y[:, k] == 1])) for k in range(y.shape[1])]
    if n_clusters != stack.label_table_["clusters"].tolist():
        raise InputError(
            f"{folder} was fitted on other clusters than those of this workspace; fit the stack "
            "again"
        )
    return cluster


def _of_stack(folder: Path, stack: StackClassifier, table: _Rows, what: str) -> np.ndarray:
    """Return the rows of a table for the training fields of a stack, in their order."""
    name = f"{folder}: the {what} of this workspace"
    rows = take_rows(
        table, stack.oof_labels_.index, name, "make the report in the workspace of the stack"
    )
    return rows.to_numpy()
