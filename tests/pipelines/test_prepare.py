"""The command that checks image files and writes the catalogue."""

import cv2
import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import read_catalogue
from hpastack.fields import FORMATS, STAINS, PackedFields, read_field
from hpastack.workspace import Workspace
from pipelines.prepare import main, make_parser


def draw_field(folder, image_id, side=24, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(list(image_id.encode()))
    for stain in STAINS:
        pixels = random.integers(0, 256, (side, side), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{image_id}_{stain}{suffix}"), pixels)


@pytest.fixture
def folder(tmp_path):
    """The competition's layout: three training fields, two test fields."""
    folder = tmp_path / "hpa"
    for image_id in ("a", "b", "c"):
        draw_field(folder / "train", image_id)
    for image_id in ("x", "y"):
        draw_field(folder / "test", image_id)
    (folder / "train.csv").write_text("Id,Target\nc,16 0\na,1\nb,25\n")
    (folder / "sample_submission.csv").write_text("Id,Predicted\ny,0\nx,0\n")
    return folder


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command in a workspace; return status, what it printed, and its complaint."""

    def run(*args):
        status = main([*map(str, args), "--workspace", str(tmp_path / "work"), "--jobs", "2"])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "work")


def changes_of(workspace):
    table = pd.read_csv(workspace.data / "changes.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["image_id", "change", "reason", "file", "before", "after"]
    return table.to_numpy().tolist()


def assert_refused(outcome, *parts):
    status, _, err = outcome
    assert status == 2
    assert err.startswith("python -m pipelines.prepare: error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def test_the_competition_layout(folder, run, workspace):
    status, out, _ = run(folder)
    assert status == 0
    assert out.splitlines()[-1] == f"wrote {workspace.catalogue}: 3 training fields, 2 test fields"
    catalogue = read_catalogue(workspace.catalogue)
    assert list(catalogue.index) == ["c", "a", "b", "y", "x"]
    assert set(catalogue["height"]) == {24}
    assert catalogue["content"].is_unique
    assert read_field(catalogue.loc["x"]).shape == (4, 24, 24)
    assert [path.name for path in workspace.data.iterdir()] == ["catalogue.csv"]


def test_an_existing_catalogue_is_kept_without_overwrite(folder, run, workspace):
    run(folder)
    before = workspace.catalogue.read_bytes()
    (folder / "train" / "a_red.png").unlink()
    assert_refused(run(folder), "catalogue.csv exists; pass overwrite=True")
    assert workspace.catalogue.read_bytes() == before
    draw_field(folder / "train", "a", side=32)
    assert run(folder, "--overwrite")[0] == 0
    assert workspace.catalogue.read_bytes() != before


def test_same_bytes_whatever_the_workers(folder, run, workspace):
    run(folder)
    before = workspace.catalogue.read_bytes()
    assert main([str(folder), "--workspace", str(workspace.root), "--overwrite", "--jobs=1"]) == 0
    assert workspace.catalogue.read_bytes() == before


def test_the_help_names_the_ending_of_every_format():
    for image_format in FORMATS.values():
        assert image_format.SUFFIXES[0] in make_parser().description


BAD_FILES = {
    "missing stain": (lambda path: path.unlink(), "no such file"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-40]), "truncated PNG"),
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "not an image": (lambda path: path.write_text("hello"), "not a PNG, "),
    "another size": (
        lambda path: cv2.imwrite(str(path), np.zeros((24, 25), np.uint8)),
        "25 x 24 pixels (width x height), but the red stain of the field has 24 x 24",
    ),
    "the wrong file": (
        lambda path: path.write_bytes(path.with_name("b_red.png").read_bytes()),
        "the same file as the red stain",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_stops_it_by_name(folder, run, workspace, case):
    harm, reason = BAD_FILES[case]
    harm(folder / "train" / "b_green.png")
    assert_refused(run(folder), "field b: ", f"b_green.png: {reason}", "--on-error skip")
    assert not workspace.root.exists()


def test_more_bad_fields_are_counted(folder, run, workspace):
    for image_id in ("c", "b"):
        (folder / "train" / f"{image_id}_green.png").unlink()
    assert_refused(run(folder), "field c: ", "(further bad fields: 1)")


def test_skip_sets_bad_fields_aside(folder, run, workspace):
    (folder / "train" / "b_green.png").write_bytes(b"")
    (folder / "test" / "x_blue.png").unlink()
    status, out, _ = run(folder, "--on-error", "skip")
    assert status == 3
    assert "dropped 2 of 5 fields because of bad files" in out
    assert f"wrote {workspace.data / 'changes.csv'}: 2 fields dropped, 0 changes of labels" in out
    assert "test fields among them, which the submission will lack: x" in out
    assert out.splitlines()[-1].endswith("2 training fields, 1 test field")
    assert list(read_catalogue(workspace.catalogue).index) == ["c", "a", "y"]
    assert changes_of(workspace) == [
        ["b", "dropped", "the file is empty", str(folder / "train" / "b_green.png"), "25", ""],
        ["x", "dropped", "no such file", str(folder / "test" / "x_blue.png"), "", ""],
    ]


def test_the_list_of_changes_goes_when_there_are_none(folder, run, workspace):
    (folder / "train" / "b_green.png").write_bytes(b"")
    run(folder, "--on-error", "skip")
    draw_field(folder / "train", "b")
    assert run(folder, "--overwrite", "--on-error", "skip")[0] == 0
    assert not (workspace.data / "changes.csv").exists()


def test_nothing_good_is_an_error(tmp_path, run):
    draw_field(tmp_path / "one", "a")
    (tmp_path / "one" / "a_red.png").unlink()
    assert_refused(run(tmp_path / "one", "--on-error", "skip"), "all fields are bad", "a_red.png")


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ("c,16 0\na,28\nb,25", "train.csv: field a: unknown label '28'"),
        ("c,16 0\na,1\na,25", "train.csv: duplicate ids: a"),
        ("c,16 0\na,\nb,25", "train.csv: field a: no label; every"),
    ],
)
def test_bad_labels_stop_it_before_any_image_is_read(folder, run, workspace, labels, reason):
    (folder / "train.csv").write_text(f"Id,Target\n{labels}\n")
    (folder / "train" / "a_red.png").write_bytes(b"")
    assert_refused(run(folder), reason)
    assert not workspace.root.exists()


def test_tables_beside(folder, run, workspace, tmp_path):
    draw_field(tmp_path / "hpa_v18", "e1", side=30, suffix=".tif")
    (tmp_path / "hpa_v18" / "labels.csv").write_text("Id,Target\ne1,4\n")
    draw_field(tmp_path / "more", "m1")
    cells = ",".join(f"more/m1_{stain}.png" for stain in STAINS)
    (tmp_path / "table.csv").write_text(
        f"image_id,red,green,blue,yellow,target,well\nm1,{cells},5,Z9\n"
    )
    (tmp_path / "fix.csv").write_text("Id,Target\na,2\n")
    (tmp_path / "groups.csv").write_text("Id,antibody\na,HPA1\nx,HPA1\n")
    status, out, _ = run(
        folder, "--extra", tmp_path / "hpa_v18", "--extra", tmp_path / "table.csv",
        "--corrections", tmp_path / "fix.csv", "--groups", tmp_path / "groups.csv",
        "--source", "kaggle",
    )  # fmt: skip
    assert status == 0
    assert "labels corrected by" in out
    assert "group antibody: known for 2 of 7 fields" in out
    catalogue = read_catalogue(workspace.catalogue)
    assert list(catalogue.index) == ["c", "a", "b", "e1", "m1", "y", "x"]
    assert list(catalogue["source"]) == ["kaggle"] * 3 + ["hpa_v18", "table"] + ["kaggle"] * 2
    assert list(catalogue["target"]) == ["16 0", "2", "25", "4", "5", "", ""]
    assert list(catalogue["well"]) == ["", "", "", "", "Z9", "", ""]
    assert list(catalogue["antibody"]) == ["", "HPA1", "", "", "", "", "HPA1"]
    assert catalogue.loc["e1", "height"] == 30


def test_downloads_of_hpa_with_names_of_places(folder, run, workspace, tmp_path):
    v18 = tmp_path / "v18"
    for name in ("1610_C1_1", "1610_C1_2", "1610_C2_1", "1610_C3_1"):
        draw_field(v18 / "10580", name, suffix=".jpg")
    (v18 / "10580" / "1610_C1_1_blue_red_green.jpg").write_bytes(b"")
    (v18 / "list.csv").write_text(
        "Id,Target,CellLine\n10580_1610_C1_1,Nucleoli;Midbody,RH-30\n"
        "10580_1610_C2_1,Vesicles,RH-30\n10580_1610_C3_1,Midbody;Vesicles,RH-30\n"
    )
    (tmp_path / "fix.csv").write_text("Id,Target\na,Cytosol\nb,25\n")
    command = [folder, "--extra", v18 / "list.csv", "--corrections", tmp_path / "fix.csv"]
    status, out, _ = run(*command)
    assert status == 0
    lines = out.splitlines()
    assert lines[:4] == [
        "names of locations without a label (number of fields in brackets): Midbody (2); "
        "Vesicles (2)",
        "dropped, not in any table: 1 field (10580_1610_C1_2)",
        "dropped, without any label: 2 fields (10580_1610_C2_1, 10580_1610_C3_1)",
        f"labels corrected by {tmp_path / 'fix.csv'}: 1 of 6 fields",
    ]
    assert "group well: known for 1 of 6 fields" in lines
    assert lines[-2] == (
        f"wrote {workspace.data / 'changes.csv'}: 3 fields dropped, 2 changes of labels"
    )
    catalogue = read_catalogue(workspace.catalogue)
    assert catalogue.loc["10580_1610_C1_1", ["target", "cell_line", "well"]].tolist() == [
        "2", "RH-30", "1610_C1"
    ]  # fmt: skip
    assert catalogue.loc["a", "target"] == "25"
    lost = "no label of the vocabulary: "
    assert changes_of(workspace) == [
        ["10580_1610_C1_1", "labels", lost + "Midbody", "", "Nucleoli;Midbody", "2"],
        ["10580_1610_C2_1", "dropped", lost + "Vesicles", "", "Vesicles", ""],
        ["10580_1610_C3_1", "dropped", lost + "Midbody; Vesicles", "", "Midbody;Vesicles", ""],
        ["10580_1610_C1_2", "dropped", "no table names it", "", "", ""],
        ["a", "labels", f"corrected after {tmp_path / 'fix.csv'}", "", "1", "25"],
    ]
    before = workspace.catalogue.read_bytes()
    assert_refused(run(*command), "catalogue.csv exists; ")
    assert workspace.catalogue.read_bytes() == before

    (tmp_path / "names.csv").write_text("name,label\nmidbody,Cytokinetic bridge\n")
    assert run(*command, "--locations", tmp_path / "names.csv", "--overwrite")[0] == 0
    targets = read_catalogue(workspace.catalogue)["target"]
    assert targets["10580_1610_C1_1"] == "2 16"
    assert targets["10580_1610_C3_1"] == "16"
    (tmp_path / "fix.csv").write_text("Id,Target\na,Midbody\n")
    assert run(*command, "--locations", tmp_path / "names.csv", "--overwrite")[0] == 0
    assert read_catalogue(workspace.catalogue).loc["a", "target"] == "16"
    (tmp_path / "names.csv").write_text("name,label\nmidbody,Nowhere\n")
    assert_refused(
        run(*command, "--locations", tmp_path / "names.csv", "--overwrite"),
        "names.csv: location 'midbody': unknown label 'Nowhere'",
    )


def test_a_correction_must_be_a_label(folder, run, tmp_path):
    (tmp_path / "fix.csv").write_text("Id,Target\na,Cytosol;Vesicles\n")
    assert_refused(
        run(folder, "--corrections", tmp_path / "fix.csv"),
        "fix.csv: field a: no label of the vocabulary: Vesicles",
    )


def test_a_field_of_two_places_in_one_folder_is_not_left_out(folder, run, workspace):
    draw_field(folder / "external", "e")
    (folder / "external" / "labels.csv").write_text("Id,Target\ne,3\n")
    (folder / "sample_submission.csv").write_text("Id\ny\n")
    status, out, _ = run(folder, "--extra", folder / "external")
    assert status == 0
    assert "dropped, not in any table: 1 field (x)" in out
    assert [row[0] for row in changes_of(workspace)] == ["x"]


def test_other_labels_of_a_field_with_a_bad_file_are_no_change(folder, run, workspace, tmp_path):
    (folder / "train" / "a_green.png").write_bytes(b"")
    (tmp_path / "fix.csv").write_text("Id,Target\na,2\n")
    assert run(folder, "--corrections", tmp_path / "fix.csv", "--on-error", "skip")[0] == 3
    file = str(folder / "train" / "a_green.png")
    assert changes_of(workspace) == [["a", "dropped", "the file is empty", file, "2", ""]]


def test_several_folders_and_lists_of_test_fields(folder, run, workspace):
    assert run(folder / "train", folder / "test")[0] == 0
    first = workspace.catalogue.read_bytes()
    assert run(folder, "--overwrite")[0] == 0
    assert workspace.catalogue.read_bytes() == first
    for name in "xy":
        (folder / f"{name}.csv").write_text(f"Id\n{name}\n")
    lists = ["--test", folder / "x.csv", "--test", folder / "y.csv"]
    assert run(folder, *lists, "--overwrite")[0] == 0
    assert list(read_catalogue(workspace.catalogue).index) == ["c", "a", "b", "x", "y"]


def test_without_images_extra_takes_tables(folder, run, workspace, tmp_path):
    (tmp_path / "v18.csv").write_text("Id,Target,CellLine\n10580_1610_C1_1,2,RH-30\n")
    tables = ["--labels", folder / "train.csv", "--test", folder / "sample_submission.csv"]
    assert run(*tables, "--extra", tmp_path / "v18.csv")[0] == 0
    catalogue = read_catalogue(workspace.catalogue)
    assert list(catalogue.index) == ["c", "a", "b", "10580_1610_C1_1", "y", "x"]
    assert catalogue.loc["10580_1610_C1_1", "antibody"] == "10580"
    assert_refused(
        run(*tables, "--extra", folder, "--overwrite"), "without IMAGES, --extra needs a table"
    )


def test_extra_ids_must_not_collide(folder, run, tmp_path):
    draw_field(tmp_path / "more", "a")
    (tmp_path / "more" / "train.csv").write_text("Id,Target\na,4\n")
    assert_refused(run(folder, "--extra", tmp_path / "more"), "field a is in hpa2018 and in more")


def test_a_folder_alone(folder, run, workspace):
    status, out, _ = run(folder / "test")
    assert status == 0
    assert out.splitlines()[-1].endswith("0 training fields, 2 test fields")


def test_fields_that_no_table_names_are_mentioned(folder, run):
    (folder / "sample_submission.csv").write_text("Id\ny\n")
    assert "dropped, not in any table: 1 field (x)" in run(folder)[1]


def test_images_inside_the_workspace_are_kept_relative(run, workspace):
    draw_field(workspace.root / "images", "a")
    assert run(workspace.root / "images")[0] == 0
    assert ",../images/a_red.png," in workspace.catalogue.read_text()


def test_another_vocabulary(folder, run, workspace, tmp_path):
    (folder / "train.csv").write_text("Id,Target\nc,1 0\na,1\nb,0\n")
    (tmp_path / "names.txt").write_text("inside\noutside\n")
    assert run(folder, "--vocabulary", tmp_path / "names.txt")[0] == 0
    assert workspace.vocabulary().names == ("inside", "outside")
    # From now on it is the workspace's own.
    (folder / "train.csv").write_text("Id,Target\nc,2\na,1\nb,0\n")
    assert_refused(run(folder, "--overwrite"), "field c: unknown label '2'")


def test_another_vocabulary_is_not_replaced_by_accident(folder, run, workspace, tmp_path):
    (tmp_path / "names.txt").write_text("inside\noutside\n")
    workspace.data.mkdir(parents=True)
    workspace.vocabulary_file.write_text("one\n")
    assert_refused(run(folder, "--vocabulary", tmp_path / "names.txt"), "vocabulary.txt exists")


def test_a_workspace_that_cannot_be_written(folder, run, workspace):
    workspace.root.write_text("a file")
    assert_refused(run(folder), "work/data cannot be written", "Not a directory")


def test_missing_tables_and_folders(folder, run, tmp_path):
    assert_refused(run(tmp_path / "none"), "none: no such folder of images or table of paths")
    assert_refused(run(folder, "--labels", tmp_path / "l.csv"), "l.csv: No such file")


def test_real_fields(real_data, run, workspace):
    status, out, _ = run(real_data / "fields")
    assert status == 0
    assert out.splitlines()[-1].endswith("5 training fields, 0 test fields")
    catalogue = read_catalogue(workspace.catalogue)
    assert catalogue.loc["57_F11_1", "target"] == "21"
    assert sorted(set(catalogue["width"])) == [1728, 2048]
    assert "cellmask" not in workspace.catalogue.read_text()


class TestPack:
    def test_with_the_catalogue(self, folder, run, workspace):
        status, out, _ = run(folder, "--pack", 16)
        assert status == 0
        assert out.splitlines()[-1].startswith(f"packed 5 fields at 16 px: {workspace.packed} (")
        packed = PackedFields(workspace.packed)
        assert packed.image_ids == ["c", "a", "b", "y", "x"]
        assert packed.rows(read_catalogue(workspace.catalogue)).tolist() == [0, 1, 2, 3, 4]

    def test_of_a_catalogue_that_is_there_and_again(self, folder, run, workspace):
        run(folder)
        assert run("--pack", 16)[0] == 0
        before = workspace.packed.stat().st_mtime_ns
        assert run("--pack", 16)[0] == 0
        assert workspace.packed.stat().st_mtime_ns == before
        assert_refused(
            run("--pack", 12), "fields.h5 exists, of other", "(on the command line: --overwrite)"
        )
        assert run("--pack", 12, "--overwrite")[0] == 0
        assert PackedFields(workspace.packed).size == 12

    def test_bad_fields_that_were_set_aside_are_left_out(self, folder, run, workspace):
        (folder / "train" / "b_green.png").write_bytes(b"")
        assert run(folder, "--pack", 16, "--on-error", "skip")[0] == 3
        assert PackedFields(workspace.packed).image_ids == ["c", "a", "y", "x"]

    def test_a_field_that_went_bad_is_named(self, folder, run, workspace):
        run(folder)
        (folder / "train" / "b_green.png").unlink()
        assert_refused(run("--pack", 16), "field b: ", "b_green.png: no such file")
        assert not workspace.packed.exists()

    def test_what_it_needs(self, folder, run):
        assert_refused(run("--pack", 16), "catalogue.csv is missing; run: hpastack pre")
        assert_refused(
            run("--pack", 16, "--labels", folder / "train.csv"),
            "--pack with other options needs IMAGES",
        )
        with pytest.raises(SystemExit):
            run("--pack", 0)


def test_what_a_stranger_wrote_does_not_steer_the_terminal(folder, run):
    (folder / "train.csv").write_text("Id,Target,\x1b[2Jday\nc,16 0,m\na,1,m\nb,25,m\n")
    status, out, _ = run(folder)
    assert status == 0
    assert "group ?[2Jday: known for 3 of 5 fields" in out
    (folder / "train.csv").write_text("Id,\x1b[2JTarget\nc,16 0\n")
    assert_refused(run(folder, "--overwrite"), r"it has \x1b[2JTarget")


def test_killed_before_the_catalogue_it_goes_on_without_overwrite(
    folder, run, workspace, monkeypatch
):
    (folder / "train.csv").write_text("Id,Target\nc,Cytosol;Vesicles\na,1\nb,25\n")

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.prepare.write_catalogue", killed)
        assert run(folder)[0] == 130
    assert not workspace.catalogue.exists()
    assert run(folder)[0] == 0
    assert len(read_catalogue(workspace.catalogue)) == 5
    assert len(changes_of(workspace)) == 1
