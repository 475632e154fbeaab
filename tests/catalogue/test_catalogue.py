"""Catalogues from folders and tables: what becomes train and test, and what is refused."""

import os
import shutil
import stat

import pandas as pd
import pytest

from hpastack.catalogue import (
    COLUMNS,
    Change,
    catalogue_digest,
    collect_fields,
    combine_fields,
    correct_targets,
    join_groups,
    read_catalogue,
    read_targets,
    write_catalogue,
)
from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.labels import Vocabulary

pytestmark = pytest.mark.core


def touch_field(folder, image_id, suffix=".png"):
    # Collecting never opens an image file, so that any bytes will do.
    folder.mkdir(parents=True, exist_ok=True)
    for stain in STAINS:
        (folder / f"{image_id}_{stain}{suffix}").write_bytes(b"x")


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def collect(*args, **options):
    """Return the fields, and the ids of those that were left out."""
    fields, changes, _ = collect_fields(*args, **options)
    return fields, [change.image_id for change in changes if change.change == "dropped"]


@pytest.fixture
def competition(tmp_path):
    """The competition's layout: three training fields, two test fields."""
    folder = tmp_path / "hpa"
    for image_id in ("a", "b", "c"):
        touch_field(folder / "train", image_id)
    for image_id in ("x", "y"):
        touch_field(folder / "test", image_id)
    write(folder / "train.csv", "Id,Target\nc,16 0\na,1\nb,25\n")
    write(folder / "sample_submission.csv", "Id,Predicted\ny,0\nx,0\n")
    return folder


# ---- folders


def test_the_competition_layout(competition):
    fields, left_out = collect(competition)
    assert list(fields.index) == ["c", "a", "b", "y", "x"]
    assert list(fields["split"]) == ["train"] * 3 + ["test"] * 2
    assert list(fields["target"]) == ["16 0", "1", "25", "", ""]
    assert set(fields["source"]) == {"hpa2018"}
    assert fields.loc["a", "green"] == str(competition / "train" / "a_green.png")
    assert left_out == []


def test_the_same_files_flat_in_the_folder(competition):
    nested = collect_fields(competition).fields
    for name in ("train", "test"):
        for path in (competition / name).iterdir():
            shutil.move(path, competition)
    flat = collect_fields(competition).fields
    pd.testing.assert_frame_equal(nested.drop(columns=[*STAINS]), flat.drop(columns=[*STAINS]))
    assert flat.loc["x", "red"] == str(competition / "x_red.png")


def test_a_folder_alone_is_all_test(tmp_path):
    for image_id in ("57_F11_1", "10", "9"):
        touch_field(tmp_path, image_id, ".jpg")
    write(tmp_path / "57_F11_1_cellmask.png", "x")
    write(tmp_path / "notes.txt", "x")
    touch_field(tmp_path / ".thumbnails", "hidden")
    fields, left_out = collect(tmp_path)
    assert list(fields.index) == ["10", "57_F11_1", "9"]
    assert set(fields["split"]) == {"test"}
    assert set(fields["target"]) == {""}
    assert left_out == []


def test_with_labels_and_no_test_table_the_others_are_test(tmp_path):
    for image_id in "abc":
        touch_field(tmp_path / "deep" / "er", image_id)
    labels = write(tmp_path / "any.csv", "IMAGE_ID,cell line,TARGET\nb,U-2 OS,3\n")
    fields = collect_fields(tmp_path, labels).fields
    assert list(fields.index) == ["b", "a", "c"]
    assert list(fields["split"]) == ["train", "test", "test"]


def test_fields_in_train_without_label_never_become_test(competition):
    write(competition / "train.csv", "Id,Target\na,1\n")
    (competition / "sample_submission.csv").unlink()
    fields, left_out = collect(competition)
    assert list(fields.index) == ["a", "x", "y"]
    assert left_out == ["b", "c"]


def test_fields_that_no_table_names_are_left_out(competition):
    write(competition / "sample_submission.csv", "Id\ny\n")
    assert collect(competition)[1] == ["x"]


def test_tables_given_win_over_those_of_the_folder(competition, tmp_path):
    labels = write(tmp_path / "l.csv", "Id,Target\na,2\n")
    test = write(tmp_path / "t.csv", "Id\nx\n")
    fields = collect_fields(competition, labels, test, source="mine").fields
    assert list(fields["target"]) == ["2", ""]
    assert set(fields["source"]) == {"mine"}


def test_missing_files_stand_where_they_were_expected(competition):
    (competition / "train" / "a_blue.png").unlink()
    write(competition / "train.csv", "Id,Target\nc,16 0\na,1\nnone,25\n")
    fields = collect_fields(competition).fields
    assert fields.loc["a", "blue"] == str(competition / "train" / "a_blue.png")
    assert fields.loc["none", "red"] == str(competition / "train" / "none_red.png")


def test_links_are_followed_once(tmp_path):
    touch_field(tmp_path / "disk", "a")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "loop").symlink_to(folder)
    assert list(collect_fields(folder).fields.index) == ["a"]


def test_order_does_not_depend_on_the_disk(tmp_path):
    for image_id in ("b", "c", "a"):
        touch_field(tmp_path, image_id)
    assert list(collect_fields(tmp_path).fields.index) == ["a", "b", "c"]


def test_another_vocabulary(competition):
    two = Vocabulary(["inside", "outside"])
    with pytest.raises(InputError, match=r"train\.csv: field c: unknown label '16'.* 0 to 1"):
        collect_fields(competition, vocabulary=two)


BAD_TABLES = {
    "unknown label": ("Id,Target\na,28\n", "field a: unknown label '28'"),
    "ids with commas": ('Id,Target\na,"1,28"\n', "field a: unknown label '28'; labels are the"),
    "names of no label": (
        "Id,Target\na,Vesicles\n",
        "no field has a label of the vocabulary, only",
    ),
    "names of nothing": (
        "Id,Target\na,Nukleolus\nb,Cytosol;Krakatau\nc,Xanadu;Cytosol\n",
        "field a: 'Nukleolus' is neither a label nor an HPA location (is it 'Nucleoli'?); correct "
        "it, or map it to a label with locations (an empty label means none) (also unknown: "
        "'Krakatau', 'Xanadu')",
    ),
    "doubled label": ("Id,Target\na,1 1\n", "field a: duplicate label 1"),
    "no label": ("Id,Target\na,\n", "field a: no label; every"),
    "doubled id": ("Id,Target\na,1\nb,1\na,2\n", "duplicate ids: a"),
    "no id": ("Id,Target\n,1\n", "'' in row 1 is not an image id"),
    "id with a blank": ("Id,Target\na ,1\n", "'a ' in row 1 is not an image id"),
    "no column of targets": ("Id,Name\na,1\n", "no column target or label"),
    "no column of ids": ("Name,Target\na,1\n", "no column id or image_id; it has Name, Target"),
    "two columns of ids": ("Id,image_id,Target\na,a,1\n", "Id and image_id mean the same"),
    "doubled column": ("Id,Target,Target\na,1,2\n", "duplicate column Target"),
    "cut row": ("Id,Target\na,1\nb\n", "line 3 has 1 cell, but the first line has 2"),
    "long row": (
        "Id,Target\na,1\nb,1,2,3\n",
        "line 3 has 4 cells, but the first line has 2;",
    ),
    "quote left open": ('Id,Target\na,1\n"b,1\n', "not a CSV table"),
    "empty": ("", "not a CSV table: it is empty"),
    "in both splits": ("Id,Target\na,1\nx,2\n", "training fields among the test fields: x"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_labels_are_refused_by_name(competition, case):
    text, reason = BAD_TABLES[case]
    write(competition / "train.csv", text)
    with pytest.raises(InputError, match=r"(train|sample_submission)\.csv: ") as caught:
        collect_fields(competition)
    assert reason in " ".join(str(caught.value).split())


def test_a_picture_is_no_table(competition):
    (competition / "train.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff\xfe")
    with pytest.raises(InputError, match=r"train\.csv: not UTF-8 text"):
        collect_fields(competition)


def test_cells_are_taken_as_text(tmp_path):
    table = write(tmp_path / "t.csv", "\ufeffId,Target\n007,0\nNA,1\n1e5,2\nnull,3\n")
    assert list(read_targets(table).index) == ["007", "NA", "1e5", "null"]


def test_a_header_alone_is_an_empty_table(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv: the table has no rows"):
        read_targets(write(tmp_path / "t.csv", "Id,Target\n"))


def test_a_stain_in_two_formats_is_ambiguous(competition):
    write(competition / "train" / "a_red.jpg", "x")
    with pytest.raises(InputError, match=r"a_red\.png and .*a_red\.jpg are both the red stain"):
        collect_fields(competition)


def test_an_id_in_train_and_test_folders_is_ambiguous(competition):
    touch_field(competition / "test", "a")
    with pytest.raises(InputError, match=r"test/a_\w+\.png are both the \w+ stain of a"):
        collect_fields(competition)


def test_two_tables_of_labels_are_ambiguous(competition):
    write(competition / "labels.csv", "Id,Target\na,1\n")
    with pytest.raises(InputError, match="has train.csv and labels.csv; .* pass it as labels"):
        collect_fields(competition)


def test_places_without_fields(tmp_path):
    with pytest.raises(InputError, match="no fields found; expected files <id>_<red"):
        collect_fields(tmp_path)
    with pytest.raises(InputError, match="none: no such folder of images or table of paths"):
        collect_fields(tmp_path / "none")


# ---- tables with paths


PATHS = "r.png,g.png,b.png,y.png"


def test_a_table_with_paths(tmp_path):
    table = write(
        tmp_path / "t.csv",
        "image_id,Red,Green,Blue,Yellow,Target,well\n"
        "x,1.png,2.png,3.png,4.png,,A1\n"
        "a,/d/1.png,/d/2.png,/d/3.png,/d/4.png, 3  1 ,B2\n",
    )
    fields, left_out = collect(table, source="plate")
    assert list(fields.columns) == ["split", "target", "source", *STAINS, "well"]
    assert list(fields.index) == ["a", "x"]
    assert fields.loc["a", "target"] == "3 1"
    assert fields.loc["a", "red"] == "/d/1.png"
    assert fields.loc["x", "yellow"] == str(tmp_path / "4.png")
    assert list(fields["well"]) == ["B2", "A1"]
    assert left_out == []


def test_a_table_with_labels_and_test_beside(tmp_path):
    rows = "".join(f"{i},{i}r,{i}g,{i}b,{i}y\n" for i in "abcd")
    table = write(tmp_path / "t.csv", f"id,red,green,blue,yellow\n{rows}")
    labels = write(tmp_path / "l.csv", "Id,Target\nb,1\n")
    test = write(tmp_path / "s.csv", "Id,Predicted\nd,0\na,0\n")
    fields, left_out = collect(table, labels, test)
    assert list(fields.index) == ["b", "d", "a"]
    assert left_out == ["c"]
    assert list(fields["target"]) == ["1", "", ""]


BAD_PATH_TABLES = {
    "no stain column": (f"Id,red,green,blue\na,{PATHS[:17]}\n", "no column yellow"),
    "split": (f"Id,red,green,blue,yellow,split\na,{PATHS},valid\n", "has split 'valid'"),
    "truth": (
        f"Id,red,green,blue,yellow,split,target\na,{PATHS},test,1\n",
        "test field a has a target",
    ),
    "no label": (
        f"Id,red,green,blue,yellow,split,target\na,{PATHS},train,\n",
        "field a: no label; every",
    ),
}


@pytest.mark.parametrize("case", BAD_PATH_TABLES)
def test_bad_tables_with_paths(tmp_path, case):
    text, reason = BAD_PATH_TABLES[case]
    with pytest.raises(InputError, match=rf"t\.csv: .*{reason}"):
        collect_fields(write(tmp_path / "t.csv", text))


def test_labels_and_test_ids_must_be_in_the_table(tmp_path):
    table = write(tmp_path / "t.csv", f"Id,red,green,blue,yellow\na,{PATHS}\n")
    other = write(tmp_path / "o.csv", "Id,Target\nzz,1\n")
    with pytest.raises(InputError, match=r"o\.csv: fields missing from .*t\.csv: zz"):
        collect_fields(table, other)
    with pytest.raises(InputError, match=r"o\.csv: fields missing from .*t\.csv: zz"):
        collect_fields(table, None, other)


def test_a_table_with_targets_takes_no_other_labels(tmp_path):
    table = write(tmp_path / "t.csv", f"Id,red,green,blue,yellow,target\na,{PATHS},1\n")
    with pytest.raises(InputError, match="already has targets"):
        collect_fields(table, write(tmp_path / "o.csv", "Id,Target\na,1\n"))


# ---- several places


def test_extra_fields_are_training_fields_with_a_source(competition, tmp_path):
    for image_id in ("e1", "e2", "e3"):
        touch_field(tmp_path / "v18", image_id, ".jpg")
    write(tmp_path / "v18" / "labels.csv", "Id,Target\ne2,4\ne1,5\n")
    main = collect_fields(competition).fields
    extra, left_out = collect(tmp_path / "v18", source="v18", training_only=True)
    assert left_out == ["e3"]
    both = combine_fields(main.assign(well="A1"), extra)
    assert list(both.index) == ["c", "a", "b", "e2", "e1", "y", "x"]
    assert list(both["source"]) == ["hpa2018"] * 3 + ["v18"] * 2 + ["hpa2018"] * 2
    assert list(both["well"]) == ["A1"] * 3 + ["", ""] + ["A1"] * 2


def test_extra_fields_need_labels(competition, tmp_path):
    touch_field(tmp_path / "v18", "e1")
    with pytest.raises(InputError, match=r"v18: no table of labels \(train\.csv, stage1_train"):
        collect_fields(tmp_path / "v18", training_only=True)
    table = write(tmp_path / "t.csv", f"Id,red,green,blue,yellow,target\na,{PATHS},\n")
    with pytest.raises(InputError, match=r"t\.csv: no label for a"):
        collect_fields(table, training_only=True)


def test_an_id_or_a_file_in_two_places_is_refused(competition):
    main = collect_fields(competition).fields
    again = main.assign(source="again")
    with pytest.raises(InputError, match="field c is in hpa2018 and in again"):
        combine_fields(main, again)
    again.index = [f"{image_id}2" for image_id in again.index]
    with pytest.raises(InputError, match=r"c_red\.png: used for both c \(red\) and c2 \(red\)"):
        combine_fields(main, again)


def test_one_file_for_two_stains_is_refused(competition):
    main = collect_fields(competition).fields
    main.loc["a", "blue"] = main.loc["a", "red"]
    with pytest.raises(InputError, match=r"used for both a \(red\) and a \(blue\)"):
        combine_fields(main)


def test_corrections_replace_labels(competition, tmp_path):
    main = collect_fields(competition).fields
    table = write(tmp_path / "fix.csv", "Id,Target\na,7\nc,0 16\n")
    fixed, changes = correct_targets(main, table)
    # The labels of c are the same in another order.
    assert changes == [Change("a", "labels", f"corrected after {table}", "", "1", "7")]
    assert list(fixed["target"]) == ["0 16", "7", "25", "", ""]
    assert list(main["target"]) == ["16 0", "1", "25", "", ""]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("zz,1", "fields missing from the catalogue: zz"),
        ("x,1", "labels of test fields cannot be corrected: x"),
        ("a,99", "field a: unknown label '99'"),
    ],
)
def test_bad_corrections(competition, tmp_path, row, reason):
    table = write(tmp_path / "fix.csv", f"Id,Target\n{row}\n")
    with pytest.raises(InputError, match=rf"fix\.csv: {reason}"):
        correct_targets(collect_fields(competition).fields, table)


def test_groups_join_by_id(competition, tmp_path):
    main = collect_fields(competition).fields
    table = write(tmp_path / "g.csv", "Id,well,antibody\nx,A1,HPA1\na,B2,\nelsewhere,C3,HPA2\n")
    joined, names = join_groups(main, table)
    assert names == ["well", "antibody"]
    assert list(joined.index) == list(main.index)
    assert list(joined["well"]) == ["", "B2", "", "", "A1"]
    assert list(joined["antibody"]) == ["", "", "", "", "HPA1"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Id,target\na,1\n", "target is a catalogue column but not a group"),
        ("Id\na\n", "only an id column"),
        ("Id,well\nzz,1\n", "none of its ids is in the catalogue; ids look like c"),
        ("Id,well\na,1\na,2\n", "duplicate ids: a"),
    ],
)
def test_bad_groups(competition, tmp_path, text, reason):
    with pytest.raises(InputError, match=rf"g\.csv: .*{reason}"):
        join_groups(collect_fields(competition).fields, write(tmp_path / "g.csv", text))


# ---- the file


@pytest.fixture
def catalogue(competition):
    fields = collect_fields(competition).fields
    return fields.assign(
        height=512, width=600, content=[f"{n:032x}" for n in range(5)], well=["A1", "", "B", "", ""]
    )


def test_round_trip(catalogue, competition, tmp_path):
    path = tmp_path / "work" / "data" / "catalogue.csv"
    write_catalogue(path, catalogue)
    result = read_catalogue(path)
    pd.testing.assert_frame_equal(result, catalogue[[*COLUMNS, "well"]])
    assert result["height"].dtype == "int64"
    assert path.read_text().splitlines()[0] == ",".join(["image_id", *COLUMNS, "well"])
    assert str(competition / "train" / "a_red.png") in path.read_text()


def test_paths_in_the_workspace_move_with_it(catalogue, tmp_path):
    workspace = tmp_path / "work"
    shutil.move(tmp_path / "hpa", workspace / "hpa")
    for stain in STAINS:
        catalogue[stain] = catalogue[stain].str.replace(str(tmp_path), str(workspace))
    write_catalogue(workspace / "data" / "catalogue.csv", catalogue, workspace)
    assert "../hpa/train/a_red.png" in (workspace / "data" / "catalogue.csv").read_text()
    moved = workspace.rename(tmp_path / "moved")
    result = read_catalogue(moved / "data" / "catalogue.csv")
    assert result.loc["a", "red"] == str(moved / "hpa" / "train" / "a_red.png")
    assert os.path.isfile(result.loc["a", "red"])


def test_written_alike_and_in_one_rename(catalogue, tmp_path):
    path = tmp_path / "data" / "catalogue.csv"
    write_catalogue(path, catalogue)
    first = path.read_bytes()
    write_catalogue(path, read_catalogue(path))
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["catalogue.csv"]


def test_a_failed_write_leaves_what_was_there(catalogue, tmp_path, monkeypatch):
    path = tmp_path / "data" / "catalogue.csv"
    write_catalogue(path, catalogue)
    first = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_catalogue(path, catalogue.iloc[:2])
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["catalogue.csv"]


def test_others_may_read_it(catalogue, tmp_path):
    path = tmp_path / "catalogue.csv"
    before = os.umask(0o022)
    try:
        write_catalogue(path, catalogue)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("train", "valid"), "field c has split 'valid'"),
        (("512", "0"), "field c has height '0'"),
        (("600", "6e2"), "field c has width '6e2'"),
        (("\na,", "\nc,"), "duplicate ids: c"),
        (("content", "contents"), "no column content; make the catalogue with"),
    ],
)
def test_a_damaged_catalogue_is_refused(catalogue, tmp_path, change, reason):
    path = tmp_path / "catalogue.csv"
    write_catalogue(path, catalogue)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=rf"catalogue\.csv: {reason}"):
        read_catalogue(path)


def test_an_incomplete_catalogue_is_not_written(catalogue, tmp_path):
    with pytest.raises(InputError, match="the catalogue has no column content"):
        write_catalogue(tmp_path / "c.csv", catalogue.drop(columns="content"))
    with pytest.raises(InputError, match="the catalogue: duplicate ids: c"):
        write_catalogue(tmp_path / "c.csv", pd.concat([catalogue, catalogue.iloc[:1]]))
    assert not (tmp_path / "c.csv").exists()


def test_digest_is_of_ids_and_pixels_only(catalogue):
    digest = catalogue_digest(catalogue)
    assert len(digest) == 64
    assert catalogue_digest(catalogue.assign(target="1", red="moved")) == digest
    assert catalogue_digest(catalogue.iloc[::-1]) != digest
    assert catalogue_digest(catalogue.iloc[:-1]) != digest
    assert catalogue_digest(catalogue.assign(content="0" * 32)) != digest
    with pytest.raises(InputError, match="no column content"):
        catalogue_digest(catalogue.drop(columns="content"))


@pytest.mark.long
def test_real_tables_of_the_competition(real_data, tmp_path):
    table = real_data / "labels"
    targets = read_targets(table / "train.csv")
    assert len(targets) == 31072
    touch_field(tmp_path, targets.index[5])
    fields = collect_fields(tmp_path, table / "train.csv", table / "sample_submission.csv").fields
    assert (fields["split"] == "test").sum() == 11702
    assert list(fields.index[:31072]) == list(targets.index)
