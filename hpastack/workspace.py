"""The workspace: a folder with data/, features/, models/, submissions/ and reports/."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hpastack.catalogue import read_catalogue, training_fields
from hpastack.clusters import read_assignment
from hpastack.errors import InputError, counted, shorten
from hpastack.files.notebook_html import html_facts
from hpastack.files.sizes import size_text
from hpastack.folds import FoldPlan, check_plan, read_fold_plan
from hpastack.labels import HPA_2018, Vocabulary


@dataclass(frozen=True)
class Workspace:
    """Paths of the files in a workspace, and methods that read them.

    Parameters
    ----------
    root : path-like
        The folder.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def _repr_html_(self) -> str:
        splits = _splits(self)
        facts = {"fields": ", ".join(f"{n:,} {split}" for split, n in splits.items())}
        facts |= {kind: ", ".join(files) for kind, files in _contents(self).items()}
        command = _next_command(self, n_train=int(splits.get("train", 0)))
        return html_facts(f"Workspace {self.root}", facts, note=f"next: {command}")

    @property
    def data(self) -> Path:
        """Folder of the catalogue, the clusters and the folds."""
        return self.root / "data"

    @property
    def catalogue(self) -> Path:
        """Table of the fields."""
        return self.data / "catalogue.csv"

    @property
    def changes(self) -> Path:
        """Fields that were dropped or relabelled, with the reason."""
        return self.data / "changes.csv"

    @property
    def stain_statistics(self) -> Path:
        """Intensity statistics of each stain."""
        return self.data / "stains.csv"

    @property
    def packed(self) -> Path:
        """The packed file: fields decoded once, for networks."""
        return self.data / "fields.h5"

    @property
    def vocabulary_file(self) -> Path:
        """Label names, one per line, if they differ from those of HPA 2018."""
        return self.data / "vocabulary.txt"

    @property
    def clusters(self) -> Path:
        """Cluster of every field."""
        return self.data / "clusters.csv"

    @property
    def pairs(self) -> Path:
        """Pairs of near-duplicates."""
        return self.data / "pairs.csv"

    @property
    def disagreements(self) -> Path:
        """Training fields in clusters whose labels disagree."""
        return self.data / "disagreements.csv"

    @property
    def split_clusters(self) -> Path:
        """Clusters that are split by an accepted fold plan."""
        return self.data / "split_clusters.csv"

    @property
    def leaks(self) -> Path:
        """Test fields with a near-duplicate among the training fields."""
        return self.data / "leaks.csv"

    @property
    def folds(self) -> Path:
        """The fold plan."""
        return self.data / "folds.csv"

    @property
    def domains(self) -> Path:
        """Domain of every field."""
        return self.data / "domains.csv"

    @property
    def domain_map(self) -> Path:
        """First two principal components of every field, for plots of the domains."""
        return self.data / "domain_map.csv"

    @property
    def domain_folds(self) -> Path:
        """Folds that each hold out one domain."""
        return self.data / "domain_folds.csv"

    @property
    def adversarial_columns(self) -> Path:
        """Columns that distinguish training from test fields."""
        return self.data / "adversarial_columns.csv"

    @property
    def features(self) -> Path:
        """Folder of the recipes of feature sets and their stores."""
        return self.root / "features"

    @property
    def models(self) -> Path:
        """Folder of the recipes of CNNs and stacks and their results."""
        return self.root / "models"

    @property
    def submissions(self) -> Path:
        """Folder of the submission files."""
        return self.root / "submissions"

    @property
    def reports(self) -> Path:
        """Folder of the HTML reports."""
        return self.root / "reports"

    def store(self, name: str) -> Path:
        """Return the path of a store from its name, with or without ``.h5``."""
        return self.features / f"{name.removesuffix('.h5')}.h5"

    def stores(self) -> list[Path]:
        """Return the paths of the published stores, sorted by name."""
        return sorted(self.features.glob("*.h5"))

    def vocabulary(self) -> Vocabulary:
        """Read the vocabulary of the workspace; that of HPA 2018 if it has none."""
        if self.vocabulary_file.is_file():
            return Vocabulary.read(self.vocabulary_file)
        return HPA_2018

    def read_catalogue(self) -> pd.DataFrame:
        """Read the table of the fields.

        Returns
        -------
        DataFrame
            From `hpastack.read_catalogue`.

        Raises
        ------
        InputError
            If it is missing or not a catalogue; the message names the command
            that makes it.
        """
        return read_catalogue(self.require(self.catalogue, "hpastack prepare IMAGES"))

    def read_folds(self, catalogue: pd.DataFrame | None = None) -> FoldPlan:
        """Read the fold plan.

        Parameters
        ----------
        catalogue : DataFrame, optional
            From `read_catalogue`. If passed, the plan must have been made for its
            training fields and their labels. Default: not checked.

        Returns
        -------
        FoldPlan

        Raises
        ------
        InputError
            If it is missing, was made for other fields or labels, or no field has
            labels; the message names the command that makes it.
        """
        if catalogue is not None:
            self.require_training_fields(catalogue)
        plan = read_fold_plan(self.require(self.folds, "hpastack cluster"))
        if catalogue is not None:
            train = training_fields(catalogue)
            indicator = self.vocabulary().indicator(train["target"], allow_empty=True)
            check_plan(plan, train.index, indicator)
        return plan

    def require_training_fields(self, catalogue: pd.DataFrame) -> None:
        """Check that a catalogue has labelled fields, from which models can be trained.

        Parameters
        ----------
        catalogue : DataFrame

        Raises
        ------
        InputError
            If it has no training fields; the message names the command that adds
            labels.
        """
        if training_fields(catalogue).empty:
            raise InputError(
                f"{self.catalogue}: no training fields, but folds, CNNs and stacks need their "
                "labels; run: hpastack prepare IMAGES --labels CSV --overwrite "
                "(near-duplicates, domains and nearest fields need no labels, nor does predict "
                "with a fitted stack)"
            )

    def read_clusters(self, image_ids: Iterable[str]) -> pd.Series:
        """Read the clusters of a list of fields.

        Parameters
        ----------
        image_ids : iterable of str
            Fields of the catalogue.

        Returns
        -------
        Series of str
            Indexed by `image_ids`, in their order.

        Raises
        ------
        InputError
            If the file of clusters is missing or lacks a field; the message names
            the command that makes it.
        """
        place = self.require(self.clusters, "hpastack cluster")
        clusters = read_assignment(place, "cluster")
        ids = pd.Index(image_ids)
        missing = ids.difference(clusters.index)
        if len(missing):
            raise InputError(
                f"{place} lacks {counted(len(missing), 'field')} of the catalogue: "
                f"{shorten(missing)}; "
                "run: hpastack cluster --overwrite"
            )
        return clusters.loc[ids]

    def require(self, path: Path, remedy: str) -> Path:
        """Return `path` if it exists.

        Parameters
        ----------
        path : Path
            A file of the workspace.
        remedy : str
            The command that makes it.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If it does not exist; the message names `remedy`.
        """
        if not path.exists():
            raise InputError(f"{path} is missing; run: {remedy}")
        return path


def _contents(workspace: Workspace) -> dict[str, list[str]]:
    """Return the existing files and folders with their sizes, grouped by folder."""
    data = (
        "catalogue", "vocabulary_file", "stain_statistics", "packed", "clusters", "leaks",
        "disagreements", "folds", "domains",
    )  # fmt: skip
    return {
        "data": _sizes(getattr(workspace, name) for name in data),
        "stores": _sizes(workspace.stores()),
        "models": _sizes(_models(workspace)),
        "submissions": _sizes(sorted(workspace.submissions.glob("*.csv"))),
        "reports": _sizes(sorted(workspace.reports.glob("*.html"))),
    }


def _models(workspace: Workspace) -> list[Path]:
    return sorted(
        path for path in workspace.models.glob("*/") if path.name[0] != "." and path.is_dir()
    )


def _splits(workspace: Workspace) -> pd.Series:
    """Return the number of fields of each split; empty without a readable catalogue."""
    if not workspace.catalogue.is_file():
        return pd.Series(dtype=int)
    try:
        splits = read_catalogue(workspace.catalogue)["split"].value_counts()
    except InputError:
        return pd.Series(dtype=int)
    return splits.sort_index(ascending=False)


def _sizes(paths: Iterable[Path]) -> list[str]:
    return [f"{path.name} ({_size(path)})" for path in paths if path.exists()]


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return size_text(sum(file.stat().st_size for file in files))


def _next_command(workspace: Workspace, n_train: int) -> str:
    """Return the command that makes the first missing file on the way to a report."""
    stacks = [path for path in _models(workspace) if (path / "stack.json").is_file()]
    steps = (
        (workspace.catalogue.is_file(), "prepare IMAGES"),
        (workspace.clusters.is_file(), "cluster"),
        (bool(workspace.stores()), "extract features/handcrafted.yaml"),
        (bool(stacks or n_train), "prepare IMAGES --labels CSV --overwrite"),
        (bool(stacks), "stack"),
    )
    for is_there, command in steps:
        if not is_there:
            return f"hpastack {command}"
    for stack in stacks:
        if not (workspace.reports / f"{stack.name}.html").is_file():
            return f"hpastack report {stack.name}"
    return f"hpastack predict {stacks[0].name}"
