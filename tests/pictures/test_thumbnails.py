"""Thumbnails by id: the same bytes twice, and None where there is no picture."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import hpastack as hs
from hpastack.errors import InputError
from hpastack.fields import STAINS, PackedFields, check_fields, pack_fields
from hpastack.pictures import Thumbnails, data_uri, field_tile, jpeg_bytes, png_bytes, write_png

pytestmark = pytest.mark.core


def decoded(data, flags=cv2.IMREAD_COLOR):
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return picture[..., ::-1] if picture.ndim == 3 else picture


@pytest.fixture
def drawn(tmp_path):
    """A catalogue of three drawn fields: square, oblong, and without the fourth stain."""
    rows = {}
    for number, (height, width) in enumerate([(96, 96), (64, 96), (96, 96)]):
        field = hs.draw_field("25 0", size=96, seed=number)[:, :height, :width]
        present = STAINS if number != 2 else STAINS[:3]
        row = dict.fromkeys(STAINS, "") | {"stains": " ".join(present), "pixel_size": 0.5}
        for stain, pixels in zip(present, field):
            row[stain] = str(tmp_path / f"f{number}_{stain}.png")
            cv2.imwrite(row[stain], np.rint(255 * pixels).astype(np.uint8))
        rows[f"f{number}"] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
    facts, bad = check_fields(table, jobs=1, progress=False)
    assert not bad
    return table.join(facts)


def test_a_tile_is_the_picture_of_the_field(drawn):
    thumbnails = Thumbnails(drawn, size=48)
    field = hs.read_field(drawn.loc["f0"], 48)
    # 0.5 micrometres per pixel of the file are 1 of the picture.
    expected = field_tile(field, pixel_size=1.0)
    jpeg = thumbnails.tile("f0")
    assert jpeg == jpeg_bytes(expected)
    assert np.corrcoef(decoded(jpeg).ravel(), expected.ravel())[0, 1] > 0.97
    assert thumbnails.pixel_size("f0") == 1.0


def test_the_same_bytes_twice_in_any_order_and_number_of_threads(drawn):
    ids = list(drawn.index)
    one = Thumbnails(drawn, size=64).tiles(ids, jobs=1)
    other = Thumbnails(drawn, size=64).tiles(ids[::-1], jobs=3)
    assert one == other and list(one) == ids and list(other) == ids[::-1]
    assert len(set(one.values())) == 3


def test_small_fields_are_not_enlarged(drawn):
    thumbnails = Thumbnails(drawn, size=500)
    assert decoded(thumbnails.tile("f0")).shape[0] == 96
    assert thumbnails.pixel_size("f0") == 0.5


@pytest.mark.parametrize("size", [48, 500])
def test_shapes_are_those_of_the_pictures(drawn, size):
    thumbnails = Thumbnails(drawn, size=size)
    for image_id in drawn.index:
        assert thumbnails.stain_levels(image_id).shape == (4, *thumbnails.shape(image_id))


def test_stains_come_as_planes(drawn):
    planes = Thumbnails(drawn).stain_levels("f0")
    field = hs.read_field(drawn.loc["f0"])
    for plane, stain in zip(planes, field, strict=True):
        assert np.corrcoef(plane.ravel(), stain.ravel())[0, 1] > 0.95


def test_a_field_of_three_stains_has_no_fourth(drawn):
    thumbnails = Thumbnails(drawn)
    assert thumbnails.tile("f2") is not None
    assert thumbnails.stain_levels("f2").any(axis=(1, 2)).tolist() == [True, True, True, False]


def test_fields_without_files_have_no_picture(drawn):
    bare = drawn.assign(**dict.fromkeys(STAINS, ""), stains="", height=0, width=0)
    thumbnails = Thumbnails(bare)
    assert not thumbnails.has_images and "f0" not in thumbnails
    assert thumbnails.tile("f0") is None and thumbnails.stain_levels("f0") is None
    assert thumbnails.shape("f0") is None and thumbnails.pixel_size("f0") is None
    assert thumbnails.tiles(bare.index) == {} and thumbnails.faults == {}
    assert Thumbnails(drawn).has_images and "f0" in Thumbnails(drawn)
    assert "unheard" not in Thumbnails(drawn) and Thumbnails(drawn).tile("unheard") is None


def test_missing_and_damaged_files_are_remembered(drawn):
    Path(drawn.at["f0", "red"]).write_bytes(b"not an image")
    drawn.loc["f1", "green"] = "/nowhere/f1_green.png"
    thumbnails = Thumbnails(drawn, size=64)
    assert list(thumbnails.tiles(drawn.index)) == ["f2"]
    assert set(thumbnails.faults) == {"f0", "f1"}
    assert "f0_red.png" in thumbnails.faults["f0"]
    assert "/nowhere/f1_green.png" in thumbnails.faults["f1"]


def test_packed_fields_are_read_without_their_files(drawn, tmp_path):
    four = drawn.loc[["f0", "f1"]]
    pack_fields(tmp_path / "fields.h5", four, 96, jobs=1)
    packed = PackedFields(tmp_path / "fields.h5")
    from_files = Thumbnails(four, size=64).tiles(four.index)
    for row in four[list(STAINS)].to_numpy().ravel():
        Path(row).unlink()
    from_packed = Thumbnails(four, packed=packed, size=64)
    assert list(from_packed.tiles(four.index)) == ["f0", "f1"]
    for image_id, jpeg in from_files.items():
        difference = decoded(jpeg).astype(float) - decoded(from_packed.tile(image_id))
        assert np.abs(difference).mean() < 1
    too_small = Thumbnails(four, packed=packed, size=200)
    assert too_small.tile("f0") is None and too_small.faults


def test_an_unknown_palette_or_size_is_an_error(drawn):
    with pytest.raises(InputError, match="unknown palette 'rainbow'"):
        Thumbnails(drawn, palette="rainbow")
    with pytest.raises(InputError, match="size is 0"):
        Thumbnails(drawn, size=0)


def test_a_picture_as_a_file_and_as_an_address(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_png(tmp_path / "a.png", picture)
    data = (tmp_path / "a.png").read_bytes()
    assert data == png_bytes(picture)
    np.testing.assert_array_equal(decoded(data), picture)
    assert data_uri(b"\xff\xd8") == "data:image/jpeg;base64,/9g="
