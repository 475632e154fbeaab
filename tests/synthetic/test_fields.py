import cv2
import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.fields import STAIN_INDEX
from hpastack.synthetic import CELL_LINES, draw_field

GREEN, BLUE = STAIN_INDEX["green"], STAIN_INDEX["blue"]


@pytest.mark.parametrize("size", [32, 64, 100, 256])
def test_a_field_is_float32_in_the_unit_range(size):
    field = draw_field("16 0", size=size, seed=3)
    assert field.shape == (4, size, size)
    assert field.dtype == np.float32
    assert 0 <= field.min() < 0.1
    assert 0.2 < field.max() <= 1


def test_same_arguments_give_the_same_bytes():
    one = draw_field("25 2", size=64, seed=9, cell_line="HeLa", well_seed=1, plate_seed=2)
    two = draw_field([2, 25], size=64, seed=9, cell_line="HeLa", well_seed=1, plate_seed=2)
    assert one.tobytes() == two.tobytes()
    other = draw_field("25 2", size=64, seed=10, cell_line="HeLa", well_seed=1, plate_seed=2)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("cell_line", list(CELL_LINES))
def test_every_cell_line_can_be_drawn_with_many_labels(cell_line):
    field = draw_field([0, 7, 16, 17, 21, 22], size=64, seed=5, cell_line=cell_line)
    assert np.isfinite(field).all()
    assert field[BLUE].max() > 0.3


def test_the_label_changes_green_but_not_the_reference_stains():
    nucleoli, golgi = draw_field([2], size=96, seed=4), draw_field([7], size=96, seed=4)
    for stain in ("red", "blue", "yellow"):
        assert np.array_equal(nucleoli[STAIN_INDEX[stain]], golgi[STAIN_INDEX[stain]])
    assert not np.array_equal(nucleoli[GREEN], golgi[GREEN])


def test_green_lies_where_the_label_says():
    inside, outside = draw_field([0], seed=2), draw_field([25], seed=2)
    nuclei = cv2.erode((inside[BLUE] > 0.25).astype(np.uint8), np.ones((3, 3))) > 0
    assert inside[GREEN][nuclei].mean() > 3 * inside[GREEN][~nuclei].mean()
    assert outside[GREEN][nuclei].mean() < 0.7 * outside[GREEN][~nuclei].mean()


def test_a_copy_is_the_same_picture_shifted_brighter_and_noisier():
    original = draw_field("25 0", size=128, seed=6)
    copy = draw_field("25 0", size=128, seed=6, copy_seed=77)
    stranger = draw_field("25 0", size=128, seed=7)
    # Shift by the peak of the cross-correlation; 6 % of 128 px is 8 px.
    inner = original[BLUE][16:-16, 16:-16]
    match = cv2.matchTemplate(copy[BLUE], inner, cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(match.argmax(), match.shape)
    assert match.max() > 0.97
    assert 2 <= np.hypot(row - 16, column - 16) <= 9
    assert cv2.matchTemplate(stranger[BLUE], inner, cv2.TM_CCOEFF_NORMED).max() < 0.7
    assert copy.mean() > original.mean()


def test_wells_and_plates_give_fields_a_common_look():
    dim_to_bright = [
        [draw_field([25], size=64, seed=seed, well_seed=well, plate_seed=1)[GREEN].mean()
         for seed in range(6)]
        for well in range(6)
    ]  # fmt: skip
    between = np.std(np.mean(dim_to_bright, axis=1))
    assert between > np.mean(np.std(dim_to_bright, axis=1)) / np.sqrt(6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": "28"}, "unknown label '28'"),
        ({"targets": "3 3"}, "duplicate label 3"),
        ({"targets": ""}, "no label; every"),
        ({"targets": "0", "cell_line": "U-2"}, "unknown cell line 'U-2'"),
        ({"targets": "0", "size": 31}, "size is 31; it must be at least 32"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        draw_field(**arguments)


def test_a_copy_can_be_shifted_far():
    far = {"size": 96, "seed": 6, "margin": 0.3}
    original = draw_field("25 0", **far)
    copy = draw_field("25 0", **far, copy_seed=77, copy_shift=(0.25, -0.125))
    # What lies at (y, x) of the copy lies 24 px further down and 12 px to the left of the field.
    match = np.corrcoef(original[BLUE][24:, :-12].ravel(), copy[BLUE][:-24, 12:].ravel())[0, 1]
    assert match > 0.95
    with pytest.raises(InputError, match="must not exceed margin"):
        draw_field("25 0", size=96, copy_seed=1, copy_shift=(0.0, 0.1))
    with pytest.raises(InputError, match="needs copy_seed"):
        draw_field("25 0", size=96, copy_shift=(0.0, 0.0))
