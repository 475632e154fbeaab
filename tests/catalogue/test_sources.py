"""Fields as the competition and HPA hand them out: folders, archives, names, location tables."""

import itertools

import pandas as pd
import pytest

from hpastack.catalogue import collect_fields, fill_groups, join_groups, list_fields, read_targets
from hpastack.catalogue.hpa import is_composite, match_ids
from hpastack.errors import InputError
from hpastack.fields import STAINS

UUID = "00070df0-bbc3-11e8-b2bc-ac1f6b6435d0"


def touch(folder, image_id, suffix=".jpg", stains=STAINS):
    folder.mkdir(parents=True, exist_ok=True)
    for stain in stains:
        (folder / f"{image_id}_{stain}{suffix}").touch()


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def dropped(collection):
    return [change.image_id for change in collection.changes if change.change == "dropped"]


# ---- the competition


@pytest.fixture
def unpacked(tmp_path):
    """All four archives of the competition in one folder."""
    for name, suffix in (("", ".png"), ("_full_size", ".tif")):
        touch(tmp_path / f"train{name}", "a", suffix)
        touch(tmp_path / f"test{name}", "x", suffix)
    write(tmp_path / "train.csv", "Id,Target\na,1\n")
    write(tmp_path / "sample_submission.csv", "Id,Predicted\nx,0\n")
    return tmp_path


def test_small_and_full_size_in_one_folder_names_the_remedy(unpacked):
    with pytest.raises(InputError) as caught:
        collect_fields(unpacked)
    assert "are both the blue stain of x; keep one, or pass only the folder" in str(caught.value)
    assert str(unpacked / "test") in str(caught.value)


@pytest.mark.parametrize(("name", "suffix"), [("", ".png"), ("_full_size", ".tif")])
def test_folders_named_alone_find_their_tables_beside_them(unpacked, name, suffix):
    folders = [unpacked / f"train{name}", unpacked / f"test{name}"]
    fields, changes, _ = collect_fields(folders)
    assert list(fields["split"]) == ["train", "test"]
    assert fields.loc["a", "target"] == "1"
    assert fields.loc["x", "red"] == str(folders[1] / f"x_red{suffix}")
    assert changes == []
    # Each looks only for what its name says.
    assert list(collect_fields(folders[0]).fields.index) == ["a"]
    assert list(collect_fields(folders[1]).fields["split"]) == ["test"]


def test_other_folders_look_for_no_tables_beside_them(unpacked):
    touch(unpacked / "plates", "p")
    fields = collect_fields(unpacked / "plates").fields
    assert list(fields["split"]) == ["test"]


def test_a_missing_field_is_expected_in_the_folder_of_its_split(unpacked):
    write(unpacked / "train.csv", "Id,Target\na,1\nb,2\n")
    write(unpacked / "sample_submission.csv", "Id\nx\ny\n")
    fields = collect_fields([unpacked / "train_full_size", unpacked / "test_full_size"]).fields
    assert fields.loc["b", "red"] == str(unpacked / "train_full_size" / "b_red.png")
    assert fields.loc["y", "red"] == str(unpacked / "test_full_size" / "y_red.png")


def test_two_stages(tmp_path):
    touch(tmp_path / "stage1_train", "a", ".png")
    touch(tmp_path / "stage1_test", "x", ".png")
    touch(tmp_path / "stage2_test", "y", ".png")
    write(tmp_path / "stage1_train.csv", "Id,Target\na,1\n")
    first = write(tmp_path / "stage1_sample_submission.csv", "Id,Predicted\nx,0\n")
    assert dropped(collect_fields(tmp_path)) == ["y"]
    second = write(tmp_path / "stage2_sample_submission.csv", "Id,Predicted\ny,0\nx,0\n")
    with pytest.raises(InputError, match="stage1_sample_submission.csv and .*pass it as test"):
        collect_fields(tmp_path)
    assert list(collect_fields(tmp_path, None, [first, second]).fields.index) == ["a", "x", "y"]
    assert list(collect_fields(tmp_path, None, second).fields.index) == ["a", "y", "x"]


def test_training_folders_of_any_name_give_no_test_fields(tmp_path):
    for name in ("train", "train_full_size", "stage1_train"):
        touch(tmp_path / name, name, ".png")
    touch(tmp_path / "training_day", "t", ".png")
    write(tmp_path / "train.csv", "Id,Target\ntrain,1\n")
    fields = collect_fields(tmp_path).fields
    assert list(fields.index) == ["train", "t"]


# ---- downloads of the Human Protein Atlas


def test_a_folder_for_each_antibody(tmp_path):
    touch(tmp_path / "10580", "1610_C1_1")
    touch(tmp_path / "10580", "1610_C1_2", stains=STAINS[1:])
    touch(tmp_path / "HPA000992", "si10_A1_1_cr580610dc203b9")
    touch(tmp_path / "57", "57_F11_1")  # a folder for each plate
    touch(tmp_path / "2018", UUID)  # no name of HPA's form: the folder says nothing
    (tmp_path / "10580" / "1610_C1_1_blue_red_green.jpg").touch()
    (tmp_path / "10580" / "1610_C1_1_red_green_blue_yellow.jpg").touch()
    fields = fill_groups(collect_fields(tmp_path).fields)
    assert fields[["plate", "well", "antibody"]].to_dict("index") == {
        UUID: {"plate": "", "well": "", "antibody": ""},
        "57_F11_1": {"plate": "57", "well": "57_F11", "antibody": ""},
        "10580_1610_C1_1": {"plate": "1610", "well": "1610_C1", "antibody": "10580"},
        "10580_1610_C1_2": {"plate": "1610", "well": "1610_C1", "antibody": "10580"},
        "HPA000992_si10_A1_1_cr580610dc203b9": {
            "plate": "si10", "well": "si10_A1", "antibody": "HPA000992"
        },
    }  # fmt: skip
    # A missing stain is expected under the name of the file, not of the id.
    assert fields.loc["10580_1610_C1_2", "red"] == str(tmp_path / "10580" / "1610_C1_2_red.jpg")


def test_flat_names_with_and_without_the_antibody(tmp_path):
    touch(tmp_path, "57_F11_1")
    touch(tmp_path, "10580_1610_C1_1")
    fields = fill_groups(collect_fields(tmp_path).fields)
    assert list(fields.index) == ["10580_1610_C1_1", "57_F11_1"]
    assert list(fields["antibody"]) == ["10580", ""]
    assert list(fields["well"]) == ["1610_C1", "57_F11"]


def test_one_well_of_two_antibodies_is_two_fields(tmp_path):
    touch(tmp_path / "1", "57_F11_1")
    touch(tmp_path / "2", "57_F11_1")
    assert list(collect_fields(tmp_path).fields.index) == ["1_57_F11_1", "2_57_F11_1"]


def test_ids_of_other_forms_have_no_groups():
    ids = [UUID, "57_F11", "57_F11_1_2_3", "57_f11_1", "a57_F11_1", "57_Z1_1", "57_F111_1", "1"]
    fields = pd.DataFrame({"target": ""}, index=ids)
    assert list(fill_groups(fields).columns) == ["target"]


def test_a_value_of_a_table_goes_before_one_of_the_name(tmp_path):
    fields = pd.DataFrame({"target": ""}, index=["57_F11_1", "57_F12_1", "x"])
    table = write(tmp_path / "g.csv", ",Id,Well,Cell line\n0,57_F11_1,mine,HeLa\n1,x,A1,\n")
    joined, names = join_groups(fields, table)
    assert names == ["well", "cell_line"]
    assert list(fill_groups(joined)["well"]) == ["mine", "57_F12", "A1"]
    more = write(tmp_path / "h.csv", "Id;CellLine\nx;U-2 OS\n57_F11_1;HeLa\n")
    assert list(join_groups(joined, more)[0]["cell_line"]) == ["HeLa", "", "U-2 OS"]
    write(more, "Id,cell_line\n57_F11_1,A-431\n")
    with pytest.raises(InputError, match=r"h\.csv: field 57_F11_1 has cell_line 'A-431', but 'HeL"):
        join_groups(joined, more)
    write(more, "Id,CellLine,cell line\nx,1,2\n")
    with pytest.raises(InputError, match="columns CellLine and cell line mean the same"):
        join_groups(fields, more)


def test_composites():
    names = ["_".join(order) for n in (1, 2, 3) for order in itertools.permutations(STAINS, n)]
    assert all(is_composite(f"57_F11_1_{name}") for name in names)
    assert not any(is_composite(f"x_{name}") for name in names)
    assert not is_composite("57_F11_1")


def test_a_table_may_name_the_antibody_where_the_files_do_not(tmp_path):
    touch(tmp_path, "57_F11_1")
    touch(tmp_path / "2018", "58_A1_1")
    write(tmp_path / "labels.csv", "Id,Target\n992_57_F11_1,1\n58_A1_1,2\n")
    fields, changes, _ = collect_fields(tmp_path)
    assert list(fields.index) == ["992_57_F11_1", "58_A1_1"]
    assert fields.loc["992_57_F11_1", "red"] == str(tmp_path / "57_F11_1_red.jpg")
    assert changes == []


@pytest.mark.parametrize(
    ("files", "wanted", "result"),
    [
        (["57_F11_1"], ["9_57_F11_1"], ["9_57_F11_1"]),
        (["9_57_F11_1"], ["57_F11_1"], ["57_F11_1"]),
        (["8_57_F11_1"], ["9_57_F11_1"], ["8_57_F11_1"]),  # another antibody
        (["57_F11_1"], ["8_57_F11_1", "9_57_F11_1"], ["57_F11_1"]),  # either could be meant
        (["8_57_F11_1", "9_57_F11_1"], ["57_F11_1"], ["8_57_F11_1", "9_57_F11_1"]),
        (["57_F11_1"], ["57_F11_1", "9_57_F11_1"], ["57_F11_1"]),  # taken
        ([UUID], ["x"], [UUID]),
    ],
)
def test_matching_ids(files, wanted, result):
    assert list(match_ids(dict.fromkeys(files, 1), wanted)) == result


# ---- tables of labels


def test_a_table_of_labels_in_the_folder_of_its_images(tmp_path):
    touch(tmp_path / "10580", "1610_C1_1")
    touch(tmp_path / "10580", "1610_C1_2")
    table = write(tmp_path / "v18.csv", "Id,Target,CellLine\n10580_1610_C1_1,0 2,RH-30\n")
    found = collect_fields(table, training_only=True, source="v18")
    assert found.fields.loc["10580_1610_C1_1", "cell_line"] == "RH-30"
    assert dropped(found) == ["10580_1610_C1_2"]
    assert {change.reason for change in found.changes} == {"no table names it"}


@pytest.fixture
def names(tmp_path):
    rows = ["a;Nucleoplasm", 'b;"Cytosol;Vesicles"', "c;Vesicles", "d;Nucleus|Vesicles", "e;16 0"]
    return write(tmp_path / "names.csv", "\n".join(["Id;Target", *rows]) + "\n")


def test_names_that_are_no_label_are_counted_and_fields_without_any_dropped(names):
    fields, changes, unmapped = list_fields(names)
    assert fields["target"].to_dict() == {"a": "0", "b": "25", "e": "16 0"}
    assert dict(unmapped) == {"Vesicles": 3, "Nucleus": 1}
    assert [tuple(change) for change in changes] == [
        ("b", "labels", "no label of the vocabulary: Vesicles", "", "Cytosol;Vesicles", "25"),
        ("c", "dropped", "no label of the vocabulary: Vesicles", "", "Vesicles", ""),
        (
            "d", "dropped", "no label of the vocabulary: Nucleus; Vesicles", "",
            "Nucleus|Vesicles", "",
        ),
    ]  # fmt: skip


def test_a_dropped_training_field_does_not_become_a_test_field(names, tmp_path):
    for image_id in "abcdef":
        touch(tmp_path / "images", image_id)
    found = collect_fields(tmp_path / "images", names)
    assert found.fields["split"].to_dict() == {
        "a": "train", "b": "train", "e": "train", "f": "test"
    }  # fmt: skip
    assert dropped(found) == ["c", "d"]
    test = write(tmp_path / "t.csv", "Id\nc\n")
    with pytest.raises(InputError, match=r"t\.csv: ids of training fields among .*: c"):
        collect_fields(tmp_path / "images", names, test)


def test_names_in_a_table_with_paths(tmp_path):
    rows = "".join(
        f"{name},{name}r,{name}g,{name}b,{name}y,{target}\n"
        for name, target in (("a", "Vesicles"), ("b", "Nucleoli"), ("c", ""))
    )
    table = write(tmp_path / "t.csv", f"Id,red,green,blue,yellow,target\n{rows}")
    found = collect_fields(table)
    assert found.fields[["split", "target"]].to_numpy().tolist() == [["train", "2"], ["test", ""]]
    assert dropped(found) == ["a"]


def test_a_table_is_alone(tmp_path):
    touch(tmp_path / "f", "a")
    table = write(tmp_path / "t.csv", "Id,red,green,blue,yellow\na,1,2,3,4\n")
    with pytest.raises(InputError, match=r"t\.csv: is a table; images must be folders"):
        collect_fields([tmp_path / "f", table])


def test_labels_of_a_table_without_paths_are_an_error(tmp_path):
    table = write(tmp_path / "t.csv", "Id,Target\na,0\n")
    with pytest.raises(InputError, match=r"t\.csv: no columns red, green, blue, yellow with paths"):
        collect_fields(table, write(tmp_path / "labels.csv", "Id,Target\na,1\n"))


def test_a_table_of_which_every_label_is_needed(names):
    with pytest.raises(InputError, match=r"names\.csv: field b: no label .* vocabulary: Vesicles"):
        read_targets(names)


def test_the_list_of_hpa_v18(real_data):
    found = list_fields(real_data / "labels" / "hpav18.csv", source="v18")
    fields = fill_groups(found.fields)
    assert len(fields) == 74606
    assert found.changes == []
    assert (fields[["plate", "well", "antibody", "cell_line"]] != "").all(axis=None)
    assert fields["antibody"].nunique() == 12815
    # Labels are constant within an antibody, so that the groups are read rightly.
    labels = fields["target"].map(lambda target: frozenset(target.split()))
    assert (labels.groupby(fields["antibody"]).nunique() == 1).all()
    assert (fields["antibody"].groupby(fields["well"]).nunique() == 1).all()
