"""Proportion of wrong annotations among those ranked as most suspicious.

Two sets with known answers:

- **planted**: in 60 of 1,200 synthetic training fields one label is replaced by another; the
  fields go through the commands a user would type, so that the CNN and the stack are trained on
  the errors too. Printed is the number of errors among the 120 top-ranked fields (6 expected by
  chance);
- **HPA**: 4,051 lists of fields of HPA whose protein image has the same hash as that of a
  training field. Their annotations are independent of those of the training fields, in part.
  Printed is the proportion of the top-ranked pairs of field and label that HPA contradicts,
  compared with all pairs.

    python -m benchmarks.label_check [--data DIR] [--seeds N]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from benchmarks import REAL_DATA
from benchmarks.leakage import run_pipeline
from benchmarks.stack_data import RealSet, oof_set
from hpastack.labels import HPA_2018
from hpastack.review import ORDERS, label_issues
from hpastack.stack import load_stack

N_PLANTED = 60
N_FIELDS = 1200


def planted_errors(root: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return true labels, labels with planted errors, and probabilities of a stack fitted on them.

    Parameters
    ----------
    root : Path
        Folder for the workspace.
    seed : int
        Seed of the synthetic fields and of the errors.

    Returns
    -------
    true, annotated, probabilities : DataFrame, shape (1200, 28)
    """
    fields, work = root / "fields", root / "work"
    run_pipeline(
        "synthesize", work, fields, "--train", N_FIELDS, "--test", 40, "--size", 128,
        "--seed", seed, "--tail", 0.35, "--min-train-wells", 6, "--min-test-wells", 0,
    )  # fmt: skip
    table = pd.read_csv(fields / "train.csv", dtype=str, index_col="Id")["Target"]
    true = pd.DataFrame(HPA_2018.indicator(table), table.index, list(HPA_2018))
    annotated = true.copy()
    rng = np.random.default_rng(seed)
    for row in rng.choice(len(true), N_PLANTED, replace=False):
        present = true.to_numpy()[row] == 1
        annotated.iloc[row, rng.choice(np.flatnonzero(present))] = 0
        annotated.iloc[row, rng.choice(np.flatnonzero(~present))] = 1
    corrections = HPA_2018.targets(annotated.to_numpy())
    pd.Series(corrections, table.index, name="Target").to_csv(root / "planted.csv")
    run_pipeline(
        "prepare", work, fields, "--groups", fields / "groups.csv",
        "--corrections", root / "planted.csv",
    )  # fmt: skip
    run_pipeline("cluster", work, "--n-splits", 4)
    run_pipeline("finetune", work, "cnn_small")
    run_pipeline("extract", work, "handcrafted", "--set", "size=128")
    run_pipeline("stack", work, "--no-submission")
    probabilities = load_stack(work / "models" / "stack").oof_probabilities_
    ids = probabilities.index
    return true.loc[ids], annotated.loc[ids], probabilities


def hpa_labels(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the labels of HPA's own fields with the same protein image as a training field.

    Parameters
    ----------
    data : Path
        Folder of real labels and predictions.

    Returns
    -------
    annotated, of_hpa : DataFrame of {0, 1}, shape (4051, 28)
        Of the training fields, which are the index of both, and of the HPA fields.
    """
    ours = pd.read_csv(data / "labels" / "train.csv", dtype=str, index_col="Id")["Target"]
    theirs = pd.read_csv(data / "labels" / "hpav18.csv", dtype=str, index_col="Id")["Target"]
    path = data / "duplicates" / "omallo_external_train_duplicates.txt"
    same_image: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        ids = line.split(",")
        outside = [image_id for image_id in ids if image_id in theirs.index]
        for image_id in ids:
            if image_id in ours.index and outside:
                same_image.setdefault(image_id, outside[0])
    index, labels = pd.Index(same_image), list(HPA_2018)
    return (
        pd.DataFrame(HPA_2018.indicator(ours[index]), index, labels),
        pd.DataFrame(HPA_2018.indicator(theirs[list(same_image.values())]), index, labels),
    )


def cross_fitted(real: RealSet) -> pd.DataFrame:
    """Return probabilities from logistic regression of each label on its CNN predictions.

    Parameters
    ----------
    real : RealSet

    Returns
    -------
    DataFrame, shape (n, n_labels)
    """
    fold, y = real.folds(), real.y.to_numpy()
    predictions = np.stack([real.probabilities(cnn) for cnn in real.cnns], axis=-1)
    p = np.empty(y.shape)
    for held in np.unique(fold):
        new = fold == held
        for k in range(y.shape[1]):
            model = LogisticRegression(max_iter=300).fit(predictions[~new, k], y[~new, k])
            p[new, k] = model.predict_proba(predictions[new, k])[:, 1]
    return pd.DataFrame(p, real.y.index, list(HPA_2018))


def on_hpa(data: Path) -> None:
    """Print how often HPA contradicts the top-ranked pairs of field and label."""
    real = oof_set(data)
    annotated, of_hpa = hpa_labels(data)
    y = real.y.set_axis(list(HPA_2018), axis=1)
    mean = np.mean([real.probabilities(cnn) for cnn in real.cnns], axis=0)
    contradicted = (annotated != of_hpa).stack()
    print(
        f"\nlabel check: {len(annotated):,} fields of HPA contradict "
        f"{contradicted.mean():.1%} of pairs"
    )
    sources = {"logistic regression": cross_fitted(real),
               "mean of the CNNs": pd.DataFrame(mean, y.index, y.columns)}  # fmt: skip
    for source, p in sources.items():
        for order in ORDERS:
            issues = label_issues(y, p, order=order)
            issues = issues[issues["image_id"].isin(annotated.index)].head(1000)
            wrong = contradicted.loc[pd.MultiIndex.from_frame(issues[["image_id", "label"]])]
            shares = ", ".join(f"{n}: {wrong.iloc[:n].mean():.1%}" for n in (100, 300, 1000))
            print(f"label check: {source}, {order}: among the first {shares}")


def main(data: Path | None, seeds: Sequence[int] = (0, 1, 2)) -> None:
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            true, annotated, probabilities = planted_errors(Path(folder), seed)
        planted = set(true.index[(true != annotated).any(axis=1)])
        for order in ORDERS:
            issues = label_issues(annotated, probabilities, order=order)
            first = issues["image_id"].drop_duplicates().iloc[:120]
            print(
                f"label check: data set {seed}, {order}: {len(planted.intersection(first))} of "
                f"{N_PLANTED} planted errors among the first 120 of {N_FIELDS:,} fields",
                flush=True,
            )
    if data is not None:
        on_hpa(data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA if REAL_DATA.is_dir() else None)
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    args = parser.parse_args()
    main(args.data, range(args.seeds))
