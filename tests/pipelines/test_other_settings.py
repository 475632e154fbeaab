"""A store made in another way than that of a stack, and the command that an error names."""

import shlex
import shutil

import pytest

from hpastack.errors import InputError
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines import extract, predict, stack
from pipelines.__main__ import main


def call(command, folder, *arguments):
    return command.main([*map(str, arguments), "--workspace", str(folder), "--jobs", "1"])


@pytest.fixture(scope="module")
def fitted(shapes, tmp_path_factory):
    """A workspace with a stack on features of 32 px, remade at another size since."""
    folder = tmp_path_factory.mktemp("fitted") / "work"
    shutil.copytree(shapes.root, folder)
    assert call(extract, folder, "intensity", "--set", "size=16") == 0
    quick = ("--set", "n_bootstrap=0", "--set", "rounds=5", "--set", "boosters=[lightgbm]")
    assert call(stack, folder, *quick) == 0
    assert call(extract, folder, "intensity", "--overwrite") == 0
    return folder


def refused(command, folder, capsys, *arguments):
    assert call(command, folder, *arguments) == 2
    return capsys.readouterr().err.strip()


def remedy(error):
    """Run the command that an error ends with."""
    _, _, words = error.partition("run: hpastack ")
    return main(shlex.split(words))


def test_the_settings_and_the_route_that_works_are_named(fitted, capsys):
    error = refused(predict, fitted, capsys, "models/stack", "--overwrite")
    assert "intensity.h5 was made with other settings than the store that the stack" in error
    assert "size is 512 in this store and 16 in that of the stack; run: hpastack" in error
    assert "hpastack run --route ordinary --stack stack" in error
    assert remedy(error) == 0
    with open_store(fitted / "features" / "intensity.h5") as store:
        assert store.recipe["size"] == 16
    assert call(predict, fitted, "models/stack", "--overwrite") == 0


def test_a_stack_of_another_place_names_extract(fitted, tmp_path, capsys):
    shutil.copytree(fitted, tmp_path / "new plates")
    shutil.move(tmp_path / "new plates" / "models" / "stack", tmp_path / "theirs")
    assert call(extract, tmp_path / "new plates", "intensity", "--overwrite") == 0
    capsys.readouterr()
    error = refused(predict, tmp_path / "new plates", capsys, tmp_path / "theirs")
    assert "hpastack extract intensity " in error and "--set=size=16" in error
    assert remedy(error) == 0
    assert call(predict, tmp_path / "new plates", tmp_path / "theirs") == 0


@pytest.mark.parametrize(
    "made, now, command",
    [
        ({"type": "ingest"}, {"type": "ingest", "content": "logits"}, "ingest ... --name net"),
        ({"type": "neighbours"}, {"type": "ingest"}, "neighbours ... --name net"),
        ({"type": "cnn", "views": 1}, {"type": "cnn", "views": 8}, "finetune net --predict-only"),
        ({"type": "cnn", "checkpoints": {"a": "1"}}, {"type": "cnn"}, "stack ... --workspace"),
    ],
)
def test_the_command_is_that_of_what_made_the_store(tmp_path, made, now, command):
    stores = [{"content": "probabilities", "recipe": recipe} for recipe in (now, made)]
    with pytest.raises(InputError, match=rf"net.h5 was made.*run: hpastack {command}"):
        predict._check_settings(Workspace(tmp_path), tmp_path / "stack", "net", *stores)
