"""The command: what it says of stores, and tables that come back as the same store."""

import h5py
import numpy as np
import pandas as pd
import pytest

from hpastack.store import StoreHeader, StoreWriter, open_store, write_store
from pipelines import ingest
from pipelines.store import main

IDS = ["a,b", "field one", "ünï", "d"]
# No short decimals, the smallest and the largest.
VALUES = np.array([[0.1, 1 / 3], [1e-45, 3.4028235e38], [-0.0, 16777217], [2e-8, 7]], np.float32)


@pytest.fixture
def workspace(tmp_path):
    header = StoreHeader("target_free", "features", ["s__x", "s__y"], recipe={"type": "other"})
    write_store(tmp_path / "features" / "s.h5", header, IDS, VALUES)
    return tmp_path


def run(workspace, *arguments):
    return main([*map(str, arguments), "--workspace", str(workspace)])


def test_info_of_all_stores_and_of_those_that_are_being_made(workspace, capsys):
    header = StoreHeader("target_free", "features", ["x"])
    writer = StoreWriter(workspace / "features" / "half.h5", header, IDS)
    writer.write([1, 2], np.zeros((2, 1)))
    assert run(workspace) == 0
    out = capsys.readouterr().out
    assert "features, target_free" in out and "4 fields, such as a,b" in out
    assert "half.h5: not finished, 2 fields are done" in out


def test_one_that_is_not_sound_does_not_keep_from_the_others(workspace, capsys):
    with h5py.File(workspace / "features" / "s.h5", "r+") as file:
        file["values"][2, 1] = 5
    (workspace / "features" / "a.h5").write_text("no store")
    assert run(workspace, "--verify") == 2
    out, err = capsys.readouterr()
    assert "a.h5: NOT SOUND" in out and "not an HDF5 file" in out
    assert "1 of 4 fields are damaged (checksum): ünï" in out
    assert "2 of 2 stores are not sound" in err


def test_a_store_is_named_or_a_file(workspace, capsys):
    place = workspace / "features" / "s.h5"
    assert run(workspace, "s", place, "--verify") == 0
    assert capsys.readouterr().out.count("sound (4 fields, with checksums)") == 2
    assert run(workspace, "nothing") == 2
    assert "nothing.h5: no such store; the workspace has s" in capsys.readouterr().err
    assert run(workspace / "empty") == 2
    assert "no stores in" in capsys.readouterr().err


def test_what_a_stranger_wrote_does_not_steer_the_terminal(workspace, capsys):
    header = StoreHeader("target_free", "features", ["\x1b[2Jx"], recipe={"a": "x" * 10_000})
    write_store(workspace / "features" / "s.h5", header, ["\x1b[31m\n"], [[1]], overwrite=True)
    assert run(workspace, "s") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and max(map(len, out.splitlines())) < 2100


@pytest.mark.parametrize("kind", ["csv", "npy", "parquet"])
def test_an_exported_store_is_brought_in_again_bit_by_bit(workspace, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    assert run(workspace, "s", "--export", kind) == 0
    table = workspace / "features" / f"s.{kind}"
    again = workspace / "again"
    arguments = ["--kind", "target_free", "--content", "features", "--workspace", str(again)]
    assert ingest.main([str(table), "--name", "s", *arguments]) == 0
    with open_store(again / "features" / "s.h5") as store:
        assert store.image_ids == IDS and store.columns == ["s__x", "s__y"]
        assert store.values().tobytes() == VALUES.tobytes()
    assert sorted(path.name for path in table.parent.iterdir())[:1] == [
        "s.columns.txt" if kind == "npy" else f"s.{kind}" if kind == "csv" else "s.h5"
    ]


def test_folds_go_with_a_table_and_come_back(workspace, capsys):
    values = np.array([[0.25, 0.75]] * 4, np.float32)
    header = StoreHeader("out_of_fold", "probabilities", ["net__0", "net__1"])
    path = write_store(workspace / "features" / "net.h5", header, IDS, values, fold=[0, 1, 0, 1])
    assert run(workspace, "net", "--export", "csv", "--to", workspace / "net.csv") == 0
    (workspace / "data").mkdir()
    (workspace / "data" / "vocabulary.txt").write_text("one\ntwo\n")
    path.unlink()
    arguments = ["--kind", "out_of_fold", "--folds", str(workspace / "net.folds.csv")]
    assert (
        ingest.main(
            [str(workspace / "net.csv"), "--name", "net", *arguments]
            + ["--workspace", str(workspace)]
        )
        == 0
    )
    with open_store(path) as store:
        assert store.fold.tolist() == [0, 1, 0, 1]
        np.testing.assert_array_equal(store.values(), values)


def test_only_the_mean_of_members_is_exported(workspace, capsys):
    header = StoreHeader("out_of_fold", "logits", ["net__0", "net__1"])
    members = np.stack([VALUES[[3]] - 1, VALUES[[3]] + 1])
    values = VALUES.copy()
    path = workspace / "features" / "net.h5"
    write_store(path, header, IDS, values, fold=[0, 1, 0, -1], members=members)
    assert run(workspace, "net", "--export", "npy") == 0
    assert "of the 2 members" in capsys.readouterr().out
    folds = pd.read_csv(workspace / "features" / "net.folds.csv")
    assert folds["fold"].tolist() == [0, 1, 0]
    np.testing.assert_array_equal(np.load(workspace / "features" / "net.npy"), values)
    # The folds are shared with other tables of the same store.
    assert run(workspace, "net", "--export", "csv") == 0


def test_nan_that_ingest_will_not_take_back_is_said(workspace, capsys):
    for content, is_said in (("features", True), ("scores", False)):
        labels = ["a"] if content == "scores" else None
        header = StoreHeader("target_free", content, ["n__0"], vocabulary=labels, allow_nan=True)
        write_store(workspace / "features" / "n.h5", header, ["a"], [[np.nan]], overwrite=True)
        assert run(workspace, "n", "--export", "csv", "--overwrite") == 0
        assert ("may contain NaN, which ingest" in capsys.readouterr().out) == is_said


def test_nothing_is_replaced_unless_told_so(workspace, capsys):
    assert run(workspace, "s", "--export", "csv") == 0
    assert run(workspace, "s", "--export", "csv") == 2
    assert "s.csv exists; pass overwrite=True" in capsys.readouterr().err
    assert run(workspace, "s", "--export", "csv", "--overwrite") == 0


def test_what_goes_together(workspace, capsys):
    for arguments, message in (
        (["--export", "csv"], "needs the name of one store"),
        (["s", "--to", "x.csv"], "--to needs --export"),
        (["s", "--export", "csv", "--to", "x.npy"], "does not end in .csv"),
    ):
        assert run(workspace, *arguments) == 2
        assert message in capsys.readouterr().err
    header = StoreHeader("target_free", "features", ["s__x"])
    write_store(workspace / "features" / "t.h5", header, ["a\nb"], [[1]])
    assert run(workspace, "t", "--export", "npy") == 2
    assert "cannot be written on one line; export to csv" in capsys.readouterr().err


def test_ids_of_a_matrix_stand_a_line_each(tmp_path, capsys):
    np.save(tmp_path / "m.npy", np.eye(2))
    (tmp_path / "m.ids.txt").write_text("field one\nfield two\n")
    (tmp_path / "m.columns.txt").write_text("x\ny\nz\n")
    arguments = [str(tmp_path / "m.npy"), "--name", "m", "--kind", "target_free"]
    arguments += ["--content", "features", "--workspace", str(tmp_path)]
    assert ingest.main(arguments) == 2
    assert "has 2 columns, but" in capsys.readouterr().err
    (tmp_path / "m.columns.txt").unlink()
    assert ingest.main(arguments) == 0
    with open_store(tmp_path / "features" / "m.h5") as store:
        assert store.image_ids == ["field one", "field two"]
        assert store.columns == ["m__0", "m__1"]
