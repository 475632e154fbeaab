import json

import cv2
import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.folds import read_fold_plan
from hpastack.store import StoreHeader, write_store
from hpastack.synthetic import draw_field
from pipelines import cluster

SIDE = 96


def write_table(folder, rows, **columns):
    """Write a catalogue of rows (image_id, split, target), without images unless given."""
    table = pd.DataFrame(rows, columns=["image_id", "split", "target"]).assign(
        source="hpa2018", **dict.fromkeys(STAINS, ""), height=SIDE, width=SIDE, content=""
    )
    (folder / "data").mkdir(exist_ok=True)
    table.assign(**columns).to_csv(folder / "data" / "catalogue.csv", index=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve training and four test fields; t1 is tr05 and tr11 is tr02, shifted and brighter."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    scenes = {f"tr{number:02d}": draw_field("0 25", size=144, seed=number) for number in range(11)}
    scenes |= {f"t{number}": draw_field("0", size=144, seed=50 + number) for number in (0, 2, 3)}
    cut = {name: scene[:, 24 : 24 + SIDE, 24 : 24 + SIDE] for name, scene in scenes.items()}
    for copy, original, top, left in (("t1", "tr05", 16, 30), ("tr11", "tr02", 34, 24)):
        field = 1.2 * scenes[original][:, top : top + SIDE, left : left + SIDE]
        cut[copy] = field + rng.normal(0, 0.02, field.shape)
    for name, field in cut.items():
        for stain, pixels in zip(STAINS, np.clip(field, 0, 1)):
            cv2.imwrite(str(folder / f"{name}_{stain}.png"), np.rint(pixels * 255).astype(np.uint8))
    return folder


@pytest.fixture
def workspace(tmp_path, pictures):
    train = [f"tr{number:02d}" for number in range(12)]
    test = [f"t{number}" for number in range(4)]
    rows = [(name, "train", "0" if i % 3 else "0 25") for i, name in enumerate(train)]
    rows += [(name, "test", "") for name in test]
    names = train + test
    paths = {stain: [f"{pictures}/{name}_{stain}.png" for name in names] for stain in STAINS}
    write_table(tmp_path, rows, **paths, content=[f"digest of {name}" for name in names])
    return tmp_path


def run(folder, *options):
    return cluster.main(["--workspace", str(folder), *options])


def read(folder, name):
    return pd.read_csv(folder / "data" / name, dtype=str, keep_default_na=False)


def outputs(folder):
    return sorted(path.name for path in (folder / "data").iterdir() if path.name != "catalogue.csv")


def test_planted_twins_are_found_and_kept_together(workspace, capsys):
    assert run(workspace, "--n-splits", "3") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"wrote clusters.csv, pairs.csv, leaks.csv, disagreements.csv, folds.csv to "
        f"{workspace / 'data'}; plotted them in {workspace / 'reports' / 'folds.png'}"
    )
    picture = cv2.imread(str(workspace / "reports" / "folds.png"))
    assert picture.shape[0] > 100
    pairs = read(workspace, "pairs.csv")
    assert pairs[["image_id", "twin", "evidence"]].values.tolist() == [
        ["tr02", "tr11", "shift"], ["tr05", "t1", "shift"]
    ]  # fmt: skip
    leaks = read(workspace, "leaks.csv")
    assert leaks[["image_id", "twin", "twin_target", "twin_source"]].values.tolist() == [
        ["t1", "tr05", "0", "hpa2018"]
    ]
    assert float(leaks["strength"][0]) == float(pairs["correlation"][1]) > 0.88
    assert read(workspace, "disagreements.csv").empty
    clusters = read(workspace, "clusters.csv").set_index("image_id")["cluster"]
    assert len(clusters) == 16
    assert clusters[["t1", "tr05", "tr11", "tr02"]].tolist() == ["t1", "t1", "tr02", "tr02"]
    plan = read_fold_plan(workspace / "data" / "folds.csv")
    assert plan.frame.index.tolist() == [f"tr{number:02d}" for number in range(12)]
    assert plan.frame.loc["tr02", "fold"] == plan.frame.loc["tr11", "fold"]
    assert plan.n_folds == 3
    assert {"seed", "algorithm_version", "labels", "fold_plan", "imported_from"} <= set(plan.record)


def test_rerun_reads_no_image_and_gives_the_same_bytes(workspace, monkeypatch):
    assert run(workspace) == 0
    names = [name for name in outputs(workspace) if name != "hashes.h5"]
    before = [(workspace / "data" / name).read_bytes() for name in names]
    monkeypatch.setattr("hpastack.clusters.hashing.iter_fields", None)
    assert run(workspace, "--overwrite", "--jobs", "1") == 0
    assert [(workspace / "data" / name).read_bytes() for name in names] == before


def test_killed_while_hashing_goes_on(workspace, monkeypatch):
    from hpastack.clusters import hashing

    whole = hashing.iter_fields

    def cut_short(catalogue, *args, **options):
        for number, item in enumerate(whole(catalogue, *args, **options)):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(hashing, "iter_fields", cut_short)
    assert run(workspace) == 130
    assert outputs(workspace) == ["hashes.h5.parts"]
    monkeypatch.setattr(hashing, "iter_fields", whole)
    assert run(workspace) == 0
    assert len(read(workspace, "pairs.csv")) == 2


def test_options_for_pairs(workspace):
    assert run(workspace, "--set", "shifted=false") == 0
    assert read(workspace, "pairs.csv").empty
    assert read(workspace, "leaks.csv").columns[:3].tolist() == ["image_id", "twin", "twin_target"]
    known = workspace / "known.txt"
    known.write_text("t0,tr00,elsewhere\ntr01,tr03\n")
    assert run(workspace, "--no-images", "--pairs", str(known), "--overwrite") == 0
    pairs = read(workspace, "pairs.csv")
    assert pairs[["image_id", "twin", "evidence"]].values.tolist() == [
        ["tr00", "t0", "listed"], ["tr01", "tr03", "listed"]
    ]  # fmt: skip
    assert read(workspace, "leaks.csv")["twin"].tolist() == ["tr00"]


@pytest.fixture
def unpictured(tmp_path):
    rows = [(f"f{number:02d}", "train", str(number % 3)) for number in range(20)]
    rows += [("x0", "test", "")]
    wells = ["A1"] * 6 + ["A2"] * 2 + [f"B{number}" for number in range(12)] + ["A2"]
    write_table(tmp_path, rows, well=wells, antibody="", plate="P1")
    return tmp_path


def test_without_images_wells_are_kept_together(unpictured, capsys):
    assert run(unpictured, "--n-splits", "4") == 0
    printed = capsys.readouterr()
    assert "groups kept together: well, antibody" in printed.out
    assert "no images searched" in printed.out
    assert "the largest (f00) with 6" in printed.out
    assert "warning: cluster f00 contains 29% of the fields" in printed.err
    # Labels 0 to 2 live in many wells; the other 25 in none.
    assert (
        "warning: labels without positives, missing from all folds: Nucleoli fibrillar"
        in printed.err
    )
    assert "missing from some folds" not in printed.err
    assert outputs(unpictured) == [
        "clusters.csv", "disagreements.csv", "folds.csv", "folds.json", "leaks.csv", "pairs.csv"
    ]  # fmt: skip
    # Every third field carries another label, so that the wells disagree.
    table = read(unpictured, "disagreements.csv")
    assert table["cluster"].unique().tolist() == ["f00", "f06"]
    assert table.loc[table["cluster"] == "f00", "n_same"].tolist() == ["2"] * 6
    fold = read(unpictured, "folds.csv").set_index("image_id")["fold"]
    assert fold[:6].nunique() == 1
    clusters = read(unpictured, "clusters.csv").set_index("image_id")["cluster"]
    assert clusters["x0"] == "f06"


def test_a_giant_is_named_with_what_holds_it_together(unpictured, capsys):
    known = unpictured / "known.txt"
    known.write_text("f03,f07\nf00,f01\n")
    assert run(unpictured, "--pairs", str(known)) == 0
    lines = capsys.readouterr().err.splitlines()
    start = lines.index("warning: cluster f00 contains 43% of the fields; its weakest links:")
    assert lines[start + 1 : start + 4] == [
        "  well A1: without it, 5 fields are split off",
        "  pair f03 f07 (strength 1.00): without it, 3 fields are split off",
        "  well A2: without it, 2 fields are split off",
    ]


def test_an_embedding_joins_what_it_takes_for_the_same(unpictured, capsys):
    rng = np.random.default_rng(0)
    ids = [*(f"f{number:02d}" for number in range(20)), "x0"]
    values = rng.normal(size=(21, 16))
    values[20] = values[19]
    place = unpictured / "features" / "net.h5"
    place.parent.mkdir()
    header = {"content": "features", "columns": [f"net__{k}" for k in range(16)]}
    write_store(place, StoreHeader(kind="target_free", **header), ids, values)
    embedding = ("--group-by", "--set", "embedding=net")
    assert run(unpictured, *embedding) == 0
    pairs = read(unpictured, "pairs.csv")
    assert pairs[["image_id", "twin", "evidence", "cosine"]].values.tolist() == [
        ["f19", "x0", "embedding", "1.0"]
    ]
    assert read(unpictured, "leaks.csv")["twin"].tolist() == ["f19"]
    header = StoreHeader(kind="in_sample", **header)
    write_store(place, header, ids, values, overwrite=True)
    assert run(unpictured, *embedding, "--overwrite") == 2
    assert "made with labels" in capsys.readouterr().err


class TestBalance:
    def test_columns_are_spread_evenly(self, unpictured):
        table = read(unpictured, "catalogue.csv").assign(well="")
        table["cell_line"] = ["U-2 OS"] * 5 + ["HeLa"] * 5 + ["MCF7"] * 11
        table.to_csv(unpictured / "data" / "catalogue.csv", index=False)
        assert run(unpictured, "--balance", "cell_line=2", "--n-splits", "5") == 0
        fold = read(unpictured, "folds.csv").set_index("image_id")["fold"]
        lines = table.set_index("image_id")["cell_line"].loc[fold.index]
        counts = pd.crosstab(lines, fold)
        assert (counts.loc[["U-2 OS", "HeLa"]] == 1).all(axis=None)
        record = json.loads((unpictured / "data" / "folds.json").read_text())
        assert record["balance"] == {"cell_line": 2.0}

    def test_domains_can_be_balanced_and_kept_together(self, unpictured, capsys):
        assert run(unpictured, "--balance", "domain") == 2
        assert "domains.csv is missing; run: hpastack domains" in capsys.readouterr().err
        ids = read(unpictured, "catalogue.csv")["image_id"]
        place = unpictured / "data" / "domains.csv"
        domains = pd.DataFrame({"image_id": ids, "domain": [k // 2 for k in range(21)]})
        domains.to_csv(place, index=False)
        assert run(unpictured, "--group-by", "domain", "--balance", "well") == 0
        clusters = read(unpictured, "clusters.csv")["cluster"]
        assert clusters.tolist() == [ids[2 * (k // 2)] for k in range(21)]
        domains.iloc[:-1].to_csv(place, index=False)
        assert run(unpictured, "--group-by", "domain", "--overwrite") == 2
        assert "no domain for 1 field: x0" in capsys.readouterr().err

    def test_mistakes_are_named(self, unpictured, capsys):
        assert run(unpictured, "--balance", "slide") == 2
        assert "no column 'slide'" in capsys.readouterr().err
        with pytest.raises(SystemExit):
            run(unpictured, "--balance", "well=much")
        assert "'well=much' is not COLUMN" in capsys.readouterr().err
        assert run(unpictured, "--balance", "well=-1") == 2
        assert "well" in capsys.readouterr().err
        assert run(unpictured, "--balance", "well", "--folds", "x.csv") == 2
        assert "--balance has no effect" in capsys.readouterr().err
        assert run(unpictured, "--n-splits", "3", "--folds", "x.csv") == 2
        assert "--n-splits has no effect" in capsys.readouterr().err
        assert run(unpictured, "--balance", "well", "well=2") == 2
        assert "--balance: duplicate column" in capsys.readouterr().err
        assert run(unpictured, "--group-by", "well", "duplicates") == 2
        assert "put RECIPE before --group-by" in capsys.readouterr().err


def test_unknown_ids_of_listed_pairs_are_named(unpictured, capsys):
    known = unpictured / "known.txt"
    known.write_text("f00,zzz\nf01,zzz\nf02,f1000\n")
    assert run(unpictured, "--pairs", str(known)) == 0
    said = capsys.readouterr()
    assert "known.txt: 2 ids are not in the catalogue: zzz, f1000" in said.out
    assert "link fields that are (number of fields in brackets): zzz (2)" in said.err
    known.write_text("Id,Target\nf00,0\nf01,0\n")
    assert run(unpictured, "--pairs", str(known), "--overwrite") == 2
    assert "line 1 names columns (Id,Target)" in capsys.readouterr().err


def test_found_and_listed_pairs_are_one_and_outside_links_are_strong(workspace, capsys):
    known = workspace / "known.txt"
    known.write_text("tr02,tr11\ntr00,elsewhere,t0\ntr00,tr03,tr04\n")
    assert run(workspace, "--pairs", str(known), "--n-splits", "3") == 0
    pairs = read(workspace, "pairs.csv").set_index(["image_id", "twin"])
    assert pairs.loc[("tr02", "tr11"), "evidence"] == "shift+listed"
    assert pairs.loc[("tr00", "t0"), "evidence"] == "listed"
    assert "strength 0.00" not in capsys.readouterr().err


def test_what_an_earlier_run_left_does_not_stay(unpictured, monkeypatch, capsys):
    assert run(unpictured) == 0
    plot = unpictured / "reports" / "folds.png"
    assert plot.is_file()

    def without_matplotlib(report):
        raise InputError("the plot needs matplotlib")

    monkeypatch.setattr("hpastack.folds.FoldReport.plot", without_matplotlib)
    assert run(unpictured, "--n-splits", "2", "--overwrite") == 0
    assert "no plot of the folds: the plot needs matplotlib" in capsys.readouterr().out
    assert not plot.exists()


def test_disagreements_look_at_no_plates(unpictured):
    assert run(unpictured, "--group-by", "plate", "--n-splits", "2") == 2  # one plate holds all
    table = read(unpictured, "catalogue.csv")
    table["plate"] = [f"P{number // 5}" for number in range(21)]
    table.to_csv(unpictured / "data" / "catalogue.csv", index=False)
    assert run(unpictured, "--group-by", "plate", "--n-splits", "2") == 0
    assert read(unpictured, "disagreements.csv").empty


def test_group_by_names_the_columns(unpictured, capsys):
    assert run(unpictured, "--group-by") == 0
    assert "groups kept together: none" in capsys.readouterr().out
    assert run(unpictured, "--group-by", "slide", "--overwrite") == 2
    assert "no column 'slide'" in capsys.readouterr().err
    assert run(unpictured, "--group-by", "plate", "--overwrite") == 2
    assert "1 group cannot fill 5 folds" in capsys.readouterr().err


class TestImportedFolds:
    @pytest.fixture
    def theirs(self, unpictured):
        path = unpictured / "theirs.csv"
        lines = [f"f{number:02d},{number % 2}" for number in range(20)]
        path.write_text("\n".join(["Id,fold", *lines]))
        return path

    def test_refused_where_they_split_clusters(self, unpictured, theirs, capsys):
        assert run(unpictured, "--folds", str(theirs)) == 2
        assert "splits 2 clusters: f00, f06; make folds" in capsys.readouterr().err
        assert outputs(unpictured) == []

    def test_accepted_by_name_and_said_so(self, unpictured, theirs, capsys):
        assert run(unpictured, "--folds", str(theirs), "--accept-split-clusters") == 0
        printed = capsys.readouterr()
        assert "lies in folds" not in printed.out
        assert "splits 2 clusters of 8 fields (data/split_clusters.csv)" in printed.err
        assert "scores on these folds are too optimistic" in printed.err
        table = read(unpictured, "split_clusters.csv")
        assert table.values.tolist() == [["f00", "6", "0 1"], ["f06", "2", "0 1"]]
        assert run(unpictured, "--overwrite") == 0
        assert "split_clusters.csv" not in outputs(unpictured)
        assert (
            run(unpictured, "--folds", str(theirs), "--accept-split-clusters", "--overwrite") == 0
        )
        plan = read_fold_plan(unpictured / "data" / "folds.csv")
        assert plan.frame["fold"].tolist() == [0, 1] * 10
        assert plan.split_clusters["cluster"].tolist() == ["f00", "f06"]
        record = json.loads((unpictured / "data" / "folds.json").read_text())
        assert record["imported_from"] == str(theirs)
        assert record["n_split_clusters"] == 2

    def test_taken_where_they_split_nothing(self, unpictured, theirs):
        assert run(unpictured, "--folds", str(theirs), "--group-by") == 0
        assert read_fold_plan(unpictured / "data" / "folds.csv").record["n_split_clusters"] == 0

    def test_a_table_of_other_fields_is_refused(self, unpictured, theirs, capsys):
        theirs.write_text(theirs.read_text() + "\nx0,1\n")
        assert run(unpictured, "--folds", str(theirs)) == 2
        assert "not training fields of the catalogue: x0" in capsys.readouterr().err

    @pytest.mark.slow
    def test_real_folds_split_real_duplicates(self, tmp_path, real_data, capsys):
        labels = pd.read_csv(real_data / "labels" / "train.csv", dtype=str)
        write_table(tmp_path, [(i, "train", t) for i, t in labels.itertuples(index=False)])
        folds = str(real_data / "cnn_oof" / "folds.csv")
        known = str(real_data / "duplicates" / "omallo_train_duplicates.txt")
        assert run(tmp_path, "--folds", folds, "--pairs", known) == 2
        # 87 of the 104 lists have members in two folds.
        assert "splits 87 clusters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n-splits", "1"], "n_splits is 1"),
        (["--n-splits", "21"], "20 groups cannot fill 21 folds"),
        (["--pairs", "missing.txt"], "missing.txt: No such file"),
        (["--pairs", "strangers.txt"], "strangers.txt: none of the ids is in the catalogue"),
        (["--folds", "missing.csv"], "missing.csv: No such file"),
        (["--accept-split-clusters"], "needs --folds CSV"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(unpictured, capsys, monkeypatch, options, message):
    monkeypatch.chdir(unpictured)
    (unpictured / "strangers.txt").write_text("p,q\n")
    assert run(unpictured, "--group-by", *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert outputs(unpictured) == []


def test_existing_output_is_refused_before_any_work(unpictured, capsys, monkeypatch):
    assert run(unpictured) == 0
    monkeypatch.setattr("hpastack.workspace.read_catalogue", None)
    assert run(unpictured) == 2
    assert "clusters.csv exists; pass overwrite=True" in capsys.readouterr().err


def test_needs_a_catalogue(tmp_path, capsys):
    assert run(tmp_path) == 2
    assert "catalogue.csv is missing; run: hpastack prepare" in capsys.readouterr().err


def test_missing_image_is_named(workspace, capsys):
    table = read(workspace, "catalogue.csv")
    table.loc[3, "blue"] = "nowhere_blue.png"
    table.to_csv(workspace / "data" / "catalogue.csv", index=False)
    assert run(workspace) == 2
    assert "nowhere_blue.png" in capsys.readouterr().err
