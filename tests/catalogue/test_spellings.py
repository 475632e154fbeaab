"""Groups that are one and look like several."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import fill_groups, join_groups, join_spellings, read_catalogue
from hpastack.errors import InputError
from pipelines import cluster, prepare

pytestmark = pytest.mark.core

NAMES = [f"HPA{number:03d}" for number in range(10)]
PLACES = [f"M\u00fcnchen{number}" for number in range(10)]


def fields(values, column="antibody"):
    ids = pd.Index([f"f{number}" for number in range(len(values))], name="image_id")
    return pd.DataFrame({column: values}, ids, dtype=object)


@pytest.mark.parametrize("change", ["{} ", "\u00a0{}", "{}\u200b", "\ufeff{}", "\t{}  "], ids=ascii)
def test_blanks_and_invisible_characters_make_no_difference(change):
    for visible in (True, False):
        values = [change.format(name) for name in NAMES] + NAMES
        joined, (note,) = join_spellings(fields(values), visible=visible)
        assert joined["antibody"].tolist() == NAMES + NAMES
        assert "group antibody: 10 values differ only in whitespace" in note
        assert ascii(values[0]) in note and "'HPA000'" in note


def test_unicode_forms_make_no_difference_and_can_be_told_apart_in_the_message():
    decomposed = [unicodedata.normalize("NFD", name) for name in PLACES]
    joined, (note,) = join_spellings(fields(decomposed + PLACES, "site"), visible=False)
    assert joined["site"].tolist() == PLACES + PLACES
    assert r"'Mu\u0308nchen0' = 'M\xfcnchen0'" in note


@pytest.mark.parametrize(
    "column, rare, often",
    [
        ("antibody", "hpa001", "HPA001"),
        ("antibody", "10000", "HPA010000"),
        ("cell_line", "u-2 os", "U-2  OS"),
        ("plate", "3.0", "3"),
        ("plate", "007", "7"),
        ("well", "57_F01", "57_F1"),
        ("antibody", "HPA-000123", "HPA000123"),
        ("antibody", "hpa 000123", "HPA000123"),
        ("cell_line", "\uff28\uff45\uff2c\uff41", "HeLa"),
        ("cell_line", "U\u20112 OS", "U-2 OS"),
        ("cell_line", "U2OS", "U-2 OS"),
        ("cell_line", "MCF\u22127", "mcf7"),
        ("plate", "HeLa_Kyoto", "HeLa Kyoto"),
        ("well", "A 1", "A1"),
        ("well", "A-01", "A1"),
        ("day", "04.03.2021", "2021-03-04"),
        ("day", "4 March 2021", "2021/3/4"),
        ("day", "2021-03-04 00:00:00", "20210304"),
        ("day", "13/3/2021", "3/13/2021"),
        ("day", "4-Mar-21", "2021-03-04"),
        ("day", "04-MAR-2021", "4 March, 2021"),
        ("day", "30 Dec 99", "1999-12-30"),
        ("day", "04/03/2021", "4-3-2021"),
    ],
)
def test_visible_differences_are_joined_and_named_or_kept(column, rare, often):
    table = fields([rare, often, often, "other", ""], column)
    joined, (note,) = join_spellings(table)
    kept = " ".join(often.split())
    assert joined[column].tolist() == [kept, kept, kept, "other", ""]
    assert "; joined: " in note and repr(rare) in note and repr(kept) in note
    joined, (note,) = join_spellings(table, visible=False)
    assert joined[column].tolist() == [rare, kept, kept, "other", ""]
    assert "; kept separate: " in note


def test_what_differs_stays_apart_without_a_word():
    values = ["HPA1", "HPA10", "CAB1", "1.5", "15", "1-1", "11", "1e-5", "1e5", "-1", "1", "10",
              "A1_1", "A11", "NA", "None", "1-2-21", "2-1-21", "4.3.21", "3.4.21", "010304",
              "040301", ""]  # fmt: skip
    joined, notes = join_spellings(fields(values, "plate"))
    assert joined["plate"].tolist() == values and notes == []
    assert join_spellings(fields(["HPA010", "10"], "plate"))[1] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HeLa Kyoto", "HeLaKyoto"), ("1-1", "1_1"), ("A-B", "AB"), ("04/03/2021", "2021-04-03"),
        ("1 - 2", "1-2"), ("04/03/21", "2021-03-04"), ("04/03/21", "2021-04-03"),
        ("21-03-04", "2021-03-04"), ("4.3.21", "2021-03-04"), ("21.03.04", "4 March 2021"),
        ("210304", "20210304"), ("04.03.21", "04/03/21"), ("25/12/99", "1999-12-25"),
    ],
)  # fmt: skip
def test_what_may_be_one_is_named_and_stays_apart(one, other):
    joined, (note,) = join_spellings(fields([one, other, other, "x"], "plate"))
    assert joined["plate"].tolist() == [one, other, other, "x"]
    assert f"{one!r} ? {other!r}" in note or f"{other!r} ? {one!r}" in note
    assert "1 value differs only slightly; kept separate" in note
    assert join_spellings(fields([one, other], "plate"), visible=False)[1] == []


def test_cells_that_say_unknown_are_no_group(tmp_path):
    values = ["nan", "NaN", "N/A", "<NA>", "null", " ", "NA", "None", "HPA1", "HPA1"] * 4
    assert clusters(tmp_path, fields(values)).nunique() == 6 * 4 + 3
    known = fields(["HPA010", ""]).assign(split="train", target="0")
    (tmp_path / "g.csv").write_text("Id,antibody\nf0,nan\nf1,NaN\n")
    assert join_groups(known, tmp_path / "g.csv")[0]["antibody"].tolist() == ["HPA010", ""]


def test_two_tables_may_spell_a_value_differently(tmp_path):
    known = fields(["HPA010", "HPA011", ""]).assign(split="train", target="0")
    (tmp_path / "g.csv").write_text("Id,antibody\nf0,10\nf1,hpa011\nf2, \n")
    assert join_groups(known, tmp_path / "g.csv")[0]["antibody"].tolist() == [
        "HPA010",
        "HPA011",
        "",
    ]
    (tmp_path / "g.csv").write_text("Id,antibody\nf0,12\n")
    with pytest.raises(InputError, match="field f0 has antibody '12', but 'HPA010'"):
        join_groups(known, tmp_path / "g.csv")


def clusters(root, groups, *options):
    """Return the clusters of a workspace of 40 training fields and these groups."""
    ids = list(groups.index)
    pd.DataFrame({"Id": ids, "Target": np.arange(len(ids)) % 4}).to_csv(
        root / "train.csv", index=False
    )
    groups.rename_axis("Id").to_csv(root / "groups.csv")
    shared = ["--workspace", str(root), "--overwrite"]
    assert prepare.main(["--labels", str(root / "train.csv"), "--groups", str(root / "groups.csv"),
                         *options, *shared]) == 0  # fmt: skip
    assert cluster.main(["--no-images", *shared]) == 0
    return pd.read_csv(root / "data" / "clusters.csv")["cluster"]


@pytest.mark.parametrize(
    "change",
    [
        lambda number: f"HPA{number:03d} ",
        lambda number: f"HPA{number:03d}\u00a0",
        lambda number: f"hpa{number:03d}",
    ],
)
def test_one_antibody_is_one_cluster(tmp_path, capsys, change):
    values = [change(number) for number in range(10)] + NAMES * 3
    assert clusters(tmp_path, fields(values)).nunique() == 10
    assert "group antibody: 10 values differ" in capsys.readouterr().out
    n_apart = clusters(tmp_path, fields(values), "--keep-spellings").nunique()
    assert n_apart == (20 if change(0).islower() else 10)


def test_a_blank_cell_is_an_unknown_group(tmp_path):
    values = [" " if number % 2 else NAMES[number % 10] for number in range(40)]
    assert clusters(tmp_path, fields(values)).nunique() == 5 + 20


def test_antibodies_of_ids_and_of_tables_are_one(tmp_path):
    ids = [f"{10000 + n // 4}_{900 + n // 4}_{'ABCD'[n % 4]}1_{n % 2 + 1}" for n in range(40)]
    table = pd.DataFrame({"antibody": [f"HPA0{i[:5]}" for i in ids]}, ids).iloc[::2]
    table = table.reindex(ids, fill_value="")
    assert clusters(tmp_path, table).nunique() == 10
    catalogue = read_catalogue(tmp_path / "data" / "catalogue.csv")
    assert fill_groups(catalogue)["antibody"].nunique() == 10
