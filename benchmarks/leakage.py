"""Score estimates of plain, stratified and cluster folds, and the true score of the same stack.

Synthetic fields with wells and near-duplicates go through the commands a user
would type, three times: only the folds differ. The CNN is fine-tuned on those
folds, the stack is fitted on its out-of-fold predictions and on features, and
its cross-validated score is compared with its score on test fields from other
wells without a duplicate among the training fields.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from hpastack.labels import HPA_2018
from hpastack.metrics import macro_average_precision, macro_f1
from hpastack.stack import load_stack

N_SPLITS = 4
SIZE = 128
SEEDS = (0, 1)
_STACK = "stack"


def main(seeds=SEEDS, n_train: int = 1200, n_test: int = 800) -> None:
    rows = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows += _compare(Path(folder), seed, n_train, n_test)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    means = table.groupby("folds", sort=False).mean(numeric_only=True).drop(columns="seed")
    print(f"\nleakage: means of seeds {', '.join(map(str, seeds))}")
    print(means.to_string(float_format="{:.3f}".format))


def _compare(root: Path, seed: int, n_train: int, n_test: int) -> list[dict]:
    fields, shared = root / "fields", root / "shared"
    run_pipeline(
        "synthesize", shared, fields, "--train", n_train, "--test", n_test, "--size", SIZE,
        "--seed", seed, "--tail", 0.35, "--min-train-wells", 6, "--min-test-wells", 2,
    )  # fmt: skip
    run_pipeline("prepare", shared, fields, "--groups", fields / "groups.csv")
    run_pipeline("extract", shared, "intensity", "texture", "--set", f"size={SIZE}")
    run_pipeline("cluster", shared, "--n-splits", N_SPLITS, "--seed", seed)
    truth = _unseen_truth(fields)
    rows = []
    for name, make in _FOLDS.items():
        work = root / name
        shutil.copytree(shared, work)
        table = _train_table(work)
        if make is not None:
            table.assign(fold=make(table, seed))[["fold"]].to_csv(work / "theirs.csv")
            # Without wells and duplicates, because the stack rejects folds that split them.
            run_pipeline(
                "cluster", work, "--folds", work / "theirs.csv", "--group-by", "--no-images",
                "--overwrite",
            )  # fmt: skip
        run_pipeline("finetune", work, "cnn_small", "--set", f"seed={seed}")
        run_pipeline(_STACK, work, "--set", f"seed={seed}")
        run_pipeline("predict", work, work / "models" / _STACK, "--name", "test")
        rows.append({"seed": seed, "folds": name, **_scores(work, truth)})
        print(f"leakage: {rows[-1]}", flush=True)
    return rows


def _unseen_truth(fields: Path) -> pd.Series:
    """Read the labels of the test fields that are not near-duplicates of a training field."""
    truth = pd.read_csv(fields / "test_truth.csv", dtype=str).set_index("Id")["Target"]
    return truth.drop(pd.read_csv(fields / "planted_duplicates.csv")["Id"], errors="ignore")


def _train_table(work: Path) -> pd.DataFrame:
    catalogue = pd.read_csv(work / "data" / "catalogue.csv", dtype=str, keep_default_na=False)
    return catalogue[catalogue["split"] == "train"].set_index("image_id")


def _plain(table: pd.DataFrame, seed: int) -> np.ndarray:
    fold = np.empty(len(table), dtype=int)
    splitter = KFold(N_SPLITS, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(table)):
        fold[held_out] = number
    return fold


def _stratified(table: pd.DataFrame, seed: int) -> np.ndarray:
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    y = HPA_2018.indicator(table["target"])
    fold = np.empty(len(table), dtype=int)
    splitter = MultilabelStratifiedKFold(N_SPLITS, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(y, y)):
        fold[held_out] = number
    return fold


#: How the folds are made; None uses those of `pipelines.cluster`.
_FOLDS: dict[str, Callable | None] = {"plain": _plain, "stratified": _stratified, "clusters": None}


def _scores(work: Path, truth: pd.Series) -> dict[str, float]:
    promised = load_stack(work / "models" / _STACK).cv_results_
    submitted = pd.read_csv(work / "submissions" / "test.csv", dtype=str, keep_default_na=False)
    submitted = submitted.set_index("Id")["Predicted"].loc[truth.index]
    probabilities = pd.read_csv(work / "submissions" / "test_probabilities.csv", index_col="Id")
    y = HPA_2018.indicator(truth)
    labels = HPA_2018.indicator(submitted, allow_empty=True)
    scores = {
        "F1 promised": promised["macro_f1"],
        "F1 true": macro_f1(y, labels, absent="skip"),
        "AP promised": promised["macro_ap"],
        "AP true": macro_average_precision(y, probabilities.loc[truth.index].to_numpy()),
    }
    scores["F1 too good by"] = scores["F1 promised"] - scores["F1 true"]
    scores["AP too good by"] = scores["AP promised"] - scores["AP true"]
    return scores


def run_pipeline(command: str, workspace: Path, *arguments: object) -> None:
    """Run a command as a user would; its output is shown if it fails."""
    words = [sys.executable, "-m", f"pipelines.{command}", *map(str, arguments)]
    done = subprocess.run([*words, "--workspace", str(workspace)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
