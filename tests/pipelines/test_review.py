"""The command that writes the review page."""

import numpy as np
import pandas as pd
import pytest

from hpastack.folds import FoldPlan, write_fold_plan
from hpastack.labels import Vocabulary
from hpastack.stack import StackClassifier
from pipelines import prepare, review

N = 90
NAMES = ["a", "b"]


@pytest.fixture
def workspace(tmp_path):
    """Prepare a workspace of labels alone, with a stack in its models/."""
    rng = np.random.default_rng(0)
    ids = [f"field{i:03d}" for i in range(N)]
    y = pd.DataFrame(rng.integers(0, 2, (N, 2)), ids, NAMES)
    y.loc[y.sum(axis=1) == 0, "a"] = 1
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vocabulary.txt").write_text("\n".join(NAMES))
    train = pd.DataFrame({"Id": ids, "Target": Vocabulary(NAMES).targets(y)})
    train.to_csv(tmp_path / "train.csv", index=False)
    labels = str(tmp_path / "train.csv")
    assert prepare.main(["--labels", labels, "--workspace", str(tmp_path)]) == 0
    X = pd.DataFrame(0.6 * y.to_numpy() + 0.4 * rng.random(y.shape), ids, ["net__0", "net__1"])
    frame = pd.DataFrame({"cluster": ids, "fold": np.arange(N) % 3}, ids)
    write_fold_plan(tmp_path / "data" / "folds.csv", FoldPlan(frame))
    stack = StackClassifier(cnns=["net"], boosters=["lightgbm"], rounds=5, n_bootstrap=0, n_jobs=1)
    stack.fit(X, y, groups=frame["cluster"], folds=frame["fold"])
    stack.save(tmp_path / "models" / "stack")
    return tmp_path


def call(workspace, *arguments):
    return review.main([*map(str, arguments), "--workspace", str(workspace)])


def test_it_writes_one_page_of_text_where_there_are_no_images(workspace, capsys):
    assert call(workspace, "models/stack", "--fields", 10) == 0
    out = capsys.readouterr().out
    path = workspace / "reports" / "review.html"
    assert f"wrote {path}: 10 fields" in out and "suspicions, not errors" in out
    assert list(path.parent.iterdir()) == [path]
    text = path.read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    before = path.read_bytes()
    assert call(workspace, "models/stack", "--fields", 10) == 2
    assert "exists" in capsys.readouterr().err
    assert call(workspace, "models/stack", "--fields", 10, "--overwrite") == 0
    assert path.read_bytes() == before


def test_a_stack_of_other_labels_is_an_error(workspace, capsys):
    train = pd.read_csv(workspace / "train.csv", dtype=str)
    train.assign(Target="0").to_csv(workspace / "other.csv", index=False)
    arguments = ["--labels", str(workspace / "other.csv"), "--overwrite"]
    assert prepare.main([*arguments, "--workspace", str(workspace)]) == 0
    assert call(workspace, "models/stack") == 2
    assert "fitted on other fields or labels" in capsys.readouterr().err
