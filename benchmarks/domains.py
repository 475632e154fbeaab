"""Domains compared with cell lines, and train with test, on synthetic and real fields.

Synthetic: 600 training and 400 test fields of 128 px, whose cell lines have the
same or different proportions in train and test. Real: 15 features of 7,754
training fields and all test fields, and the coarse clusters of another team.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from hpastack.clusters import clusters_from_keys, read_duplicate_lists
from hpastack.features import field_features
from hpastack.similarity import (
    adversarial_check,
    domain_agreement,
    domain_clusters,
    reference_columns,
)
from hpastack.synthetic import synthetic_dataset

FAMILIES = ["intensity", "texture"]


def main(data: Path | None = None) -> None:
    for shift in (0.0, 1.0):
        _drawn(shift)
    if data is not None:
        _real(data)
    _large()


def _drawn(shift: float) -> None:
    dataset = synthetic_dataset(600, 400, size=128, tail=0.5, cell_line_shift=shift, seed=0)
    design = dataset.design
    rows = Parallel(n_jobs=-1)(
        delayed(field_features)(field, families=FAMILIES) for _, field in dataset.fields()
    )
    features = pd.DataFrame(rows, index=design.index)
    is_test = design["split"] == "test"
    name = f"domains: synthetic fields, cell line shift {shift:g}"
    reference = features[reference_columns(features.columns)]
    for which, table in (("reference columns", reference), ("all columns", features)):
        for n_domains in (8, "auto"):
            domains = domain_clusters(table, n_domains)
            found = domain_agreement(domains, design["cell_line"])
            print(
                f"{name}: {which}, {n_domains} ({domains.nunique()}) domains: adjusted Rand "
                f"{found['adjusted_rand']:.3f}, majority {found['majority']:.3f} "
                f"(one domain: {found['commonest']:.3f})"
            )
    _check(f"{name}, wells whole", reference, is_test, design["well"])
    _check(f"{name}, wells split", reference, is_test, None)


def _real(data: Path) -> None:
    splits = {
        split: pd.read_csv(data / "field_stats" / f"{split}_meta.csv").set_index("Id")
        for split in ("train", "test")
    }
    features = pd.concat(splits.values())
    is_test = pd.Series(features.index.isin(splits["test"].index), features.index)
    lists = [
        read_duplicate_lists(data / "duplicates" / f"omallo_{split}_duplicates.txt")
        for split in splits
    ]
    clusters = clusters_from_keys(features.index, pd.concat(lists))
    coarse = pd.read_csv(data / "duplicates" / "coarse_clusters.csv", dtype=str)
    theirs = coarse.drop_duplicates("Id").set_index("Id")["cluster4"]
    reference = [
        f"{stain}_{property_}"
        for stain in ("red", "blue")
        for property_ in ("mean", "non_zero_mean", "std")
    ]
    for which, table in (("6 reference columns", features[reference]), ("15 columns", features)):
        name = f"domains: real fields, {which}"
        domains = domain_clusters(table, 4)
        found = domain_agreement(domains, theirs)
        print(
            f"{name}: 4 domains against another team's 4: adjusted Rand "
            f"{found['adjusted_rand']:.3f}, majority {found['majority']:.3f} "
            f"(one domain: {found['commonest']:.3f})"
        )
        _check(name, table, is_test, clusters)
    shuffled = np.random.default_rng(0).permutation(is_test)
    _check(f"{name}, split shuffled", features, pd.Series(shuffled, is_test.index), clusters)


def _large() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 512))
    kind = rng.integers(8, size=130_000)
    values = rng.normal(size=(130_000, 512)).astype(np.float32)
    values += 0.5 * centres[kind].astype(np.float32)
    features = pd.DataFrame(values, index=[f"f{i:06d}" for i in range(len(values))])
    start = time.perf_counter()
    domains = domain_clusters(features, 8)
    print(
        f"domains: 130,000 fields, 512 columns, 8 domains: {time.perf_counter() - start:.1f} s, "
        f"{domains.nunique()} found"
    )


def _check(name: str, features: pd.DataFrame, is_test: pd.Series, groups) -> None:
    start = time.perf_counter()
    check = adversarial_check(features, is_test, groups)
    train = features[~is_test.loc[features.index]]
    spread = features.std()
    wanted = features[is_test.loc[features.index]].mean()
    weights = check.weights.loc[train.index].to_numpy()
    plain = ((wanted - train.mean()) / spread).abs().mean()
    weighted = ((wanted - train.mul(weights, axis=0).mean()) / spread).abs().mean()
    print(
        f"{name}: AUC {check.auc:.3f} [{check.interval[0]:.3f}, {check.interval[1]:.3f}], "
        f"{len(train)} training fields, effective size {check.effective_size:.0f}; means of "
        f"train and test {plain:.3f} sd apart, weighted {weighted:.3f}; first columns "
        f"{', '.join(check.columns['column'].head(3))}; {time.perf_counter() - start:.1f} s"
    )
