"""Fields without one of the stains: what is measured without it, and what cannot be."""

import cv2
import numpy as np
import pytest

from hpastack.catalogue import read_catalogue, write_catalogue
from hpastack.clusters import hash_fields
from hpastack.errors import InputError
from hpastack.extraction import extract_embeddings, extract_features
from hpastack.features import columns_of_stains, feature_columns, field_features
from hpastack.fields import STAINS, iter_fields, read_field, stain_statistics
from hpastack.fields.paths import require_stains, stains_of
from hpastack.pictures.colours import merged
from hpastack.pictures.tiles import brightened
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines.extract import main as extract
from pipelines.prepare import main

THREE = ("red", "green", "blue")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(3):
        for channel, stain in enumerate(THREE, start=1):
            pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8, endpoint=True)
            cv2.imwrite(str(tmp_path / "images" / f"f{number}_{stain}.png"), pixels)
            cv2.imwrite(str(tmp_path / "images" / f"A0{number}_w{channel}.tif"), pixels)
    return tmp_path / "images"


def prepare(folder, *more):
    return main([str(folder), "--workspace", str(folder.parent), "--jobs", "1", *more])


@pytest.fixture
def catalogue(folder):
    assert prepare(folder, "--stains", "red,green,blue") == 0
    return Workspace(folder.parent).read_catalogue()


def test_the_catalogue_says_which_stains_fields_have(catalogue, folder, capsys):
    assert list(catalogue["stains"].unique()) == ["red green blue"]
    assert (catalogue["yellow"] == "").all()
    assert stains_of(catalogue) == THREE
    field = read_field(catalogue.loc["f1"])
    assert field.shape == (4, 40, 40) and np.isnan(field[3]).all()
    assert not read_field(catalogue.loc["f1"], missing=0)[3].any()
    pixels = cv2.imread(str(folder / "f1_blue.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(field[2], pixels / np.float32(255))
    assert list(stain_statistics(catalogue, progress=False).index) == list(THREE)


def test_a_missing_stain_is_still_a_bad_field_unless_it_is_said(folder, capsys):
    assert prepare(folder) == 2
    assert "f0_yellow.png: no such file" in capsys.readouterr().err
    (folder / "f2_red.png").unlink()
    assert prepare(folder, "--stains", "red,green,blue") == 2
    assert "f2_red.png: no such file" in capsys.readouterr().err


def test_a_pattern_with_three_channels(folder, capsys):
    words = ["--pattern", "{well}_w{channel}.tif", "--channels", "red=1", "green=2", "blue=3"]
    assert prepare(folder, *words) == 2
    assert "channels: yellow missing; " in (error := capsys.readouterr().err)
    assert "set stains to red green blue (on the command line: --channels, --stains)" in error
    work = ["--workspace", str(folder.parent), "--jobs", "1"]
    assert main([*work, *words, "--stains", "red", "green", "blue", str(folder)]) == 0
    catalogue = Workspace(folder.parent).read_catalogue()
    assert list(catalogue.index) == ["A00", "A01", "A02"] and stains_of(catalogue) == THREE


@pytest.mark.parametrize("text", ["red,blue,yellow", "red,green,pink", "green,green"])
def test_stains_said_wrong(folder, capsys, text):
    assert prepare(folder, "--stains", text) == 2
    assert "must contain green, the protein, and any of the others of" in capsys.readouterr().err


def test_features_leave_out_what_needs_the_stain(catalogue, tmp_path, capsys):
    columns = columns_of_stains(["intensity", "colocalisation"], THREE)
    assert len(columns) == 54 + 27 and not any("yellow" in column for column in columns)
    assert set(columns) < set(feature_columns(["intensity", "colocalisation"]))
    words = ["intensity", "--workspace", str(tmp_path), "--jobs", "1", "--set", "size=40"]
    assert extract(words) == 0
    with open_store(tmp_path / "features" / "intensity.h5") as store:
        assert store.recipe["stains"] == list(THREE)
        assert list(store.columns) == columns_of_stains(["intensity"], THREE)
        frame = store.to_frame()
    assert frame["intensity_mean__blue"].between(0.3, 0.7).all()
    capsys.readouterr()
    assert extract(["--overwrite", *words]) == 0


def test_features_of_one_field_are_those_that_extract_makes(catalogue, tmp_path):
    field = read_field(catalogue.loc["f1"])
    values = field_features(field)
    assert list(values) == columns_of_stains(None, THREE)
    extract_features(tmp_path / "f.h5", catalogue, jobs=1, size=None, progress=False)
    with open_store(tmp_path / "f.h5") as store:
        kept = store.to_frame(["f1"]).loc["f1"]
    np.testing.assert_array_equal(kept.to_numpy(), np.float32(list(values.values())))
    for function in (brightened, merged, lambda field: hash_fields({"f1": field}).hashes):
        np.testing.assert_array_equal(
            function(field), function(read_field(catalogue.loc["f1"], missing=0))
        )
    for image_id, other in iter_fields(catalogue.loc[["f1"]]):
        np.testing.assert_array_equal(other, field)
        assert image_id == "f1"
    field[2] = np.nan
    assert "compartments_nuclei_number__field" not in field_features(field, ["intensity"])
    with pytest.raises(InputError, match=r"families=\[intensity, texture, granularity, spots, "):
        field_features(field)


def test_stains_are_checked_before_anything_is_made_or_downloaded(
    catalogue, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("torch")
    monkeypatch.setattr("hpastack.backbones.create._pretrained_state", None)  # no network
    words = ["--workspace", str(tmp_path), "--jobs", "1"]
    assert extract(words) == 2
    error = capsys.readouterr().err
    assert "embedding_resnet18.yaml: backbone resnet18 needs the yellow stain" in error
    assert "stains: [red, green, blue]" in error and "name the recipes to extract" in error
    assert not list((tmp_path / "features").glob("*.h5"))
    with pytest.raises(InputError, match="needs the yellow stain"):
        extract_embeddings(tmp_path / "e.h5", catalogue, "resnet18", progress=False)


def test_a_family_that_needs_the_stain_says_so(catalogue, tmp_path):
    with pytest.raises(InputError, match="family compartments needs the blue stain"):
        columns_of_stains(["texture", "compartments"], ["red", "green", "yellow"])
    with pytest.raises(InputError, match="family minimal needs the red stain"):
        columns_of_stains(["minimal"], ["green", "blue"])
    extract_features(
        tmp_path / "c.h5", catalogue, ["compartments"], size=40, jobs=1, progress=False
    )


def test_a_network_that_sees_the_stain_says_so(catalogue):
    require_stains(catalogue, THREE, "backbone resnet18")
    with pytest.raises(InputError, match=r"needs the yellow stain, .*stains: \[red, green, blue\]"):
        require_stains(catalogue, STAINS, "backbone resnet18")


def test_files_and_stains_must_agree(catalogue, tmp_path):
    path = tmp_path / "catalogue.csv"
    write_catalogue(path, catalogue.assign(yellow=catalogue["blue"]))
    with pytest.raises(InputError, match="field f0 has stains 'red green blue', but files of red"):
        read_catalogue(path)
