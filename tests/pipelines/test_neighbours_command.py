"""The command: scores for the stack, pictures, and what it refuses."""

import cv2
import numpy as np
import pytest
import yaml

from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError
from hpastack.folds import FoldPlan, read_fold_plan, write_fold_plan
from hpastack.metrics import macro_average_precision
from hpastack.stack import gather_stores
from hpastack.store import StoreHeader, open_store, write_store
from hpastack.workspace import Workspace
from pipelines import extract, finetune, neighbours


@pytest.fixture
def workspace(shapes, tmp_path):
    """The shapes, in a workspace of its own that shares their images, with their intensities."""
    own = Workspace(tmp_path)
    own.data.mkdir()
    for name in ("catalogue.csv", "vocabulary.txt", "folds.csv", "folds.json"):
        if (shapes.data / name).is_file():
            (own.data / name).write_bytes((shapes.data / name).read_bytes())
    assert extract.main(["intensity", "--set", "size=32", *at(own)]) == 0
    return own


def at(workspace, *args):
    return [*args, "--workspace", str(workspace.root), "--jobs", "1"]


def test_scores_are_out_of_fold_and_the_stack_takes_them(workspace, capsys):
    assert neighbours.main(at(workspace, "intensity", "--n-neighbours", "5")) == 0
    assert "60 training fields out of fold, 12 others" in capsys.readouterr().out
    plan = read_fold_plan(workspace.folds)
    with open_store(workspace.store("neighbours")) as store:
        assert (store.kind, store.content, store.fold_plan) == (
            "out_of_fold",
            "scores",
            plan.digest,
        )
        assert store.columns == [f"neighbours__{label}" for label in range(3)]
        scores = store.to_frame()
    assert ((scores >= 0) & (scores <= 1)).all().all()
    with open_store(workspace.store("neighbours_similarity")) as store:
        assert (store.kind, store.content) == ("target_free", "features")
        assert store.columns == ["neighbours_similarity__nearest", "neighbours_similarity__mean"]
    catalogue = read_catalogue(workspace.catalogue)
    train = catalogue[catalogue["split"] == "train"]
    inputs = gather_stores(
        [workspace.store(n) for n in ("intensity", "neighbours", "neighbours_similarity")],
        list(train.index), workspace.vocabulary(), plan=plan,
    )  # fmt: skip
    assert inputs.scores == ["neighbours"] and inputs.table.shape == (60, 72 + 3 + 2)
    # A bright red stain is told by intensities.
    red = workspace.vocabulary().indicator(train["target"])[:, 2]
    assert scores.loc[train.index, "neighbours__2"][red == 1].mean() > 0.7

    before = workspace.store("neighbours").read_bytes()
    assert neighbours.main(at(workspace, "intensity", "--n-neighbours", "5")) == 2
    assert "pass overwrite=True" in capsys.readouterr().err
    again = at(workspace, "intensity", "--n-neighbours", "5", "--overwrite")
    assert neighbours.main(again) == 0
    assert workspace.store("neighbours").read_bytes() == before


def test_a_sheet_of_pictures_needs_no_folds(workspace, capsys):
    workspace.folds.unlink()
    shown = at(workspace, "intensity", "--show", "field_00", "field_70", "--n-neighbours", "3")
    assert neighbours.main(shown) == 0
    out = capsys.readouterr().out
    target = workspace.read_catalogue().at["field_00", "target"]
    named = [workspace.vocabulary().names[int(label)] for label in target.split()]
    assert f"field_00 ({', '.join(named)}) looks like" in out
    assert "field_00 (" in out and "field_70 (test field) looks like" in out
    assert out.count("cosine") == 6 and "  field_00" not in out.split("field_70")[0]
    picture = cv2.imread(str(workspace.reports / "neighbours.png"))
    # Two rows of four fields of 32 px, merge beside protein, no larger than they are.
    assert picture.shape[1] == 4 * (2 * 32 + 2) + 5 * 10 and picture.std() > 10
    assert neighbours.main(shown) == 2
    assert "neighbours.png exists" in capsys.readouterr().err
    assert neighbours.main(at(workspace, "intensity", "--show", "nobody", "--overwrite")) == 2
    assert "no field nobody" in capsys.readouterr().err


def test_what_would_give_labels_away_is_refused(workspace, capsys):
    plan = read_fold_plan(workspace.folds)
    frame = plan.frame.copy()
    frame["fold"] = np.arange(len(frame)) % 3
    write_fold_plan(workspace.folds, FoldPlan(frame))
    assert neighbours.main(at(workspace, "intensity")) == 2
    assert "splits 30 clusters" in (error := capsys.readouterr().err)
    assert "--accept-split-clusters" in error
    write_fold_plan(workspace.folds, FoldPlan(frame, {"n_split_clusters": 30}))
    assert neighbours.main(at(workspace, "intensity", "--name", "split")) == 0
    error = capsys.readouterr().err
    assert "warning: the folds split 30 clusters" in error and "reveals its labels" in error
    workspace.store("split").unlink()
    write_fold_plan(workspace.folds, plan)
    catalogue = read_catalogue(workspace.catalogue)
    header = StoreHeader("in_sample", "features", ["seen__0"])
    write_store(workspace.store("seen"), header, catalogue.index, np.ones((len(catalogue), 1)))
    assert neighbours.main(at(workspace, "seen")) == 2
    assert "made with labels" in capsys.readouterr().err
    assert neighbours.main(at(workspace, "intensity", "--name", "a__b")) == 2
    assert not workspace.store("neighbours").exists()


def test_changed_fields_put_the_scores_out_of_date(workspace):
    assert neighbours.main(at(workspace, "intensity")) == 0
    with pytest.raises(InputError, match="hpastack neighbours intensity --name neighb"):
        gather_stores(
            [workspace.store("neighbours")], ["field_00"], workspace.vocabulary(), made_from="new"
        )


@pytest.mark.slow
def test_a_fine_tuned_cnn_finds_neighbours_out_of_fold(workspace, capsys):
    workspace.models.mkdir()
    recipe = {
        "type": "cnn", "backbone": "test_resnet", "weights": "random", "size": 32, "epochs": 4,
        "batch_size": 8, "learning_rate": 0.003,
    }  # fmt: skip
    (workspace.models / "tiny.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert neighbours.main(at(workspace, "--cnn", "tiny")) == 2
    assert "does not contain a fine-tuned CNN" in capsys.readouterr().err
    assert finetune.main(at(workspace, "tiny", "--device", "cpu")) == 0
    given = at(workspace, "--cnn", "tiny", "--n-neighbours", "5", "--device", "cpu")
    assert neighbours.main(given) == 0
    assert not list(workspace.features.glob("*.parts"))
    plan = read_fold_plan(workspace.folds)
    with open_store(workspace.store("neighbours_similarity")) as store:
        assert (store.kind, store.content, store.fold_plan) == (
            "out_of_fold", "features", plan.digest,
        )  # fmt: skip
    with open_store(workspace.store("neighbours")) as store:
        assert store.recipe["cnn"] == "tiny" and len(store.recipe["checkpoints"]) == 3
        scores = store.to_frame()
    catalogue = read_catalogue(workspace.catalogue)
    train = catalogue[catalogue["split"] == "train"]
    inputs = gather_stores(
        [workspace.store(n) for n in ("tiny", "neighbours", "neighbours_similarity")],
        list(train.index), workspace.vocabulary(), plan=plan,
    )  # fmt: skip
    assert inputs.scores == ["neighbours"] and inputs.table.shape == (60, 3 + 3 + 2)
    y = workspace.vocabulary().indicator(train["target"])
    assert macro_average_precision(y, scores.loc[train.index].to_numpy()) > y.mean() + 0.2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "name either stores to compare fields by, or a CNN"),
        (
            ("intensity", "--cnn", "tiny"),
            "name either stores to compare fields by, or a CNN",
        ),
        (("--cnn", "tiny", "--show", "field_00"), "embed in different spaces"),
    ],
)
def test_either_stores_or_a_cnn(workspace, capsys, arguments, message):
    assert neighbours.main(at(workspace, *arguments)) == 2
    assert message in capsys.readouterr().err
