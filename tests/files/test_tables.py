import os

import pandas as pd
import pytest

from hpastack.catalogue import read_targets
from hpastack.errors import InputError
from hpastack.files import check_ids, check_unique, read_id_table, read_text_table, take_rows

pytestmark = pytest.mark.core


def test_values_stay_as_they_are_written(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("image_id,fold\n007,NA\n1e3,\n")
    assert read_text_table(path).values.tolist() == [["007", "NA"], ["1e3", ""]]
    for text in ("", 'a,b\n"1,2\n'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"table\.csv: not a CSV table"):
            read_text_table(path)


@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_what_parts_the_columns_is_what_the_first_line_says(tmp_path, mark):
    path = tmp_path / "table.csv"
    path.write_text(f'\ufeffId{mark}"a, b;c"{mark}d\nx{mark}"1{mark}2"{mark}""\n', encoding="utf-8")
    table = read_text_table(path)
    assert list(table.columns) == ["Id", "a, b;c", "d"]
    assert table.values.tolist() == [["x", f"1{mark}2", ""]]


def test_cells_may_hold_the_other_marks(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("Id\tTarget\na\tNucleoli;Cytosol, maybe\n")
    assert read_text_table(path).values.tolist() == [["a", "Nucleoli;Cytosol, maybe"]]
    path.write_text("Id,Target\na,Nucleoli;Cytosol\n")
    assert read_text_table(path).values.tolist() == [["a", "Nucleoli;Cytosol"]]


def test_rows_are_taken_by_id():
    column = pd.Series([1, 2, 3], index=list("abc"))
    assert take_rows(column, pd.Index(["c", "a"]), "the columns").tolist() == [3, 1]
    with pytest.raises(InputError, match="the columns lack 1 field: d"):
        take_rows(column, pd.Index(["a", "d"]), "the columns")
    with pytest.raises(InputError, match="the columns: duplicate ids: a"):
        take_rows(pd.Series([1, 2], index=["a", "a"]), pd.Index(["a"]), "the columns")


def test_a_table_comes_through_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b"\xef\xbb\xbfId;Target\r\na;1,2\r\n")
    os.close(writing)
    assert read_text_table(f"/dev/fd/{reading}").values.tolist() == [["a", "1,2"]]
    os.close(reading)


def test_text_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("Id\na\nK\xf6rper\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"table\.csv: not UTF-8 text; .* save it"):
        read_text_table(path)


def test_a_table_read_in_blocks_is_the_table(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text('Id,x\na,1\n\nb,"2\n3"\nc,\nd,4\ne,5\n')
    whole = read_text_table(path)
    monkeypatch.setattr("hpastack.files.tables._CELLS", 4)
    pd.testing.assert_frame_equal(read_text_table(path), whole)
    path.write_text("Id,x\na,1\nb,2\n\nc\n")
    with pytest.raises(InputError, match="line 5 has 1 cell, but the first line has 2"):
        read_text_table(path)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nId;x\na;1\nb;2\n",
        '"sep=\t"\nId\tx\na\t1\nb\t2\n',
        "\n\n# made today, by me\n  # and you\nId,x\na,1\nb,2\n",
        "#Id,x\na,1\nb,2\n",
        "# image_id\tx\na\t1\nb\t2\n",
    ],
)
def test_lines_before_the_names_of_columns(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    table = read_id_table(path)
    assert table.to_dict() == {"x": {"a": "1", "b": "2"}}
    path.write_text(f"{text}c\n")
    line = text.count("\n") + 1
    with pytest.raises(InputError, match=f"line {line} has 1 cell, but the first line has 2$"):
        read_id_table(path)
    path.write_text("Plate 7\nId,x\na,1\n")
    with pytest.raises(InputError, match="line 2 has 2 cells.*remove lines before the"):
        read_id_table(path)


def test_a_long_table_of_labels_is_told_how_to_go_on(tmp_path):
    (tmp_path / "t.csv").write_text("Id,Target\na,0\na,5\nb,1\n")
    with pytest.raises(InputError, match="duplicate ids: a; .* one row per field .*groupby"):
        read_targets(tmp_path / "t.csv")


@pytest.mark.parametrize("image_id", ["", " ", "a ", "\ta", "a\nb", "a\0b", "\u200b"])
def test_what_is_not_an_id_is_named_with_its_row(image_id):
    with pytest.raises(InputError, match=r"ids\.txt: .* in row 2 is not an image id"):
        check_ids(["a", image_id, "a"], "ids.txt")


def test_duplicate_ids_are_named_once():
    for check in (check_ids, check_unique):
        check(["a", "b"], "ids.txt")
        check([], "ids.txt")
        with pytest.raises(InputError, match=r"^ids\.txt: duplicate ids: b, a$"):
            check(["a", "b", "b", "c", "a", "b"], "ids.txt")


def test_a_missing_row_may_have_a_remedy():
    table = pd.Series([1, 2], index=["a", "b"])
    assert take_rows(table, pd.Index(["b"]), "the rows", "make them").tolist() == [2]
    with pytest.raises(InputError, match="^the rows lack 1 field: c; make them$"):
        take_rows(table, pd.Index(["a", "c"]), "the rows", "make them")
    with pytest.raises(InputError, match="^the rows lack 1 field: c$"):
        take_rows(table, pd.Index(["a", "c"]), "the rows")
