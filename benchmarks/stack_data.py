"""Sets of predictions to stack: three real ones, and the stores of a workspace.

The real ones are out-of-fold label sets, a small holdout and a test set, whose labels are
another team's submission, not ground truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

import hpastack as hs
from benchmarks.real_predictions import CNNS
from hpastack.catalogue import training_fields
from hpastack.clusters import clusters_from_keys, read_duplicate_lists
from hpastack.errors import InputError
from hpastack.stack.consensus import clipped_logits
from hpastack.store import open_store
from hpastack.workspace import Workspace

N_FOLDS = 5
N_LABELS = len(hs.HPA_2018)


@dataclass(frozen=True)
class RealSet:
    """Fields with labels, predictions of CNNs, optional image features, and clusters.

    Parameters
    ----------
    name : str
    X : DataFrame
        Columns ``<cnn>__<label>`` with probabilities, then the features; rows by id.
    y : DataFrame of {0, 1}, shape (n, n_labels)
    clusters : Series, shape (n,)
        Fields that must stay together.
    cnns, features : list of str
        Names of the CNNs, and of the columns of X that are features.
    """

    name: str
    X: pd.DataFrame
    y: pd.DataFrame
    clusters: pd.Series
    cnns: list[str]
    features: list[str]

    def folds(self) -> np.ndarray:
        """Return the folds for all systems of the set."""
        splitter = hs.MultilabelStratifiedGroupKFold(N_FOLDS, random_state=0)
        return splitter.fold_numbers(self.y.to_numpy(), self.clusters.to_numpy())

    def probabilities(self, cnn: str) -> np.ndarray:
        """Return the predictions of a CNN, shape (n, n_labels)."""
        return self.X[[f"{cnn}__{label}" for label in range(N_LABELS)]].to_numpy(dtype=float)

    def log_odds(self) -> np.ndarray:
        """Return bounded log-odds, shape (n_cnns, n, n_labels), as for the consensus."""
        return np.stack(
            [clipped_logits(self.probabilities(cnn), are_logits=False) for cnn in self.cnns]
        )

    def own_columns(self, label: int) -> list[str]:
        """Return the names of the columns of X with CNN predictions of this label."""
        return [f"{cnn}__{label}" for cnn in self.cnns]

    def rows(self, name: str, chosen) -> RealSet:
        """Return some of the fields, under another name."""
        chosen = np.flatnonzero(chosen)
        return RealSet(
            name,
            self.X.iloc[chosen],
            self.y.iloc[chosen],
            self.clusters.iloc[chosen],
            self.cnns,
            self.features,
        )

    def digest(self, fold) -> str:
        """Return an eight-letter digest of the data and its folds, for names of cached files."""
        found = hashlib.sha256()
        for values in (self.X.to_numpy(dtype=np.float32), self.y.to_numpy(dtype=np.uint8), fold):
            found.update(np.ascontiguousarray(values).tobytes())
        found.update("\n".join([*self.X.columns, *self.X.index]).encode())
        return found.hexdigest()[:8]


def oof_set(data: Path) -> RealSet:
    """Read the 31,072 training fields with seven out-of-fold label sets and one table of votes.

    The votes of the eighth network are at how many of five thresholds it predicted
    the label; a fifth of this number is used as its probability.
    """
    y = _train_labels(data)
    predictions = {}
    for cnn in CNNS:
        table = pd.read_csv(
            data / "cnn_oof" / f"{cnn}.csv", dtype=str, index_col="Id", keep_default_na=False
        )
        predictions[cnn] = hs.HPA_2018.indicator(table["Predicted"].loc[y.index], allow_empty=True)
    # Same rows as train.csv.
    predictions["ResNet50_2018"] = np.load(data / "cnn_oof" / "ResNet50_2018_ordinal.npy") / 5
    return _assembled("oof", y, predictions, data / "duplicates" / "omallo_train_duplicates.txt")


def holdout_set(data: Path) -> RealSet:
    """Read a holdout of 1,500 training fields with the probabilities of four networks.

    Unknown and duplicate ids are dropped. So are rows that a network never
    wrote: the last batch of 28 contains uninitialised memory, recognisable by
    values above 1, or closer to 0 than a sigmoid gives.
    """
    folder = data / "cnn_holdout"
    ids = pd.Index((folder / "ids.txt").read_text().split())
    tables = {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}
    labels = _train_labels(data)
    kept = ids.isin(labels.index) & ~ids.duplicated(keep=False)
    unwritten = np.zeros(len(ids), dtype=bool)
    for values in tables.values():
        # The smallest normal number; values below it are parts of pointers and counters.
        strange = (values > 1) | ((values > 0) & (values < np.finfo(float).tiny))
        unwritten |= strange.any(axis=1)
    if unwritten.any():
        # The whole batch is invalid, so its plausible rows are dropped too.
        unwritten[np.flatnonzero(unwritten)[0] :] = True
    kept &= ~unwritten
    predictions = {name: values[kept] for name, values in tables.items()}
    y = labels.loc[ids[kept]]
    return _assembled(
        "holdout", y, predictions, data / "duplicates" / "omallo_train_duplicates.txt"
    )


def silver_set(data: Path) -> RealSet:
    """Read the 11,702 test fields with ten networks and 15 image features.

    The labels are another team's submission, which did not use these networks.
    Some fields have none.
    """
    table = pd.read_csv(
        data / "labels" / "silver_test_submission.csv",
        dtype=str,
        index_col="Id",
        keep_default_na=False,
    )
    order = pd.read_csv(data / "labels" / "sample_submission.csv", dtype=str)["Id"]
    y = _labels(table["Predicted"].loc[order])
    predictions = {}
    for path in sorted((data / "cnn_test").glob("vpp_*.npz")):
        with np.load(path) as archive:
            predictions[path.stem] = np.clip(archive["pred"].astype(np.float32), 0, 1)
    features = pd.read_csv(data / "field_stats" / "test_meta.csv", index_col="Id").loc[y.index]
    return _assembled(
        "silver",
        y,
        predictions,
        data / "duplicates" / "omallo_test_duplicates.txt",
        features,
    )


def workspace_set(root: Path) -> RealSet:
    """Read the training fields of a workspace, such as the demo's, from its stores."""
    workspace = Workspace(root)
    training = training_fields(workspace.read_catalogue())
    vocabulary = workspace.vocabulary()
    y = pd.DataFrame(
        vocabulary.indicator(training["target"]), training.index, range(len(vocabulary))
    )
    predictions, features = [], []
    for path in sorted(workspace.features.glob("*.h5")):
        with open_store(path) as store:
            if store.kind == "in_sample" or store.content == "scores":
                continue
            values = store.to_frame(training.index)
            if store.content == "features":
                features.append(values)
                continue
            if store.content == "logits":
                values = expit(values)
            values.columns = [f"{store.name}__{label}" for label in range(len(vocabulary))]
            predictions.append((store.name, values))
    tables = [values for _, values in predictions] + features
    if not tables:
        raise InputError(f"{workspace.features} has no store to stack")
    clusters = workspace.read_folds().frame.loc[training.index, "cluster"]
    names = [column for table in features for column in table]
    cnns = [name for name, _ in predictions]
    return RealSet("workspace", pd.concat(tables, axis=1), y, clusters, cnns, names)


#: Reader of each set.
SETS: dict[str, Callable[[Path], RealSet]] = {
    "oof": oof_set,
    "holdout": holdout_set,
    "silver": silver_set,
}


def _train_labels(data: Path) -> pd.DataFrame:
    table = pd.read_csv(data / "labels" / "train.csv", dtype=str, index_col="Id")
    return _labels(table["Target"])


def _labels(targets: pd.Series) -> pd.DataFrame:
    y = hs.HPA_2018.indicator(targets, allow_empty=True)
    return pd.DataFrame(y, index=targets.index, columns=list(hs.HPA_2018))


def _assembled(name, y, predictions, duplicates, features=None) -> RealSet:
    parts = [
        pd.DataFrame(
            np.asarray(values, dtype=np.float32),
            index=y.index,
            columns=[f"{cnn}__{label}" for label in range(N_LABELS)],
        )
        for cnn, values in predictions.items()
    ]
    if features is not None:
        parts.append(features.astype(np.float32))
    clusters = clusters_from_keys(y.index, read_duplicate_lists(duplicates))
    return RealSet(
        name,
        pd.concat(parts, axis=1),
        y,
        clusters,
        list(predictions),
        [] if features is None else list(features.columns),
    )
