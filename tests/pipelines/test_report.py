"""The command that writes the report."""

import numpy as np
import pandas as pd
import pytest

from hpastack.folds import FoldPlan, write_fold_plan
from hpastack.labels import Vocabulary
from hpastack.stack import StackClassifier
from pipelines import prepare, report

N = 120
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
    settings = {"boosters": ["lightgbm"], "rounds": 5, "n_bootstrap": 5, "n_jobs": 1}
    stack = StackClassifier(cnns=["net"], **settings)
    stack.fit(X, y, groups=frame["cluster"], folds=frame["fold"])
    stack.save(tmp_path / "models" / "stack")
    return tmp_path


def call(workspace, *arguments):
    return report.main([*map(str, arguments), "--workspace", str(workspace)])


def test_it_writes_one_page_and_keeps_it_unless_asked(workspace, capsys):
    path = workspace / "reports" / "stack.html"
    assert call(workspace, "models/stack") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"wrote {path}"
    assert f"{N} training fields in {N} clusters" in path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]

    path.write_text("mine")
    assert call(workspace, workspace / "models" / "stack") == 2
    assert capsys.readouterr().err.endswith(
        "exists; pass overwrite=True (on the command line: --overwrite)\n"
    )
    assert path.read_text() == "mine"
    assert call(workspace, "models/stack", "--overwrite") == 0
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_a_fold_plan_there_are_no_intervals_by_label(workspace):
    (workspace / "data" / "folds.csv").unlink()
    assert call(workspace, "models/stack") == 0
    text = (workspace / "reports" / "stack.html").read_text(encoding="utf-8")
    assert f"{N} training fields, 2 labels" in text
    assert "<br>interval" not in text


def test_a_catalogue_of_other_fields_is_refused(workspace, capsys):
    path = workspace / "data" / "catalogue.csv"
    path.write_text(path.read_text().replace("field007", "other"))
    assert call(workspace, "models/stack") == 2
    error = capsys.readouterr().err
    assert "the labels of this workspace lack 1 field: field007" in error
    assert error.count("\n") == 1
    assert not (workspace / "reports").exists()


def test_what_is_no_stack_is_refused(workspace, capsys):
    assert call(workspace, "models/nothing") == 2
    assert "is not a stack" in capsys.readouterr().err
