import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.tables import read_text_table, take_rows


def test_values_stay_as_they_are_written(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("image_id,fold\n007,NA\n1e3,\n")
    assert read_text_table(path).values.tolist() == [["007", "NA"], ["1e3", ""]]
    for text in ("", 'a,b\n"1,2\n'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"table\.csv: not a CSV table"):
            read_text_table(path)


def test_rows_are_taken_by_id():
    column = pd.Series([1, 2, 3], index=list("abc"))
    assert take_rows(column, pd.Index(["c", "a"]), "the columns").tolist() == [3, 1]
    with pytest.raises(InputError, match="the columns lack 1 fields: d"):
        take_rows(column, pd.Index(["a", "d"]), "the columns")
    with pytest.raises(InputError, match="the columns: ids stand twice: a"):
        take_rows(pd.Series([1, 2], index=["a", "a"]), pd.Index(["a"]), "the columns")
