"""Where things lie: a folder with data/, features/, models/, submissions/ and reports/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpastack.errors import InputError
from hpastack.labels import HPA_2018, Vocabulary


@dataclass(frozen=True)
class Workspace:
    """Name the places of a workspace; nothing is made or read.

    Parameters
    ----------
    root : path-like
        The folder.
    """

    root: Path

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))

    @property
    def data(self) -> Path:
        """Folder of the catalogue, clusters and folds."""
        return self.root / "data"

    @property
    def catalogue(self) -> Path:
        """Table of the fields."""
        return self.data / "catalogue.csv"

    @property
    def stain_statistics(self) -> Path:
        """How bright each stain is."""
        return self.data / "stains.csv"

    @property
    def packed(self) -> Path:
        """Fields decoded once for networks, if they were packed."""
        return self.data / "fields.h5"

    @property
    def vocabulary_file(self) -> Path:
        """Label names, one a line, where they are not those of HPA 2018."""
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
        """Training fields of clusters whose labels disagree."""
        return self.data / "disagreements.csv"

    @property
    def leaks(self) -> Path:
        """Test fields with a twin among the training fields."""
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
    def domain_folds(self) -> Path:
        """Folds that leave out one domain each."""
        return self.data / "domain_folds.csv"

    @property
    def train_weights(self) -> Path:
        """Weights that make the training fields look like the test fields."""
        return self.data / "train_weights.csv"

    @property
    def adversarial_columns(self) -> Path:
        """Columns that tell train from test."""
        return self.data / "adversarial_columns.csv"

    @property
    def features(self) -> Path:
        """Recipes of feature sets, and their stores."""
        return self.root / "features"

    @property
    def models(self) -> Path:
        """Recipes of CNNs and stacks, and what they make."""
        return self.root / "models"

    @property
    def submissions(self) -> Path:
        """Submission files."""
        return self.root / "submissions"

    @property
    def reports(self) -> Path:
        """HTML reports."""
        return self.root / "reports"

    def store(self, name: str) -> Path:
        """Return the path of a store."""
        return self.features / f"{name}.h5"

    def stores(self) -> list[Path]:
        """Return the published stores, by name."""
        return sorted(self.features.glob("*.h5"))

    def vocabulary(self) -> Vocabulary:
        """Read the workspace's label names; those of HPA 2018 if it has none of its own."""
        if self.vocabulary_file.is_file():
            return Vocabulary.read(self.vocabulary_file)
        return HPA_2018

    def require(self, path: Path, remedy: str) -> Path:
        """Return `path` if it is there.

        Parameters
        ----------
        path : Path
            A file of the workspace that an earlier command makes.
        remedy : str
            That command.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If it is not there; the remedy is named.
        """
        if not path.exists():
            raise InputError(f"{path} is missing; run: {remedy}")
        return path
