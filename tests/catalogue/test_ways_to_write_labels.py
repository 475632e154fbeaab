"""Labels as people write them: read where there is one meaning, else named."""

import pandas as pd
import pytest

from hpastack.catalogue import collect_fields, correct_targets, list_fields, read_targets
from hpastack.catalogue.targets import read_label_table
from hpastack.errors import InputError
from hpastack.labels import Locations, Vocabulary, label_ids
from hpastack.store import prediction_matrix, read_table
from pipelines import prepare

pytestmark = pytest.mark.core

PLACES = Vocabulary(["Nucleus", "Cytosol", "Golgi", "Mitochondria"])

WAYS = [
    "2 0",
    "2|0",
    "2;0",
    "2,0",
    "[2, 0]",
    "(2,0)",
    "['2', '0']",
    "2.0 0.0",
    " [ 2 0 ] ",
    '"2"|"0"',
    "02 00",
    "002,0",
]


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("way", WAYS)
def test_ids_are_read_in_all_ways_by_all_commands(tmp_path, way):
    assert label_ids(way) == "2 0"
    frame = pd.DataFrame({"Id": ["a"], "Target": [way]})
    for name in ("Target", "Label", "labels"):
        frame.set_axis(["Id", name], axis=1).to_csv(tmp_path / "t.csv", index=False)
        assert read_targets(tmp_path / "t.csv", PLACES).tolist() == ["2 0"]
        values, are_sets = prediction_matrix(read_table(tmp_path / "t.csv"), PLACES, "t.csv")
        assert are_sets and values.tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize("way", ["Golgi;Nucleus", "golgi|Nucleus", "['Golgi', 'Nucleus']"])
def test_names_are_read_in_lists_too(way):
    assert Locations(PLACES).read_target(way) == ("2 0", [])


@pytest.mark.parametrize("text", ["1.5", "-1", "1 x", "[1", "1/2"])
def test_what_are_no_ids_is_not_read_as_such(text):
    assert label_ids(text) is None


@pytest.mark.parametrize(
    "cells",
    [
        ("0", "1"), ("0.0", "1.0"), ("False", "True"), ("", "1"), ("no", "Yes"), ("", "x"),
        ("f", "t"),
    ],
)  # fmt: skip
def test_a_column_for_each_label(tmp_path, cells):
    no, yes = cells
    text = f"Id,Golgi,nucleus,well\na,{yes},{yes},A1\nb,{no},{yes},A2\n"
    path = write(tmp_path / "t.csv", text)
    assert read_targets(path, PLACES).tolist() == ["2 0", "0"]
    fields = list_fields(path, vocabulary=PLACES).fields
    assert fields["well"].tolist() == ["A1", "A2"] and "Golgi" not in fields
    by_id = write(tmp_path / "t.csv", f"Id,2,0\na,{yes},{yes}\nb,{no},{yes}\n")
    assert read_targets(by_id, PLACES).tolist() == ["2 0", "0"]


def test_columns_of_0_and_1_that_are_no_labels_are_named(tmp_path):
    path = write(tmp_path / "t.csv", "Id,Golgi,Nucleus,Membrane\na,1,1,0\n")
    with pytest.raises(InputError, match="columns Membrane contain 0 and 1 .* with locations"):
        read_targets(path, PLACES)
    none = Locations(PLACES, {"Membrane": ""})
    assert read_targets(path, locations=none).tolist() == ["2 0"]


@pytest.mark.parametrize(
    "text", ["Id,Target\na,0\nb,\nc,\n", "Id,Golgi,Nucleus\na,0,1\nb,0,0\nc,,\n"]
)
def test_fields_without_a_label_are_an_error_or_left_out(tmp_path, text):
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(InputError, match=r"field b: no label;.* \(2 of 3 .*drop_unlabelled=True"):
        list_fields(path, vocabulary=PLACES)
    found = list_fields(path, vocabulary=PLACES, drop_unlabelled=True)
    assert list(found.fields.index) == ["a"]
    assert [(change.image_id, change.reason) for change in found.changes] == [
        ("b", "no label"), ("c", "no label")
    ]  # fmt: skip
    empty = write(tmp_path / "t.csv", "Id,Target\na,\n")
    with pytest.raises(InputError, match="no field has a label"):
        list_fields(empty, vocabulary=PLACES, drop_unlabelled=True)


def test_a_table_of_paths_may_have_a_column_for_each_label(tmp_path):
    paths = ",".join(f"{stain}.png" for stain in ("red", "green", "blue", "yellow"))
    text = f"Id,red,green,blue,yellow,Golgi,Nucleus\na,{paths},1,0\n"
    fields = collect_fields(write(tmp_path / "t.csv", text), vocabulary=PLACES).fields
    assert fields.loc["a", ["split", "target"]].tolist() == ["train", "2"]


def test_an_empty_table_of_labels_is_an_error(tmp_path, capsys):
    path = write(tmp_path / "train.csv", "Id,Target\n")
    assert prepare.main(["--labels", str(path), "--workspace", str(tmp_path)]) == 2
    assert "train.csv: the table has no rows" in capsys.readouterr().err


def test_labels_of_the_competition_of_2021(tmp_path):
    names = "\n".join(f"place {number}" for number in range(19))
    voc = write(tmp_path / "voc.txt", names + "\n")
    train = write(tmp_path / "train.csv", "ID,Label\n5c1a,8|5|0\n5c1b,14|0\n5c1c,18\n")
    test = write(
        tmp_path / "test.csv", "ID,ImageWidth,ImageHeight,PredictionString\nt1,9,9,0 1 eN=\n"
    )
    arguments = ["--labels", train, "--vocabulary", voc, "--test", test, "--workspace", tmp_path]
    assert prepare.main(list(map(str, arguments))) == 0
    table = pd.read_csv(tmp_path / "data" / "catalogue.csv", dtype=str, keep_default_na=False)
    assert table["target"].tolist() == ["8 5 0", "14 0", "18", ""]


@pytest.mark.parametrize("names", [("label_2", "label_0"), ("Label 02", "Label 00"), ("y2", "y0")])
def test_columns_called_after_the_numbers_of_labels(tmp_path, names):
    text = f"Id,{names[0]},{names[1]},treated\na,1,1,yes\nb,0,1,no\n"
    table = read_label_table(write(tmp_path / "t.csv", text), Locations(PLACES))
    assert table.targets.tolist() == ["2 0", "0"]
    assert table.groups["treated"].tolist() == ["yes", "no"]
    text = text.replace("treated", "2").replace("yes", "1").replace("no", "1")
    with pytest.raises(InputError, match="are the same label; keep one"):
        read_label_table(write(tmp_path / "t.csv", text), Locations(PLACES))


def test_ids_with_zeros_in_front_are_no_changes(tmp_path):
    fields = list_fields(write(tmp_path / "t.csv", "Id,Target\na,02 00\nb,1\n")).fields
    assert fields["target"].tolist() == ["2 0", "1"]
    corrections = write(tmp_path / "c.csv", "Id,Target\na,0 02\nb,01\n")
    for known in (fields, fields.assign(target=["02 00", "01"])):  # as older versions kept them
        corrected, changes = correct_targets(known, corrections)
        assert changes == [] and corrected["target"].tolist() == ["0 2", "1"]
