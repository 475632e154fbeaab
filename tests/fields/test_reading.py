"""Reading stains and fields: formats, tints, scaling, and everything that must be refused."""

import io
import threading

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import picture, png, tiff
from PIL import Image
from reference.block_mean import block_mean

from hpastack.errors import InputError
from hpastack.fields import (
    STAINS,
    check_fields,
    field_pixel_size,
    field_shape,
    iter_fields,
    read_field,
    read_stain,
    reading,
    resize_field,
)
from hpastack.fields.paths import require_stains
from hpastack.fields.stains import parse_stains

pytestmark = pytest.mark.core

PLANES = {"red": [0], "green": [1], "blue": [2], "yellow": [0, 1]}


def tinted(grey, stain):
    rgb = np.zeros((*grey.shape, 3), grey.dtype)
    rgb[..., PLANES[stain]] = grey[..., None]
    return rgb


@pytest.fixture
def field(tmp_path):
    """The row of a field of four 8-bit PNG."""
    row = {}
    for seed, stain in enumerate(STAINS):
        row[stain] = str(tmp_path / f"f_{stain}.png")
        cv2.imwrite(row[stain], picture(seed=seed))
    return row


# ---- formats


def test_8_bit_png_is_divided_by_255(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 51, 255]], np.uint8))
    stain = read_stain(tmp_path / "a.png", "green")
    assert stain.dtype == np.float32
    np.testing.assert_array_equal(stain, np.float32([[0, 0.2, 1]]))


def test_the_same_picture_in_every_lossless_format_reads_the_same(tmp_path):
    grey = picture()
    deep = grey.astype(np.uint16) * 257  # v / 255 == 257 v / 65535 exactly
    Image.fromarray(grey).save(tmp_path / "8.png")
    cv2.imwrite(str(tmp_path / "16.png"), deep)
    cv2.imwrite(str(tmp_path / "rgb.png"), np.dstack([grey] * 3))
    cv2.imwrite(str(tmp_path / "rgb16.png"), np.dstack([deep] * 3))
    cv2.imwrite(str(tmp_path / "opaque.png"), np.dstack([grey] * 3 + [np.full_like(grey, 255)]))
    opaque = Image.fromarray(np.full_like(grey, 255))
    Image.merge("LA", [Image.fromarray(grey), opaque]).save(tmp_path / "la.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    tifffile.imwrite(tmp_path / "8.tif", grey)
    tifffile.imwrite(tmp_path / "16.tif", deep)
    tifffile.imwrite(tmp_path / "big.tif", deep, bigtiff=True, byteorder=">")
    tifffile.imwrite(tmp_path / "zip.tif", deep, compression="zlib", predictor=True)
    tifffile.imwrite(tmp_path / "tiles.tif", deep, tile=(16, 16))
    tifffile.imwrite(tmp_path / "rgb.tif", np.dstack([deep] * 3), photometric="rgb")
    tifffile.imwrite(
        tmp_path / "planar.tif", np.stack([deep] * 3), photometric="rgb", planarconfig="separate"
    )
    tifffile.imwrite(tmp_path / "imagej.tif", deep, imagej=True)
    Image.fromarray(grey).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    Image.fromarray(deep).save(tmp_path / "lzw16.tif", compression="tiff_lzw")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.tif")
    expected = grey / np.float32(255)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 18
    for path in paths:
        np.testing.assert_array_equal(read_stain(path, "green"), expected, err_msg=path.name)


def test_low_bit_png_spans_the_whole_range(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_stain(tmp_path / "bit.png", "red"), [[0, 1]])


def test_the_name_of_a_file_does_not_matter(tmp_path):
    tifffile.imwrite(tmp_path / "a.png", picture())
    np.testing.assert_array_equal(
        read_stain(tmp_path / "a.png", "red"), picture() / np.float32(255)
    )


def test_orientation_tags_are_not_followed(tmp_path):
    # A turned stain would no longer lie over its three companions.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=exif)
    assert read_stain(tmp_path / "a.jpg", "red").shape == picture().shape


# ---- tints


@pytest.mark.parametrize("stain", STAINS)
def test_a_tint_is_reduced_to_its_planes(tmp_path, stain):
    Image.fromarray(tinted(picture(), stain)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_stain(tmp_path / "a.png", stain), picture() / np.float32(255)
    )


@pytest.mark.parametrize("stain", STAINS)
@pytest.mark.parametrize("dim", [1, 4, 40])
def test_a_tinted_jpeg_is_close_to_its_grey_original(tmp_path, stain, dim):
    grey = picture(128, 128) // dim
    Image.fromarray(tinted(grey, stain)).save(tmp_path / "a.jpg", quality=75, subsampling=2)
    error = read_stain(tmp_path / "a.jpg", stain) - grey / np.float32(255)
    # What quality 75 costs: blue has a ninth of the luma, so that its rounding weighs most.
    assert np.abs(error).mean() < 5 / 255
    assert abs(error.mean()) < 1 / 255


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("held", STAINS)
@pytest.mark.parametrize("asked", STAINS)
def test_the_tint_of_another_stain_is_refused(tmp_path, ending, held, asked):
    if held == asked:
        return
    path = tmp_path / f"a.{ending}"
    Image.fromarray(tinted(picture(), held)).save(path)
    with pytest.raises(InputError, match=rf"a\.{ending}: its colour does not match the {asked}"):
        read_stain(path, asked)


def test_a_blank_tinted_image_is_blank(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    assert not read_stain(tmp_path / "a.png", "yellow").any()


def test_almost_grey_is_grey(tmp_path):
    rgb = np.dstack([picture()] * 3)
    rgb[::2, ::2, 0] ^= 1
    Image.fromarray(rgb).save(tmp_path / "a.png")
    np.testing.assert_allclose(
        read_stain(tmp_path / "a.png", "blue"), rgb.mean(axis=2) / 255, atol=1e-6
    )


# ---- refused files


def encoded(suffix, pixels=None):
    return cv2.imencode(suffix, picture() if pixels is None else pixels)[1].tobytes()


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]


def lzw():
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "TIFF", compression="tiff_lzw")
    return buffer.getvalue()


def cmyk():
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


def sparse_tiff():
    """A TIFF that says of one of its strips that it holds no bytes."""
    data = bytearray(tiff(picture(), rowsperstrip=8, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages[0].tags["StripByteCounts"].valueoffset
    data[place : place + 2] = bytes(2)
    return bytes(data)


REFUSED = {
    "empty": (b"", "the file is empty"),
    "text": (b"Id,Target\n", "not a PNG, "),
    "gif": (b"GIF89a" + bytes(50), "not a PNG, "),
    "png cut in its pixels": (encoded(".png")[:-500], "truncated PNG"),
    "png without its end": (encoded(".png")[:-12], "truncated PNG"),
    "png cut in its header": (encoded(".png")[:20], "truncated PNG"),
    "png with a changed byte": (flipped(encoded(".png"), 500), "damaged PNG"),
    "png that lacks rows": (
        png(picture()[:20], size=(40, 60)), "damaged image: it cannot be decoded"
    ),
    "png of 10 gigapixels": (
        png(picture(), size=(100_000, 100_000)),
        "100000 x 100000 pixels .width x height., above",
    ),
    "jpeg cut in its pixels": (encoded(".jpg")[:-300], "truncated JPEG"),
    "jpeg cut in its header": (encoded(".jpg")[:100], "truncated JPEG"),
    "jpeg filled with zeros": (encoded(".jpg")[:-300] + bytes(300), "truncated JPEG"),
    "jpeg, four inks": (cmyk(), "JPEG with 8 bits and 4 planes"),
    "tiff cut in its pixels": (tiff(picture())[:-500], "truncated TIFF"),
    "tiff cut in its header": (tiff(picture())[:30], "truncated or damaged TIFF"),
    "tiff, directory lost": (lzw()[:-500], "truncated or damaged TIFF"),
    "tiff zip, changed byte": (
        flipped(tiff(picture(), compression="zlib"), 700), "damaged TIFF"
    ),
    "tiff without a strip": (sparse_tiff(), "truncated TIFF"),
    "tiff of floats": (tiff(picture().astype("f4")), "TIFF with float32 values"),
    "tiff of 32 bit": (tiff(picture().astype("u4")), "TIFF with uint32 values"),
    "tiff of signed": (tiff(picture().astype("i2")), "TIFF with int16 values"),
    "tiff of one bit": (tiff(picture() > 99), "TIFF with bool values"),
    "tiff stack": (tiff(np.stack([picture()] * 3), photometric="minisblack"), "several pages"),
    "imagej stack": (tiff(np.stack([picture()] * 3), imagej=True), "several pages"),
    "tiff, white is zero": (tiff(picture(), photometric="miniswhite"), "zero is not black"),
    "see-through": (encoded(".png", np.dstack([picture()] * 4)), "alpha channel"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name_in_one_line(tmp_path, case):
    data, reason = REFUSED[case]
    path = tmp_path / "f_green.xyz"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"f_green\.xyz: .*{reason}") as caught:
        read_stain(path, "green")
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_file_is_noticed(tmp_path):
    path = tmp_path / "cut"
    for data in (encoded(".png"), encoded(".jpg"), tiff(picture()), lzw()):
        for end in range(0, len(data) - 1, 97):
            path.write_bytes(data[:end])
            with pytest.raises(InputError, match="cut: "):
                read_stain(path, "red")


def test_missing_file_and_unknown_stain(tmp_path):
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        read_stain(tmp_path / "none.png", "red")
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    with pytest.raises(InputError, match="unknown stain 'cyan'; stains are red, green"):
        read_stain(tmp_path / "a.png", "cyan")


def test_a_folder_in_place_of_a_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_stain(tmp_path, "red")


# ---- fields


def test_field_has_the_stains_in_their_order(field):
    result = read_field(field)
    assert result.shape == (4, 40, 60)
    assert result.dtype == np.float32
    for plane, seed in zip(result, range(4)):
        np.testing.assert_array_equal(plane, picture(seed=seed) / np.float32(255))
    np.testing.assert_array_equal(read_field(pd.Series(field)), result)
    assert field_shape(field) == (40, 60)


def test_size_is_the_longer_side_and_square_pads(field):
    assert read_field(field, size=30).shape == (4, 20, 30)
    assert read_field(field, size=120).shape == (4, 80, 120)
    padded = read_field(field, size=30, square=True)
    assert padded.shape == (4, 30, 30)
    np.testing.assert_array_equal(padded[:, :20], read_field(field, size=30))
    assert not padded[:, 20:].any()
    np.testing.assert_array_equal(read_field(field, square=True)[:, :40], read_field(field))


def test_stains_of_different_size_are_refused(field, tmp_path):
    cv2.imwrite(field["blue"], picture(40, 61))
    message = (
        r"f_blue\.png: 61 x 40 pixels \(width x height\), but the red stain of the field has "
        r"60 x 40 pixels"
    )
    with pytest.raises(InputError, match=message):
        read_field(field, size=20)


@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_a_field_without_a_path_is_refused(field, nothing):
    field["green"] = nothing
    with pytest.raises(InputError, match="no path for the green stain"):
        read_field(field)


def test_size_must_be_positive(field):
    with pytest.raises(InputError, match="size is 0"):
        read_field(field, size=0)


# ---- scaling


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 8])
def test_whole_ratios_are_block_means(factor):
    plane = np.random.default_rng(1).random((1, 8 * factor, 12 * factor), np.float32)
    # float32 sums of up to 64 values in [0, 1] err by some units in the last place.
    np.testing.assert_allclose(
        resize_field(plane, 12)[0], block_mean(plane[0], factor), rtol=0, atol=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), size=st.integers(1, 90),
    value=st.floats(0, 1, width=32),
)  # fmt: skip
def test_scaling_keeps_aspect_range_and_constants(height, width, size, value):
    field = np.full((2, height, width), value, np.float32)
    scaled = resize_field(field, size)
    assert max(scaled.shape[1:]) == size
    expected = np.array([height, width]) * size / max(height, width)
    assert np.abs(np.maximum(expected, 1) - scaled.shape[1:]).max() <= 0.5
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    # The weights of an area sum to 1 but for rounding: thousands of pixels, 6e-8 each at most.
    np.testing.assert_allclose(scaled, value, atol=2e-5)


def test_any_reduction_keeps_the_mean():
    plane = np.random.default_rng(2).random((1, 97, 97), np.float32)
    for size in (96, 50, 31, 7):
        assert resize_field(plane, size).mean() == pytest.approx(plane.mean(), abs=1e-6)


# ---- many fields


@pytest.fixture
def catalogue(tmp_path):
    rows = {}
    for number in range(12):
        row = {}
        for stain in STAINS:
            row[stain] = str(tmp_path / f"f{number}_{stain}.png")
            cv2.imwrite(row[stain], picture(16, 16, 10 * number + STAINS.index(stain)))
        rows[f"f{number}"] = row
    return pd.DataFrame.from_dict(rows, orient="index")


@pytest.mark.parametrize("threads", [1, 4])
def test_fields_come_in_order(catalogue, threads):
    mixed = catalogue.iloc[::-1]
    ids = []
    for image_id, field in iter_fields(mixed, size=8, jobs=threads):
        ids.append(image_id)
        np.testing.assert_array_equal(field, read_field(catalogue.loc[image_id], 8))
    assert ids == list(mixed.index)


def test_no_more_than_asked_is_decoded_ahead(catalogue, monkeypatch):
    started = []
    read = reading.read_field

    def counted(row, *args, **options):
        started.append(row)
        return read(row, *args, **options)

    monkeypatch.setattr(reading, "read_field", counted)
    for done, _ in enumerate(iter_fields(catalogue, jobs=2, ahead=3), start=1):
        assert len(started) <= done + 3
    assert len(started) == len(catalogue)


def test_stopping_early_leaves_no_thread(catalogue):
    fields = iter_fields(catalogue, jobs=2)
    next(fields)
    fields.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_a_bad_field_is_named_at_its_turn(catalogue):
    path = catalogue.loc["f5", "green"]
    with open(path, "r+b") as file:
        file.truncate(60)
    fields = iter_fields(catalogue, jobs=3)
    assert [next(fields)[0] for _ in range(5)] == ["f0", "f1", "f2", "f3", "f4"]
    with pytest.raises(InputError, match=r"field f5: .*f5_green\.png: truncated PNG"):
        next(fields)


def test_check_measures_the_good_and_lists_the_bad(catalogue, tmp_path):
    with open(catalogue.loc["f1", "green"], "r+b") as file:
        file.truncate(60)
    catalogue.loc["f3", "yellow"] = str(tmp_path / "gone.png")
    cv2.imwrite(catalogue.loc["f4", "blue"], picture(16, 16, 40))  # its red stain again
    catalogue.loc["f6", "blue"] = str(tmp_path)
    catalogue.loc["f7", "red"] = ""
    facts, bad = check_fields(catalogue, jobs=3, progress=False)
    assert [(field.image_id, field.reason) for field in bad] == [
        ("f1", "truncated PNG"),
        ("f3", "no such file"),
        ("f4", "the same file as the red stain of the field"),
        ("f6", "Is a directory"),
        ("f7", "no path for the red stain of the field"),
    ]
    assert bad[0].file == catalogue.loc["f1", "green"]
    assert list(facts.index) == ["f0", "f2", "f5", "f8", "f9", "f10", "f11"]
    assert (facts[["height", "width"]] == 16).all(axis=None)
    assert facts["content"].is_unique
    assert facts["content"].str.fullmatch("[0-9a-f]{32}").all()


def test_content_changes_with_any_stain(catalogue):
    before = check_fields(catalogue, progress=False)[0]["content"]
    assert before.equals(check_fields(catalogue, jobs=1, progress=False)[0]["content"])
    cv2.imwrite(catalogue.loc["f2", "yellow"], picture(16, 16, 999))
    after = check_fields(catalogue, progress=False)[0]["content"]
    assert list(before.index[before != after]) == ["f2"]


def test_blank_stains_may_be_alike(catalogue):
    for stain in ("green", "yellow"):
        cv2.imwrite(catalogue.loc["f0", stain], np.zeros((16, 16), np.uint8))
    assert not check_fields(catalogue, progress=False)[1]


# ---- real fields


def real_row(folder, image_id):
    paths = {s: list((folder / "fields").glob(f"*/{image_id}_{s}.*")) for s in STAINS}
    return {stain: found[0] for stain, found in paths.items()}


@pytest.mark.parametrize(
    ("image_id", "side"),
    [("000a6c98-bb9b-11e8-b2b9-ac1f6b6435d0", 2048), ("57_F11_1", 1728), ("800_A6_1", 2048)],
)
def test_real_fields(real_data, image_id, side):
    row = real_row(real_data, image_id)
    assert field_shape(row) == (side, side)
    field = read_field(row, size=512)
    assert field.shape == (4, 512, 512)
    # A stained field is mostly dark with bright structures, in every stain.
    assert (field.mean(axis=(1, 2)) > 0.02).all()
    assert (field.mean(axis=(1, 2)) < 0.4).all()
    assert (field.max(axis=(1, 2)) > 0.5).all()


def test_real_tints_are_told_apart(real_data):
    row = real_row(real_data, "800_A6_1")
    for held, path in row.items():
        for asked in STAINS:
            if asked != held:
                with pytest.raises(InputError, match="its colour does not match"):
                    read_stain(path, asked)


@pytest.mark.parametrize(
    "row, named",
    [
        ("000a6c98", "'000a6c98'"),
        (np.zeros((4, 8, 8)), "a ndarray"),
        (pd.DataFrame({"red": ["r.png"]}), "a DataFrame"),
        (None, "a NoneType"),
    ],
)
def test_what_is_no_row_of_the_catalogue_is_named(row, named):
    with pytest.raises(
        InputError, match=rf"row is {named}; it must be .*catalogue\.loc\[image_id\]"
    ):
        read_field(row)


@pytest.mark.parametrize("value", ["wide", "0", "-0.1", "1000", "inf", []])
def test_a_pixel_size_that_is_none_is_an_error(value):
    with pytest.raises(InputError, match="pixel_size .* is not a number of micrometres per pixel"):
        field_pixel_size({"pixel_size": value})


@pytest.mark.parametrize("text", ["red blue", "green,green", "green pink", ""])
def test_lists_of_stains_without_the_protein_or_with_unknown_ones(text):
    with pytest.raises(InputError, match=f"stains: '{text}' must contain green, the protein"):
        parse_stains(text)


def test_a_stain_that_some_fields_lack():
    catalogue = pd.DataFrame({"stains": [" ".join(STAINS), " ".join(STAINS)]})
    require_stains(catalogue, STAINS, "the network")
    catalogue.loc[1, "stains"] = "red green blue"
    with pytest.raises(
        InputError, match=r"the network needs the yellow stain.* stains: \[red, green, blue\]"
    ):
        require_stains(catalogue, ["green", "yellow"], "the network")


def test_a_field_of_no_pixels_is_no_size():
    with pytest.raises(InputError, match="size is 0; it must be at least 1 pixel"):
        resize_field(np.zeros((1, 4, 4), np.float32), 0)
