"""Sheets: captions are wrapped and never cut, pictures do not overlap."""

import numpy as np
import pytest

from hpastack.labels import HPA_2018
from hpastack.pictures import Captioned, Section, contact_sheet, picture_sheet
from hpastack.pictures import text as text_module
from hpastack.pictures.text import LINE, draw_lines, text_width, wrapped
from hpastack.pictures.tiles import GAP

pytestmark = pytest.mark.core

ID = "000a6c98-bb9b-11e8-b2b9-ac1f6b6435d0"


@pytest.mark.parametrize(
    "text",
    [ID, f"{ID} Nuclear speckles, Endoplasmic reticulum", "x" * 90, "a_b-c " * 12,
     "57_F11_1_a_very_long_name_of_a_field_and_its_plate", "", "ä µ β"],
)  # fmt: skip
@pytest.mark.parametrize("width", [60, 120, 300])
def test_wrapping_loses_nothing_and_fits(text, width):
    lines = wrapped(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(line) <= width for line in lines)


def test_an_id_is_broken_after_a_hyphen_only_if_it_must():
    assert wrapped(ID, text_width(ID)) == [ID]
    assert wrapped(ID, text_width(ID) - 1) == [ID[:24], ID[24:]]
    assert wrapped(f"field {ID}", text_width(ID)) == ["field", ID]


def test_letters_that_a_font_lacks_are_replaced(monkeypatch):
    monkeypatch.setattr(text_module, "_ASCII_ONLY", True)
    assert text_module._drawable("20 µm Nucléoli 中") == "20 um Nucleoli ?"
    assert text_width("20 µm") == text_width("20 um")


def test_text_is_drawn_where_it_should_be():
    picture = np.zeros((3 * LINE, 200, 3), np.uint8)
    draw_lines(picture, ["Ag", "Ag"], 10, LINE)
    rows = np.flatnonzero(picture.any(axis=(1, 2)))
    columns = np.flatnonzero(picture.any(axis=(0, 2)))
    assert rows[0] >= LINE and rows[-1] < 3 * LINE
    assert columns[0] >= 9 and columns[-1] <= 11 + text_width("Ag")


def captioned(level, size=80, lines=()):
    return Captioned(np.full((size, size, 3), level, np.uint8), lines)


def test_every_picture_stands_whole_on_the_sheet():
    sections = [
        Section("Looks like this", [captioned(60 + k, lines=(ID, "Cytosol")) for k in range(5)]),
        Section("", [captioned(200, size=40)]),
    ]
    sheet = picture_sheet(sections, columns=3)
    assert sheet.shape[1] == 3 * 80 + 4 * 10 and sheet.dtype == np.uint8
    for level in range(60, 65):
        assert (sheet == level).all(axis=-1).sum() >= 80 * 80
    assert (sheet == 200).all(axis=-1).sum() >= 40 * 40


def test_longer_captions_make_the_sheet_higher_and_not_wider():
    short = picture_sheet([Section("", [captioned(90, lines=("a",))])])
    long = picture_sheet([Section("", [captioned(90, lines=("a", f"{ID} {ID}"))])])
    assert long.shape[1] == short.shape[1]
    n_lines = 1 + len(wrapped(f"{ID} {ID}", 80))
    assert long.shape[0] == short.shape[0] + (n_lines - 1) * LINE


def test_a_section_without_pictures_has_its_heading():
    sheet = picture_sheet([Section("Nothing to see", [])])
    assert sheet.max() > 200


def test_the_contact_sheet_has_a_tile_for_every_label():
    sheet = contact_sheet(size=64, columns=4)
    assert (sheet.shape[1] - 10) / (2 * 64 + GAP + 10) == 4
    # Rows are alike, since no name needs two lines; what is left is the note on the stains.
    height = 10 + 64 + LINE + 4
    pictures = []
    for number in range(len(HPA_2018)):
        top, left = 10 + number // 4 * height, 10 + number % 4 * (2 * 64 + GAP + 10)
        pictures.append(sheet[top : top + 64, left : left + 2 * 64 + GAP])
    assert all(picture.max() > 200 for picture in pictures)
    proteins = [picture[:, -64:] for picture in pictures]
    assert all((protein == protein[..., :1]).all() for protein in proteins)  # grey


def test_a_note_stands_at_the_end():
    plain = picture_sheet([Section("", [captioned(90)])])
    noted = picture_sheet([Section("", [captioned(90)])], note="protein yellow, nucleus blue")
    np.testing.assert_array_equal(noted[: len(plain) - 10], plain[:-10])
    assert noted[len(plain) :].max() > 100
