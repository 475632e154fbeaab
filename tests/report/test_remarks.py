"""Remarks on labels that scores or boosters exclude."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpastack.report.facts import Facts
from hpastack.report.sections.warnings import remarks
from hpastack.stack import StackClassifier


@pytest.mark.parametrize("name", ["lightgbm", "pooled", "forest"])
def test_labels_are_too_rare_only_where_no_member_learned_them(name):
    rng = np.random.default_rng(0)
    y = pd.DataFrame((rng.random((240, 3)) < [0.6, 0.5, 0]).astype(int), columns=["a", "b", "c"])
    y.loc[:2, "c"] = 1
    X = pd.DataFrame(np.clip(0.5 * y + 0.5 * rng.random(y.shape), 0, 1))
    X.columns = [f"net__{k}" for k in range(3)]
    stack = StackClassifier(
        ["net"], boosters=[name], rounds=5, n_splits=3, n_bootstrap=0, n_jobs=1
    ).fit(X, y)
    (line,) = remarks(Facts(Path("some"), {"record": {}}, stack, y.to_numpy()))
    assert line.startswith("Too few positives for boosters") and line.endswith("is used: c.")
