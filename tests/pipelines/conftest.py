"""Workspaces that tests of several commands begin with."""

import numpy as np
import pandas as pd
import pytest

from hpastack.folds import FoldPlan, write_fold_plan
from hpastack.labels import Vocabulary
from hpastack.stack import StackClassifier
from pipelines import prepare

N_FIELDS = 120
NAMES = ["a", "b"]


@pytest.fixture
def workspace_with_stack(tmp_path):
    """Prepare a workspace of 120 fields without images, with a stack in its models/."""
    rng = np.random.default_rng(0)
    ids = [f"field{i:03d}" for i in range(N_FIELDS)]
    y = pd.DataFrame(rng.integers(0, 2, (N_FIELDS, 2)), ids, NAMES)
    y.loc[y.sum(axis=1) == 0, "a"] = 1
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vocabulary.txt").write_text("\n".join(NAMES))
    train = pd.DataFrame({"Id": ids, "Target": Vocabulary(NAMES).targets(y)})
    train.to_csv(tmp_path / "train.csv", index=False)
    labels = str(tmp_path / "train.csv")
    assert prepare.main(["--labels", labels, "--workspace", str(tmp_path)]) == 0
    X = pd.DataFrame(0.45 * y.to_numpy() + 0.55 * rng.random(y.shape), ids, ["net__0", "net__1"])
    frame = pd.DataFrame({"cluster": ids, "fold": np.arange(N_FIELDS) % 3}, ids)
    write_fold_plan(tmp_path / "data" / "folds.csv", FoldPlan(frame))
    settings = {"boosters": ["lightgbm"], "rounds": 5, "n_bootstrap": 5, "n_jobs": 1}
    stack = StackClassifier(cnns=["net"], **settings)
    stack.fit(X, y, groups=frame["cluster"], folds=frame["fold"])
    stack.save(tmp_path / "models" / "stack")
    return tmp_path
