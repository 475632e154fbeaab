"""Files of other naming schemes: what a pattern makes of their names."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from hpastack.catalogue.patterns import (
    SCHEMES,
    VENDOR_SUFFIXES,
    find_named_files,
    fitting_schemes,
    other_files,
)
from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.workspace import Workspace
from pipelines.prepare import main

pytestmark = pytest.mark.core

NUMBERS = {"red": 1, "green": 2, "blue": 3, "yellow": 4}
WORDS = ["--channels", *(f"{stain}={number}" for stain, number in NUMBERS.items())]
PATTERN = "{plate}_{well}_f{field}_w{channel}.tif"


def named(names, pattern=PATTERN, channels=NUMBERS):
    return find_named_files([Path("/data", name) for name in names], pattern, channels)


def four(name):
    return [name.format(number) for number in (1, 2, 3, 4)]


GUID = "F4B0A6A1-5E3C-4A8F-9C2D-1B2E3D4C5F60"


@pytest.mark.parametrize(
    ("pattern", "name", "image_id", "groups"),
    [
        (PATTERN, "p7_B03_f2_w{}.tif", "p7_B03_2", {"plate": "p7", "well": "p7_B03"}),
        (PATTERN, "a_b_c_AA12_f02_w{:02d}.TIF", "a_b_c_AA12_02",
         {"plate": "a_b_c", "well": "a_b_c_AA12"}),
        ("{well}-{field}-ch{channel}.png", "b1-7-ch{}.png", "b1_7", {"well": "b1"}),
        ("{plate}/{well}/{field}_{channel}.jpg", "x/p 1/A1/3_{}.jpg", "p 1_A1_3",
         {"plate": "p 1", "well": "p 1_A1"}),
        ("{day}_r{row}c{column}_{field}_{}_C{channel}.tif", "mon_r3c11_1_zzz_C{}.tif", "C11_mon_1",
         {"well": "C11", "day": "mon"}),
        ("{plate}/{plate}_{well}_w{channel}.tif", "q/q_C01_w{}.tif", "q_C01",
         {"plate": "q", "well": "q_C01"}),
        ("harmony", "P1/Images/r02c03f04p01-ch{}sk1fk1fl1.tiff", "P1_B03_04",
         {"plate": "P1", "well": "P1_B03"}),
        ("harmony", "r16c24f12p01-ch{}sk1fk1fl1.tiff", "P24_12", {"well": "P24"}),
        ("jump", "BR1__2020-11-08T18_18_00-Measurement1/Images/r01c01f01p01-ch{}sk1fk1fl1.tiff",
         "BR1_A01_01", {"plate": "BR1", "well": "BR1_A01"}),
        ("ImageXpress", "screen_1_G08_s3_w{}" + GUID + ".tif", "screen_1_G08_3",
         {"plate": "screen_1", "well": "screen_1_G08"}),
        ("imagexpress", "s_G08_s3_w{}1" + GUID[1:] + ".tif", "s_G08_3",
         {"plate": "s", "well": "s_G08"}),
        ("imagexpress", "x_A01_w{}.TIF", "x_A01", {"plate": "x", "well": "x_A01"}),
        ("cellvoyager", "AS_09125_050118150001_A03_T0001F001L01A01Z01C{:02d}.tif",
         "AS_09125_050118150001_A03_001",
         {"plate": "AS_09125_050118150001", "well": "AS_09125_050118150001_A03"}),
    ],
)  # fmt: skip
def test_what_names_say(pattern, name, image_id, groups):
    names = four(name)
    found = named([*names, "Thumbs.db", "readme.txt"], pattern)
    assert {stain: str(path) for stain, path in found.files[image_id].items()} == {
        stain: f"/data/{one}" for stain, one in zip(STAINS, names)
    }
    assert list(found.files) == [image_id]
    assert found.groups.loc[image_id].to_dict() == groups
    assert found.summary[0].startswith("pattern: 4 files are 1 field; 2 other files are ignored: ")
    assert f"red {Path(names[0]).name}, green" in found.summary[1]


def test_thumbnails_of_imagexpress_are_ignored():
    thumbs = four("x_A01_s1_w{}_thumb" + GUID + ".tif")
    found = named(four("x_A01_s1_w{}.tif") + thumbs, "imagexpress")
    assert list(found.files) == ["x_A01_1"] and "4 other files are ignored" in found.summary[0]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("harmony", "P1/Images/r02c03f04p01-ch1sk1fk1fl1.tiff"),
        ("jump", "P1__a/Images/r02c03f04p01-ch1sk1fk1fl1.tiff"),
        ("imagexpress", "x_A01_s1_w1.tif"),
        ("cellvoyager", "x_A03_T0001F001L01A01Z01C01.tif"),
    ],
)
def test_a_scheme_is_recognised_by_its_files(name, file):
    assert name in fitting_schemes([Path("/data", file)])
    with pytest.raises(InputError, match=rf"matches none of 1 file.*; '(harmony|{name})' do"):
        named([file])
    assert fitting_schemes([Path("/data/a_red.png")]) == []
    assert name in SCHEMES


def test_channels_by_name():
    names = [f"p_A01_f1_w{name}.tif" for name in ("DAPI", "Tubulin", "ER", "antibody", "empty")]
    found = named(names, channels=None)
    assert [path.name for path in found.files["p_A01_1"].values()] == [
        names[0], names[1], names[2], names[3]
    ]  # fmt: skip
    assert found.files["p_A01_1"]["yellow"].name == names[2]
    assert "channels without a stain: empty" in found.summary[0]
    channels = {"red": "ER", "green": "EMPTY", "blue": "dapi", "yellow": "Antibody"}
    assert named(names, channels=channels).files["p_A01_1"]["green"].name == names[4]
    with pytest.raises(InputError, match="unknown for red, .* the files have 1, 2, 3, 4; pass"):
        named(four("p_A01_f1_w{}.tif"), channels=None)
    with pytest.raises(InputError, match="channels: dapi and hoechst could both be blue"):
        named([*names, "p_A01_f1_wHoechst.tif"], channels=None)


def test_a_channel_that_no_file_has():
    with pytest.raises(InputError, match=r"no file has channel 5 for yellow; .* 1, 2, 3, 4"):
        named(four("p_A01_f1_w{}.tif"), channels={**NUMBERS, "yellow": 5})


def test_a_file_that_is_missing_stands_where_it_should_be():
    names = four("p_A01_f1_w{}.tif") + four("p_A01_f2_w{}.tif")[:3]
    assert named(names).files["p_A01_2"]["yellow"] == Path("/data/p_A01_f2_w4.tif")


def test_depths_and_times_are_rejected_and_one_can_be_chosen():
    names = [f"p_A01_f1_z{z}_w{c}.tif" for z in (1, 2) for c in (1, 2, 3, 4)]
    with pytest.raises(InputError, match=r"p_A01_1 has 2 depths \(1, 2\), .* replace {z}"):
        named(names, "{plate}_{well}_f{field}_z{z}_w{channel}.tif")
    found = named(names, "{plate}_{well}_f{field}_z2_w{channel}.tif")
    assert found.files["p_A01_1"]["red"].name == "p_A01_f1_z2_w1.tif"
    with pytest.raises(InputError, match="has 2 times"):
        named(names, "{plate}_{well}_f{field}_z{t}_w{channel}.tif")


def test_two_files_for_one_stain_are_rejected():
    names = four("a/A01_f1_w{}.tif") + four("b/A01_f1_w{}.tif")
    with pytest.raises(InputError, match=r"both the red stain of A01_1; .*{plate}/"):
        named(names, "{well}_f{field}_w{channel}.tif")
    found = named(names, "{plate}/{well}_f{field}_w{channel}.tif")
    assert list(found.files) == ["a_A01_1", "b_A01_1"]


def test_folders_without_files():
    with pytest.raises(InputError, match="the folders contain no files"):
        named([])


def test_two_files_for_one_field_are_rejected(tmp_path):
    paths = [tmp_path / folder / "A01_f1.tif" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        tifffile.imwrite(path, np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    planes = {stain: plane for plane, stain in enumerate(STAINS)}
    with pytest.raises(InputError, match=r"A01_f1\.tif are both field A01_1; .*{plate}/"):
        find_named_files(paths, "{well}_f{field}.tif", planes)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("opera9", "neither a known scheme (harmony, jump, imagexpress, cellvoyager) nor"),
        ("x_{channel}.tif", "nothing that distinguishes fields"),
        ("{target}_{field}_{channel}.tif", "{target} is not a valid group name"),
        ("{red}_{field}.tif", "{red} is not a valid group name"),
        ("{a b}_{field}.tif", "{a b} is not a valid group name"),
        ("{field}.png", "matches none of 4 files, such as p_A01_f1_w1.tif"),
    ],
)
def test_patterns_that_say_nothing(pattern, message):
    with pytest.raises(InputError, match=re.escape(message)):
        named(four("p_A01_f1_w{}.tif"), pattern)


@pytest.fixture
def plates(tmp_path):
    """Two plates of two fields, as TIFF of 16 bits from 12, with a fifth channel."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "plates"
    folder.mkdir()
    for plate in ("p1", "p2"):
        for well in ("A01", "B02"):
            for channel in range(1, 6):
                pixels = rng.integers(0, 4095, (20, 30), dtype=np.uint16, endpoint=True)
                tifffile.imwrite(folder / f"{plate}_{well}_f1_w{channel}.tif", pixels)
    (folder / "labels.csv").write_text("Id,Target\np1_A01_1,0\np2_A01_1,3 4\n")
    return folder


def prepare(folder, *more):
    work = ["--workspace", str(folder.parent / "work"), "--jobs", "1"]
    return main([*work, *map(str, more)])


def test_prepare_with_a_pattern(plates, capsys):
    assert prepare(plates, plates, "--pattern", PATTERN, *WORDS) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == (
        "pattern: 20 files are 4 fields; channels without a stain: 5; 1 other file is ignored: "
        "labels.csv"
    )
    assert out[1] == (
        "  p1_A01_1: plate p1, well p1_A01, red p1_A01_f1_w1.tif, green p1_A01_f1_w2.tif, "
        "blue p1_A01_f1_w3.tif, yellow p1_A01_f1_w4.tif"
    )
    assert len([line for line in out if line.startswith("  ")]) == 3
    assert any("use 12 bits" in line for line in out)
    catalogue = Workspace(plates.parent / "work").read_catalogue()
    assert list(catalogue.index) == ["p1_A01_1", "p2_A01_1", "p1_B02_1", "p2_B02_1"]
    assert list(catalogue["plate"]) == ["p1", "p2", "p1", "p2"]
    assert list(catalogue["well"]) == ["p1_A01", "p2_A01", "p1_B02", "p2_B02"]
    assert list(catalogue["target"]) == ["0", "3 4", "", ""]


def test_folders_behind_the_channels_are_no_channels(plates):
    assert prepare(plates, "--pattern", PATTERN, *WORDS, plates) == 0
    assert prepare(plates, "--overwrite", *WORDS, plates, "--pattern", PATTERN) == 0


def test_a_missing_file_is_named(plates, capsys):
    (plates / "p2_B02_f1_w3.tif").unlink()
    assert prepare(plates, plates, "--pattern", PATTERN, *WORDS) == 2
    error = capsys.readouterr().err
    assert f"field p2_B02_1: {plates / 'p2_B02_f1_w3.tif'}: no such file" in error


def test_one_file_for_each_field(tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 65535, (4, 20, 30), dtype=np.uint16)
    for name in ("scan_A01_1.ome.tif", "scan_A01_2.ome.tif"):
        metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "ER", "Tubulin", "Protein"]}}
        tifffile.imwrite(folder / name, pixels, ome=True, metadata=metadata)
    assert prepare(folder, folder, "--pattern", "scan_{well}_{field}.ome.tif") == 0
    catalogue = Workspace(tmp_path / "work").read_catalogue()
    assert catalogue.loc["A01_2", "red"] == str(folder / "scan_A01_2.ome.tif#2")
    cv2.imwrite(str(folder / "scan_A02_1.ome.tif"), pixels[0])
    assert prepare(folder, folder, "--overwrite", "--pattern", "scan_{well}_{field}.ome.tif") == 2
    assert "not a TIFF with a channel for each of red, green, blue" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".czi", ".nd2", ".LIF"])
def test_files_of_a_microscope_are_told_how_to_go_on(tmp_path, capsys, suffix):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"slide{number}{suffix}").write_bytes(b"x")
    for more in ([], ["--pattern", PATTERN]):
        assert prepare(folder, folder, *more) == 2
        error = capsys.readouterr().err
        assert f"3 files end in {suffix.lower()}, which is not supported: convert" in error
        assert "bfconvert" in error and error.count("\n") == 1
    assert suffix.lower() in VENDOR_SUFFIXES


def test_files_of_a_known_scheme_are_told_its_name(plates, capsys):
    assert other_files([Path("/x/a.png")])[1] == ("pattern",)
    assert prepare(plates, plates) == 2
    expected = "describe other file names with a pattern (on the command line: --pattern)"
    assert expected in capsys.readouterr().err
    for path in plates.glob("*.tif"):
        path.rename(path.with_name(path.name.replace("_f1_", "_s1_")))
    assert prepare(plates, plates) == 2
    error = capsys.readouterr().err
    assert "match the scheme imagexpress; pass pattern='imagexpress'" in error
    assert "(on the command line: --pattern, --channels)" in error
    assert prepare(plates, plates, "--pattern", "imagexpress", *WORDS) == 0


def test_a_pattern_is_of_folders(plates, capsys):
    assert prepare(plates, plates / "labels.csv", "--pattern", PATTERN, *WORDS) == 2
    assert "--pattern needs folders as IMAGES" in capsys.readouterr().err


def test_examples_name_the_stains_that_there_are(tmp_path):
    names = [f"B03_f2_w{channel}.tif" for channel in (1, 2, 3)]
    paths = [Path("/data", name) for name in names]
    with pytest.raises(InputError, match="such as red=1 green=2 blue=3$"):
        find_named_files(paths, "{well}_f{field}_w{channel}.tif", None, STAINS[:3])
    paths = [Path("/data", f"B03_f2_{name}.tif") for name in ("DAPI", "Hoechst", "FITC")]
    with pytest.raises(InputError, match="such as red=A green=B blue=C$"):
        find_named_files(paths, "{well}_f{field}_{channel}.tif", None, STAINS[:3])


def test_a_pattern_holds_for_extra_folders_whose_files_fit(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for folder, name in (("one", "p1_B03_f1_w{}.tif"), ("two", "p2_B03_f1_w{}.tif")):
        (tmp_path / folder).mkdir()
        for number in (1, 2, 3, 4):
            pixels = rng.integers(0, 255, (32, 32), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / folder / name.format(number)), pixels)
    (tmp_path / "three").mkdir()
    for stain in STAINS:
        pixels = rng.integers(0, 255, (32, 32), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "three" / f"x_{stain}.png"), pixels)
    (tmp_path / "labels.csv").write_text("Id,Target\np1_B03_1,0\n")
    (tmp_path / "two" / "labels.csv").write_text("Id,Target\np2_B03_1,1\n")
    (tmp_path / "three" / "labels.csv").write_text("Id,Target\nx,2\n")
    words = ["--workspace", str(tmp_path), "--labels", str(tmp_path / "labels.csv")]
    words += ["--pattern", PATTERN, *WORDS, "--jobs", "1"]
    for name in ("two", "three"):
        words += ["--extra", str(tmp_path / name)]
    assert main([str(tmp_path / "one"), *words]) == 0
    assert capsys.readouterr().out.count("pattern: 4 files are 1 field") == 2
    catalogue = Workspace(tmp_path).read_catalogue()
    assert list(catalogue.index) == ["p1_B03_1", "p2_B03_1", "x"]
    assert list(catalogue["plate"]) == ["p1", "p2", ""]
