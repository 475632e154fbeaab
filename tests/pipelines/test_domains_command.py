import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from hpastack.fields import STAINS
from hpastack.folds import read_fold_table
from hpastack.store import StoreHeader, write_store
from pipelines import domains

COLUMNS = ["intensity_mean__red", "intensity_mean__blue", "intensity_mean__green"]
PLOT = "reports/domains.png"


@pytest.fixture
def workspace(tmp_path):
    """60 training and 40 test fields of two cell lines, most of test HeLa; two to a cluster."""
    rng = np.random.default_rng(0)
    ids = [f"f{number:03d}" for number in range(100)]
    is_test = np.arange(100) >= 60
    hela = np.repeat(rng.random(50) < np.where(is_test[::2], 0.85, 0.2), 2)
    values = rng.normal(size=(100, 3))
    values[:, 0] += 8 * hela
    table = pd.DataFrame({"image_id": ids}).assign(
        split=np.where(is_test, "test", "train"), target=np.where(is_test, "", "0"),
        source="hpa2018", **dict.fromkeys(STAINS, ""), height=0, width=0, content="",
        cell_line=np.where(hela, "HeLa", "U-2 OS"),
    )  # fmt: skip
    (tmp_path / "data").mkdir()
    (tmp_path / "features").mkdir()
    table.to_csv(tmp_path / "data" / "catalogue.csv", index=False)
    pd.DataFrame({"image_id": ids, "cluster": np.repeat(ids[::2], 2)}).to_csv(
        tmp_path / "data" / "clusters.csv", index=False
    )
    header = StoreHeader(kind="target_free", content="features", columns=COLUMNS)
    # Out of the order of the catalogue, as rows join by id.
    write_store(tmp_path / "features" / "measured.h5", header, ids[::-1], values[::-1])
    return tmp_path


def run(folder, *options):
    return domains.main(["measured", "--workspace", str(folder), "--n-domains", "2", *options])


def read(folder, name):
    return pd.read_csv(folder / "data" / name)


def test_everything_is_written_and_recorded(workspace, capsys):
    assert run(workspace, "--leave-one-out") == 0
    printed = capsys.readouterr().out
    assert "2 of 3 columns: intensity_mean__red, intensity_mean__blue" in printed
    assert "cell_line: adjusted Rand index 1.000; 100.0% of 100 fields" in printed
    assert re.search(r"train against test: AUC 0\.[78]", printed)
    catalogue = read(workspace, "catalogue.csv")
    found = read(workspace, "domains.csv")
    assert found["image_id"].tolist() == catalogue["image_id"].tolist()
    assert pd.crosstab(found["domain"], catalogue["cell_line"]).to_numpy().min(axis=1).max() == 0
    points = read(workspace, "domain_map.csv")
    assert points["image_id"].tolist() == catalogue["image_id"].tolist()
    middle = points.groupby(catalogue["cell_line"])["component_1"].mean()
    assert abs(middle["HeLa"] - middle["U-2 OS"]) > 1
    train = catalogue[catalogue["split"] == "train"].set_index("image_id")
    columns = read(workspace, "adversarial_columns.csv")
    assert columns["column"][0] == "intensity_mean__red"
    folds = read_fold_table(workspace / "data" / "domain_folds.csv", train.index)
    domain = found.set_index("image_id")["domain"]
    assert (folds == domain[train.index]).all()
    record = json.loads((workspace / "data" / "domains.json").read_text())
    assert record["n_domains"] == 2
    assert record["columns"] == COLUMNS[:2]
    assert record["adversarial"]["auc"] > 0.7
    assert record["adversarial"]["effective_size"] < 0.9 * len(train)
    assert set(record["files"]) == {
        "domains.csv", "domain_map.csv", "domain_folds.csv", "adversarial_columns.csv"
    }  # fmt: skip


def test_the_same_bytes_again_and_nothing_left_of_the_run_before(workspace, capsys):
    assert run(workspace, "--leave-one-out") == 0
    data = workspace / "data"
    first = {path.name: path.read_bytes() for path in data.iterdir()}
    assert run(workspace) == 2
    assert "exists; pass overwrite=True" in capsys.readouterr().err
    assert run(workspace, "--leave-one-out", "--overwrite") == 0
    assert {path.name: path.read_bytes() for path in data.iterdir()} == first
    assert run(workspace, "--overwrite") == 0
    assert not (data / "domain_folds.csv").exists()


def test_without_clusters_train_is_not_compared_with_test(workspace, capsys):
    (workspace / "data" / "clusters.csv").unlink()
    assert run(workspace) == 0
    assert "not compared without data/clusters.csv" in capsys.readouterr().out
    assert (workspace / "data" / "domains.csv").is_file()
    assert not (workspace / "data" / "adversarial_columns.csv").exists()
    assert run(workspace, "--overwrite", "--leave-one-out") == 2
    assert "run: hpastack cluster" in capsys.readouterr().err


def test_without_test_fields(workspace, capsys):
    path = workspace / "data" / "catalogue.csv"
    pd.read_csv(path).iloc[:60].to_csv(path, index=False)
    assert run(workspace) == 0
    assert "the catalogue has only one of the two" in capsys.readouterr().out
    assert not (workspace / "data" / "adversarial_columns.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "texture_*"], "no column is named 'texture_*'"),
        (["--compare", "plate"], "--compare: the catalogue has no column 'plate'"),
        (["--n-domains", "1"], "a whole number of at least 2, or 'auto'"),
        (["--n-domains", "200"], "100 different fields cannot make 200 domains"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(workspace, capsys, options, message):
    assert run(workspace, *options) == 2
    assert message in capsys.readouterr().err
    assert not (workspace / "data" / "domains.csv").exists()


@pytest.mark.parametrize(
    ("which", "n_columns"), [("all", 3), ("reference", 2), ("*__green", 1), ("*", 3)]
)
def test_columns_are_chosen(workspace, capsys, which, n_columns):
    assert run(workspace, "--columns", which) == 0
    assert capsys.readouterr().out.startswith(f"{n_columns} of 3 columns")


def test_a_store_that_knows_labels_is_refused(workspace, capsys):
    ids = read(workspace, "catalogue.csv")["image_id"].tolist()
    header = StoreHeader(kind="out_of_fold", content="features", columns=["net__0"], fold_plan="x")
    fold = [0, 1] * 30 + [-1] * 40
    write_store(workspace / "features" / "net.h5", header, ids, np.ones((100, 1)), fold=fold)
    assert domains.main(["net", "--workspace", str(workspace)]) == 2
    assert "name stores of target-free features" in capsys.readouterr().err


def test_columns_without_stains_are_all_taken(workspace, capsys):
    ids = read(workspace, "catalogue.csv")["image_id"].tolist()
    header = StoreHeader(kind="target_free", content="features", columns=["net__0", "net__1"])
    values = np.random.default_rng(0).normal(size=(100, 2))
    write_store(workspace / "features" / "net.h5", header, ids, values)
    command = ["net", "--workspace", str(workspace)]
    assert domains.main([*command, "--columns", "reference"]) == 2
    assert "no column is named by its stain" in capsys.readouterr().err
    assert domains.main(command) == 0
    assert "2 of 2 columns" in capsys.readouterr().out


def test_clusters_must_cover_the_catalogue(workspace, capsys):
    path = workspace / "data" / "clusters.csv"
    pd.read_csv(path).iloc[1:].to_csv(path, index=False)
    assert run(workspace) == 2
    assert "lacks 1 field of the catalogue: f000" in capsys.readouterr().err


def test_a_picture_is_drawn(workspace):
    pytest.importorskip("matplotlib")
    assert run(workspace) == 0
    assert (workspace / PLOT).read_bytes()[:4] == b"\x89PNG"


def test_without_matplotlib_the_picture_is_left_out(workspace, capsys, monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("hpastack.plot", "hpastack.pictures."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run(workspace) == 0
    printed = capsys.readouterr().out
    assert "note: no figure of the domains: plots need matplotlib" in printed
    assert not (workspace / PLOT).exists()
