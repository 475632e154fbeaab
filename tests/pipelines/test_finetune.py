"""The command that fine-tunes a CNN and predicts out of fold."""

import shutil

import pytest
import yaml

from hpastack.catalogue import read_catalogue, write_catalogue
from hpastack.recipes import read_recipe
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines.finetune import main

RECIPE = {
    "type": "cnn", "backbone": "test_resnet", "weights": "random", "size": 32, "epochs": 3,
    "batch_size": 8, "learning_rate": 0.003,
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path, shapes):
    workspace = Workspace(tmp_path / "here")
    shutil.copytree(shapes.data, workspace.data)
    write_catalogue(workspace.catalogue, read_catalogue(shapes.catalogue))
    workspace.models.mkdir()
    (workspace.models / "tiny.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    return workspace


def run(workspace, *arguments):
    return main(["tiny", "--workspace", str(workspace.root), "--jobs", "1", *arguments])


def test_trains_predicts_and_says_what_it_wrote(workspace, capsys):
    assert run(workspace, "--device", "cpu") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "60 training and 12 test fields, out-of-fold macro average precision 0." in last
    assert str(workspace.store("tiny")) in last
    assert (workspace.models / "tiny" / "cnn.json").is_file()
    with open_store(workspace.store("tiny")) as store:
        assert store.columns == ["tiny__0", "tiny__1", "tiny__2"]
        values = store.values()
    # stored checkpoints, no training
    workspace.store("tiny").unlink()
    weights = (workspace.models / "tiny" / "fold_0.safetensors").stat().st_mtime_ns
    assert run(workspace, "--predict-only") == 0
    assert (workspace.models / "tiny" / "fold_0.safetensors").stat().st_mtime_ns == weights
    with open_store(workspace.store("tiny")) as store:
        assert (store.values() == values).all()
    # another workspace's checkpoints
    names = workspace.vocabulary_file.read_text(encoding="utf-8")
    workspace.vocabulary_file.write_text("stripes\ndisc\nred\n", encoding="utf-8")
    assert run(workspace, "--predict-only", "--overwrite") == 2
    assert "trained for the labels disc, stripes, red" in capsys.readouterr().err
    workspace.vocabulary_file.write_text(names, encoding="utf-8")
    # new fields only, in a workspace without folds
    catalogue = read_catalogue(workspace.catalogue)
    write_catalogue(workspace.catalogue, catalogue[catalogue["split"] == "test"])
    workspace.folds.unlink()
    assert run(workspace, "--predict-only", "--overwrite", "--set", "views=8") == 0
    assert "0 training and 12 test fields (weights" in capsys.readouterr().out
    with open_store(workspace.store("tiny")) as store:
        assert set(store.fold) == {-1}
        assert store.recipe["views"] == 8


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--set", "epoch=3"), "unknown key 'epoch'; did you mean 'epochs'?"),
        (("--set", "epochs=0"), "epochs is 0"),
        (("--set", "backbone=resnet81"), "no backbone 'resnet81'; did you mean"),
        (("--set", "weights=nowhere.safetensors"), "there is no such file"),
        (("--device", "cuda:99"), "not on this machine"),
        (("--predict-only",), "does not contain a fine-tuned CNN"),
        (("--predict-only", "--set", "epochs=9"), "only views, crops, batch_size can be set"),
    ],
)
def test_mistakes(workspace, capsys, arguments, message):
    assert run(workspace, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not workspace.features.exists()
    assert [path.name for path in workspace.models.iterdir()] == ["tiny.yaml"]


def test_missing_inputs_name_the_command(workspace, capsys):
    workspace.folds.unlink()
    assert run(workspace) == 2
    assert "run: hpastack cluster" in capsys.readouterr().err
    workspace.catalogue.unlink()
    assert run(workspace) == 2
    assert "run: hpastack prepare" in capsys.readouterr().err


def test_existing_store_is_refused_before_work(workspace, capsys):
    workspace.features.mkdir()
    workspace.store("tiny").write_bytes(b"mine")
    assert run(workspace) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert not (workspace.models / "tiny").exists()
    assert workspace.store("tiny").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["cnn_densenet121", "cnn_small"])
def test_shipped_recipes(tmp_path, name):
    recipe = read_recipe(name, Workspace(tmp_path), folder="models")
    assert recipe.type == "cnn"
    first = recipe.path.read_text(encoding="utf-8").splitlines()[0]
    assert f"hpastack finetune models/{name}.yaml" in first
