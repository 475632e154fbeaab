"""Tables made elsewhere: every format, every refusal."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.labels import Vocabulary
from hpastack.store import (
    check_coverage,
    check_probabilities,
    numbers,
    prediction_matrix,
    read_table,
    stacked_members,
    table_digest,
)

pytestmark = pytest.mark.core

NAMES = Vocabulary(["nucleus", "cytosol"])
IDS = ["a", "b", "c"]
VALUES = np.array([[0.1, 0.9], [0.5, 0.5], [1.0, 0.0]])


def matrix(path, **options):
    return prediction_matrix(read_table(path, **options), NAMES, path)


def test_every_format_gives_the_same_values(tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("a\nb\nc\n")
    frame = pd.DataFrame(VALUES, IDS, ["0", "1"]).rename_axis("Id")
    frame.to_csv(tmp_path / "by_id.csv")
    frame.set_axis(["nucleus", "cytosol"], axis=1).to_csv(tmp_path / "by_name.csv")
    frame[["1", "0"]].to_csv(tmp_path / "turned.csv")
    frame.set_axis(["net__0", "net__1"], axis=1).reset_index().to_parquet(tmp_path / "p.parquet")
    np.save(tmp_path / "m.npy", VALUES)
    np.savez(tmp_path / "m.npz", pred=VALUES, other=VALUES * 0)
    np.savez(tmp_path / "own.npz", pred=VALUES, ids=np.array(IDS))
    for name, options in [
        ("by_id.csv", {}),
        ("by_name.csv", {}),
        ("turned.csv", {}),
        ("p.parquet", {}),
        ("m.npy", {"ids": ids}),
        ("m.npy", {"ids": tmp_path / "by_id.csv"}),
        ("m.npz", {"ids": ids, "key": "pred"}),
        ("own.npz", {}),
    ]:
        table = read_table(tmp_path / name, **options)
        assert list(table.index) == IDS, name
        values, are_label_sets = prediction_matrix(table, NAMES, name)
        assert not are_label_sets
        np.testing.assert_allclose(values, VALUES, err_msg=name)


def test_label_sets(tmp_path):
    (tmp_path / "s.csv").write_text("Id,Predicted\na,0 1\nb,\nc,1\n")
    values, are_label_sets = matrix(tmp_path / "s.csv")
    assert are_label_sets and values.tolist() == [[1, 1], [0, 0], [0, 1]]
    (tmp_path / "s.csv").write_text("Id,Predicted\na,0 2\n")
    with pytest.raises(InputError, match="s.csv: field a: unknown label '2'"):
        matrix(tmp_path / "s.csv")


@pytest.mark.parametrize(
    "text, message",
    [
        ("Id,0,1\na,0.1,0.2\na,0.1,0.2\n", "duplicate ids: a"),
        ("Id,0,1\n,0.1,0.2\n", "'' in row 1 is not an image id"),
        ("Id,0,1\na,0.1,\n", "'' in column '1' of field a is not a finite number"),
        ("Id,0,1\na,0.1,nan\n", "'nan' in column '1' of field a"),
        ("Id;0;1\na;0,1;0.2\n", "'0,1' in column '0' .*; write decimal points instead of commas"),
        ("Id;0;1\na;1,234;2,345\n", "'1,234' in column '0' .* decimal points instead of commas"),
        (
            "Id;0;1\na;1.000,5;0.5\n",
            "'1.000,5' in column '0' of field a .* thousands separators",
        ),
        ("Id;0;1\na;1000,5;1\nb;1.234;1\n", "'1000,5' in column '0' of field a"),
        ("Id;0;1\na;1.000,5;1\nb;0.5;1\n", "'1.000,5' in column '0' of field a"),
        ("Id;0;1\na;1.000,5;1\nb;10.00,5;1\n", "'1.000,5' in column '0' of field a"),
        ("Id;0;1\na;1.000,5;1\nb;1,000.5;1\n", "'1.000,5' in column '0' of field a"),
        ("Id;0;1\na;0.5;1,234\n", "'1,234' in column '1' of field a"),
        ("Id,0,1\na,0.1,inf\n", "'inf' in column '1' of field a"),
        ("Id,0\na,0.1\n", "no column for label 1"),
        ("Id,0,1,2\na,0.1,0.2,0.3\n", "columns 2 are not labels"),
        ("Id,0,1,nucleus\na,0.1,0.2,0.3\n", "several columns for the same label"),
        ("name,0,1\na,0.1,0.2\n", "no column id or image_id; it has name"),
        ("Id,0,1\n", "has no rows"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        matrix(tmp_path / "t.csv")
    assert "t.csv" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "Id;0;1\na;0,25;1\nb;1,5e-1;0,125\n",
        'Id,0,1\na,"0,25",1\nb,"0,15","0,125"\n',
        "Id\t0\t1\na\t0,250\t1,000\nb\t0,150\t0,125\n",
        "sep=;\nId;0;1\na;0,25;1\nb;0,15;0,125\n",
        "# from a plate reader\n\n#\nId,label_0,label_1\na,0.25,1\nb,0.15,0.125\n",
        "#Id,prob_00,prob_01\na,0.25,1\nb,0.15,0.125\n",
    ],
)
def test_decimal_commas_and_lines_before_the_names(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert matrix(tmp_path / "t.csv")[0].tolist() == [[0.25, 1], [0.15, 0.125]]


@pytest.mark.parametrize(
    "text",
    [
        "Id;0;1\na;1.000,5;1\nb;1.234;-12.345.678,25\n",
        "Id\t0\t1\na\t1,000.5\t1\nb\t1,234\t-12,345,678.25\n",
        "Id;0;1\na;1000.5;1\nb;1234;-12,345,678.25\n",
    ],
)
def test_thousands_separators(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert matrix(tmp_path / "t.csv")[0].tolist() == [[1000.5, 1], [1234, -12345678.25]]


@pytest.mark.parametrize(
    "header",
    ["rods & rings,ACTIN FILAMENTS", "Rods...Rings,Actin.filaments", "rods_rings,actin_filaments",
     "Rods &amp; rings,Actin\u00a0filaments"],
)  # fmt: skip
def test_names_of_labels_as_programs_change_them(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"Id,{header}\na,0.1,0.9\n", encoding="utf-8")
    table = read_table(tmp_path / "t.csv")
    names = Vocabulary(["Actin filaments", "Rods & rings"])
    assert prediction_matrix(table, names, "t.csv")[0].tolist() == [[0.9, 0.1]]
    doubtful = Vocabulary(["Actin filaments", "Rods & Rings", "Rods, rings"])
    with pytest.raises(InputError, match="columns .* are not labels"):
        prediction_matrix(table, doubtful, "t.csv")


@pytest.mark.parametrize("name, column", [("CD4+", "CD4-"), ("10", "1.0"), ("nucleus", "nuclei")])
def test_names_that_mean_another_label(name, column):
    with pytest.raises(InputError, match=f"columns {column} are not labels"):
        prediction_matrix(pd.DataFrame({column: ["1"]}, ["a"]), Vocabulary([name]), "t.csv")


def test_columns_of_yes_and_no(tmp_path):
    (tmp_path / "t.csv").write_text("Id,class 0,class 1\na,True,no\nb,False,Yes\n")
    assert matrix(tmp_path / "t.csv")[0].tolist() == [[1, 0], [0, 1]]


def test_bad_matrices(tmp_path):
    np.save(tmp_path / "m.npy", VALUES)
    with pytest.raises(InputError, match="has no ids; pass the file"):
        read_table(tmp_path / "m.npy")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match="3 rows, but there are 2 ids"):
        read_table(tmp_path / "m.npy", ids=tmp_path / "ids.txt")
    np.save(tmp_path / "o.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="not a plain array"):
        read_table(tmp_path / "o.npy", ids=tmp_path / "ids.txt")
    np.savez(tmp_path / "two.npz", x=VALUES, y=VALUES)
    with pytest.raises(InputError, match="choose one as key"):
        read_table(tmp_path / "two.npz", ids=tmp_path / "ids.txt")
    with pytest.raises(InputError, match="has no array 'z'; it contains x, y"):
        read_table(tmp_path / "two.npz", ids=tmp_path / "ids.txt", key="z")
    np.save(tmp_path / "row.npy", VALUES[0])
    with pytest.raises(InputError, match=r"an array of shape \(2,\) .* is not a numeric matrix"):
        read_table(tmp_path / "row.npy", ids=tmp_path / "ids.txt")
    (tmp_path / "m.columns.txt").write_text("x\ny\nz\n")
    (tmp_path / "ids.txt").write_text("a\nb\nc\n")
    with pytest.raises(InputError, match=r"has 2 columns, but .*m\.columns\.txt names 3"):
        read_table(tmp_path / "m.npy", ids=tmp_path / "ids.txt")
    with pytest.raises(InputError, match=r"absent\.txt: no such file"):
        read_table(tmp_path / "m.npy", ids=tmp_path / "absent.txt")
    with pytest.raises(InputError, match=r"t\.h5: an HDF5 file; a table is needed"):
        (tmp_path / "t.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
        read_table(tmp_path / "t.h5")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_probabilities_and_features():
    with pytest.raises(InputError, match=r"1.2 for label 1 of field b is not a probability"):
        check_probabilities(np.array([[0, 1], [0, 1.2]]), ["a", "b"], "t.csv")
    frame = pd.DataFrame({"x": ["1", "2"]}, index=["a", "b"])
    assert numbers(frame, "t.csv").tolist() == [[1], [2]]


def test_a_split_is_covered_whole_or_not_at_all():
    catalogue = pd.DataFrame({"split": ["train", "train", "test"]}, index=IDS)
    check_coverage(["a", "b"], catalogue, "t.csv")
    check_coverage(["c"], catalogue, "t.csv")
    with pytest.raises(InputError, match="lacks 1 of 2 train fields.*: b"):
        check_coverage(["a", "c"], catalogue, "t.csv")
    with pytest.raises(InputError, match="1 id is not in the catalogue: z"):
        check_coverage(["a", "b", "z"], catalogue, "t.csv")


def test_members_are_put_on_each_other_by_id():
    one = pd.DataFrame(VALUES, IDS)
    other = pd.DataFrame(VALUES + 1, IDS).loc[["c", "a", "b"]]
    members = stacked_members([one, other], ["m0.csv", "m1.csv"])
    assert members.dtype == np.float32
    np.testing.assert_allclose(members, [VALUES, VALUES + 1], rtol=1e-6)
    with pytest.raises(InputError, match="m1.csv lacks 1 field of m0.csv: b; all members"):
        stacked_members([one, other.drop("b")], ["m0.csv", "m1.csv"])
    with pytest.raises(InputError, match="m0.csv lacks 1 field of m1.csv: z"):
        stacked_members([one, pd.concat([other, other.rename({"a": "z"}).loc[["z"]]])],
                        ["m0.csv", "m1.csv"])  # fmt: skip


def test_members_enter_the_digest():
    plain = table_digest(IDS, VALUES)
    one, other = (table_digest(IDS, VALUES, VALUES[None] + shift) for shift in (0, 1))
    assert len({plain, one, other}) == 3


def test_scores_may_be_nan_but_not_text(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("Id,0,1\na,-3,\nb,nan,2\n")
    values, _ = matrix_of_scores(path)
    np.testing.assert_array_equal(values, [[-3, np.nan], [np.nan, 2]])
    for text in ("none", "inf"):
        path.write_text(f"Id,0,1\na,1,{text}\n")
        with pytest.raises(InputError, match=f"'{text}' in column '1' of field a"):
            matrix_of_scores(path)


def matrix_of_scores(path):
    return prediction_matrix(read_table(path), NAMES, path, allow_nan=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Id,f,g\na,1,2,9\nb,3,4,9\n", "line 2 has 4 cells, but the first line has 3"),
        ("Id,f,g\na,1,2\nb,3\n", "line 3 has 2 cells"),
        ("Id,f,f\na,1,2\n", "duplicate column f"),
        ("Id,f\na,1\nb,2,3\n", "line 3 has 3 cells"),
    ],
)
def test_rows_that_do_not_fit_the_first_line_are_refused(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"table\.csv: {message}"):
        read_table(path)


def test_a_table_of_a_spreadsheet(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("\ufeffId;0;1\r\na;0.25;1\r\n\r\nb;0.5;0\r\n".encode())
    assert matrix(path)[0].tolist() == [[0.25, 1], [0.5, 0]]


def test_a_missing_id_of_a_parquet_table_is_an_error(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "m.parquet"
    pd.DataFrame({"Id": ["a", None], "0": [0.1, 0.2]}).to_parquet(path)
    with pytest.raises(InputError, match="m.parquet: row 2 has no id"):
        read_table(path)
