"""The command that lists recipes, and copies one to change it."""

import shutil

import pytest

from hpastack.recipes import read_recipe, shipped_recipes
from hpastack.workspace import Workspace
from pipelines import recipes


def run(folder, *arguments):
    return recipes.main([*arguments, "--workspace", str(folder)])


def test_own_and_shipped_recipes_are_listed(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    shutil.copy(shipped_recipes("models") / "stack.yaml", tmp_path / "models" / "stack.yaml")
    (tmp_path / "models" / "odd.yml").write_text("type: stack\nroundz: 3\n")
    assert run(tmp_path) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["features/texture"].endswith("handcrafted  comes with the package")
    assert lines["models/cnn_small"].split()[1] == "cnn"
    assert lines["models/stack"].endswith(str(tmp_path / "models" / "stack.yaml"))
    assert "did you mean 'rounds'" in lines["models/odd"]
    shipped = [path for of in ("features", "models") for path in shipped_recipes(of).glob("*.yaml")]
    assert len(lines) == len(shipped) + 1


@pytest.mark.parametrize(
    "source, folder", [("texture", "features"), ("models/stack", "models"), ("stack", "models")]
)
def test_a_shipped_recipe_is_copied_with_its_comments_and_its_command(
    tmp_path, capsys, source, folder
):
    assert run(tmp_path, source, "--name", "mine.v2") == 0
    path = tmp_path / folder / "mine.v2.yaml"
    name = source.rpartition("/")[2]
    shipped = (shipped_recipes(folder) / f"{name}.yaml").read_text()
    copied = path.read_text()
    assert copied.splitlines()[0].endswith(f"{folder}/mine.v2.yaml")
    assert copied.partition("\n")[2] == shipped.partition("\n")[2]
    copy = read_recipe("mine.v2", Workspace(tmp_path), folder=folder)
    assert (
        copy.path == path
        and copy.settings == read_recipe(name, Workspace(tmp_path), folder=folder).settings
    )
    assert f"wrote {path}, a copy of" in capsys.readouterr().out
    path.write_text("changed")
    assert run(tmp_path, source, "--name", "mine.v2") == 2
    assert "exists; pass overwrite=True" in capsys.readouterr().err
    assert path.read_text() == "changed"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "unknown recipe nothing; run: hpastack recipes"),
        (["--name", "mine"], "--name needs a RECIPE to copy"),
        (["stack", "--name", "a/b"], "a plain name without '/'"),
        (["broken"], "did you mean 'rounds'"),
    ],
)
def test_mistakes_take_one_line(tmp_path, capsys, arguments, message):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "broken.yaml").write_text("type: stack\nroundz: 3\n")
    assert run(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_one_name_in_both_folders_needs_the_folder(tmp_path, capsys):
    for folder, text in (("features", "type: handcrafted\nfamilies: [texture]\n"),
                         ("models", "type: stack\n")):  # fmt: skip
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "both.yaml").write_text(text)
    assert run(tmp_path, "both", "--name", "copy") == 2
    assert "add the folder" in capsys.readouterr().err
    assert run(tmp_path, "models/both", "--name", "copy") == 0
    assert (tmp_path / "models" / "copy.yaml").is_file()
