"""The command: its table, what it refuses, and recipes that scale by it."""

import cv2
import numpy as np
import pandas as pd
import pytest

from hpastack.catalogue import write_catalogue
from hpastack.fields import STAINS, check_fields
from hpastack.store import open_store
from pipelines import extract
from pipelines.statistics import main


@pytest.fixture
def workspace(tmp_path):
    rng = np.random.default_rng(0)
    rows = {}
    for number in range(4):
        files = {stain: str(tmp_path / f"{number}_{stain}.png") for stain in STAINS}
        for path in files.values():
            cv2.imwrite(path, rng.integers(0, 256, (32, 32), dtype=np.uint8))
        rows[f"f{number}"] = {"split": "train", "target": "0", "source": "x", **files}
    fields = pd.DataFrame.from_dict(rows, orient="index").rename_axis("image_id")
    facts, _ = check_fields(fields, jobs=1, progress=False)
    (tmp_path / "data").mkdir()
    write_catalogue(tmp_path / "data" / "catalogue.csv", fields.join(facts))
    return tmp_path


def run(workspace, *args):
    return main([*args, "--workspace", str(workspace), "--jobs", "1"])


def test_it_writes_and_prints_the_table(workspace, capsys):
    assert run(workspace) == 0
    out = capsys.readouterr().out
    path = workspace / "data" / "stains.csv"
    assert out.splitlines()[-1] == f"{path}: 4 fields"
    table = pd.read_csv(path, index_col="stain")
    assert list(table.index) == list(STAINS)
    (green,) = [line.split() for line in out.splitlines() if line.startswith("green")]
    assert green[1:] == [f"{value:.4f}" for value in table.drop(columns="n_fields").loc["green"]]
    assert run(workspace, "--limit", "2") == 2
    assert "exists; pass overwrite=True" in capsys.readouterr().err
    assert run(workspace, "--limit", "2", "--size", "16", "--overwrite") == 0
    smaller = pd.read_csv(path, index_col="stain")
    assert set(smaller["n_fields"]) == {2} and (smaller["sd"] < table["sd"]).all()


def test_a_bad_field_leaves_no_table(workspace, capsys):
    (workspace / "1_blue.png").write_bytes(b"no picture")
    assert run(workspace) == 2
    assert "field f1: " in capsys.readouterr().err
    assert not (workspace / "data" / "stains.csv").exists()


def test_a_store_is_out_of_date_when_its_statistics_change(workspace, capsys):
    pytest.importorskip("torch")
    (workspace / "features").mkdir()
    (workspace / "features" / "net.yaml").write_text(
        "type: embedding\nbackbone: test_resnet\nweights: random\nsize: 32\n"
        "statistics: data/stains.csv\n"
    )
    make = ["--workspace", str(workspace), "--jobs", "1", "--device", "cpu"]
    assert extract.main(make) == 2
    assert "stains.csv is missing; run: hpastack statistics" in (capsys.readouterr().err)
    run(workspace)
    assert extract.main(make) == 0
    table = pd.read_csv(workspace / "data" / "stains.csv", index_col="stain")
    with open_store(workspace / "features" / "net.h5") as store:
        first = store.values()
        assert store.recipe["stain_statistics"] == {
            stain: [table["mean"][stain], table["sd"][stain]] for stain in STAINS
        }
    assert extract.main(make) == 0
    assert "up to date" in capsys.readouterr().out
    run(workspace, "--limit", "1", "--overwrite")
    assert extract.main(make) == 0
    assert "out of date and is made again" in capsys.readouterr().out
    with open_store(workspace / "features" / "net.h5") as store:
        assert not np.array_equal(store.values(), first)
