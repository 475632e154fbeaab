"""The command that writes the report."""

import pytest

from pipelines import report

N = 120


@pytest.fixture
def workspace(workspace_with_stack):
    return workspace_with_stack


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
