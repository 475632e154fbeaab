"""How many bits a data set uses, and which of its stains show nothing."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from image_files import picture

from hpastack.errors import InputError
from hpastack.fields import STAINS, check_fields, field_content, iter_fields, read_field
from hpastack.fields.checking import inspect_fields
from hpastack.fields.levels import find_depth, level_warnings, measure_levels, parse_bits

SHAPE = (40, 60)


def camera(highest, seed=0):
    """A picture of 16 bits whose brightest pixel is `highest`, as a camera would give it."""
    noise = np.random.default_rng(seed).random(SHAPE)
    values = np.rint(highest * (0.8 * picture(*SHAPE, seed) / 255 + 0.2 * noise) / 1.01)
    values[0, 0] = highest
    return values.astype(np.uint16)


def depth_of(*pictures, bits=None, declared=0):
    return find_depth([measure_levels(one, declared, "f.tif") for one in pictures], bits)


@pytest.mark.parametrize(
    ("highest", "bits"),
    [(600, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16383, 14), (16384, 16),
     (65535, 16), (255, 8)],
)  # fmt: skip
def test_the_least_bits_of_a_camera_that_hold_every_value(highest, bits):
    assert depth_of(camera(highest // 3), camera(highest)).bits == bits


def test_values_spread_or_shifted_use_the_whole_range():
    dim = (picture(*SHAPE) // 5).astype(np.uint16)  # up to 51 of 255
    assert depth_of(dim * 257).bits == 16
    assert depth_of(dim * 256).bits == 16
    assert depth_of(camera(800) * 16).bits == 16  # 12 bits in the upper ones
    # One field that is neither says that the others are so by chance.
    assert depth_of(dim * 257, camera(9000)).bits == 14


def test_what_files_say_counts_unless_values_contradict():
    assert depth_of(camera(600), declared=12).bits == 12
    assert depth_of(camera(600), declared=11).bits == 11
    assert depth_of(camera(5000), declared=12).bits == 14
    # Written by everyone who does not know.
    assert depth_of(camera(600), declared=16).bits == 10
    assert depth_of(camera(600), declared=12).reason == "as declared in the files"


def test_without_16_bit_files_there_is_nothing_to_find():
    assert depth_of(picture()) is None
    black = depth_of(np.zeros(SHAPE, np.uint16))
    assert black.bits == 16


def test_bits_of_the_user():
    assert depth_of(camera(600), bits=12).bits == 12
    with pytest.raises(
        InputError, match=r"f\.tif: has the value 5000, .* of 12 bits, 4095; set bits to 14"
    ):
        depth_of(camera(5000), bits=12)
    assert [parse_bits(text) for text in ("auto", "8", "12", "16")] == [None, 8, 12, 16]
    for text in ("7", "17", "twelve", "-12", ""):
        with pytest.raises(InputError, match=r"bits: .*from 8 to 16"):
            parse_bits(text)


def warning(*pictures, bits=16):
    return level_warnings([measure_levels(one, 0, "f.tif") for one in pictures], bits)


def test_stains_that_show_nothing():
    good = camera(4095)
    black = np.zeros(SHAPE, np.uint16)
    assert warning(good, bits=12) == ""
    assert warning(black, black, bits=12).startswith("is constant (0) in all 2 fields")
    assert warning(black, black + 7).startswith("is constant in all 2 fields")
    assert warning(good, black, black, black, bits=12) == "is constant in 3 of 4 fields"
    assert warning(*[good] * 40, black, bits=12) == ""
    dark = warning(camera(600), camera(300), bits=16)
    assert dark == "is nearly black in all 2 fields: the maximum value is 600 of 65535"
    white = np.maximum(good, (np.arange(SHAPE[1]) < 6) * np.uint16(4095))
    assert warning(white, bits=12) == "is saturated: 10% of its pixels have the maximum value"
    assert warning(white, bits=13) == ""
    rgb = np.zeros((*SHAPE, 3), np.uint8)
    assert warning(rgb).startswith("is constant (0)")
    rgb[..., 1] = picture(*SHAPE)
    assert warning(rgb) == ""


@pytest.mark.core
def test_the_alpha_plane_is_no_colour():
    opaque = np.full((*SHAPE, 4), 255, np.uint8)
    opaque[..., :3] = 3
    assert measure_levels(opaque, 0, "f.png").high == 3


@pytest.fixture
def fields(tmp_path):
    """Two fields of a 12-bit camera, in 16-bit TIFF files of one stain."""
    rows = {}
    for number in range(2):
        rows[f"f{number}"] = {}
        for position, stain in enumerate(STAINS):
            path = tmp_path / f"f{number}_{stain}.tif"
            tifffile.imwrite(path, camera(4000 - number, seed=4 * number + position))
            rows[f"f{number}"][stain] = str(path)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")


def test_fields_are_read_by_the_bits_of_the_catalogue(fields):
    dark = dict(iter_fields(fields))
    bright = dict(iter_fields(fields.assign(bits=12)))
    for image_id, row in fields.iterrows():
        values = np.stack([tifffile.imread(row[stain]) for stain in STAINS])
        np.testing.assert_array_equal(dark[image_id], values / np.float32(65535))
        np.testing.assert_array_equal(bright[image_id], values / np.float32(4095))
        reread = read_field({**row, "bits": 12}, 20)
        assert 0.5 < reread.max() <= 1
    unknown = read_field({**fields.iloc[0], "bits": ""})
    np.testing.assert_array_equal(unknown, dark["f0"])
    with pytest.raises(InputError, match=r"f0_red\.tif: has the value 4000.* of 10 bits.* 1023"):
        read_field({**fields.iloc[0], "bits": 10})


def test_other_bits_are_other_content(fields):
    facts, _ = check_fields(fields, progress=False)
    row = dict(fields.iloc[0])
    assert field_content({**row, "bits": 16}) == field_content(row) == facts["content"].iloc[0]
    assert len({field_content({**row, "bits": bits}) for bits in (10, 12, 16)}) == 3


def test_8_bit_stains_are_divided_by_255(fields, tmp_path):
    tifffile.imwrite(tmp_path / "grey.tif", picture(*SHAPE))
    row = {**fields.iloc[0], "green": str(tmp_path / "grey.tif"), "bits": 12}
    np.testing.assert_array_equal(read_field(row)[1], picture(*SHAPE) / np.float32(255))


def declared(path):
    table = pd.DataFrame([dict.fromkeys(STAINS, str(path))], index=["f"])
    if "ome" in path.name:
        for number, stain in enumerate(STAINS):
            table[stain] = f"{path}#{number}"
    else:
        for stain in STAINS[1:]:
            other = path.with_name(f"{stain}.tif")
            tifffile.imwrite(other, camera(4000, seed=len(stain)))
            table[stain] = str(other)
    return inspect_fields(table, progress=False).levels["f"]["red"].declared


def test_bits_that_files_declare(tmp_path):
    pixels = np.stack([camera(3000, seed) for seed in range(4)])
    metadata = {"axes": "CYX", "SignificantBits": 12}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, metadata=metadata)
    assert declared(tmp_path / "a.ome.tif") == 12
    for most, bits in ((4095, 12), (1023, 10), (0, 0)):
        tifffile.imwrite(
            tmp_path / "a.tif", pixels[0], extratags=[(281, "H", 1, most, True)], metadata=None
        )
        assert declared(tmp_path / "a.tif") == bits


def test_a_few_hot_pixels_are_named_and_cut(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 4096, (400, 400)).astype(np.uint16)
    pixels[3, 5] = 65535
    found = depth_of(pixels)
    assert found.bits == 16
    assert "all but 1 of 160,000 pixels fit 12 bits (one is in f.tif)" in found.stray
    assert "set bits to 12" in found.stray
    assert depth_of(pixels, bits=12).bits == 12
    for too_many in (pixels | 4096, np.where(np.arange(400) < 4, 5000, pixels).astype(np.uint16)):
        with pytest.raises(InputError, match="set bits to (14|16) or auto"):
            depth_of(too_many, bits=12)
    assert depth_of(np.minimum(pixels, 4095)).stray == ""
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, pixels)
    field = read_field(dict.fromkeys(STAINS, str(path)) | {"bits": 12})
    assert field.max() == 1 and field[0, 3, 5] == 1
    np.testing.assert_allclose(field[0, 10], pixels[10] / 4095, rtol=1e-6)
