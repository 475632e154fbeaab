"""How many of the annotations that out-of-fold predictions doubt most are wrong.

Two sets where that is known:

- **planted**: 60 of 1,200 drawn training fields get one of their labels swapped for another,
  and go through the commands a user would type, so that the CNN and the stack learn from the
  errors too. How many of them are among the 120 fields that are doubted most, and how many
  would be by chance (6);
- **twins**: 4,051 lists of fields of HPA whose protein image has the same hash as that of a
  training field. Annotations of the twin are independent of those of the training field, in
  part. How many of the most doubted pairs of field and label the twin contradicts, beside all
  pairs.

    python -m benchmarks.label_check [--data DIR] [--seeds N]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import REAL_DATA
from benchmarks.leakage import run_pipeline
from hpastack.labels import HPA_2018
from hpastack.stack import load_stack

N_PLANTED = 60
N_FIELDS = 1200


def planted_errors(root: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return true labels, labels with planted errors, and probabilities of a stack fitted on them.

    Parameters
    ----------
    root : Path
        Where the workspace is made.
    seed : int
        Of the drawn fields and of the errors.

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
