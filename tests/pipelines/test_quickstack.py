"""From files of predictions to a submission: the same as command by command, or every problem."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpastack.labels import Vocabulary
from hpastack.stack import load_stack, read_manifest
from hpastack.store import open_store
from pipelines import cluster, ingest, prepare, quickstack, report, stack
from pipelines._file_sets import read_file_sets

N_TRAIN, N_TEST, NAMES = 96, 24, "abc"
IDS = [f"f{number:03d}" for number in range(N_TRAIN + N_TEST)]
TRAIN, TEST = IDS[:N_TRAIN], IDS[N_TRAIN:]
FOLD = [number // 4 % 4 for number in range(N_TRAIN)]
QUICK = ["--set", "boosters=[lightgbm]", "--set", "rounds=5", "--set", "n_bootstrap=5"]
FILES = ["--labels", "train.csv", "--test", "sample_submission.csv", "--vocabulary", "names.txt"]
FOLDS = ["--folds", "folds.csv"]
TWO = ["--predictions", "r50=r50_oof.csv,r50_test.csv", "dn=dn_oof.csv,dn_test.csv"]


def truth():
    y = (np.random.default_rng(1).random((len(IDS), 3)) < [0.5, 0.4, 0.3]).astype(int)
    y[y.sum(axis=1) == 0, 0] = 1
    return y


def predictions(seed):
    noise = np.random.default_rng(seed).normal(0, 1.5, (len(IDS), 3))
    return pd.DataFrame(1 / (1 + np.exp(1.5 - 3 * truth() - noise)), IDS, range(3))


def write(table, path):
    table.rename_axis("Id").to_csv(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of two CNNs, in which commands run in this process."""
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("a\nb\nc\n")
    targets = Vocabulary(NAMES).targets(truth()[:N_TRAIN])
    wells = [f"w{number // 4}" for number in range(N_TRAIN)]
    train = pd.DataFrame({"Target": targets, "well": wells}, TRAIN)
    write(train, "train.csv")
    write(pd.DataFrame({"Predicted": "0"}, TEST), "sample_submission.csv")
    write(pd.DataFrame({"fold": FOLD}, TRAIN), "folds.csv")
    for seed, name in enumerate(("r50", "dn")):
        write(predictions(seed).loc[TRAIN], f"{name}_oof.csv")
        write(predictions(seed).loc[TEST], f"{name}_test.csv")

    def run_step(command, *words):
        assert importlib.import_module(f"pipelines.{command}").main(list(map(str, words))) == 0

    monkeypatch.setattr(quickstack, "run_step", run_step)
    return tmp_path


def run(*words, work="work"):
    return quickstack.main([*FILES, *words, *QUICK, "--jobs", "1", "--workspace", work])


def contents(place="."):
    return {path: path.read_bytes() for path in Path(place).rglob("*") if path.is_file()}


def problems_of(capsys, *words):
    """Return the problems of a run that must fail and leave everything as it was."""
    before = contents()
    assert run(*words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert contents() == before and not Path("work", ".quickstack").exists()
    assert "nothing was written to work" in errors[-1]
    return [line[2:] for line in errors[:-1] if line.startswith("- ")]


def test_the_submission_is_that_of_the_single_commands(folder, capsys):
    features = pd.DataFrame(np.random.default_rng(5).random((60, 2)), IDS[:60], ["area", "sum"])
    write(features, "cells.csv")
    words = ["--features", "cells.csv", "--allow-missing"]
    assert run(*FOLDS, *TWO, *words) == 0
    out = capsys.readouterr().out

    shared = ["--workspace", "hand"]
    assert prepare.main([*FILES, *shared]) == 0
    assert cluster.main(["--no-images", *FOLDS, *shared]) == 0
    for name in ("r50", "dn"):
        files = [f"{name}_oof.csv", f"{name}_test.csv"]
        of_store = ["--name", name, "--kind", "out_of_fold", *FOLDS]
        assert ingest.main([*files, *of_store, *shared]) == 0
    of_store = ["--name", "cells", "--kind", "target_free", "--content", "features"]
    assert ingest.main(["cells.csv", *of_store, "--allow-missing", *shared]) == 0
    assert stack.main([*QUICK, "--jobs", "1", *shared]) == 0
    assert report.main(["models/stack", *shared]) == 0
    capsys.readouterr()
    for path in Path("hand").rglob("*"):
        compared = path.parent.name in ("data", "features", "submissions")
        if path.is_file() and compared and path.suffix != ".json":
            assert Path("work", *path.parts[1:]).read_bytes() == path.read_bytes(), path

    scores = load_stack("work/models/stack").cv_results_
    assert f"macro F1  {scores['macro_f1']:.4f} [" in out
    assert f"macro AP  {scores['macro_ap']:.4f} [" in out
    consensus = scores["macro_f1"] - scores["gain_macro_f1"]
    assert f"consensus {consensus:.4f}, difference {scores['gain_macro_f1']:+.4f} [" in out
    for made in ("work/submissions/stack.csv (24 fields)", "work/reports/stack.html"):
        assert made in out
    assert "ingest r50_oof.csv r50_test.csv --name r50 --kind out_of_fold --folds folds.csv" in out


def test_a_second_run_makes_only_what_is_missing_or_out_of_date(folder, capsys, monkeypatch):
    one = [*FOLDS, "--no-report", "--predictions", "r50=r50_oof.csv,r50_test.csv"]

    def stopped(command, *words):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(quickstack, "run_step", stopped)
        assert run(*one) == 130
    stored = contents("work")
    assert Path("work/features/r50.h5") in stored
    assert run(*one) == 0
    made = contents("work")
    assert {path: made[path] for path in stored} == stored
    out = capsys.readouterr().out
    assert "up to date: work/data/catalogue.csv" in out
    assert "up to date: work/features/r50.h5" in out
    assert "up to date: work/models" not in out

    modified = {path: path.stat().st_mtime_ns for path in made}
    assert run(*one) == 0
    assert "up to date: work/models/stack/" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in contents("work")} == modified

    (problem,) = problems_of(capsys, *FOLDS, "--no-report", *TWO)
    assert "models/stack" in problem and "--overwrite" in problem
    assert run(*FOLDS, "--no-report", *TWO, "--overwrite") == 0
    assert set(read_manifest("work/models/stack")["record"]["stores"]) == {"dn", "r50"}
    # Fewer again: the store that is left over is not used.
    assert run(*one, "--overwrite") == 0
    assert set(read_manifest("work/models/stack")["record"]["stores"]) == {"r50"}
    write(predictions(7).loc[TEST], "r50_test.csv")
    (first, second) = problems_of(capsys, *one)
    assert "work/features/r50.h5: made from other files" in first
    assert "models/stack" in second


def test_every_problem_is_listed_at_once_with_its_file(folder, capsys):
    bad = predictions(0)
    write(bad.loc[TRAIN[3:]].rename({TRAIN[5]: "stranger"}), "lacking_oof.csv")
    write(pd.concat([bad.loc[TEST], bad.loc[TEST[:1]]]), "lacking_test.csv")
    write(bad.loc[TRAIN].drop(columns=2), "two_oof.csv")
    write(bad.loc[TEST], "two_test.csv")
    write(np.log(bad / (1 - bad)).loc[TRAIN], "mixed_oof.csv")
    write(bad.loc[TEST], "mixed_test.csv")
    write(bad.loc[TRAIN].astype(object).replace(bad.loc[TRAIN[0], 0], "much"), "words_oof.csv")
    write(bad.loc[TEST], "words_test.csv")
    np.save("array.npy", bad.to_numpy())
    sets = [f"{name}={name}_oof.csv,{name}_test.csv"
            for name in ("lacking", "two", "mixed", "words")]  # fmt: skip
    sets += ["alone=r50_oof.csv", "gone=r50_oof.csv,gone.csv", "array=array.npy"]
    sets += ["a__b=r50_oof.csv,r50_test.csv"]
    write(pd.DataFrame({"fold": [0, 1, 2, 3] * 24}, TRAIN), "folds.csv")
    problems = problems_of(capsys, *FOLDS, *TWO, *sets, "dn=x.csv", "--options", "r5='--x'")
    expected = {
        "lacking: lacking_oof.csv: 1 id is neither in train.csv nor in sample_submission.csv: "
        "stranger": "remove these rows",
        "lacking: lacking_oof.csv, lacking_test.csv: 4 of 96 training fields of train.csv missing: "
        "f000, f001, f002, f005": "add their rows",
        "lacking: lacking_test.csv: duplicate ids: f096": "",
        "two: two_oof.csv has no column for label 2": "",
        "mixed: mixed_oof.csv has values below 0": "and mixed_test.csv only values from 0 to 1",
        "words: words_oof.csv: 'much' in column '0' of field f000": "",
        "alone: no test field of sample_submission.csv is in r50_oof.csv": "NAME=FILE,FILE",
        "gone: gone.csv: no such file": "",
        "array: array.npy has no ids": "--rows-in-order",
        "a__b: ": "",
        "dn: the name is used twice": "NAME=FILE,FILE",
        "--options r5": "r50",
        "folds.csv: splits 24 clusters": "--accept-split-clusters",
    }
    for start, remedy in expected.items():
        (problem,) = (text for text in problems if text.startswith(start))
        assert remedy in problem
    assert len(problems) == len(expected)


def test_leaks_and_copies_are_found_in_files_that_are_well_formed(folder, capsys):
    equal = 0.1 + 0.8 * pd.DataFrame(truth(), IDS, range(3))
    write(equal.loc[TRAIN], "leak_oof.csv")
    shutil.copy("r50_test.csv", "leak_test.csv")
    shutil.copy("dn_oof.csv", "copy_oof.csv")
    shutil.copy("dn_test.csv", "copy_test.csv")
    sets = ["leak=leak_oof.csv,leak_test.csv", "copy=copy_oof.csv,copy_test.csv"]
    copied, leaked = problems_of(capsys, *FOLDS, *TWO, *sets)
    assert copied.startswith("copy: the same values as dn")
    assert leaked.startswith("leak: leak_oof.csv, leak_test.csv: the values of training fields")
    assert run(*FOLDS, *TWO, *sets, "--on-error", "skip", "--no-report") == 3
    assert "skipped: leak: " in capsys.readouterr().err
    assert set(read_manifest("work/models/stack")["record"]["stores"]) == {"dn", "r50"}
    assert sorted(path.name for path in Path("work/features").iterdir()) == ["dn.h5", "r50.h5"]


def test_unknown_folds_are_accepted_by_name_only(folder, capsys):
    (problem,) = problems_of(capsys, *TWO)
    assert problem.startswith("r50, dn: the folds of these predictions are unknown")
    assert "--folds CSV" in problem and "--accept-unknown-folds" in problem
    assert run(*TWO, "--accept-unknown-folds", "--no-report") == 0
    record = read_manifest("work/models/stack")["record"]
    assert record["recipe"]["accept_fold_plans"] == ["r50", "dn"]
    noted = [text for text in record["notes"] if "accepted" in text]
    assert all(any(name in text for text in noted) for name in ("r50", "dn"))
    out = capsys.readouterr().out
    assert all(text in out for text in noted)


def test_folds_are_taken_from_a_column_of_the_out_of_fold_tables(folder, capsys):
    for name in ("r50", "dn"):
        table = pd.read_csv(f"{name}_oof.csv", index_col="Id", dtype={"Id": str})
        write(table.assign(Fold=FOLD), f"{name}_oof.csv")
    assert run(*TWO, "--check-only") == 0
    assert "2 sets without problems; nothing was written" in capsys.readouterr().out
    assert not Path("work").exists()
    assert run(*TWO, "--no-report") == 0
    with open_store("work/features/dn.h5") as store:
        assert list(store.fold) == [*FOLD, *[-1] * N_TEST]
        assert store.columns == ["dn__0", "dn__1", "dn__2"]
    write(table.assign(Fold=FOLD[::-1]), "dn_oof.csv")
    (problem,) = problems_of(capsys, *TWO, "--overwrite")
    assert "dn: the column 'Fold' of dn_oof.csv has other folds than r50_oof.csv" in problem
    (problem,) = problems_of(capsys, *TWO, *FOLDS, "--overwrite")
    assert "has other folds than folds.csv for" in problem


def test_files_of_other_kinds(folder, capsys):
    values = predictions(3)
    # Rows in the order of the tables of ids, one table for each model of the folds, logits.
    np.save("inception_oof.npy", np.log(values / (1 - values)).loc[TRAIN].to_numpy())
    for fold in range(4):
        of_fold = np.log(values / (1 - values)).loc[TEST] + fold
        np.savez(f"inception_test_fold{fold}.npz", pred=of_fold.to_numpy())
    files = ["inception_oof.npy", *(f"inception_test_fold{fold}.npz" for fold in range(4))]
    words = [*FOLDS, "--predictions", *files, "r50_oof.csv", "r50_test.csv"]
    problems = problems_of(capsys, *words)
    assert len(problems) == 5 and all("--rows-in-order" in problem for problem in problems)
    words += ["--rows-in-order"]
    (problem,) = (p for p in problems_of(capsys, *words) if "inception_oof.npy" in p)
    assert "is not a probability" in problem
    words += ["--options", "inception=--content logits"]
    assert run(*words, "--no-report") == 0
    with open_store("work/features/inception.h5") as store:
        assert (store.content, store.n_members) == ("logits", 4)
        frame = store.to_frame(TRAIN)
        np.testing.assert_allclose(frame, np.log(values / (1 - values)).loc[TRAIN], rtol=1e-5)

    # A store of another workspace.
    again = [*FOLDS, "--predictions", "work/features/inception.h5", "r50=r50_oof.csv,r50_test.csv"]
    assert run(*again, "--no-report", work="other") == 0
    of_both = [f"{work}/features/inception.h5" for work in ("work", "other")]
    first, second = (Path(path).read_bytes() for path in of_both)
    assert first == second
    assert contents("work/submissions").values() != {} and (
        list(contents("work/submissions").values()) == list(contents("other/submissions").values())
    )


def test_missing_files_are_problems_beside_those_of_the_others(folder, capsys):
    words = ["--folds", "f.csv", "--groups", "g.csv", "--pairs", "p.txt", "--predictions"]
    problems = problems_of(capsys, *words, "r50=r50_oof.csv,r50_test.csv", "dn=dn_oof.csv")
    missing = [f"{name}: there is no such file" for name in ("f.csv", "g.csv", "p.txt")]
    assert problems[:3] == missing
    assert len(problems) == 4 and problems[3].startswith("dn: no test field")
    Path("names.txt").unlink()
    assert problems_of(capsys, *FOLDS, *TWO) == ["names.txt: there is no such file"]


def test_a_folder_within_the_workspace_holds_predictions(folder, capsys, monkeypatch):
    Path("files").mkdir()
    for path in Path().glob("*_*.csv"):
        if path.name != "sample_submission.csv":
            path.rename(Path("files", path.name))
    assert run(*FOLDS, "--predictions", "files", "--no-report", work=".") == 0
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name, *others: None if name == "jinja2" else found(name, *others),
    )  # fmt: skip
    assert run(*FOLDS, "--predictions", ".", work=".") == 0
    out = capsys.readouterr().out
    assert "up to date: models/stack/" in out
    assert "no report: it needs the extra report; run: pip install 'hpastack[report]'" in out
    assert not Path(".quickstack").exists()


def test_groups_that_nothing_would_keep_together_are_a_problem(folder, capsys):
    write(pd.DataFrame({"patient": [f"p{number // 8}" for number in range(96)]}, TRAIN), "who.csv")
    write(pd.read_csv("train.csv", index_col="Id").drop(columns="well"), "train.csv")
    words = [*TWO, "--accept-unknown-folds", "--no-report", "--groups", "who.csv"]
    (problem,) = problems_of(capsys, *words)
    assert "who.csv: no column is named well or antibody" in problem and "patient" in problem
    assert run(*words, "--group-by", "patient") == 0
    fold_plan = pd.read_csv("work/data/folds.csv", index_col="image_id")
    patients = pd.read_csv("who.csv", index_col="Id")["patient"]
    assert (fold_plan["fold"].groupby(patients).nunique() == 1).all()


@pytest.mark.parametrize(
    "names, expected",
    [
        (["resnet50_oof.csv", "resnet50_test.npz"], {"resnet50"}),
        (["oof-ResNet-50.csv", "test_resnet50.parquet"], {"ResNet_50"}),
        (["dn/oof.csv", "dn/test.csv", "r50/oof.csv.gz"], {"dn", "r50"}),
        (["cnn_oof/v1.2.csv", "cnn_test/v1.2.npz"], {"v1_2"}),
        (["net_train_preds.csv", "net_valid.csv", "net_test_fold_0.csv"], {"net"}),
        (["profile.csv", "notes.txt", ".hidden.csv", "testarossa.csv"], {"profile", "testarossa"}),
    ],
)
def test_files_of_a_folder_are_paired_by_their_names(names, expected, tmp_path):
    for name in [*names, "train.csv", "work/features/old.h5"]:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).touch()
    place = tmp_path / "files"
    apart = [place / "train.csv"]
    workspace = place / "work"
    sets, problems = read_file_sets(
        [str(place)], is_features=False, apart=apart, made=[workspace / "features"]
    )
    assert {file_set.name for file_set in sets} == expected
    n_read = sum(not Path(name).name.startswith((".", "notes")) for name in names)
    assert sum(len(file_set.files) for file_set in sets) == n_read
    assert problems == []
