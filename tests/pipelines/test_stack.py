"""From tables made elsewhere to a submission: ingest, stack, predict, run, and every refusal."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from hpastack.labels import HPA_2018
from hpastack.metrics import macro_f1
from hpastack.stack import load_stack, read_manifest
from hpastack.store import open_store
from pipelines import cluster, ingest, predict, prepare, report, run, stack, view

N_TRAIN, N_TEST = 240, 30


def fill(root):
    """Write the tables of a small competition whose labels 0 to 3 occur."""
    rng = np.random.default_rng(0)
    n = N_TRAIN + N_TEST
    y = np.zeros((n, 28), dtype=int)
    y[:, :4] = rng.random((n, 4)) < [0.5, 0.3, 0.3, 0.2]
    y[y.sum(axis=1) == 0, 0] = 1
    ids = [f"id{i:03d}" for i in rng.permutation(n)]
    targets = HPA_2018.targets(y)
    probabilities = np.clip(0.4 * y + 0.6 * rng.random(y.shape), 0, 1)
    table = pd.DataFrame(probabilities, ids, [str(k) for k in range(28)]).rename_axis("Id")
    table.iloc[:N_TRAIN].to_csv(root / "oof.csv")
    table.iloc[N_TRAIN:].to_csv(root / "test.csv")
    train = pd.DataFrame({"Id": ids[:N_TRAIN], "Target": targets[:N_TRAIN]})
    train.to_csv(root / "train.csv", index=False)
    sample = pd.DataFrame({"Id": ids[N_TRAIN:], "Predicted": "0"})
    sample.to_csv(root / "sample_submission.csv", index=False)
    return ids


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("template")
    fill(root)
    shared = ["--workspace", str(root)]
    assert prepare.main(["--labels", str(root / "train.csv"),
                         "--test", str(root / "sample_submission.csv"), *shared]) == 0  # fmt: skip
    assert cluster.main(["--no-images", *shared]) == 0
    plan = pd.read_csv(root / "data" / "folds.csv")[["image_id", "fold"]]
    plan.to_csv(root / "my_folds.csv", index=False)
    tables = [str(root / "oof.csv"), str(root / "test.csv")]
    assert ingest.main([*tables, "--name", "net", "--kind", "out_of_fold",
                        "--folds", str(root / "my_folds.csv"), *shared]) == 0  # fmt: skip
    return root


@pytest.fixture
def workspace(template, tmp_path):
    import shutil

    root = tmp_path / "work"
    shutil.copytree(template, root)
    return root


def call(command, workspace, *arguments):
    return command.main([*map(str, arguments), "--workspace", str(workspace)])


QUICK = ("--set", "n_bootstrap=5", "--set", "rounds=20", "--jobs", "1")


def one_line(capsys, *words):
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert ": error: " in error
    for word in words:
        assert word in error
    return error


def test_from_predictions_to_a_submission(workspace, capsys):
    assert call(stack, workspace, *QUICK) == 0
    said = capsys.readouterr().out
    assert "macro F1:" in said and "submissions" in said.splitlines()[-1]
    lines = (workspace / "submissions" / "stack.csv").read_text().splitlines()
    sample = pd.read_csv(workspace / "sample_submission.csv")
    assert lines[0] == "Id,Predicted"
    assert [line.split(",")[0] for line in lines[1:]] == list(sample["Id"])
    for line in lines[1:]:
        labels = [int(word) for word in line.split(",")[1].split()]
        assert labels == sorted(set(labels))
    fitted = load_stack(workspace / "models" / "stack")
    assert fitted.cv_results_["macro_f1"] > 0.1  # four of the 28 labels occur
    with open_store(workspace / "models" / "stack" / "out_of_fold.h5") as store:
        assert store.kind == "out_of_fold"

    first = (workspace / "submissions" / "stack.csv").read_bytes()
    assert call(predict, workspace, "models/stack", "--name", "again") == 0
    assert (workspace / "submissions" / "again.csv").read_bytes() == first
    table = pd.read_csv(workspace / "submissions" / "again_probabilities.csv", index_col="Id")
    assert table.shape == (N_TEST, 28) and list(table.columns) == list(HPA_2018)

    assert call(report, workspace, "models/stack") == 0
    assert (workspace / "reports" / "stack.html").is_file()
    assert call(report, workspace, "models/stack") == 2


@pytest.mark.slow
def test_the_routes_give_the_same_bytes_whatever_the_workers(workspace):
    assert call(run, workspace, "--route", "fast", "--jobs", "2") == 0
    refitted = (workspace / "submissions" / "stack.csv").read_bytes()
    assert call(run, workspace, "--route", "ordinary", "--overwrite") == 0
    assert (workspace / "submissions" / "stack.csv").read_bytes() == refitted


def test_leaks_are_applied_when_asked_for_and_said_so(workspace, capsys):
    ids = pd.read_csv(workspace / "sample_submission.csv")["Id"]
    train = pd.read_csv(workspace / "train.csv", dtype=str).set_index("Id")["Target"]
    known = workspace / "known.txt"
    known.write_text(f"{ids[0]},{train.index[3]}\n{ids[5]},{train.index[7]}\n")
    # Labels that nothing predicts: what stands in the submission can only come from the twin.
    catalogue = pd.read_csv(workspace / "data" / "catalogue.csv", dtype=str, keep_default_na=False)
    catalogue.loc[catalogue["image_id"] == train.index[3], "target"] = "9 10"
    catalogue.to_csv(workspace / "data" / "catalogue.csv", index=False)
    assert call(cluster, workspace, "--no-images", "--pairs", known, "--overwrite") == 0
    accept = ("--accept", "net")
    assert call(stack, workspace, *QUICK, *accept) == 0
    plain = (workspace / "submissions" / "stack.csv").read_text().splitlines()
    capsys.readouterr()
    assert call(stack, workspace, *QUICK, *accept, "--apply-leaks", "--overwrite") == 0
    assert "note: --apply-leaks: 2 test fields of the submission" in capsys.readouterr().out
    leaked = (workspace / "submissions" / "stack.csv").read_text().splitlines()
    assert leaked[1] == f"{ids[0]},9 10"
    differing = {number for number, pair in enumerate(zip(plain, leaked)) if pair[0] != pair[1]}
    assert 1 in differing and differing <= {1, 6}
    assert call(report, workspace, "models/stack") == 0
    assert "--apply-leaks: 2 test fields" in (workspace / "reports" / "stack.html").read_text()

    assert call(stack, workspace, *QUICK, "--apply-leaks", "--no-submission", "--overwrite") == 2
    one_line(capsys, "omit --no-submission")
    (workspace / "data" / "leaks.csv").unlink()
    assert call(stack, workspace, *QUICK, *accept, "--apply-leaks", "--overwrite") == 2
    one_line(capsys, "leaks.csv is missing", "hpastack cluster")


def test_labels_corrected_after_the_folds_are_noticed(workspace, capsys):
    path = workspace / "data" / "catalogue.csv"
    catalogue = pd.read_csv(path, dtype=str, keep_default_na=False)
    catalogue.loc[0, "target"] = "27"
    catalogue.to_csv(path, index=False)
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "labels have changed", "--folds data/folds.csv")
    before = (workspace / "data" / "folds.csv").read_bytes()
    kept = ("--folds", workspace / "data" / "folds.csv", "--no-images", "--overwrite")
    assert call(cluster, workspace, *kept) == 0
    assert (workspace / "data" / "folds.csv").read_bytes() == before
    assert call(stack, workspace, *QUICK) == 0


def test_nothing_is_overwritten_unasked(workspace, capsys):
    (workspace / "submissions").mkdir()
    (workspace / "submissions" / "stack.csv").write_text("mine")
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "stack.csv", "--overwrite")
    assert (workspace / "submissions" / "stack.csv").read_text() == "mine"
    assert not (workspace / "models" / "stack").exists()


def again(workspace, name, *options, tables=("oof.csv", "test.csv")):
    paths = [workspace / table for table in tables]
    return call(ingest, workspace, *paths, "--name", name, *options)


def test_an_in_sample_store_is_refused(workspace, capsys):
    assert again(workspace, "cheat", "--kind", "in_sample") == 0
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "cheat.h5", "in-sample")
    assert call(stack, workspace, *QUICK, "--accept", "cheat") == 2
    assert not (workspace / "models" / "stack").exists()


def test_an_unknown_fold_plan_is_refused_unless_accepted(workspace, capsys):
    assert again(workspace, "vague", "--kind", "out_of_fold") == 0
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "vague.h5", "fold plan is unknown")
    assert call(stack, workspace, *QUICK, "--accept", "vague") == 0
    assert "note: vague: out of fold by an unknown plan" in capsys.readouterr().out
    assert call(report, workspace, "models/stack") == 0
    assert "unknown plan" in (workspace / "reports" / "stack.html").read_text()


def test_a_fold_plan_that_splits_clusters_is_refused_unless_accepted(workspace, capsys):
    plan = pd.read_csv(workspace / "data" / "folds.csv")
    (workspace / "twins.txt").write_text(",".join(plan.groupby("fold")["image_id"].first()) + "\n")
    assert call(cluster, workspace, "--no-images", "--pairs", workspace / "twins.txt",
                "--overwrite") == 0  # fmt: skip
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "net.h5", "(1 cluster, such as that of ", "fold plan splits clusters")
    assert call(stack, workspace, *QUICK, "--set", "accept_fold_plans=[net]") == 0
    assert "splits 1 cluster (5 fields), accepted" in capsys.readouterr().out
    submission = (workspace / "submissions" / "stack.csv").read_bytes()
    # The same by the shortest way, in one command.
    fast = ("--route", "fast", "--accept", "all", "--overwrite", "--jobs", "1",
            "--set", "n_bootstrap=5", "--set", "rounds=20")  # fmt: skip
    assert call(run, workspace, *fast) == 0
    assert (workspace / "submissions" / "stack.csv").read_bytes() == submission
    kept = json.loads((workspace / "models" / "stack" / "stack.json").read_text())
    assert kept["record"]["recipe"]["accept_fold_plans"] == ["all"]
    for option in ("--accept=net", "--set=rounds=20"):
        assert call(run, workspace, "--route", "ordinary", "--overwrite", option) == 2
        one_line(capsys, option.partition("=")[0], "which fits no stack")


def test_a_second_submission_needs_no_second_recipe(workspace, capsys):
    assert call(stack, workspace, *QUICK) == 0
    first = (workspace / "submissions" / "stack.csv").read_bytes()
    other = ("--name", "plain", "--set", "boosters=[]", "--set", "thresholds=global")
    assert call(stack, workspace, *QUICK, *other) == 0
    assert (workspace / "submissions" / "stack.csv").read_bytes() == first
    assert (workspace / "submissions" / "plain.csv").read_bytes() != first
    assert load_stack(workspace / "models" / "plain").boosters == []
    capsys.readouterr()
    assert call(stack, workspace, *QUICK, *other) == 2
    one_line(capsys, "plain", "--overwrite")
    assert call(stack, workspace, "stack", "stack_global", "--name", "two") == 2
    one_line(capsys, "--name needs a single recipe")


def test_an_accepted_store_need_not_be_used(workspace, capsys):
    assert again(workspace, "vague", "--kind", "out_of_fold") == 0
    only_net = ("--set", "cnns=[net]")
    capsys.readouterr()
    assert call(stack, workspace, *QUICK, *only_net, "--accept", "vague") == 0
    assert "vague" not in capsys.readouterr().out


def test_folds_that_split_clusters_are_used_once_they_are_accepted(workspace, capsys):
    plan = pd.read_csv(workspace / "data" / "folds.csv")
    twins = plan.groupby("fold")["image_id"].first()
    (workspace / "twins.txt").write_text(",".join(twins) + "\n")
    theirs = ("--no-images", "--pairs", workspace / "twins.txt", "--overwrite",
              "--folds", workspace / "my_folds.csv")  # fmt: skip
    assert call(cluster, workspace, *theirs) == 2
    one_line(capsys, "splits 1 cluster", "--accept-split-clusters")
    assert call(cluster, workspace, *theirs, "--accept-split-clusters") == 0
    table = pd.read_csv(workspace / "data" / "split_clusters.csv")
    assert table[["n_fields", "folds"]].values.tolist() == [[5, "0 1 2 3 4"]]
    assert call(stack, workspace, *QUICK) == 0
    note = "the folds split 1 cluster (5 fields), accepted by --accept-split-clusters"
    assert f"note: {note}" in capsys.readouterr().out
    assert call(report, workspace, "models/stack") == 0
    assert note in (workspace / "reports" / "stack.html").read_text()
    fitted = load_stack(workspace / "models" / "stack")
    plan = pd.read_csv(workspace / "data" / "folds.csv", index_col="image_id")["fold"]
    assert (plan[fitted.oof_probabilities_.index].to_numpy() == fitted.fold_).all()

    # Without the record nobody has accepted them.
    (workspace / "data" / "folds.json").unlink()
    assert call(stack, workspace, *QUICK, "--overwrite", "--accept", "all") == 2
    one_line(capsys, "folds.csv splits 1 cluster", "--accept-split-clusters --overwrite")


def test_a_store_that_does_not_cover_the_catalogue_is_refused(workspace, capsys):
    assert again(workspace, "half", "--kind", "target_free", tables=["oof.csv"]) == 0
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "half.h5", f"lacks {N_TEST} of {N_TRAIN + N_TEST} fields")
    assert call(stack, workspace, *QUICK, "--no-submission") == 0
    assert not (workspace / "submissions").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--set", "round=3"], ["unknown key 'round'", "'rounds'"]),
        (["nothing"], ["unknown recipe nothing"]),
        (["--set", "cnns=[other]"], ["other.h5", "no such store"]),
        (["--set", "rounds=many"], ["rounds is 'many'; it must be a whole number from 1 to 10000"]),
        (["--accept", "nobody"], ["nobody", "not a store"]),
    ],
)
def test_mistakes_are_one_line_and_status_2(workspace, capsys, arguments, words):
    assert call(stack, workspace, *QUICK, *arguments) == 2
    one_line(capsys, *words)
    assert not (workspace / "models" / "stack").exists()


def test_a_recipe_of_another_type_is_refused(workspace, capsys):
    assert call(stack, workspace, "cnn_small") == 2
    one_line(capsys, "is not a recipe of type stack")


def test_steps_that_come_first_are_named(tmp_path, capsys):
    assert call(stack, tmp_path) == 2
    one_line(capsys, "catalogue.csv is missing; run: hpastack prepare")
    assert call(predict, tmp_path, "models/stack") == 2
    one_line(capsys, "is not a stack")
    assert call(run, tmp_path, "--route", "fast") == 2


def test_a_path_that_cannot_be_written(workspace, capsys):
    (workspace / "models").write_text("a file where a folder should be")
    assert call(stack, workspace, *QUICK) == 2
    one_line(capsys, "models")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--kind", "target_free", "--name", "net"], ["net.h5 exists", "--overwrite"]),
        (["--kind", "target_free", "--name", "a/b"], ["plain name"]),
        (["--kind", "target_free", "--name", "x", "--folds", "f.csv"], ["--kind out_of_fold"]),
        (["--kind", "out_of_fold", "--name", "x", "--folds", "none.csv"], ["none.csv"]),
        (["--kind", "target_free", "--name", "x", "--ids", "ids.txt"], ["more files of ids"]),
    ],
)
def test_ingest_mistakes(workspace, capsys, arguments, words):
    before = sorted((workspace / "features").iterdir())
    assert call(ingest, workspace, workspace / "oof.csv", *arguments) == 2
    one_line(capsys, *words)
    assert sorted((workspace / "features").iterdir()) == before


def test_votes_and_features(workspace):
    votes = pd.DataFrame(np.arange(28 * N_TRAIN).reshape(N_TRAIN, 28) % 6)
    np.save(workspace / "votes.npy", votes)
    assert again(workspace, "votes", "--kind", "target_free", "--max", "5", "--ids",
                 workspace / "train.csv", tables=["votes.npy"]) == 0  # fmt: skip
    with open_store(workspace / "features" / "votes.h5") as store:
        assert store.values().max() == 1 and store.content == "probabilities"
    assert again(workspace, "stats", "--kind", "target_free", "--content", "features") == 0
    with open_store(workspace / "features" / "stats.h5") as store:
        assert store.columns[0] == "stats__0" and store.content == "features"
        assert len(store.image_ids) == N_TRAIN + N_TEST


def write_members(workspace, n_members=3):
    """Write tables whose mean is test.csv, rows of each in another order; return their names."""
    mean = pd.read_csv(workspace / "test.csv", index_col="Id")
    rng = np.random.default_rng(1)
    shifts = rng.uniform(-1, 1, (n_members, *mean.shape))
    room = np.minimum(mean, 1 - mean).to_numpy()  # so that all stay within 0 and 1
    shifts = room * (shifts - shifts.mean(axis=0)) / 2
    names = [f"fold{k}.csv" for k in range(n_members)]
    for name, shift in zip(names, shifts):
        (mean + shift).sample(frac=1, random_state=len(name)).to_csv(workspace / name)
    return names


def ingest_members(workspace, names, *options, tables=("oof.csv",), name="net"):
    members = [workspace / table for table in names]
    return again(workspace, name, "--kind", "out_of_fold", "--folds", workspace / "my_folds.csv",
                 "--members", *members, *options, tables=tables)  # fmt: skip


def test_members_are_kept_and_their_mean_stands_for_the_test_fields(workspace, capsys):
    names = write_members(workspace)
    with open_store(workspace / "features" / "net.h5") as store:
        before = store.to_frame()
        plan = store.fold_plan
    assert ingest_members(workspace, names, "--overwrite") == 0
    assert "3 members" in capsys.readouterr().out
    with open_store(workspace / "features" / "net.h5") as store:
        after, members, fold = store.to_frame(), store.members(), store.fold
        assert store.fold_plan == plan
    # Tables keep 16 digits or so, the store 7.
    pd.testing.assert_frame_equal(after.loc[before.index], before, atol=1e-6)
    test_ids = after.index[fold == -1]
    for name, of_member in zip(names, members, strict=True):
        table = pd.read_csv(workspace / name, index_col="Id").loc[test_ids]
        np.testing.assert_allclose(of_member, table, atol=1e-6)
    # As before, a stack is fitted and applied.
    assert call(stack, workspace, *QUICK) == 0
    assert call(predict, workspace, "models/stack", "--name", "again") == 0
    # One field is shown with the probabilities of its row, which are not those of the mean.
    table = pd.read_csv(workspace / "submissions" / "again_probabilities.csv", index_col="Id")
    of_mean = load_stack(workspace / "models" / "stack").predict_proba(after.loc[table.index])
    image_id = (table - of_mean.to_numpy()).abs().max(axis=1).idxmax()
    capsys.readouterr()
    assert call(view, workspace, image_id) == 0
    out = capsys.readouterr().out
    shown = dict(re.findall(r"^  (\S.*) (\d\.\d\d) \(threshold", out, flags=re.M))
    assert shown
    for name, value in shown.items():
        assert float(value) == pytest.approx(table.at[image_id, name], abs=0.006)


def test_member_tables_of_every_kind(workspace):
    names = write_members(workspace, 2)
    sets = pd.DataFrame({"Predicted": "0 1"}, pd.read_csv(workspace / "test.csv")["Id"])
    for name, predicted in zip(names, ("0 1", "1")):
        sets.assign(Predicted=predicted).to_csv(workspace / name)
    train = pd.read_csv(workspace / "train.csv")
    train.rename(columns={"Target": "Predicted"}).to_csv(workspace / "sets.csv", index=False)
    assert ingest_members(workspace, names, tables=["sets.csv"], name="sets") == 0
    with open_store(workspace / "features" / "sets.h5") as store:
        assert store.content == "label_sets" and store.n_members == 2
        assert store.values()[-1, :3].tolist() == [0.5, 1, 0]
    votes = np.arange(28 * N_TEST).reshape(N_TEST, 28) % 6
    np.save(workspace / "votes.npy", votes)
    np.save(workspace / "oof.npy", np.zeros((N_TRAIN, 28)))
    ids = ["--ids", workspace / "train.csv"] + ["--ids", workspace / "test.csv"] * 2
    assert ingest_members(workspace, ["votes.npy"] * 2, "--max", "5", *ids, tables=["oof.npy"],
                          name="votes") == 0  # fmt: skip
    with open_store(workspace / "features" / "votes.h5") as store:
        np.testing.assert_allclose(store.members()[1], votes / 5, atol=1e-6)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"tables": ["oof.csv", "test.csv"]}, ["fold0.csv", "30 ids are in the other tables"]),
        ({"names": ["fold0.csv", "oof.csv"]}, ["oof.csv", "240 training fields", "test fields"]),
        ({"names": ["fold0.csv", "part.csv"]}, ["part.csv lacks 1 field of", "fold0.csv"]),
        ({"names": ["part.csv"]}, ["lacks 1 of 30 test fields of the catalogue"]),
        (
            {"names": ["fold0.csv", "sets.csv"]},
            ["label_sets and probabilities", "the same type of values"],
        ),
        ({"options": ["--kind", "target_free"]}, ["--kind out_of_fold"]),
        ({"options": ["--content", "features"]}, ["not --content features"]),
        ({"options": ["--content", "scores"]}, ["not --content scores"]),
        ({"names": ["none.csv"]}, ["none.csv: no such file"]),
    ],
)
def test_mistakes_with_members(workspace, capsys, change, words):
    names = write_members(workspace, 2)
    table = pd.read_csv(workspace / "fold1.csv")
    table.iloc[1:].to_csv(workspace / "part.csv", index=False)
    table[["Id"]].assign(Predicted="3").to_csv(workspace / "sets.csv", index=False)
    before = sorted((workspace / "features").iterdir())
    assert ingest_members(workspace, change.get("names", names), *change.get("options", []),
                          tables=change.get("tables", ["oof.csv"]), name="x") == 2  # fmt: skip
    one_line(capsys, *words)
    assert sorted((workspace / "features").iterdir()) == before


def test_members_need_folds_and_a_catalogue(workspace, capsys):
    names = [workspace / name for name in write_members(workspace, 2)]
    wanted = ["--kind", "out_of_fold", "--members", *names]
    assert again(workspace, "x", *wanted, tables=["oof.csv"]) == 2
    one_line(capsys, "--members", "--folds")
    (workspace / "data" / "catalogue.csv").unlink()
    folds = ["--folds", workspace / "my_folds.csv"]
    assert again(workspace, "x", *wanted, *folds, tables=["oof.csv"]) == 2
    one_line(capsys, "--members needs a catalogue", "hpastack prepare")


def test_scores_are_brought_in_and_boosters_see_them(workspace):
    rng = np.random.default_rng(2)
    ids = [*pd.read_csv(workspace / "oof.csv")["Id"], *pd.read_csv(workspace / "test.csv")["Id"]]
    scores = pd.DataFrame(rng.normal(size=(len(ids), 28)) * 9, ids, range(28)).rename_axis("Id")
    scores.to_csv(workspace / "scores.csv")
    assert again(workspace, "near", "--kind", "target_free", "--content", "scores",
                 tables=["scores.csv"]) == 0  # fmt: skip
    with open_store(workspace / "features" / "near.h5") as store:
        assert store.content == "scores" and store.vocabulary == list(HPA_2018)
        assert store.columns[27] == "near__27" and not store.allow_nan
    assert call(stack, workspace, *QUICK) == 0
    assert load_stack(workspace / "models" / "stack").cnns == ["net"]


def test_stores_of_another_recipe_are_refused_by_predict(workspace, capsys):
    assert call(stack, workspace, *QUICK) == 0
    assert again(workspace, "net", "--kind", "target_free", "--content", "logits",
                 "--as-is", "--overwrite") == 0  # fmt: skip
    assert call(predict, workspace, "models/stack", "--overwrite") == 2
    # No route makes again what was brought in from elsewhere.
    one_line(capsys, "net.h5", "content is 'logits' in this store and 'probabilities' in that of",
             "hpastack ingest ... --name net")  # fmt: skip


def test_two_recipes_make_two_submissions_and_share_what_they_can(workspace, monkeypatch, capsys):
    monkeypatch.setattr("hpastack.parallel.progress._LINE_SECONDS", 0)
    (workspace / "models").mkdir(exist_ok=True)
    (workspace / "models" / "bold.yaml").write_text("type: stack\nthresholds: per-label\n")
    assert call(stack, workspace, "stack", "bold", *QUICK) == 0
    said = capsys.readouterr()
    assert "\nbold:" in said.out and "bold.csv" in said.out
    # The second takes over the boosters of the first.
    assert said.err.count("lightgbm, nested: 1 of ") == 1
    files = [workspace / "submissions" / f"{name}.csv" for name in ("stack", "bold")]
    assert files[0].read_bytes() != files[1].read_bytes()
    assert list(pd.read_csv(files[0])["Id"]) == list(pd.read_csv(files[1])["Id"])
    assert call(stack, workspace, "stack", "stack", *QUICK, "--overwrite") == 2
    one_line(capsys, "duplicate recipe stack")


def test_the_cache_changes_nothing(workspace):
    assert call(stack, workspace, *QUICK, "--no-cache") == 0
    assert not (workspace / "models" / ".cache").exists()
    first = (workspace / "submissions" / "stack.csv").read_bytes()
    for _ in range(2):
        assert call(stack, workspace, *QUICK, "--overwrite") == 0
        assert (workspace / "submissions" / "stack.csv").read_bytes() == first
    assert any((workspace / "models" / ".cache").iterdir())


def test_members_are_predicted_one_by_one(workspace, capsys):
    test = pd.read_csv(workspace / "test.csv", index_col="Id")
    tables = []
    for member in range(3):
        noise = np.random.default_rng(member).normal(scale=0.05, size=test.shape)
        tables.append((test + noise).clip(0, 1))
        tables[-1].to_csv(workspace / f"member{member}.csv")
    paths = [workspace / f"member{member}.csv" for member in range(3)]
    made = ("--kind", "out_of_fold", "--folds", workspace / "my_folds.csv", "--overwrite")
    table = workspace / "oof.csv"
    assert call(ingest, workspace, table, "--members", *paths, "--name", "net", *made) == 0
    assert call(stack, workspace, *QUICK) == 0
    assert "only the mean" not in capsys.readouterr().out
    assert call(predict, workspace, "models/stack", "--name", "again") == 0
    submissions = workspace / "submissions"
    assert (submissions / "again.csv").read_bytes() == (submissions / "stack.csv").read_bytes()

    fitted = load_stack(workspace / "models" / "stack")
    columns = [f"net__{k}" for k in range(28)]
    wanted = fitted.predict_proba([table.set_axis(columns, axis=1) for table in tables])
    one_by_one = [fitted.predict_proba(table.set_axis(columns, axis=1)) for table in tables]
    np.testing.assert_allclose(wanted, sum(one_by_one) / 3, atol=1e-12)
    found = pd.read_csv(submissions / "again_probabilities.csv", index_col="Id")
    np.testing.assert_allclose(found, wanted.loc[found.index], rtol=1e-4, atol=1e-6)


def test_a_store_of_means_is_said_to_be_one(workspace, capsys):
    assert call(stack, workspace, *QUICK) == 0
    assert "note: net: only the mean of the fold models" in capsys.readouterr().out


def test_prior_shift_changes_the_submission_and_is_noted(workspace, capsys):
    assert call(stack, workspace, *QUICK) == 0
    plain = (workspace / "submissions" / "stack.csv").read_text()
    shares = [0.95 if k == 1 else 0.02 for k in range(28)]
    table = pd.DataFrame({"label": range(28), "prevalence": shares})
    table.to_csv(workspace / "shares.csv", index=False)
    capsys.readouterr()
    shift = ("--set", "prior_shift=shares.csv")
    assert call(stack, workspace, *QUICK, *shift, "--overwrite") == 0
    assert "note: prior shift: prevalences of" in capsys.readouterr().out
    shifted = (workspace / "submissions" / "stack.csv").read_text()

    def n_given(text, label):
        return sum(str(label) in line.split(",")[1].split() for line in text.splitlines()[1:])

    assert n_given(shifted, 1) > n_given(plain, 1) and n_given(shifted, 0) < n_given(plain, 0)
    # predict does as the recipe of the stack says, unless told otherwise.
    assert call(predict, workspace, "models/stack", "--name", "again") == 0
    assert (workspace / "submissions" / "again.csv").read_text() == shifted
    without = ("--prior-shift", "none", "--name", "without")
    assert call(predict, workspace, "models/stack", *without) == 0
    assert (workspace / "submissions" / "without.csv").read_text() == plain
    assert call(stack, workspace, *QUICK, "--set", "prior_shift=em", "--overwrite") == 0

    assert call(stack, workspace, *QUICK, "--set", "prior_shift=eM", "--overwrite") == 2
    one_line(capsys, "'eM' is neither none nor em")


def test_every_field_gets_the_labels_asked_for(workspace):
    assert call(stack, workspace, *QUICK, "--set", "min_labels=2") == 0
    table = pd.read_csv(workspace / "submissions" / "stack.csv", dtype=str)
    assert (table["Predicted"].str.split().str.len() >= 2).all()


def test_a_feature_that_counts_rows_is_named_before_the_fit_and_in_the_report(workspace, capsys):
    catalogue = pd.read_csv(workspace / "data" / "catalogue.csv", dtype=str)
    table = catalogue[["image_id"]].assign(number=range(len(catalogue)), area=0.5)
    table["area"] += np.random.default_rng(0).normal(size=len(table))
    table.to_csv(workspace / "f.csv", index=False)
    target_free = ("--name", "f", "--kind", "target_free", "--content", "features")
    assert call(ingest, workspace, workspace / "f.csv", *target_free) == 2
    one_line(capsys, "'number' (increases or decreases from row to row)", "--drop, --keep")
    assert call(ingest, workspace, workspace / "f.csv", *target_free, "--keep", "number") == 0
    assert call(stack, workspace, *QUICK) == 0
    said = capsys.readouterr()
    warning = "f__number (1.000) predicts the order of the training fields almost perfectly"
    assert f"warning: {warning}" in said.err and f"note: {warning}" in said.out
    assert call(report, workspace, "models/stack") == 0
    assert warning in (workspace / "reports" / "stack.html").read_text()

    drop = ("--drop-columns", "f__number", "--overwrite")
    assert call(stack, workspace, *QUICK, *drop) == 0
    said = capsys.readouterr()
    assert "f__number" not in said.err + said.out
    assert list(load_stack(workspace / "models" / "stack").feature_names_in_)[-1] == "f__area"
    record = read_manifest(workspace / "models" / "stack")["record"]
    assert record["recipe"]["drop_columns"] == ["f__number"]
    assert call(predict, workspace, "models/stack", "--name", "again") == 0


def test_label_sets_of_training_fields_are_said_in_the_report(workspace, capsys):
    train = pd.read_csv(workspace / "oof.csv", index_col="Id")
    (train > 0.5).astype(int).to_csv(workspace / "oof_sets.csv")
    made = ("--name", "sets", "--kind", "out_of_fold", "--folds", workspace / "my_folds.csv")
    tables = (workspace / "oof_sets.csv", workspace / "test.csv")
    assert call(ingest, workspace, *tables, *made) == 0
    assert call(stack, workspace, *QUICK, "--set", "cnns=[sets]") == 0
    said = capsys.readouterr()
    assert "note: sets: label sets; each label stands for the largest values" in said.out
    assert "warning:" not in said.err
    assert call(report, workspace, "models/stack") == 0
    assert "sets: label sets; each label" in (workspace / "reports" / "stack.html").read_text()


def test_what_a_stack_needs_is_asked_for_before_any_work(workspace, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.stack.gather_stores", None)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "optuna", None)
        assert call(stack, workspace, "--tune", "3") == 2
        one_line(capsys, "tuning needs Optuna", "set tune=0 (on the command line: --tune)")
    assert call(cluster, workspace, "--no-images", "--n-splits", "2", "--overwrite") == 0
    assert "warning: only 2 folds; a stack needs at least three" in capsys.readouterr().err
    assert call(stack, workspace) == 2
    one_line(capsys, "folds.csv: 2 folds", "hpastack cluster --n-splits 5 --overwrite")


def test_scores_on_corrected_labels_stand_beside_those_on_the_original_ones(workspace, capsys):
    shared = ["--workspace", str(workspace)]
    train = pd.read_csv(workspace / "train.csv", dtype=str)
    changed = train.iloc[:40].assign(Target="3")
    changed.to_csv(workspace / "corrections.csv", index=False)
    n_changed = int((train["Target"].iloc[:40] != "3").sum())
    assert prepare.main(["--labels", str(workspace / "train.csv"),
                         "--test", str(workspace / "sample_submission.csv"),
                         "--corrections", str(workspace / "corrections.csv"), "--overwrite",
                         *shared]) == 0  # fmt: skip
    folds = ["--folds", str(workspace / "my_folds.csv")]
    assert cluster.main(["--no-images", *folds, "--overwrite", *shared]) == 0
    tables = [str(workspace / "oof.csv"), str(workspace / "test.csv")]
    assert ingest.main([*tables, "--name", "net", "--kind", "out_of_fold", *folds, "--overwrite",
                        *shared]) == 0  # fmt: skip
    few = ["--set", "rounds=5", "--set", "n_bootstrap=0", "--no-submission", "--overwrite"]
    assert stack.main([*few, *shared]) == 0
    note = next(
        line for line in capsys.readouterr().out.splitlines() if "fields were corrected" in line
    )
    assert f"labels of {n_changed} training fields" in note
    fitted = load_stack(workspace / "models" / "stack")
    y = HPA_2018.indicator(train["Target"])
    y = pd.DataFrame(y, train["Id"]).loc[fitted.oof_labels_.index].to_numpy()
    on_original = macro_f1(y, fitted.oof_labels_.to_numpy(), absent="skip")
    on_corrected = fitted.cv_results_["macro_f1"]
    assert f"on the corrected labels: macro F1 {on_corrected:.4f}" in note
    assert f"on the original ones: macro F1 {on_original:.4f}" in note
    assert f"{on_original:.4f}" != f"{on_corrected:.4f}"
    assert (
        note.removeprefix("note: ")
        in read_manifest(workspace / "models" / "stack")["record"]["notes"]
    )
