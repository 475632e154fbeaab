"""The stack without CNNs, compared with models fitted to features alone.

Part of `benchmarks.stack`, which fits these sets after the real ones: data of
scikit-learn, with one column per class, generated multi-label data of several
shapes, hand-crafted features of synthetic fields and, if real data are beside
the checkout, image features of training fields. All systems of a set are
evaluated on the same folds; thresholds of a fold are chosen on the scores of
the other folds. The differences to the stack have 95 % intervals over clusters.
CatBoost is included if it is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.alternatives import System, lightgbm_on_all, multi_output, xgboost_on_all
from benchmarks.scores import (
    SCORES,
    Result,
    cross_fitted_labels,
    difference_cell,
    paired_scores,
    plain_scores,
    table_row,
    verdict,
)
from benchmarks.stack_data import RealSet, oof_set
from benchmarks.stack_fits import fit_stack
from hpastack.features import field_features
from hpastack.synthetic import draw_field


def _on_all(*steps) -> System:
    return lambda real, fold: multi_output(real, fold, make_pipeline(SimpleImputer(), *steps))


#: Systems on all columns, one model per label; forests large enough to converge.
ALTERNATIVES: dict[str, System] = {
    "LightGBM": lightgbm_on_all,
    "XGBoost": xgboost_on_all,
    "random forest": _on_all(RandomForestClassifier(300, n_jobs=1, random_state=0)),
    "extra trees": _on_all(ExtraTreesClassifier(300, n_jobs=1, random_state=0)),
    "logistic regression": _on_all(StandardScaler(), LogisticRegression(max_iter=1000)),
}
if importlib.util.find_spec("catboost"):
    from catboost import CatBoostClassifier

    ALTERNATIVES["CatBoost"] = _on_all(
        CatBoostClassifier(
            iterations=100, verbose=0, thread_count=1, random_seed=0, allow_writing_files=False
        )
    )


def _set_of(name, X, y) -> RealSet:
    X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.uint8)
    ids = [f"sample{number}" for number in range(len(X))]
    columns = [f"column{k}" for k in range(X.shape[1])]
    return RealSet(
        name,
        pd.DataFrame(X, ids, columns),
        pd.DataFrame(y, ids, [str(k) for k in range(y.shape[1])]),
        pd.Series(np.arange(len(X)), ids),
        [],
        columns,
    )


def _one_hot(name, X, target) -> RealSet:
    return _set_of(name, X, np.eye(target.max() + 1)[target])


def image_features(data: Path) -> RealSet:
    """Read 15 image features of 7,754 training fields, with their labels."""
    real = oof_set(data)
    table = pd.read_csv(data / "field_stats" / "train_meta.csv", index_col="Id").astype(np.float32)
    table = table[table.index.isin(real.y.index) & ~table.index.duplicated()]
    y, clusters = real.y.loc[table.index], real.clusters.loc[table.index]
    return RealSet("image features", table, y, clusters, [], list(table.columns))


def synthetic_features(n_fields: int = 450, n_labels: int = 12) -> RealSet:
    """Measure synthetic fields of 96 px, each with one or two of the first labels of HPA 2018."""
    rng = np.random.default_rng(0)
    y = np.zeros((n_fields, n_labels), dtype=np.uint8)
    rows = []
    for number in range(n_fields):
        labels = rng.choice(n_labels, rng.integers(1, 3), replace=False)
        y[number, labels] = 1
        field = draw_field(labels.tolist(), size=96, seed=number)
        rows.append(field_features(field, families=["intensity", "texture", "frequency"]))
    return _set_of("synthetic fields", pd.DataFrame(rows), y)


def sets(data: Path | None) -> Iterator[tuple[str, Callable[[], RealSet]]]:
    """Yield the names of the sets, and functions that make them; the last one needs real data."""
    for name, load in (
        ("digits", datasets.load_digits),
        ("wine", datasets.load_wine),
        ("breast cancer", datasets.load_breast_cancer),
    ):
        yield name, partial(_loaded, name, load)
    yield "eight classes", _eight_classes
    for seed, (n, d, n_classes, n_labels) in enumerate(
        ((2000, 20, 5, 2), (500, 50, 10, 2), (5000, 40, 12, 3), (1000, 400, 10, 2))
    ):
        name = f"multi-label, {n:,} x {d}"
        yield name, partial(_multi_label, name, n, d, n_classes, n_labels, seed)
    yield "synthetic fields", synthetic_features
    if data is not None:
        yield "image features", partial(image_features, data)


def _loaded(name: str, load: Callable[..., tuple]) -> RealSet:
    return _one_hot(name, *load(return_X_y=True))


def _eight_classes() -> RealSet:
    drawn = datasets.make_classification(
        1500, 60, n_informative=15, n_redundant=10, n_classes=8, random_state=0
    )
    return _one_hot("eight classes", *drawn)


def _multi_label(name: str, n: int, d: int, n_classes: int, n_labels: int, seed: int) -> RealSet:
    drawn = datasets.make_multilabel_classification(
        n, d, n_classes=n_classes, n_labels=n_labels, random_state=seed
    )
    return _set_of(name, *drawn)


def results_of(chosen: RealSet, systems: dict[str, System], jobs: int) -> dict[str, Result]:
    """Fit the stack and other systems on the same folds."""
    fold, y = chosen.folds(), chosen.y.to_numpy()
    of_stack, _ = fit_stack(chosen, fold, jobs)
    # Without CNNs the consensus is the prevalence.
    found = {name: result for name, result in of_stack.items() if name != "consensus"}
    for name, system in systems.items():
        scores = system(chosen, fold)
        found[name] = Result(scores, cross_fitted_labels(y, scores, fold))
    return found


def table(chosen: RealSet, results: dict[str, Result]) -> str:
    """Format the scores of the systems of a set as Markdown."""
    y = chosen.y.to_numpy()
    scores, differences = paired_scores(y, results, chosen.clusters.to_numpy())
    lines = [
        "| system | macro F1 | macro AP | log loss | F1 − stack | AP − stack | log loss − stack |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, result in results.items():
        cells = [name, f"{scores[name]['f1'][0]:.3f}", f"{scores[name]['ap'][0]:.3f}"]
        cells.append(f"{plain_scores(y, result)['log loss']:.4f}")
        for key in SCORES:
            triple = differences[name, "stack"][key]
            cells.append("" if name == "stack" else difference_cell(triple))
        lines.append(table_row(cells))
    return "\n".join([*lines, "", verdict(results, scores, differences)])


def main(
    data: Path | None = None,
    only: tuple[str, ...] = (),
    jobs: int = 2,
    further: Mapping[str, System] | None = None,
) -> None:
    """Print a table for each set, or for those with one of some words in their names."""
    for name, make in sets(data):
        if only and not any(word in name for word in only):
            continue
        chosen = make()
        n, d = chosen.X.shape
        size = f"{n:,} samples, {d} features, {chosen.y.shape[1]} labels"
        print(f"\nwithout CNNs: {chosen.name}, {size}")
        systems = {**ALTERNATIVES, **(further or {})}
        print(table(chosen, results_of(chosen, systems, jobs)), flush=True)
