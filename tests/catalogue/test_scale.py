"""The pixel size: from the option, a table or OME-XML into the catalogue, and back."""

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from hpastack.catalogue import fill_pixel_sizes, parse_pixel_size, read_catalogue
from hpastack.errors import InputError
from hpastack.fields import STAINS, field_pixel_size
from hpastack.fields.formats.ome import physical_size
from hpastack.pictures import Thumbnails
from pipelines.prepare import main

pytestmark = pytest.mark.core


def ome(*attributes):
    images = "".join(f"<Image><Pixels SizeX='9' {text}><Channel/></Pixels></Image>"
                     for text in attributes)  # fmt: skip
    return f"<OME>{images}</OME>"


@pytest.mark.parametrize(
    "attributes, size",
    [
        (['PhysicalSizeX="0.08"'], 0.08),
        (['PhysicalSizeX="0.16" PhysicalSizeXUnit="µm" PhysicalSizeY="9"'], 0.16),
        (['PhysicalSizeX="0.16" PhysicalSizeXUnit="\u03bcm"'], 0.16),
        (["PhysicalSizeX='80' PhysicalSizeXUnit='nm'"], 0.08),
        (['PhysicalSizeX="8e-5" PhysicalSizeXUnit="mm"'], 0.08),
        (['PhysicalSizeX="0.16" PhysicalSizeXUnit="&#181;m"'], 0.16),
        (['PhysicalSizeX="1" PhysicalSizeXUnit="pixel"'], 0.0),
        (['PhysicalSizeX="1" PhysicalSizeXUnit="reference frame"'], 0.0),
        (['PhysicalSizeX="0"'], 0.0),
        (['PhysicalSizeX="-1"'], 0.0),
        (['PhysicalSizeX="nan"'], 0.0),
        (['PhysicalSizeX="1e300" PhysicalSizeXUnit="m"'], 0.0),
        (['PhysicalSizeX="wide"'], 0.0),
        (['PhysicalSizeY="0.1"'], 0.0),
        ([], 0.0),
        (['PhysicalSizeX="0.2"', 'PhysicalSizeX="0.2"'], 0.2),
        (['PhysicalSizeX="0.2"', 'PhysicalSizeX="0.4"'], 0.0),
        (['PhysicalSizeX="0.2"', ""], 0.0),
    ],
)
def test_what_ome_xml_says(attributes, size):
    assert physical_size(ome(*attributes)) == size


@pytest.mark.parametrize("text", ["", "0", "-0.1", "inf", "nan", "1000", "narrow"])
def test_an_option_that_is_no_pixel_size(text):
    with pytest.raises(InputError, match="pixel_size: .* is not a number of micrometres per pixel"):
        parse_pixel_size(text)


def test_the_option_goes_before_the_table_before_the_files():
    catalogue = pd.DataFrame("x.png", index=["a", "b", "c", "d"], columns=list(STAINS))
    catalogue.loc["d"] = ""
    assert "pixel_size" not in fill_pixel_sizes(catalogue, {})
    of_files = fill_pixel_sizes(catalogue, {"a": 0.1, "b": 0.2})
    assert of_files["pixel_size"].fillna(-1).tolist() == [0.1, 0.2, -1, -1]
    table = catalogue.assign(pixel_size=["0.5", "", "", "0.5"])
    filled = fill_pixel_sizes(table, {"a": 0.1, "b": 0.2})
    assert filled["pixel_size"].fillna(-1).tolist() == [0.5, 0.2, -1, -1]
    forced = fill_pixel_sizes(table, {"a": 0.1}, 0.3)
    assert forced["pixel_size"].fillna(-1).tolist() == [0.3, 0.3, 0.3, -1]
    with pytest.raises(InputError, match="field b: pixel_size 'wide' is not a number of microm"):
        fill_pixel_sizes(table.assign(pixel_size=["", "wide", "", ""]), {})


@pytest.fixture
def ome_folder(tmp_path):
    """Two fields as OME-TIFF, one of which says its pixel size."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, size in enumerate(({"PhysicalSizeX": 160, "PhysicalSizeXUnit": "nm"}, {})):
        names = {"Channel": {"Name": ["red", "green", "blue", "yellow"]}}
        tifffile.imwrite(
            folder / f"f{number}.ome.tif", rng.integers(0, 256, (4, 60, 80), dtype=np.uint8),
            ome=True, photometric="minisblack", metadata={"axes": "CYX"} | names | size,
        )  # fmt: skip
    (folder / "train.csv").write_text("Id,Target\nf0,0\nf1,1\n")
    return folder


def prepare(folder, root, *arguments):
    return main([str(folder), "--workspace", str(root), "--jobs", "1", *arguments])


def test_prepare_keeps_what_ome_xml_says(ome_folder, tmp_path, capsys):
    assert prepare(ome_folder, tmp_path / "work") == 0
    assert "pixel size: 0.16 µm, known for 1 of 2 fields" in capsys.readouterr().out
    catalogue = read_catalogue(tmp_path / "work" / "data" / "catalogue.csv")
    assert field_pixel_size(catalogue.loc["f0"]) == 0.16
    assert field_pixel_size(catalogue.loc["f1"]) is None
    # 80 pixels of 0.16 micrometres are 40 of 0.32.
    assert Thumbnails(catalogue, size=40).pixel_size("f0") == pytest.approx(0.32)
    assert Thumbnails(catalogue).pixel_size("f1") is None


def test_prepare_takes_it_from_the_option(ome_folder, tmp_path, capsys):
    assert prepare(ome_folder, tmp_path / "work", "--pixel-size", "0.08") == 0
    assert "pixel size: 0.08 µm, known for 2 of 2 fields" in capsys.readouterr().out
    catalogue = read_catalogue(tmp_path / "work" / "data" / "catalogue.csv")
    assert catalogue["pixel_size"].tolist() == [0.08, 0.08]
    assert prepare(ome_folder, tmp_path / "other", "--pixel-size", "thin") == 2
    labels = ["--labels", str(ome_folder / "train.csv"), "--workspace", str(tmp_path / "bare")]
    assert main([*labels, "--pixel-size", "0.08"]) == 2
    assert "--pixel-size needs IMAGES" in capsys.readouterr().err


def test_prepare_takes_it_from_a_table_of_paths_and_not_for_a_group(tmp_path, capsys):
    lines = ["image_id,target,pixel_size," + ",".join(STAINS)]
    for number, size in enumerate(("0.2", "")):
        files = [f"f{number}_{stain}.png" for stain in STAINS]
        for place, name in enumerate(files):
            pixels = np.random.default_rng(9 * number + place).integers(0, 256, (30, 30))
            cv2.imwrite(str(tmp_path / name), pixels.astype(np.uint8))
        lines.append(f"f{number},{number},{size}," + ",".join(files))
    (tmp_path / "paths.csv").write_text("\n".join(lines) + "\n")
    assert prepare(tmp_path / "paths.csv", tmp_path / "work") == 0
    assert "group" not in capsys.readouterr().out
    catalogue = read_catalogue(tmp_path / "work" / "data" / "catalogue.csv")
    assert catalogue["pixel_size"].fillna(-1).tolist() == [0.2, -1]


def test_a_catalogue_without_it_stays_as_it_is_and_a_wrong_one_is_named(ome_folder, tmp_path):
    (ome_folder / "f0.ome.tif").unlink()
    (ome_folder / "train.csv").write_text("Id,Target\nf1,1\n")
    assert prepare(ome_folder, tmp_path / "work") == 0
    path = tmp_path / "work" / "data" / "catalogue.csv"
    assert "pixel_size" not in read_catalogue(path)
    header, row = path.read_text().splitlines()
    path.write_text(f"{header},pixel_size\n{row},wide\n")
    with pytest.raises(InputError, match="field f1: pixel_size 'wide'.*if this column"):
        read_catalogue(path)
