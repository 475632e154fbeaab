"""The command that shows one field: with all there is, and with whatever is there."""

import re
import shutil

import cv2
import pandas as pd
import pytest

from hpastack.features import describe_columns
from hpastack.workspace import Workspace
from pipelines import extract, prepare, stack, view


@pytest.fixture(scope="module")
def complete(shapes, tmp_path_factory):
    """The shapes with their intensities and a stack; only read it."""
    root = tmp_path_factory.mktemp("view")
    own = Workspace(root)
    own.data.mkdir()
    for name in ("catalogue.csv", "vocabulary.txt", "folds.csv", "folds.json"):
        if (shapes.data / name).is_file():
            (own.data / name).write_bytes((shapes.data / name).read_bytes())
    assert extract.main(["intensity", "--set", "size=32", *at(own)]) == 0
    quick = ["--set", "n_bootstrap=5", "--set", "rounds=5", "--set", "boosters=[lightgbm]"]
    assert stack.main([*quick, *at(own)]) == 0
    return own


@pytest.fixture
def workspace(complete, tmp_path):
    shutil.copytree(complete.root, tmp_path / "work")
    return Workspace(tmp_path / "work")


def at(workspace, *args):
    return [*args, "--workspace", str(workspace.root), "--jobs", "1"]


def test_a_training_field_with_all_there_is(workspace, capsys):
    assert view.main(at(workspace, "field_00")) == 0
    out = capsys.readouterr().out
    target = workspace.read_catalogue().at["field_00", "target"].split()
    names = [workspace.vocabulary().names[int(label)] for label in target]
    assert f"training field, annotated {', '.join(names)}" in out
    assert "Probabilities of stack, out of fold" in out
    for name in names:
        assert f"  {name} " in out
    assert "log-odds: " in out and "most of which were trained on this field" in out
    assert out.count("robust standard deviations") >= 3
    n_others = (workspace.read_catalogue()["split"] == "train").sum() - 1
    assert f"Features that differ most from those of {n_others} other training fields\n" in out
    columns = re.findall(r"\((intensity_\w+)\)\n", out)
    assert len(columns) >= 3
    for words in describe_columns(columns).values():
        assert f"  {words}: " in out
    neighbours = out.split("Most similar fields, by intensity\n")[1].splitlines()
    assert len(neighbours) == 5 and all("field_" in line for line in neighbours[:4])
    path = workspace.reports / "view_field_00.png"
    assert out.splitlines()[-1] == f"wrote {path}"
    picture = cv2.imread(str(path))
    # Four columns of a field of 32 px twelve times enlarged.
    assert picture.shape[1] == 4 * 384 + 5 * 10 and picture.shape[0] > 3 * 384

    again = path.read_bytes()
    assert view.main(at(workspace, "field_00")) == 2
    assert "view_field_00.png exists" in capsys.readouterr().err
    assert view.main(at(workspace, "field_00", "--overwrite")) == 0
    assert path.read_bytes() == again
    other = workspace.root / "mine.png"
    assert view.main(at(workspace, "field_00", "--output", str(other), "--colours", "hpa")) == 0
    assert other.read_bytes() != again


def test_a_test_field_is_predicted(workspace, capsys):
    assert view.main(at(workspace, "field_70", "--model", "models/stack")) == 0
    out = capsys.readouterr().out
    assert "  test field\n" in out and "annotated" not in out
    assert "Probabilities of stack\n" in out and "trained on this field" not in out


def test_what_is_not_there_is_named(workspace, capsys):
    shutil.rmtree(workspace.models)
    shutil.rmtree(workspace.features)
    assert view.main(at(workspace, "field_70")) == 0
    out = capsys.readouterr().out
    assert "no stack in models/stack" in out
    assert "no hand-crafted features: hpastack extract" in out
    assert "no embeddings and no hand-crafted features" in out
    assert cv2.imread(str(workspace.reports / "view_field_70.png")).std() > 10


def test_a_stack_whose_stores_are_gone_has_probabilities_without_reasons(workspace, capsys):
    shutil.rmtree(workspace.features)
    assert view.main(at(workspace, "field_00")) == 0
    out = capsys.readouterr().out
    assert "out of fold" in out and "no reasons: " in out and "log-odds" not in out
    assert view.main(at(workspace, "field_70")) == 0
    assert "not shown: " in capsys.readouterr().out


def test_fields_without_images_are_shown_by_their_labels(tmp_path, capsys):
    table = pd.DataFrame({"Id": ["a/1", "b"], "Target": ["0 2", "25"]})
    table.to_csv(tmp_path / "train.csv", index=False)
    labels = str(tmp_path / "train.csv")
    workspace = Workspace(tmp_path / "work")
    assert prepare.main(["--labels", labels, "--workspace", str(workspace.root)]) == 0
    assert view.main(at(workspace, "a/1")) == 0
    out = capsys.readouterr().out
    assert "annotated Nucleoplasm, Nucleoli" in out and "no image files in the catalogue" in out
    assert (workspace.reports / "view_a_1.png").is_file()


def test_mistakes_are_one_line(workspace, capsys):
    assert view.main(at(workspace, "field_0")) == 2
    assert "no field field_0; did you mean field_" in capsys.readouterr().err
    assert view.main(at(workspace, "field_00", "--model", "models/none")) == 2
    assert "models/none" in capsys.readouterr().err
    assert view.main(at(workspace, "field_00", "--stores", "nothing")) == 2
    assert "nothing" in capsys.readouterr().err
    lines = workspace.vocabulary_file.read_text().splitlines()
    workspace.vocabulary_file.write_text("\n".join(["another", *lines[1:]]) + "\n")
    assert view.main(at(workspace, "field_00")) == 2
    assert "has other labels than this workspace's vocabulary" in capsys.readouterr().err
