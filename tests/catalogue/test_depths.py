"""The bits of 16-bit files in the catalogue: found by `prepare`, kept, and read by."""

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import read_catalogue, write_catalogue
from hpastack.clusters import hash_fields, near_duplicates
from hpastack.errors import InputError
from hpastack.fields import STAINS, iter_fields, pack_fields, read_field
from hpastack.synthetic import synthetic_dataset, write_dataset
from hpastack.workspace import Workspace
from pipelines.prepare import main


def prepare(folder, work, *more):
    return main([str(folder), "--workspace", str(work), "--jobs", "2", *map(str, more)])


def duplicates(work):
    hashes = hash_fields(iter_fields(Workspace(work).read_catalogue()))
    pairs = near_duplicates(hashes, progress=False)
    return set(map(frozenset, pairs[["image_id", "twin"]].to_numpy()))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Synthetic fields in 8 bits, some of them planted duplicates."""
    dataset = synthetic_dataset(16, 6, size=256, duplicates=0.15)
    return write_dataset(tmp_path_factory.mktemp("drawn") / "set", dataset, progress=False)


def as_camera(folder, to, highest):
    """The same fields as a camera saves them in 16-bit files."""
    for path in folder.rglob("*"):
        place = to / path.relative_to(folder)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.suffix == ".png":
            pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) / 255
            cv2.imwrite(str(place.with_suffix(".tif")), np.rint(pixels * highest).astype("u2"))
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    return to


@pytest.mark.parametrize(("highest", "bits"), [(1023, 10), (600, 10), (4095, 12)])
def test_planted_duplicates_are_found_in_the_files_of_a_camera(
    drawn, tmp_path, capsys, highest, bits
):
    planted = pd.read_csv(drawn / "planted_duplicates.csv", dtype=str)
    prepare(as_camera(drawn, tmp_path / "camera", highest), tmp_path / "work")
    said = capsys.readouterr()
    assert f"values of 16-bit files use {bits} bits (" in said.out
    assert f"the maximum is {highest}); they are divided by {2**bits - 1}" in said.out
    assert "warning" not in said.err
    prepare(drawn, tmp_path / "plain")
    assert "bits" not in capsys.readouterr().out
    found = duplicates(tmp_path / "work")
    assert len(planted) >= 2
    assert found == duplicates(tmp_path / "plain")
    assert {frozenset(pair) for pair in planted.iloc[:, :2].to_numpy()} <= found


def test_two_dim_fields_of_a_camera(real_data, tmp_path, capsys):
    folder = real_data.parent / "cases" / "05-dim-16-bit"
    if not folder.is_dir():
        pytest.skip("no cases beside this checkout")
    prepare(folder, tmp_path / "work")
    assert "use 10 bits" in capsys.readouterr().out
    assert len(duplicates(tmp_path / "work")) == 1
    # Whoever says that they are not gets told what that means.
    prepare(folder, tmp_path / "dark", "--bits", 16)
    warned = capsys.readouterr().err
    assert "the red stain is nearly black in all 2 fields: the maximum value is" in warned
    assert duplicates(tmp_path / "dark") == set()


@pytest.fixture
def folder(tmp_path):
    """Three fields of 16 bits up to 3000, and one of 8 bits beside them."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(3):
        for stain in STAINS:
            pixels = rng.integers(100, 3000, (30, 40), dtype=np.uint16, endpoint=True)
            cv2.imwrite(str(tmp_path / "images" / f"f{number}_{stain}.tif"), pixels)
    for stain in STAINS:
        pixels = rng.integers(0, 255, (30, 40), dtype=np.uint8, endpoint=True)
        cv2.imwrite(str(tmp_path / "images" / f"g_{stain}.png"), pixels)
    return tmp_path / "images"


def test_the_catalogue_keeps_them_and_all_read_by_them(folder, tmp_path):
    prepare(folder, tmp_path / "work")
    workspace = Workspace(tmp_path / "work")
    catalogue = workspace.read_catalogue()
    assert catalogue["bits"].to_dict() == {"f0": 12, "f1": 12, "f2": 12, "g": 16}
    assert list(catalogue)[-2:] == ["content", "bits"]
    values = cv2.imread(str(folder / "f1_blue.tif"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read_field(catalogue.loc["f1"])[2], values / np.float32(4095))
    packed = pack_fields(workspace.packed, catalogue, 40, progress=False)
    np.testing.assert_array_equal(packed.read(1)[2, :30], np.rint(values / 4095 * 255))
    # Other bits are other pixels: nothing made from the old ones counts as current.
    prepare(folder, tmp_path / "work", "--bits", 14, "--overwrite")
    again = workspace.read_catalogue()
    assert (again["bits"] == [14, 14, 14, 16]).all()
    assert (packed.rows(again) == [-1, -1, -1, 3]).all()
    prepare(folder, tmp_path / "work", "--bits", 16, "--overwrite")
    assert "bits" not in workspace.read_catalogue()


def test_each_source_has_its_own(folder, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    rng = np.random.default_rng(1)
    for stain in STAINS:
        pixels = rng.integers(0, 65535, (30, 40), dtype=np.uint16, endpoint=True)
        cv2.imwrite(str(other / f"x_{stain}.tif"), pixels)
    (other / "labels.csv").write_text("Id,Target\nx,3\n")
    prepare(folder, tmp_path / "work", "--extra", other)
    catalogue = Workspace(tmp_path / "work").read_catalogue()
    assert catalogue["bits"].to_dict() == {"x": 16, "f0": 12, "f1": 12, "f2": 12, "g": 16}
    said = capsys.readouterr().out
    assert "other: values of 16-bit files use 16 bits" in said
    assert "hpa2018: values of 16-bit files use 12 bits" in said


@pytest.mark.parametrize("position", range(4))
def test_a_black_picture_for_a_missing_stain_is_named(folder, tmp_path, capsys, position):
    stain = STAINS[position]
    for path in folder.glob(f"*_{stain}.*"):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.zeros_like(pixels))
    prepare(folder, tmp_path / "work")
    (warned,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert warned.startswith(f"warning: hpa2018: the {stain} stain is constant (0) in all 4 fields")


def test_a_value_too_great_for_the_bits_is_named(folder, tmp_path, capsys):
    assert prepare(folder, tmp_path / "work", "--bits", 10) == 2
    assert (
        ".tif: has the value 3000, above the maximum of 10 bits, 1023; set bits to 12 or auto"
        in (capsys.readouterr().err)
    )
    assert prepare(folder, tmp_path / "work", "--bits", "many") == 2
    assert "bits: 'many' is not auto or a whole number from 8 to 16" in capsys.readouterr().err


def test_bits_in_the_file_of_the_catalogue(folder, tmp_path):
    prepare(folder, tmp_path / "work")
    path = Workspace(tmp_path / "work").catalogue
    catalogue = read_catalogue(path)
    text = path.read_text()
    path.write_text(text.replace(",16\n", ",\n"))
    pd.testing.assert_frame_equal(read_catalogue(path), catalogue)
    write_catalogue(path, catalogue)
    assert path.read_text() == text
    path.write_text(text.replace(",12\n", ",red\n"))
    with pytest.raises(InputError, match="field f0 has bits 'red', .*if this column is a group"):
        read_catalogue(path)
