"""The command that writes the review page."""

import pandas as pd
import pytest

from pipelines import prepare, review


@pytest.fixture
def workspace(workspace_with_stack):
    return workspace_with_stack


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
