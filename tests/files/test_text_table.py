"""Tables for terminals: aligned, as narrow as the terminal, with names in full."""

import pytest

from hpastack.files.text_table import text_table

pytestmark = pytest.mark.core

NAMES = ["short", "a label with a name of many words that goes on", "x" * 40]
COLUMNS = {"positives": ["1", "22", "333"], "F1": ["0.100", "0.200", "1.000"]}


@pytest.mark.parametrize("width", [30, 40, 80])
def test_a_table_fits_and_keeps_names_and_numbers(width):
    lines = text_table(NAMES, COLUMNS, width, "label").splitlines()
    assert max(map(len, lines)) <= width
    numbers = [line.split()[-2:] for line in lines if line.split()[-1] in COLUMNS["F1"]]
    assert numbers == [["1", "0.100"], ["22", "0.200"], ["333", "1.000"]]
    whole = "".join("".join(line[:-15].split()) if line.split()[-1] in COLUMNS["F1"]
                    else "".join(line.split()) for line in lines[1:])  # fmt: skip
    assert whole == "".join("".join(name.split()) for name in NAMES)


def test_a_table_without_a_width_has_one_line_per_row():
    lines = text_table(NAMES, COLUMNS, title="label").splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["label", "positives", "F1"]
    assert lines[2].startswith(NAMES[1])
