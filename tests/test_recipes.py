"""Recipes: found by name, checked key by key; every shipped one is valid."""

import re
import time
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from hpastack.errors import InputError
from hpastack.extraction import HandcraftedSettings
from hpastack.recipes import TYPES, read_recipe, workspace_recipes
from hpastack.workspace import Workspace

pytestmark = pytest.mark.core

ROOT = Path(__file__).resolve().parents[1]


def write(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.yaml").write_text(text)


@pytest.mark.parametrize(
    "path", [*ROOT.glob("features/**/*.yaml"), *ROOT.glob("models/**/*.yaml")], ids=lambda p: p.stem
)
def test_every_shipped_recipe_is_valid_and_opens_with_its_command(path, tmp_path):
    folder = path.relative_to(ROOT).parts[0]
    recipe = read_recipe(path.stem, Workspace(tmp_path), folder=folder)
    assert recipe.path.samefile(path)
    first = path.read_text().splitlines()[0]
    assert first.startswith("# hpastack ") and f"{folder}/{path.name}" in first


def test_a_recipe_is_found_by_name_and_by_path(tmp_path):
    write(tmp_path / "features", "type: handcrafted\nfamilies: [intensity]\n")
    for source in ("mine", "features/mine.yaml", tmp_path / "features" / "mine.yaml"):
        recipe = read_recipe(source, Workspace(tmp_path), folder="features")
        assert recipe.name == "mine"
        assert isinstance(recipe.settings, HandcraftedSettings)
        assert recipe.settings.size == 512


def test_overrides_win(tmp_path):
    write(tmp_path / "features", "type: handcrafted\nfamilies: [intensity]\nsize: 256\n")
    recipe = read_recipe("mine", Workspace(tmp_path), folder="features", overrides=["size=128"])
    assert recipe.record() == {
        "name": "mine",
        "type": "handcrafted",
        "families": ["intensity"],
        "size": 128,
        "enlarge": False,
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("type: minimal\n", "unknown type 'minimal'"),
        ("type: handcrafted\nfamilies: [a]\n", "mine.yaml: families has 'a'; it must be a list"),
        (
            "type: handcrafted\nfamilies: [texture]\nsise: 3\n",
            "unknown key 'sise'; did you mean 'size'",
        ),
        (
            "type: handcrafted\nfamilies: [texture]\nsize: big\n",
            "size is 'big'; it must be a whole number",
        ),
        ("type: handcrafted\n", "families is missing; it must be a list of"),
        ("type: magic\n", "unknown type 'magic'"),
        ("- a\n", "has no keys"),
        ("a: [\n", "not valid YAML"),
        ("type: stack\nrounds: 5\nrounds: 50\n", "duplicate key 'rounds', on lines 2 and 3"),
        ("type: stack\nseed: -1\n", "seed is -1; it must be from 0 to 2147483647"),
        ("type: stack\nseed: 1e30\n", "it must be from 0 to 2147483647"),
        ("type: stack\nl2: .inf\n", "l2 is inf; it must be a finite number"),
        ("type: stack\nl2: -.NaN\n", "l2 is '-.NaN'; it must be a number"),
        ("type: stack\nrounds: 1:30\n", "rounds is '1:30'; it must be a whole number"),
        ("type: stack\nrounds: 1e400\n", "rounds is inf; it must be a whole number"),
        ("type: stack\nrounds: " + 5000 * "9", "not valid YAML"),
        ("type: stack\nrounds: !!int many\n", "not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    write(tmp_path / "features", text)
    with pytest.raises(InputError, match=message) as error:
        read_recipe("mine", Workspace(tmp_path), folder="features")
    assert "mine.yaml" in str(error.value)


@pytest.mark.parametrize(
    "text, value",
    [
        ("2e-1", 0.2), ("3E-4", 3e-4), (".5", 0.5), ("1.", 1.0), ("+1.5e+0", 1.5), ("012", 12),
        ("1_000", 1000), ("1e3", 1000), ("7", 7), ("-0", 0),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(tmp_path, text, value):
    write(tmp_path / "models", f"type: stack\nl2: {text}\n")
    for overrides in ([], [f"l2={text}"]):
        settings = read_recipe(
            "mine", Workspace(tmp_path), folder="models", overrides=overrides
        ).settings
        assert settings.l2 == value
    whole = isinstance(value, int) and value > 0
    rounds = [f"rounds={text}"]
    if whole:
        recipe = read_recipe("mine", Workspace(tmp_path), folder="models", overrides=rounds)
        assert recipe.settings.rounds == value


def test_the_other_ending_is_found_and_two_of_one_name_are_an_error(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stack.v2.yml").write_text("type: stack\nrounds: 5\n")
    for source in ("stack.v2", "stack.v2.yml", "models/stack.v2"):
        recipe = read_recipe(source, Workspace(tmp_path), folder="models")
        assert (recipe.name, recipe.settings.rounds) == ("stack.v2", 5)
    assert workspace_recipes(Workspace(tmp_path), folder="models") == [recipe.path]
    (tmp_path / "models" / "stack.v2.yaml").write_text("type: stack\n")
    with pytest.raises(InputError, match="stack.v2.yaml and .*stack.v2.yml have the same name"):
        read_recipe("stack.v2", Workspace(tmp_path), folder="models")
    assert read_recipe("stack.v2.yml", Workspace(tmp_path), folder="models").path == recipe.path


def test_unknown_recipe_lists_the_known(tmp_path):
    write(tmp_path / "features", "type: handcrafted\nfamilies: [a]\n")
    with pytest.raises(InputError, match="unknown recipe .*none.* mine"):
        read_recipe("none", Workspace(tmp_path), folder="features")


def test_every_problem_of_a_recipe_is_listed(tmp_path):
    write(tmp_path / "models", "type: cnn\nepochs: 0\nsize: 3\n")
    with pytest.raises(InputError) as error:
        read_recipe("mine", Workspace(tmp_path), folder="models", overrides=["epocs=3"])
    assert str(error.value) == (
        f"{tmp_path / 'models' / 'mine.yaml'}: 4 problems: "
        "(1) backbone is missing; it must be text (2) size is 3; it must be from 16 to 16384 "
        "(3) epochs is 0; it must be from 1 to 10000 "
        "(4) unknown key 'epocs'; did you mean 'epochs'?"
    )


@pytest.mark.parametrize("name", TYPES)
def test_python_and_yaml_give_the_same_settings_and_errors(name, tmp_path):
    required = {"handcrafted": "families: [texture]\n", "embedding": "backbone: net\n",
                "cnn": "backbone: net\n"}.get(name, "")  # fmt: skip
    write(tmp_path / "models", f"type: {name}\n{required}")
    values = yaml.safe_load(required) or {}
    recipe = read_recipe("mine", Workspace(tmp_path), folder="models")
    assert recipe.settings == TYPES[name](**values)
    assert recipe.type == name
    for field in fields(TYPES[name]):
        with pytest.raises(InputError) as from_python:
            TYPES[name](**values | {field.name: {"a": 1}})
        with pytest.raises(InputError) as from_recipe:
            read_recipe("mine", Workspace(tmp_path), folder="models",
                        overrides=[f"{field.name}={{a: 1}}"])  # fmt: skip
        assert str(from_recipe.value) == f"{recipe.path}: {from_python.value}"


@pytest.mark.parametrize("override", ["size", "=3", "size=["])
def test_a_malformed_override_is_named(tmp_path, override):
    write(tmp_path / "features", "type: handcrafted\nfamilies: [a]\n")
    with pytest.raises(InputError, match=f"overrides: .*{re.escape(override)}"):
        read_recipe("mine", Workspace(tmp_path), folder="features", overrides=[override])


def test_own_recipes_stand_before_the_shipped(tmp_path):
    assert {p.parent.name for p in workspace_recipes(Workspace(tmp_path), folder="features")} <= {
        "features"
    }
    write(tmp_path / "features", "type: handcrafted\nfamilies: [texture]\n")
    assert [p.stem for p in workspace_recipes(Workspace(tmp_path), folder="features")] == ["mine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: stack\ncnns: " + "[" * 100_000, "more than 20 nested levels"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases .* are not allowed"),
        ("type: stack\n# " + "x" * 200_000, "more than 200,000 characters"),
        ("type: stack\nrounds: 2024-99-99", "is not valid YAML: month"),
        ("type: [stack]", "unknown type .'stack'.; it must be one of handcrafted"),
        ("type: {a: stack}", "unknown type .'a': 'stack'."),
        ("type: stack\nrounds: " + "9" * 5000, "is not valid YAML"),
        ("type: stack\nbags: 1000000000", "bags is 1000000000; it must be from 1 to 100"),
        ("type: stack\nseed: 18446744073709551616", "it must be from 0 to 2147483647"),
        ("type: !!python/object/apply:os.system ['ls']", "is not valid YAML"),
    ],
    ids=["deep", "aliases", "long", "date", "list", "dict", "digits", "bags", "seed", "python"],
)
def test_a_strangers_recipe_is_rejected_at_once(tmp_path, text, message):
    write(tmp_path / "models", text)
    started = time.perf_counter()
    with pytest.raises(InputError, match=message):
        read_recipe("mine", Workspace(tmp_path), folder="models")
    assert time.perf_counter() - started < 20
