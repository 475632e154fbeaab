"""Balance, time and memory of the folds, compared with other splitters.

On the real labels of the competition and of HPA v18, five folds, twenty seeds
each. The other splitters are run with shuffled rows and the same seeds.
"""

import contextlib
import multiprocessing
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from benchmarks.memory import peak_megabytes
from hpastack.clusters import clusters_from_keys, read_duplicate_lists
from hpastack.folds import MultilabelStratifiedGroupKFold, audit_folds, fold_report
from hpastack.labels import HPA_2018

N_FOLDS = 5
SEEDS = range(20)
# The others take seconds to minutes per run, and vary little between seeds.
OTHER_SEEDS = range(3)
BALANCE = {"CellLine": 1.0}


def _datasets(data):
    """Yield a name, labels, groups and a column to balance (or None)."""
    train = pd.read_csv(data / "labels" / "train.csv", dtype=str, index_col="Id")
    pairs = pd.concat(
        read_duplicate_lists(data / "duplicates" / f"omallo_{name}_duplicates.txt")
        for name in ("train", "external_train")
    )
    clusters = clusters_from_keys(train.index, pairs).to_numpy(dtype=object)
    yield "competition by duplicates", HPA_2018.indicator(train["Target"]), clusters, None
    hpa = pd.read_csv(data / "labels" / "hpav18.csv", dtype=str, keep_default_na=False)
    y = HPA_2018.indicator(hpa["Target"], allow_empty=True)
    parts = hpa["Id"].str.split("_")
    for name, length in (("antibody", 1), ("well", 3)):
        groups = parts.str[:length].str.join("_").to_numpy(dtype=object)
        yield f"HPA v18 by {name}", y, groups, hpa[["CellLine"]]


def _numbers(splitter, y, target, groups):
    fold = np.empty(len(y), dtype=int)
    with warnings.catch_warnings():
        # Most label sets are rarer than the number of folds here.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, test) in enumerate(splitter.split(np.zeros(len(y)), target, groups)):
            fold[test] = number
    return fold


def _others(y, groups):
    """Return functions of a seed, by the name of the splitter."""
    label_sets = np.unique(y, axis=0, return_inverse=True)[1].ravel()
    found = {
        "GroupKFold": lambda seed: _numbers(
            GroupKFold(N_FOLDS, shuffle=True, random_state=seed), y, y, groups
        ),
        "StratifiedGroupKFold on label sets": lambda seed: _numbers(
            StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed), y, label_sets, groups
        ),
    }
    with contextlib.suppress(ModuleNotFoundError):
        from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

        found["iterative-stratification, groups split"] = lambda seed: _numbers(
            MultilabelStratifiedKFold(N_FOLDS, shuffle=True, random_state=seed), y, y, None
        )
    return found


def _measured(make, y, groups, seeds):
    rows = []
    for seed in seeds:
        start = time.process_time()
        fold = make(seed)
        took = time.process_time() - start
        rows.append({**fold_report(y, fold, groups=groups).measures, "seconds": took})
    return pd.DataFrame(rows)


def _line(name, table):
    deviation = table["relative_deviation"]
    print(
        f"  {name:44s} deviation {deviation.median():.5f} (worst {deviation.max():.5f})  "
        f"lpd {table['lpd'].median():.6f}  ed {table['ed'].median():6.1f}  "
        f"missing {table['zero_label_folds'].max():2.0f}  {table['seconds'].median():6.2f} s "
        f"(worst {table['seconds'].max():.2f})"
    )


def _level_deviation(values, fold):
    """Mean relative deviation of the levels of a column that at least 50 rows have."""
    counts = pd.crosstab(values, fold).to_numpy()
    counts = counts[counts.sum(1) >= 50]
    return np.abs(counts / counts.sum(1, keepdims=True) * N_FOLDS - 1).mean()


def _peak_memory(y, groups, lines):
    """Print time and memory of making folds; run in a separate process."""
    before = peak_megabytes()
    start = time.process_time()
    splitter = MultilabelStratifiedGroupKFold(N_FOLDS, balance=BALANCE)
    fold = splitter.fold_numbers(y, groups, lines)
    took = time.process_time() - start
    peak = peak_megabytes()
    report = fold_report(y, fold, groups=groups).measures
    print(
        f"  deviation {report['relative_deviation']:.5f} "
        f"(bound {report['lower_bound']:.5f}), {took:.2f} s, "
        f"peak {peak:.0f} MB, {before:.0f} MB of them before",
        flush=True,
    )


def main(data: Path) -> None:
    for name, y, groups, lines in _datasets(data):
        n_groups = len(np.unique(groups.astype(str)))

        def ours(seed, y=y, groups=groups, lines=lines, balance=None):
            splitter = MultilabelStratifiedGroupKFold(N_FOLDS, seed, balance=balance)
            fold = splitter.fold_numbers(y, groups, lines)
            assert audit_folds(pd.Series(fold), pd.Series(groups)).empty
            return fold

        table = _measured(ours, y, groups, SEEDS)
        bound = table["lower_bound"].iloc[0]
        print(
            f"folds: {name}, {len(y):,} rows, {n_groups:,} groups, {len(SEEDS)} seeds; "
            f"bound {bound:.5f}, worst seed {table['relative_deviation'].max() / bound - 1:.1%} "
            "above it"
        )
        _line("hpastack", table)
        if lines is not None:
            balanced = _measured(partial(ours, balance=BALANCE), y, groups, OTHER_SEEDS)
            _line(f"hpastack, balance={BALANCE}", balanced)
            for label, balance in (("without", None), ("with", BALANCE)):
                off = _level_deviation(lines["CellLine"], ours(0, balance=balance))
                print(f"  deviation of cell lines {label} balance: {off:.4f}")
        for other, make in _others(y, groups).items():
            _line(other, _measured(make, y, groups, OTHER_SEEDS))

    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(y), 130_000)
    for name, own in (
        ("groups of their wells", groups[drawn].astype(str)),
        ("groups of about 5 sampled rows", rng.integers(0, 26_000, 130_000)),
        ("no groups", None),
    ):
        print(f"folds: 130,000 rows sampled from HPA v18, {name}, cell lines balanced")
        rows = (y[drawn], own, lines.iloc[drawn].reset_index(drop=True))
        process = multiprocessing.get_context("spawn").Process(target=_peak_memory, args=rows)
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError(f"the measurement ended with status {process.exitcode}")
