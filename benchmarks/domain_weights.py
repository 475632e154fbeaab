"""Effect of weights against a domain shift on a stack, on real fields with such a shift.

    python -m benchmarks.domain_weights [--data DIR] [--draws N] [--fields N] [--jobs N]

7,754 training fields with 15 image features are clustered into eight domains.
Fields of four of these, chosen at random each time, are nine times as likely
among the training fields as among the new ones, and vice versa for those of the
other four. Weights are those of `hpastack.similarity.adversarial_check`. A field
of weight w is repeated 3 w times among the training fields, rounded at random,
with all copies in one cluster; equal weights are treated likewise. Alternatively,
weights are used for the choice of thresholds alone. The difference to no weights is
on the new fields, with 95 % intervals over clusters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import hpastack as hs
from benchmarks.scores import (
    SCORES,
    Result,
    difference_cell,
    paired_scores,
    plain_scores,
    table_row,
)
from benchmarks.stack_data import RealSet, oof_set
from benchmarks.stack_fits import command_line
from benchmarks.without_cnns import image_features
from hpastack.calibration import apply_thresholds, best_thresholds
from hpastack.similarity import adversarial_check, domain_clusters

#: Probability that a field is a training field, in the domains that are frequent among them.
SHARE = 0.9
#: Number of copies of a field of weight 1 among the training fields.
COPIES = 3
NEW_FIELDS = 3_000


def _with_cnns(data: Path, features: RealSet) -> RealSet:
    """Return the same fields with eight CNNs in addition to the features."""
    real, table = oof_set(data), features.X
    X = pd.concat([real.X.loc[table.index], table], axis=1)
    return RealSet("CNNs", X, features.y, features.clusters, real.cnns, list(table.columns))


def _shifted(real: RealSet, domains: np.ndarray, n_train: int, seed: int) -> tuple[RealSet, ...]:
    """Sample training and new fields, with whole clusters."""
    rng = np.random.default_rng(seed)
    numbers = np.unique(domains)
    is_common = np.isin(domains, rng.permutation(numbers)[: len(numbers) // 2])
    _, first, place = np.unique(real.clusters, return_index=True, return_inverse=True)
    is_train = (rng.random(len(first)) < np.where(is_common[first], SHARE, 1 - SHARE))[place]
    parts = []
    for name, members, n in (("train", is_train, n_train), ("new", ~is_train, NEW_FIELDS)):
        kept = (rng.random(len(first)) < n / members.sum())[place]
        parts.append(real.rows(name, members & kept))
    return tuple(parts)


def _weights(train: RealSet, new: RealSet, columns: list[str]) -> np.ndarray:
    both = pd.concat([train.X[columns], new.X[columns]])
    is_test = pd.Series(both.index.isin(new.X.index), both.index)
    clusters = pd.concat([train.clusters, new.clusters])
    check = adversarial_check(both, is_test, clusters, progress=False)
    print(f"AUC {check.auc:.3f}; {check.verdict}")
    return check.weights.loc[train.X.index].to_numpy()


def _fitted(train: RealSet, fold, rows: np.ndarray, jobs: int):
    # Copies have their own ids and share the cluster.
    X, y = (table.iloc[rows].reset_index(drop=True) for table in (train.X, train.y))
    groups = train.clusters.to_numpy()[rows]
    stack = hs.StackClassifier(cnns=train.cnns, n_jobs=jobs, n_bootstrap=0)
    return stack.fit(X, y, groups=groups, folds=fold[rows])


def results_of(
    train: RealSet, new: RealSet, weights: np.ndarray, seed: int, jobs: int
) -> dict[str, Result]:
    """Fit with and without weights, and predict the new fields."""
    fold, rng = train.folds(), np.random.default_rng(seed)
    plain = _fitted(train, fold, np.arange(len(weights)), jobs)
    found = {"none": _said_of(plain, new)}
    own = plain.oof_consensus_ if plain.labels_by_consensus_ else plain.oof_probabilities_
    thresholds = best_thresholds(train.y, own, policy=plain.thresholds, weights=weights)
    predict = plain.predict_consensus if plain.labels_by_consensus_ else plain.predict_proba
    labels = apply_thresholds(predict(new.X), thresholds)
    found["thresholds alone"] = Result(found["none"].scores, labels)
    # Copies alone reduce the regularisation; equal copies separate this from the effect of weights.
    equal = np.full(len(weights), COPIES)
    copies = np.floor(COPIES * weights + rng.random(len(weights))).astype(int)
    for name, times in (("none, each three times", equal), ("everywhere", copies)):
        rows = np.repeat(np.arange(len(weights)), times)
        found[name] = _said_of(_fitted(train, fold, rows, jobs), new)
    return found


def _said_of(stack, new: RealSet) -> Result:
    return Result(stack.predict_proba(new.X).to_numpy(), stack.predict(new.X).to_numpy())


def main(data: Path, draws: int = 3, fields: int = 2_000, jobs: int = 2) -> None:
    features = image_features(data)
    domains = domain_clusters(features.X, 8, progress=False).to_numpy()
    for real in (_with_cnns(data, features), features):
        for seed in range(draws):
            train, new = _shifted(real, domains, fields, seed)
            print(
                f"\ndomain weights: {real.name}, draw {seed}, {len(train.X):,} training and "
                f"{len(new.X):,} new fields",
                flush=True,
            )
            weights = _weights(train, new, features.features)
            results = results_of(train, new, weights, seed, jobs)
            y = new.y.to_numpy()
            scores, differences = paired_scores(y, results, new.clusters.to_numpy())
            print("| weights | macro F1 | macro AP | log loss | F1 | AP | log loss: minus none |")
            print(table_row(["---"] * 7))
            for name, result in results.items():
                cells = [name, f"{scores[name]['f1'][0]:.3f}", f"{scores[name]['ap'][0]:.3f}"]
                cells.append(f"{plain_scores(y, result)['log loss']:.4f}")
                compared = [] if name == "none" else list(SCORES)
                cells += [difference_cell(differences[name, "none"][key]) for key in compared]
                print(table_row(cells), flush=True)


if __name__ == "__main__":
    parser = command_line(__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--fields", type=int, default=2_000, help="training fields per draw")
    options = parser.parse_args()
    main(options.data, options.draws, options.fields, options.jobs)
