import cv2
import pandas as pd

from pipelines.synthesize import main

SMALL = ["--train", "6", "--test", "3", "--size", "32", "--jobs", "1"]


def test_it_writes_a_data_set_and_says_where(tmp_path, capsys):
    folder = tmp_path / "set"
    assert main([str(folder), *SMALL, "--seed", "4"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"wrote 6 training and 3 test fields to {folder}"
    assert len(pd.read_csv(folder / "train.csv")) == 6
    assert len(list((folder / "test").glob("*.png"))) == 12


def test_a_relative_folder_lies_in_the_workspace(tmp_path):
    assert main(["set", "--workspace", str(tmp_path), *SMALL]) == 0
    assert (tmp_path / "set" / "train.csv").is_file()


def test_an_existing_data_set_is_replaced_only_with_overwrite(tmp_path, capsys):
    folder = tmp_path / "set"
    main([str(folder), *SMALL])
    before = (folder / "train.csv").read_bytes()
    capsys.readouterr()
    assert main([str(folder), *SMALL, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{folder} exists; " in error
    assert (folder / "train.csv").read_bytes() == before
    assert main([str(folder), *SMALL, "--seed", "1", "--overwrite"]) == 0
    assert (folder / "train.csv").read_bytes() != before


def test_a_foreign_folder_is_never_replaced(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main([str(tmp_path), *SMALL, "--overwrite"]) == 2
    assert "is not a synthetic data set" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_contact_sheet_can_be_drawn_alone(tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["--contact-sheet", str(sheet), "--size", "32"]) == 0
    assert cv2.imread(str(sheet)).shape[2] == 3
    assert capsys.readouterr().out.endswith(f"to {sheet}\n")
    assert main(["--contact-sheet", str(sheet), "--size", "32"]) == 2
    assert "exists" in capsys.readouterr().err


def test_mistakes_are_one_line_and_leave_nothing(tmp_path, capsys):
    assert main([]) == 2
    assert "pass a folder" in capsys.readouterr().err
    assert main([str(tmp_path / "set"), *SMALL, "--tail", "3"]) == 2
    assert "tail is 3.0" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "set"), *SMALL]) == 2
    assert "Not a directory" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
