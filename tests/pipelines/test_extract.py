"""The command: recipes named and not, what it refuses, what it leaves."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import hpastack as hs
from hpastack.catalogue import write_catalogue
from hpastack.extraction import fields_without_nuclei
from hpastack.fields import STAINS, check_fields
from hpastack.recipes import read_recipe
from hpastack.store import StoreHeader, open_store, write_store
from hpastack.workspace import Workspace
from pipelines.extract import main
from pipelines.prepare import main as prepare

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "features").glob("*.yaml"))


@pytest.fixture
def workspace(tmp_path):
    """Five small fields, and two recipes."""
    rng = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    rows = {}
    for number in range(5):
        files = {stain: str(images / f"field{number}_{stain}.png") for stain in STAINS}
        for path in files.values():
            cv2.imwrite(path, rng.integers(0, 256, (32, 32), dtype=np.uint8))
        rows[f"field{number}"] = {"split": "train", "target": "0", "source": "x", **files}
    fields = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
    facts, _ = check_fields(fields, jobs=1, progress=False)
    (tmp_path / "data").mkdir()
    write_catalogue(tmp_path / "data" / "catalogue.csv", fields.join(facts))
    (tmp_path / "features").mkdir()
    write_recipe(tmp_path, "plain", type="handcrafted", families=["intensity"], size=24)
    write_recipe(tmp_path, "pairs", type="handcrafted", families=["colocalisation"], size=24)
    return tmp_path


def write_recipe(workspace, name, **keys):
    (workspace / "features" / f"{name}.yaml").write_text(yaml.safe_dump(keys))


def run(workspace, *args):
    return main([*args, "--workspace", str(workspace), "--jobs", "1"])


def listing(workspace):
    return sorted(path.name for path in (workspace / "features").iterdir())


def refused(capsys, *parts):
    """Check that one line on stderr says all of this."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("python -m pipelines.extract: error: ")
    for part in parts:
        assert part in lines[0]


def test_named_recipe_makes_its_store(workspace, capsys):
    assert run(workspace, "features/plain.yaml") == 0
    path = workspace / "features" / "plain.h5"
    assert capsys.readouterr().out == f"wrote {path} (5 fields, 72 columns)\n"
    with open_store(path) as store:
        assert store.recipe == {
            "name": "plain", "type": "handcrafted", "families": ["intensity"], "size": 24,
        }  # fmt: skip
        assert store.image_ids == [f"field{number}" for number in range(5)]
    assert listing(workspace) == ["pairs.yaml", "plain.h5", "plain.yaml"]


def test_nothing_named_makes_what_is_missing_or_out_of_date(workspace, capsys):
    assert run(workspace, "plain") == 0
    first = (workspace / "features" / "plain.h5").stat().st_mtime_ns
    capsys.readouterr()

    assert run(workspace) == 0
    out = capsys.readouterr().out
    assert "plain.h5 is up to date" in out and "pairs.h5 (5 fields, 54 columns)" in out
    assert (workspace / "features" / "plain.h5").stat().st_mtime_ns == first

    assert run(workspace) == 0
    assert "nothing to do" in capsys.readouterr().out

    write_recipe(workspace, "plain", type="handcrafted", families=["intensity"], size=16)
    assert run(workspace) == 0
    out = capsys.readouterr().out
    assert "plain.h5 is out of date" in out and "pairs.h5 is up to date" in out
    with open_store(workspace / "features" / "plain.h5") as store:
        assert store.recipe["size"] == 16


def test_changed_pixels_put_a_store_out_of_date(workspace, capsys):
    assert run(workspace) == 0
    catalogue = workspace / "data" / "catalogue.csv"
    table = pd.read_csv(catalogue, dtype=str, keep_default_na=False)
    table.loc[2, "content"] = "0" * 32
    table.to_csv(catalogue, index=False)
    capsys.readouterr()
    assert run(workspace) == 0
    out = capsys.readouterr().out
    assert "plain.h5 is out of date" in out and "pairs.h5 is out of date" in out


def test_a_store_made_otherwise_is_not_replaced(workspace, capsys):
    path = workspace / "features" / "plain.h5"
    header = StoreHeader(kind="target_free", content="features", columns=["a"], recipe={"x": 1})
    write_store(path, header, ["field0"], [[1.0]])
    assert run(workspace) == 2
    refused(capsys, "plain.h5 was not made by", "plain.yaml (x is 1 in the store and not set in the"
            " recipe", "--overwrite")  # fmt: skip
    assert listing(workspace) == ["pairs.yaml", "plain.h5", "plain.yaml"]
    assert run(workspace, "--overwrite") == 0
    assert listing(workspace) == ["pairs.h5", "pairs.yaml", "plain.h5", "plain.yaml"]


def test_existing_store_of_a_named_recipe_is_refused_before_any_work(workspace, capsys):
    assert run(workspace, "plain") == 0
    capsys.readouterr()
    assert run(workspace, "pairs", "plain") == 2
    refused(capsys, "plain.h5 is up to date; pass --overwrite")
    assert run(workspace, "plain", "--set", "size=16") == 2
    size = "size is 24 in the store and 16 in the recipe"
    refused(capsys, f"plain.h5 exists, but is out of date ({size}); pass --overwrite")
    assert listing(workspace) == ["pairs.yaml", "plain.h5", "plain.yaml"]
    assert run(workspace, "plain", "--set", "size=16", "--overwrite") == 0
    with open_store(workspace / "features" / "plain.h5") as store:
        assert store.recipe["size"] == 16


def test_limit_takes_the_first_fields(workspace, capsys):
    assert run(workspace, "plain", "--limit", "2") == 0
    with open_store(workspace / "features" / "plain.h5") as store:
        assert store.image_ids == ["field0", "field1"]
    capsys.readouterr()
    assert run(workspace) == 0
    assert "plain.h5 is out of date" in capsys.readouterr().out


def test_bad_field_stops_or_is_set_aside(workspace, capsys):
    bad = workspace / "images" / "field3_green.png"
    bad.write_bytes(bad.read_bytes()[:100])
    assert run(workspace, "plain") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "field field3" in error and str(bad) in error and "truncated" in error
    assert not (workspace / "features" / "plain.h5").exists()

    assert run(workspace, "plain", "--on-error", "skip") == 3
    captured = capsys.readouterr()
    assert "plain.h5 (4 fields, 72 columns)" in captured.out
    assert "1 field skipped, listed in" in captured.err
    listed = pd.read_csv(workspace / "features" / "plain.skipped.csv")
    assert listed.image_id.tolist() == ["field3"]


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["plian"], ["unknown recipe plian", "plain"]),
        (["plain", "--set", "szie=16"], ["unknown key 'szie'", "did you mean 'size'"]),
        (["plain", "--set", "families=[intensiti]"], ["plain.yaml: families has 'intensiti'"]),
        (["plain", "--set", "size=4"], ["size"]),
        (["plain", "plain"], ["duplicate recipe plain"]),
        (["--set", "size=16"], ["--set needs a RECIPE"]),
        (["not_features"], ["not_features.yaml is not a recipe of type handcrafted or embedding"]),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(workspace, capsys, args, parts):
    (workspace / "features" / "not_features.yaml").write_text("type: stack\n")
    before = listing(workspace)
    assert run(workspace, *args) == 2
    refused(capsys, *parts)
    assert listing(workspace) == before


def test_without_a_catalogue_the_remedy_is_named(workspace, capsys):
    (workspace / "data" / "catalogue.csv").unlink()
    assert run(workspace, "plain") == 2
    refused(capsys, "catalogue.csv is missing; run: hpastack prepare")


def test_folder_that_cannot_be_written_is_named(workspace, capsys):
    recipe = workspace / "plain.yaml"
    (workspace / "features" / "plain.yaml").rename(recipe)
    (workspace / "features" / "pairs.yaml").unlink()
    (workspace / "features").rmdir()
    (workspace / "features").write_text("a file where a folder should be")
    assert run(workspace, str(recipe)) == 2
    refused(capsys, str(workspace / "features"))


def test_embedding_recipe_makes_its_store(workspace, capsys):
    pytest.importorskip("torch")
    write_recipe(
        workspace, "eyes",
        type="embedding", backbone="test_resnet", weights="random", size=32, batch_size=2,
    )  # fmt: skip
    assert run(workspace, "--device", "cpu") == 0
    assert "eyes.h5 (5 fields, 96 columns)" in capsys.readouterr().out
    assert run(workspace) == 0
    assert "eyes.h5 is up to date" in capsys.readouterr().out


def test_embeddings_are_made_from_packed_fields_where_there_are_any(workspace, capsys):
    pytest.importorskip("torch")
    keys = {"type": "embedding", "backbone": "test_resnet", "weights": "random", "size": 32}
    write_recipe(workspace, "eyes", **keys)
    assert run(workspace, "eyes", "--device", "cpu") == 0
    path = workspace / "features" / "eyes.h5"
    from_files = path.read_bytes()
    assert prepare(["--pack", "32", "--workspace", str(workspace)]) == 0
    for image in (workspace / "images").iterdir():
        image.unlink()
    assert run(workspace, "eyes", "--device", "cpu", "--overwrite") == 0
    assert path.read_bytes() == from_files
    packed = Workspace(workspace).packed
    packed.write_bytes(packed.read_bytes()[:1000])
    capsys.readouterr()
    assert run(workspace, "eyes", "--device", "cpu", "--overwrite") == 2
    refused(capsys, "fields.h5 is not an HDF5 file, or is damaged; run: hpastack")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_is_valid_and_says_how_to_run_it(name, tmp_path):
    recipe = read_recipe(name, Workspace(tmp_path), folder="features")
    first = recipe.path.read_text().splitlines()[0]
    assert first == f"# hpastack extract features/{name}.yaml"


@pytest.mark.parametrize("name", [name for name in SHIPPED if not name.startswith("embedding")])
def test_shipped_handcrafted_recipe_runs(name, workspace):
    # Small fields, but for the one recipe that takes them as they are.
    size = [] if name == "minimal" else ["--set", "size=32"]
    assert run(workspace, name, *size) == 0
    with open_store(workspace / "features" / f"{name}.h5") as store:
        assert store.columns == hs.feature_columns(store.recipe["families"])


def test_the_recipe_of_all_families_has_the_default_ones(tmp_path):
    recipe = read_recipe("handcrafted", Workspace(tmp_path), folder="features")
    assert hs.feature_columns(recipe.settings.families) == hs.feature_columns()


def test_nothing_named_leaves_out_what_another_recipe_contains(workspace, capsys):
    both = ["colocalisation", "intensity"]
    write_recipe(workspace, "wide", type="handcrafted", families=both, size=24)
    write_recipe(workspace, "other", type="handcrafted", families=["intensity"], size=20)
    assert run(workspace) == 0
    out = capsys.readouterr().out
    assert "skipped, as wide includes their features: pairs, plain; to compute one" in out
    made = [name for name in listing(workspace) if name.endswith(".h5")]
    assert made == ["other.h5", "wide.h5"]
    write_recipe(workspace, "wide_too", type="handcrafted", families=both[::-1], size=24)
    assert run(workspace) == 0
    out = capsys.readouterr().out
    assert "skipped, as wide includes their features: wide_too; to compute one" in out
    assert run(workspace, "plain") == 0


def test_a_store_of_fewer_columns_than_its_families_have_now_is_out_of_date(workspace, capsys):
    assert run(workspace, "plain") == 0
    path = workspace / "features" / "plain.h5"
    with open_store(path) as store:
        header = StoreHeader(
            store.kind, "features", store.columns[:-1], recipe=store.recipe,
            made_from=store.made_from,
        )  # fmt: skip
        values, image_ids = store.values()[:, :-1], store.image_ids
    write_store(path, header, image_ids, values, overwrite=True)
    capsys.readouterr()
    assert run(workspace) == 0
    assert "plain.h5 is out of date and is made again" in capsys.readouterr().out
    with open_store(path) as store:
        assert len(store.columns) == 72


def test_handcrafted_extraction_loads_no_learning_libraries(workspace):
    code = """
import sys
from pipelines.extract import main
from pipelines.prepare import main as prepare
from hpastack.parallel import progress
progress._LINE_SECONDS = 0
status = main(sys.argv[1:])
heavy = {"torch", "timm", "lightgbm", "xgboost", "matplotlib", "faiss", "sklearn"}
assert not heavy & set(sys.modules)
sys.exit(status)
"""
    command = [sys.executable, "-c", code, "plain", "--workspace", workspace]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "plain: 5 of 5 fields, " in done.stderr


def test_fields_without_a_nucleus_are_counted(workspace, capsys):
    disc = np.zeros((64, 64), np.uint8)
    cv2.circle(disc, (32, 32), 12, 200, -1)
    for number in range(5):
        for stain in STAINS:
            empty = stain == "blue" and number < 2
            pixels = np.zeros_like(disc) if empty else np.roll(disc, number, axis=0)
            cv2.imwrite(str(workspace / "images" / f"field{number}_{stain}.png"), pixels)
    write_recipe(workspace, "cells", type="handcrafted", families=["compartments"], size=64)
    assert run(workspace, "cells") == 0
    warned = capsys.readouterr().err
    path = workspace / "features" / "cells.h5"
    assert f"warning: {path}: no nucleus was found in 2 of 5 fields; " in warned
    assert fields_without_nuclei(path) == 2
    assert run(workspace, "plain") == 0
    assert "nucleus" not in capsys.readouterr().err
    assert fields_without_nuclei(workspace / "features" / "plain.h5") is None
