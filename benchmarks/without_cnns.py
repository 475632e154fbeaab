"""The stack where there are no CNNs, beside what people fit to features alone.

    python -m benchmarks.without_cnns [--data DIR] [--only NAME ...] [--jobs N]

Sets that come with scikit-learn, with one column a class, drawn multi-label
sets of several shapes and, where real data lie beside the checkout, image
features of training fields alone. Every system of a set is judged on the same
folds; thresholds of a fold are chosen on the scores of the other folds. The
differences to the stack have 95 % intervals over clusters.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn import datasets
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

import hpastack as hs
from benchmarks import REAL_DATA
from benchmarks.scores import Result, cross_fitted_labels, paired_scores, plain_scores
from benchmarks.stack_data import oof_set

N_FOLDS = 5

#: Systems on all columns, one model a label; forests of as many trees as settle.
ALTERNATIVES: dict[str, Callable[[], object]] = {
    "LightGBM": lambda: LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1),
    "XGBoost": lambda: XGBClassifier(n_estimators=100, tree_method="hist", n_jobs=1),
    "random forest": lambda: _imputed(RandomForestClassifier(300, n_jobs=1, random_state=0)),
    "extra trees": lambda: _imputed(ExtraTreesClassifier(300, n_jobs=1, random_state=0)),
    "logistic regression": lambda: _imputed(StandardScaler(), LogisticRegression(max_iter=1000)),
}


@dataclass(frozen=True)
class FeatureSet:
    """Features and labels of some samples.

    Parameters
    ----------
    X : DataFrame, shape (n, d)
    y : DataFrame of {0, 1}, shape (n, n_labels)
    clusters : Series, shape (n,)
        Samples that must stay together.
    """

    X: pd.DataFrame
    y: pd.DataFrame
    clusters: pd.Series

    def folds(self) -> np.ndarray:
        """Deal the folds that every system is judged on."""
        splitter = hs.MultilabelStratifiedGroupKFold(N_FOLDS, random_state=0)
        return splitter.fold_numbers(self.y.to_numpy(), self.clusters.to_numpy())


def _imputed(*steps):
    return make_pipeline(SimpleImputer(), *steps)


def _set_of(X, y) -> FeatureSet:
    X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.uint8)
    ids = [f"sample{number}" for number in range(len(X))]
    return FeatureSet(
        pd.DataFrame(X, ids, [f"column{k}" for k in range(X.shape[1])]),
        pd.DataFrame(y, ids, [str(k) for k in range(y.shape[1])]),
        pd.Series(np.arange(len(X)), ids),
    )


def _one_hot(loaded) -> FeatureSet:
    return _set_of(loaded.data, np.eye(loaded.target.max() + 1)[loaded.target])


def _drawn(**shape) -> FeatureSet:
    return _set_of(*datasets.make_multilabel_classification(**shape))


def _classes() -> FeatureSet:
    X, target = datasets.make_classification(
        1500, 60, n_informative=15, n_redundant=10, n_classes=8, random_state=0
    )
    return _set_of(X, np.eye(8)[target])


def image_features(data: Path) -> FeatureSet:
    """Read 15 measured image features of 7,754 training fields, with their labels."""
    real = oof_set(data)
    table = pd.read_csv(data / "field_stats" / "train_meta.csv", index_col="Id").astype(np.float32)
    table = table[table.index.isin(real.y.index) & ~table.index.duplicated()]
    return FeatureSet(table, real.y.loc[table.index], real.clusters.loc[table.index])


#: How each set is made; the last needs real data.
SETS: dict[str, Callable[[], FeatureSet]] = {
    "digits": lambda: _one_hot(datasets.load_digits()),
    "wine": lambda: _one_hot(datasets.load_wine()),
    "breast cancer": lambda: _one_hot(datasets.load_breast_cancer()),
    "eight classes": _classes,
    "multi-label, 2,000 x 20": lambda: _drawn(
        n_samples=2000, n_features=20, n_classes=5, random_state=0
    ),
    "multi-label, 500 x 50": lambda: _drawn(
        n_samples=500, n_features=50, n_classes=10, random_state=1
    ),
    "multi-label, 5,000 x 40": lambda: _drawn(
        n_samples=5000, n_features=40, n_classes=12, n_labels=3, random_state=2
    ),
}


def out_of_fold_scores(chosen: FeatureSet, fold: np.ndarray, make) -> np.ndarray:
    """Fit a model per label on the other folds; return its probabilities, (n, n_labels)."""
    x, y = chosen.X.to_numpy(), chosen.y.to_numpy()
    scores = np.zeros(y.shape)
    for number in range(fold.max() + 1):
        held_out = fold == number
        for label in range(y.shape[1]):
            target = y[~held_out, label]
            if target.min() == target.max():
                scores[held_out, label] = target.mean()
                continue
            model = make().fit(x[~held_out], target)
            scores[held_out, label] = model.predict_proba(x[held_out])[:, 1]
    return scores


def results_of(chosen: FeatureSet, jobs: int) -> dict[str, Result]:
    """Fit the stack and the alternatives on the same folds."""
    fold, y = chosen.folds(), chosen.y.to_numpy()
    stack = hs.StackClassifier(n_jobs=jobs, n_bootstrap=0)
    stack.fit(chosen.X, chosen.y, groups=chosen.clusters, folds=pd.Series(fold, chosen.X.index))
    found = {"stack": Result(stack.oof_probabilities_.to_numpy(), stack.oof_labels_.to_numpy())}
    for name, make in ALTERNATIVES.items():
        scores = out_of_fold_scores(chosen, fold, make)
        found[name] = Result(scores, cross_fitted_labels(y, scores, fold))
    return found


def table(chosen: FeatureSet, results: dict[str, Result]) -> str:
    """Write the scores of the systems of a set as Markdown."""
    y = chosen.y.to_numpy()
    scores, differences = paired_scores(y, results, chosen.clusters.to_numpy())
    lines = [
        "| system | macro F1 | macro AP | log loss | F1 − stack | AP − stack |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        cells = [name, f"{scores[name]['f1'][0]:.3f}", f"{scores[name]['ap'][0]:.3f}"]
        cells.append(f"{plain_scores(y, result)['log loss']:.4f}")
        for key in ("f1", "ap"):
            value, low, high = differences[name, "stack"][key]
            cells.append("" if name == "stack" else f"{value:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(data: Path | None = None, only: tuple[str, ...] = (), jobs: int = 2) -> None:
    makers = dict(SETS)
    if data is not None:
        makers["image features"] = lambda: image_features(data)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for name, make in makers.items():
            if only and not any(word in name for word in only):
                continue
            chosen = make()
            n, d = chosen.X.shape
            print(
                f"\nwithout CNNs: {name}, {n:,} samples, {d} features, {chosen.y.shape[1]} labels"
            )
            print(table(chosen, results_of(chosen, jobs)), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="the real data")
    parser.add_argument("--only", nargs="+", default=(), help="words in the names of sets")
    parser.add_argument("--jobs", type=int, default=2, help="threads of the stack")
    options = parser.parse_args()
    main(options.data if options.data.is_dir() else None, tuple(options.only), options.jobs)
