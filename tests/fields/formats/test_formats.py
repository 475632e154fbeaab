"""What every format of image files promises, tried on each that is registered."""

import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from image_files import picture, png, saved, tiff

from hpastack.catalogue import collect_fields
from hpastack.errors import InputError
from hpastack.fields import FORMATS, STAINS, check_fields, read_field, read_stain
from hpastack.fields.formats import faults
from hpastack.fields.formats.decoding import decode_picture, open_picture
from hpastack.fields.formats.picture import Format

PIXELS = picture(37, 52)

#: A file of each format that holds these 8-bit grey pixels; a new format gets a line here.
WRITTEN = {
    "PNG": lambda pixels: saved(pixels, "PNG"),
    "JPEG": lambda pixels: saved(pixels, "JPEG", quality=98),
    "TIFF": lambda pixels: tiff(pixels, compression="zlib"),
}

ROOT = Path(__file__).parents[3]

each_format = pytest.mark.parametrize("name", FORMATS)


def decoded(data, plane=None, path="f"):
    """Decode a file as `prepare` does."""
    opened = open_picture(data, plane, path)
    pixels = decode_picture(opened, path)
    opened.verify(pixels)
    return pixels


def field_of(folder, name, suffix):
    """Write a field of one format."""
    for seed, stain in enumerate(STAINS):
        (folder / f"f_{stain}{suffix}").write_bytes(WRITTEN[name](picture(seed=seed)))


@each_format
def test_it_is_recognised_by_what_it_begins_with(name):
    mine = FORMATS[name].MAGICS
    assert WRITTEN[name](PIXELS).startswith(mine)
    others = [magic for other in FORMATS if other != name for magic in FORMATS[other].MAGICS]
    assert not any(other.startswith(mine) or other in mine for other in others)


@each_format
def test_its_endings_are_its_own(name):
    mine = FORMATS[name].SUFFIXES
    assert mine
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in mine)
    others = [suffix for other in FORMATS if other != name for suffix in FORMATS[other].SUFFIXES]
    assert not set(mine) & set(others)


@each_format
def test_what_was_written_is_read(name):
    opened = open_picture(WRITTEN[name](PIXELS), None, "f")
    assert (opened.height, opened.width) == PIXELS.shape
    found = decoded(WRITTEN[name](PIXELS))
    assert found.dtype == np.uint8
    assert found.shape == PIXELS.shape
    # A JPEG of quality 98 is off by a level or two.
    assert np.abs(found.astype(int) - PIXELS).max() <= (4 if opened.is_lossy else 0)


@each_format
def test_a_cut_file_is_an_error_that_names_it(name):
    data = WRITTEN[name](PIXELS)
    lengths = np.unique(np.linspace(1, len(data) - 1, 200).astype(int))
    whole = decoded(data)
    for length in lengths.tolist():
        with pytest.raises(InputError, match="^some/file: ") as caught:
            decoded(data[:length], path="some/file")
        assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(decoded(data), whole)


@each_format
def test_too_many_pixels_are_an_error_before_they_are_decoded(name, monkeypatch):
    data = WRITTEN[name](PIXELS)
    monkeypatch.setattr(faults, "MAX_PIXELS", PIXELS.size)
    open_picture(data, None, "f")
    monkeypatch.setattr(faults, "MAX_PIXELS", PIXELS.size - 1)
    with pytest.raises(InputError, match="^f: 52 x 37 pixels .* above the maximum of 1923"):
        open_picture(data, None, "f")


@each_format
def test_a_plane_that_is_not_there_is_an_error(name):
    with pytest.raises(InputError, match="plane"):
        decoded(WRITTEN[name](PIXELS), plane=1)


@each_format
def test_its_content_and_not_its_ending_says_what_it_is(name, tmp_path):
    expected = decoded(WRITTEN[name](PIXELS)) / np.float32(255)
    for other in FORMATS:
        path = tmp_path / f"f{FORMATS[other].SUFFIXES[0]}"
        path.write_bytes(WRITTEN[name](PIXELS))
        np.testing.assert_array_equal(read_stain(path, "red"), expected)


@pytest.mark.parametrize(
    "name, suffix",
    [(name, suffix) for name in FORMATS for suffix in FORMATS[name].SUFFIXES],
)
def test_fields_are_found_by_any_of_its_endings(name, suffix, tmp_path):
    for number, ending in enumerate((suffix, suffix.upper())):
        folder = tmp_path / str(number)
        folder.mkdir()
        field_of(folder, name, ending)
        fields = collect_fields(folder).fields
        assert list(fields.index) == ["f"]
        facts, bad = check_fields(fields, jobs=1, progress=False)
        assert not bad
        assert (facts.loc["f", "height"], facts.loc["f", "width"]) == picture().shape
        assert read_field(fields.loc["f"]).shape == (4, *picture().shape)


def one_of(words):
    *others, last = words
    return f"{', '.join(others)} or {last}"


def test_what_is_none_of_them_is_told_their_names(tmp_path):
    (tmp_path / "f.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=rf"f\.png: not a {one_of(FORMATS)} image$"):
        read_stain(tmp_path / "f.png", "red")
    endings = one_of(image_format.SUFFIXES[0] for image_format in FORMATS.values())
    with pytest.raises(InputError, match=re.escape(f"with the suffix {endings}, or")):
        collect_fields(tmp_path)


@each_format
def test_the_documentation_names_it(name):
    assert f"\n**{name}.** " in (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{name}\b[^.]*\(\[what exactly\]\(formats\.md#image-files\)\)", guide)


def test_one_line_adds_a_format(monkeypatch, tmp_path):
    def open_bmp(data, plane, path):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        return SimpleNamespace(
            height=len(pixels), width=pixels.shape[1], is_lossy=False, declared_bits=0,
            pixel_size=0.0, decode=lambda: pixels, verify=lambda decoded: None,
        )  # fmt: skip

    bmp: Format = SimpleNamespace(MAGICS=(b"BM",), SUFFIXES=(".bmp",), open_picture=open_bmp)
    (tmp_path / "f.bmp").write_bytes(saved(PIXELS, "BMP"))
    with pytest.raises(InputError, match=f"not a {one_of(FORMATS)} image"):
        read_stain(tmp_path / "f.bmp", "red")
    monkeypatch.setitem(FORMATS, "BMP", bmp)
    np.testing.assert_array_equal(read_stain(tmp_path / "f.bmp", "red"), PIXELS / np.float32(255))
    row = {stain: tmp_path / f"f_{stain}.bmp" for stain in STAINS}
    for seed, path in enumerate(row.values()):
        path.write_bytes(saved(picture(seed=seed), "BMP"))
    facts, bad = check_fields(pd.DataFrame([row], index=["f"]), jobs=1, progress=False)
    assert not bad
    assert list(facts.index) == ["f"]
    (tmp_path / "f.txt").write_bytes(b"text")
    with pytest.raises(InputError, match="not a PNG, .* or BMP image"):
        read_stain(tmp_path / "f.txt", "red")


def test_the_example_of_contributing_is_a_format(monkeypatch, tmp_path):
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## An image format")[1]
    example = ModuleType("example")
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], example.__dict__)
    monkeypatch.setitem(FORMATS, "example", example)
    data = b"P5 52 37 255\n" + PIXELS.tobytes()
    np.testing.assert_array_equal(decoded(data), PIXELS)
    for damaged in (data[:8], data[:-1], data + b"0", data.replace(b"52", b"00", 1)):
        with pytest.raises(InputError, match="^f: "):
            decoded(damaged)


def test_a_format_without_planes_says_so():
    for data in (png(PIXELS), saved(PIXELS, "JPEG")):
        with pytest.raises(InputError, match="only planes of a TIFF can be selected"):
            open_picture(data, 0, "f")
