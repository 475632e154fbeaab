"""A stack of every library, and of what someone adds to a registry: fit, save, load, explain."""

import hashlib
import json
import shutil
from dataclasses import fields

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.boosting import LIBRARIES, TreeSettings
from hpastack.calibration import CALIBRATORS, POLICIES
from hpastack.errors import InputError
from hpastack.stack import StackClassifier, load_stack

N = 300


def draw(scale=1.0):
    rng = np.random.default_rng(0)
    y = (rng.random((N, 2)) < [0.4, 0.3]).astype(int)
    clue = y[:, 1] + 0.5 * rng.normal(size=N)
    clue[::29] = np.nan
    table = {f"net__{k}": expit(scale * (2 * y[:, k] - 1 + rng.normal(size=N))) for k in range(2)}
    ids = [f"field{k:03d}" for k in range(N)]
    return pd.DataFrame({**table, "clue": clue}, ids), pd.DataFrame(y, ids, ["a", "b"])


def stack(**options):
    quick = {"cnns": ["net"], "rounds": 12, "n_bootstrap": 0, "n_jobs": 1}
    return StackClassifier(**quick | options)


def check_round_trip(fitted, X, path):
    """Save and load a stack: it predicts and explains as before."""
    fitted.save(path)
    loaded = load_stack(path)
    probabilities = loaded.predict_proba(X)
    pd.testing.assert_frame_equal(probabilities, fitted.predict_proba(X))
    assert (loaded.predict(X) == fitted.predict(X)).all(axis=None)
    for label, parts in loaded.explain(X).items():
        pd.testing.assert_frame_equal(parts, fitted.explain(X)[label])
    return loaded


@pytest.mark.parametrize("names", [["catboost"], list(LIBRARIES)], ids="+".join)
def test_catboost_alone_and_beside_the_others(names, tmp_path):
    pytest.importorskip("catboost")
    X, y = draw()
    fitted = stack(boosters=names).fit(X, y)
    assert fitted.weights_[1] > 0
    loaded = check_round_trip(fitted, X, tmp_path / "stack")
    assert loaded.explain(X)["b"]["clue"].abs().mean() > 0.1
    files = sorted((tmp_path / "stack" / "boosters").glob("catboost_*.cbm"))
    assert files
    manifest = json.loads((tmp_path / "stack" / "stack.json").read_text())
    assert manifest["made_with"]["catboost"]
    again = stack(boosters=names, n_jobs=2).fit(X, y)
    again.save(tmp_path / "again")
    for file in files:
        assert (tmp_path / "again" / "boosters" / file.name).read_bytes() == file.read_bytes()


def test_the_pooled_member_is_kept_once_for_all_labels(tmp_path):
    X, y = draw()
    fitted = stack(boosters=["pooled", "linear"], bags=2, repeats=2, n_splits=3).fit(X, y)
    assert all((one.meta_learner.weights[0] > 0).any() for one in fitted.fitted_)
    check_round_trip(fitted, X, tmp_path / "stack")
    files = {file.name for file in (tmp_path / "stack" / "boosters").glob("pooled_*")}
    assert files == {
        f"pooled_set{number}_fold{fold}_all_bag{bag}.txt"
        for number in range(2) for fold in range(3) for bag in range(2)
    }  # fmt: skip
    assert fitted.boosted_labels() == [0, 1]
    # A model of all labels is none of a single one, nor the other way round.
    manifest = json.loads((tmp_path / "stack" / "stack.json").read_text())
    for old, new, what in (
        ("pooled_set0_fold0_all_bag0.txt", "pooled_set0_fold0_label1_bag0.txt", "one"),
        ("linear_set0_fold0_label1_bag0.json", "linear_set0_fold0_all_bag0.json", "all labels"),
    ):
        path = tmp_path / what
        shutil.copytree(tmp_path / "stack", path)
        (path / "boosters" / old).rename(path / "boosters" / new)
        files = dict(manifest["files"])
        files[f"boosters/{new}"] = files.pop(f"boosters/{old}")
        (path / "stack.json").write_text(json.dumps(manifest | {"files": files}))
        with pytest.raises(InputError, match=f"{new.split('_')[0]} has a model of {what}"):
            load_stack(path)


@pytest.mark.parametrize("name", ["pooled", "forest"])
def test_a_member_of_all_labels_says_which_it_learned(name, tmp_path):
    X, y = draw()
    X["net__2"], y["c"] = 0.1, (np.arange(N) < 3).astype(int)
    fitted = stack(boosters=[name], n_splits=3).fit(X, y)
    # Whatever the guard makes of it, and not the label that is too rare.
    assert fitted.boosted_labels() == [0, 1]
    assert np.flatnonzero(fitted.weights_).tolist() == [1]
    path = fitted.save(tmp_path / "stack")
    assert load_stack(path).boosted_labels() == [0, 1]
    manifest = json.loads((path / "stack.json").read_text())
    manifest["sets"][0]["learned"] = [0, 7]
    (path / "stack.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"learned of set 0 has \[7\]"):
        load_stack(path)
    # An earlier stack says only what counts.
    del manifest["sets"][0]["learned"]
    (path / "stack.json").write_text(json.dumps(manifest))
    assert load_stack(path).boosted_labels() == [1]


def test_the_booster_of_all_labels_is_read_once_a_fold(monkeypatch):
    X, y = draw()
    X["other clue"] = y["a"] + 0.5 * np.random.default_rng(1).normal(size=N)
    fitted = stack(boosters=["pooled"], n_splits=3).fit(X, y)
    assert (fitted.weights_ > 0).all()
    read, booster = [], lightgbm.Booster

    def counted(*arguments, model_str=None, **options):
        read.append(model_str)
        return booster(*arguments, model_str=model_str, **options)

    monkeypatch.setattr(lightgbm, "Booster", counted)
    wanted = fitted.predict_proba(X)
    assert len(read) == 3 and len(set(read)) == 3
    # Threads share what was read.
    pd.testing.assert_frame_equal(fitted.set_params(n_jobs=2).predict_proba(X), wanted)


def test_the_forest_is_kept_once_for_all_labels_and_the_same_for_any_number_of_workers(tmp_path):
    X, y = draw()
    X, y = X[["clue"]].assign(noise=np.arange(N) % 7, constant=1.0), y.assign(c=0)
    options = {"cnns": [], "bags": 2, "n_splits": 3, "calibration": "none"}
    fitted = stack(boosters=["forest"], **options).fit(X, y)
    assert fitted.weights_[1] > 0 and fitted.weights_[2] == 0
    loaded = check_round_trip(fitted, X, tmp_path / "stack")
    assert loaded.boosters == loaded.members_ == ["forest"]
    files = sorted((tmp_path / "stack" / "boosters").iterdir())
    assert [file.name for file in files] == [
        f"forest_set0_fold{fold}_all_bag{bag}.forest" for fold in range(3) for bag in range(2)
    ]
    stack(boosters=["forest"], **options | {"n_jobs": 2}).fit(X, y).save(tmp_path / "again")
    for file in files:
        assert (tmp_path / "again" / "boosters" / file.name).read_bytes() == file.read_bytes()
    # Whoever damages a forest on purpose also writes its digest anew.
    file = files[0]
    file.write_bytes(file.read_bytes()[:-5])
    manifest = json.loads((tmp_path / "stack" / "stack.json").read_text())
    manifest["files"][f"boosters/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (tmp_path / "stack" / "stack.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=rf"{file.name}: not a forest"):
        load_stack(tmp_path / "stack")


def test_members_that_are_chosen_are_kept_by_name(tmp_path):
    X, y = draw()
    for cnns, names in (
        (["net"], ["lightgbm", "xgboost", "pooled", "linear"]),
        ([], ["lightgbm", "xgboost", "pooled", "linear", "forest"]),
    ):
        fitted = stack(cnns=cnns, n_splits=3).fit(X if cnns else X[["clue"]], y)
        assert fitted.boosters == "auto" and fitted.members_ == names
        path = fitted.save(tmp_path / f"stack{len(names)}")
        assert load_stack(path).boosters == load_stack(path).members_ == names


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_booster_that_is_none_is_named_when_the_stack_is_opened(name, tmp_path):
    pytest.importorskip(LIBRARIES[name].package)
    X, y = draw()
    path = stack(boosters=[name]).fit(X, y).save(tmp_path / "stack")
    file = next((path / "boosters").iterdir())
    # Whoever damages a booster on purpose also writes its digest anew.
    file.write_bytes(file.read_bytes()[:-50])
    manifest = json.loads((path / "stack.json").read_text())
    manifest["files"][f"boosters/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "stack.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=rf"{file.name}: not an? .*(booster|model)"):
        load_stack(path)


class Line:
    """A library whose one tree is a straight line through a column; its file is JSON."""

    package = "numpy"
    suffix = ".line"
    ignores = tuple(one.name for one in fields(TreeSettings))

    @staticmethod
    def stages(rounds, min_rounds):
        return [1]

    @staticmethod
    def bins(x, settings):
        return None

    @staticmethod
    def fit(x, y, margin, settings, *, seed, stages, at_stage, n_monotone, bins):
        return (np.nan_to_num(x).T @ (y - expit(margin)) / len(x)).tolist()

    @staticmethod
    def added(model, x, start, stop):
        return np.nan_to_num(x) @ np.array(model) if start == 0 else np.zeros(len(x))

    @staticmethod
    def to_bytes(model):
        return json.dumps(model).encode()

    @staticmethod
    def check(content):
        try:
            json.loads(content)
        except ValueError:
            raise InputError("no booster of lines") from None

    @staticmethod
    def predict(content, x):
        return Line.added(json.loads(content), x, 0, 1)

    @staticmethod
    def contributions(content, x):
        return np.column_stack([np.nan_to_num(x) * json.loads(content), np.zeros(len(x))])


def test_a_library_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setitem(LIBRARIES, "line", Line)
    X, y = draw()
    fitted = stack(boosters=["line", "pooled"]).fit(X, y)
    assert list(fitted.label_table_.filter(like="line_")) != []
    check_round_trip(fitted, X, tmp_path / "stack")
    assert list((tmp_path / "stack" / "boosters").glob("line_*.line"))
    monkeypatch.delitem(LIBRARIES, "line")
    with pytest.raises(InputError, match=r"not part of a stack: boosters/line_\S*line"):
        load_stack(tmp_path / "stack")


@pytest.mark.parametrize("method", CALIBRATORS)
def test_every_calibration_is_kept(method, tmp_path):
    check_calibrated(method, tmp_path / "stack")


def check_calibrated(method, path):
    """Check that labels are calibrated, and stay so; return the parameters of one."""
    X, y = draw(scale=0.1)  # a network far too unsure, so that calibration helps
    fitted = stack(boosters=[], calibration=method).fit(X, y)
    check_round_trip(fitted, X, path)
    kept = json.loads((path / "stack.json").read_text())["sets"][0]["calibration"]
    # With so few fields isotonic is Platt.
    used = [one for one in kept if one["method"] == method.replace("isotonic", "platt")]
    assert used
    return used[0]["parameters"]


class Doubled:
    """A calibration that is twice as sure."""

    n_parameters = 1

    @staticmethod
    def fit(logits, y, clusters):
        return (2.0,)

    @staticmethod
    def apply(parameters, logits):
        return parameters[0] * logits

    @staticmethod
    def check(parameters):
        if parameters[0] != 2:
            raise InputError("twice is two times")


def test_a_calibration_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setitem(CALIBRATORS, "doubled", Doubled)
    assert check_calibrated("doubled", tmp_path / "stack") == [2.0]


def test_a_policy_of_ones_own(monkeypatch, tmp_path):
    monkeypatch.setitem(POLICIES, "half", lambda search, labels: np.full(len(labels), 0.5))
    X, y = draw()
    fitted = stack(boosters=[], thresholds="half").fit(X, y)
    assert fitted.thresholds_.tolist() == [0.5, 0.5]
    check_round_trip(fitted, X, tmp_path / "stack")
