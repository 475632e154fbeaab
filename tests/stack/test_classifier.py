"""The stack: never worse than the consensus, honest, the same for any number of workers."""

import hashlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone

from hpastack.errors import InputError
from hpastack.stack import StackClassifier, StackSettings, load_stack
from hpastack.store import open_store

pytestmark = pytest.mark.core

N, LABELS = 600, 3


def draw(seed=0, n=N, wells=150):
    """Two networks that see two labels, and a feature that gives away the third."""
    rng = np.random.default_rng(seed)
    well = rng.integers(wells, size=n)
    y = (rng.random((wells, LABELS)) < [0.4, 0.2, 0.15]).astype(int)[well]
    ids = [f"field{i:04d}" for i in range(n)]
    table = {}
    for cnn, skill in (("good", 1.2), ("weak", 0.5)):
        logits = skill * (2 * y - 1) * [1, 1, 0] + rng.normal(size=y.shape) - 0.5
        for label in range(LABELS):
            table[f"{cnn}__{label}"] = expit(logits[:, label])
    table["clue"] = y[:, 2] + 0.5 * rng.normal(size=n)
    table["noise"] = rng.normal(size=n)
    X = pd.DataFrame(table, index=ids)
    return X, pd.DataFrame(y, ids, ["a", "b", "c"]), pd.Series(well, ids)


def quick(**options):
    return StackClassifier(**{"cnns": ["good", "weak"], "n_bootstrap": 20, "n_jobs": 1} | options)


@pytest.fixture(scope="module")
def fitted():
    X, y, well = draw()
    return quick().fit(X, y, groups=well)


def test_a_notebook_shows_scores_once_it_is_fitted(fitted):
    scores = fitted.cv_results_
    html = fitted._repr_html_()
    assert fitted._repr_mimebundle_()["text/html"].startswith("<div><strong>Fitted stack")
    for shown in (f"{scores['macro_f1']:.3f} (95 % interval", "good, weak", "by predictor"):
        assert shown in html
    # Below it, and before there is anything else, what scikit-learn shows of an estimator.
    for shown in (html, clone(fitted)._repr_html_()):
        assert "sk-top-container" in shown
    assert "Fitted stack" not in clone(fitted)._repr_html_()


def test_it_beats_the_consensus_where_a_feature_knows_more(fitted):
    table = fitted.label_table_
    assert table.loc["c", "stack_ap"] > table.loc["c", "consensus_ap"] + 0.3
    assert table.loc["c", "booster_weight"] > 0
    comparison = fitted.comparison_
    assert list(comparison.index) == [
        "good", "weak", "mean of CNNs", "consensus", "lightgbm", "xgboost", "pooled", "linear",
        "stack",
    ]  # fmt: skip
    assert comparison.loc["stack", "macro_f1"] > comparison.loc["consensus", "macro_f1"]


def chosen(manifest):
    """Which columns the labels see without fold 1."""
    return manifest["sets"][0]["chosen"][1]


def pairs(manifest):
    """What a manifest says of pairs of field and label without fold 1."""
    return manifest["sets"][0]["pairs"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("labels"), "is not a valid manifest of a stack"),
        (lambda m: m.update(sets=None), "is not a valid manifest of a stack"),
        (lambda m: m["sets"][0].update(thresholds=[0.5]), "thresholds of set 0 has"),
        (lambda m: m["sets"][0]["calibration"].pop(), "calibration of set 0 has 2, expected 3"),
        (lambda m: m["sets"][0]["chosen"][1].pop(), "chosen of fold 1 of set 0 has 2, expected 3"),
        (lambda m: m["sets"][0]["consensus"].pop(), "for fold 4"),
        (lambda m: m.update(version="3"), "has format 3"),
        (lambda m: pairs(m).pop("lift"), "is not a valid manifest of a stack"),
        (lambda m: m["sets"][0].pop("pairs"), "is not a valid manifest of a stack"),
        (lambda m: pairs(m)["lift"].pop(), "fold 1 of set 0: lift has"),
        (lambda m: pairs(m)["lift"][0].pop(), "is not a valid manifest of a stack"),
        (lambda m: pairs(m).update(lift=[0.0] * 9), "fold 1 of set 0: lift has"),
        (lambda m: pairs(m)["lift"][0].__setitem__(1, None), "is not finite"),
        (lambda m: pairs(m)["prevalence"].pop(), "fold 1 of set 0: prevalence has shape"),
        (
            lambda m: pairs(m).update(prevalence=[1.0, float("nan"), 1.0]),
            "is not finite",
        ),
        (
            lambda m: pairs(m).update(chosen=[0, 2]),
            "chosen of the pairs is not among the 2",
        ),
        (lambda m: pairs(m).update(chosen=[-1]), "chosen of the pairs is not among the 2"),
        (
            lambda m: pairs(m).update(chosen=[[0]]),
            "chosen of the pairs is not among the 2",
        ),
        (
            lambda m: chosen(m).__setitem__(0, [0, 5]),
            "chosen of label 0 is not among the 5",
        ),
        (
            lambda m: chosen(m).__setitem__(2, [-1]),
            "chosen of label 2 is not among the 5",
        ),
        (lambda m: m["sets"][0]["pairs"].pop(), "for fold 4"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(fitted, tmp_path, change, message):
    fitted.save(tmp_path / "stack")
    place = tmp_path / "stack" / "stack.json"
    manifest = json.loads(place.read_text())
    change(manifest)
    place.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=message):
        load_stack(tmp_path / "stack")


def test_a_booster_that_would_lead_the_library_astray_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "stack")
    place = tmp_path / "stack" / "stack.json"
    manifest = json.loads(place.read_text())
    name = next(n for n in manifest["files"] if n.startswith("boosters/lightgbm"))
    path = tmp_path / "stack" / name
    crafted = path.read_text().replace("split_feature=", "split_feature=9", 1)
    path.write_text(crafted)
    manifest["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    place.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="not a LightGBM booster"):
        load_stack(tmp_path / "stack")


@pytest.mark.long
def test_the_promised_score_is_delivered(fitted):
    X, y, _ = draw(seed=1, n=3000, wells=750)
    X.index = y.index = [f"new{i}" for i in range(len(X))]
    probabilities = fitted.predict_proba(X)
    labels = fitted.predict(X)
    assert list(probabilities.columns) == ["a", "b", "c"]
    from hpastack.metrics import macro_average_precision, macro_f1

    low, high = fitted.cv_results_["macro_f1_interval"]
    assert low - 0.03 < macro_f1(y, labels) < high + 0.03
    ap = macro_average_precision(y, probabilities)
    assert abs(ap - fitted.cv_results_["macro_ap"]) < 0.05


@pytest.mark.long
def test_shuffled_labels_score_at_prevalence():
    X, y, well = draw()
    rng = np.random.default_rng(0)
    shuffled = pd.DataFrame(y.to_numpy()[rng.permutation(N)], y.index, y.columns)
    stack = quick().fit(X, shuffled, groups=well)
    assert stack.cv_results_["macro_ap"] < y.to_numpy().mean() + 0.05


@pytest.mark.long
def test_noise_does_not_make_it_worse_than_the_consensus():
    # One network whose logits are a logistic model of the labels: trees have nothing to add.
    X, y, well = draw(n=1500, wells=1500)
    X = X.drop(columns=["clue", *(f"weak__{label}" for label in range(LABELS))])
    stack = quick(cnns=["good"]).fit(X, y, groups=well)
    comparison = stack.comparison_
    assert comparison.loc["stack", "macro_ap"] > comparison.loc["consensus", "macro_ap"] - 0.01
    assert stack.weights_[2] < 1


@pytest.mark.long
def test_features_alone_start_from_the_prior():
    X, y, well = draw()
    stack = StackClassifier(n_bootstrap=0, n_jobs=1).fit(X[["clue", "noise"]], y, groups=well)
    assert "prior" in stack.comparison_.index
    assert stack.label_table_.loc["c", "stack_ap"] > 0.6


@pytest.mark.long
def test_workers_and_runs_do_not_change_the_result(fitted):
    X, y, well = draw()
    again = quick(n_jobs=2).fit(X, y, groups=well)
    pd.testing.assert_frame_equal(fitted.oof_probabilities_, again.oof_probabilities_)
    pd.testing.assert_frame_equal(fitted.predict_proba(X), again.predict_proba(X))
    assert [one.models for one in fitted.fitted_] == [one.models for one in again.fitted_]


@pytest.mark.long
def test_rows_are_joined_by_id_and_columns_by_name(fitted):
    X, y, well = draw()
    rng = np.random.default_rng(1)
    rows = rng.permutation(N)
    again = quick().fit(X, y.iloc[rows], groups=well.iloc[rng.permutation(N)])
    pd.testing.assert_frame_equal(fitted.oof_probabilities_, again.oof_probabilities_)
    shuffled = X[X.columns[::-1]].iloc[rows]
    pd.testing.assert_frame_equal(
        fitted.predict_proba(shuffled).loc[X.index], fitted.predict_proba(X)
    )


def test_folds_keep_clusters_whole_or_are_refused(fitted):
    X, y, well = draw()
    for code in well.unique():
        assert len(set(fitted.fold_[(well == code).to_numpy()])) == 1
    folds = pd.Series(np.arange(N) % 5, X.index)
    with pytest.raises(InputError, match="split .* clusters"):
        quick().fit(X, y, groups=well, folds=folds)


@pytest.mark.long
def test_a_label_too_rare_keeps_the_consensus():
    X, y, well = draw()
    y = y.copy()
    y["b"] = 0
    y.iloc[:12, 1] = 1
    stack = quick().fit(X, y, groups=well)
    assert stack.weights_[1] == 0
    assert stack.boosted_labels() == [0, 2]


def test_save_and_load(fitted, tmp_path):
    X, _, _ = draw()
    path = fitted.save(tmp_path / "stack")
    loaded = load_stack(path)
    pd.testing.assert_frame_equal(fitted.predict_proba(X), loaded.predict_proba(X))
    pd.testing.assert_frame_equal(
        fitted.oof_labels_, loaded.oof_labels_, check_names=False, check_index_type=False
    )
    assert loaded.cv_results_ == fitted.cv_results_
    with open_store(path / "out_of_fold.h5") as store:
        assert store.kind == "out_of_fold" and store.fold.tolist() == fitted.fold_.tolist()
    suffixes = {file.suffix for file in path.rglob("*") if file.is_file()}
    assert suffixes == {".json", ".txt", ".ubj", ".h5", ".csv"}
    with pytest.raises(InputError, match="pass overwrite=True"):
        fitted.save(path)
    fitted.save(path, overwrite=True)


@pytest.mark.parametrize(
    "options",
    [
        {"bags": 2, "repeats": 2, "boosters": ["xgboost"]},
        {"boosters": []},
        {"scores": ["near"], "embeddings": ["deep"], "n_components": 2, "max_columns": 3},
        {"cnns": (), "boosters": ["lightgbm"], "monotone": True},
        {"calibration": "isotonic", "thresholds": "plug-in", "min_labels": 1},
        {"calibration": "beta", "thresholds": "prevalence", "logits": ["good"], "n_splits": 4},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.long
def test_every_kind_of_stack_predicts_the_same_after_it_was_kept(options, tmp_path):
    X, y, well = draw()
    rng = np.random.default_rng(0)
    for name, width in (("near", LABELS), ("deep", 5)):
        for k in range(width):
            X[f"{name}__{k}"] = rng.normal(size=N)
    X.loc[X.index[::9], "near__0"] = np.nan
    few = {"cnns": ["good"], "n_bootstrap": 5, "n_splits": 3, "rounds": 8, "min_rounds": 4}
    stack = quick(**few | options)
    stack.fit(X, y, groups=well)
    loaded = load_stack(stack.save(tmp_path / "stack"))
    pd.testing.assert_frame_equal(stack.predict_proba(X), loaded.predict_proba(X))
    pd.testing.assert_frame_equal(stack.predict(X), loaded.predict(X))
    pd.testing.assert_frame_equal(stack.comparison_, loaded.comparison_)
    pd.testing.assert_frame_equal(stack.comparison_intervals_, loaded.comparison_intervals_)
    assert loaded.boosted_labels() == stack.boosted_labels()
    for label, parts in stack.explain(X.iloc[:5]).items():
        pd.testing.assert_frame_equal(parts, loaded.explain(X.iloc[:5])[label])
    assert 0 <= stack.cv_results_["macro_f1"] <= 1
    again = quick(**few | options)
    again.set_params(n_jobs=2).fit(X, y, groups=well)
    pd.testing.assert_frame_equal(stack.oof_probabilities_, again.oof_probabilities_)
    pd.testing.assert_frame_equal(stack.predict_proba(X), again.predict_proba(X))


@pytest.mark.long
def test_sets_of_folds_are_averaged():
    X, y, well = draw()
    stack = quick(repeats=3, rounds=8, min_rounds=4, n_splits=3).fit(X, y, groups=well)
    assert len(stack.fitted_) == 3
    singles, alone = [], quick(rounds=8, min_rounds=4, n_splits=3).fit(X, y, groups=well)
    for one in stack.fitted_:
        alone.fitted_ = [one]
        singles.append(alone.predict_proba(X))
    np.testing.assert_allclose(stack.predict_proba(X), sum(singles) / 3)
    assert len({one.meta_learner.labelling.of_stack[0] for one in stack.fitted_}) == 3


@pytest.mark.long
def test_labels_that_all_or_no_fields_carry():
    X, y, well = draw()
    y = y.assign(b=0, c=1)
    stack = quick(rounds=8, min_rounds=4).fit(X, y, groups=well)
    labels = stack.predict(X)
    # The network alone speaks for a label without positives, at the common threshold. Label a
    # sets it, and its F1 is flat from 0.34 to 0.6: XGBoost 3.2 ends at 0.49 and 3.4 at 0.36, which
    # 2 % and 7 % of the fields reach.
    assert labels["b"].mean() < 0.1 and labels["c"].all()
    assert np.isfinite(stack.predict_proba(X)).all().all()
    assert np.isnan(stack.label_table_.loc["b", "stack_ap"])


def test_a_changed_stack_is_refused(fitted, tmp_path):
    path = fitted.save(tmp_path / "stack")
    model = next((path / "boosters").glob("*.txt"))
    model.write_text(model.read_text() + "\n")
    with pytest.raises(InputError, match=f"missing or changed: boosters/{model.name}; fit the"):
        load_stack(path)
    other = next(path for path in (path / "boosters").iterdir() if path != model)
    other.unlink()
    with pytest.raises(InputError) as error:
        load_stack(path)
    assert model.name in str(error.value) and other.name in str(error.value)
    shutil.rmtree(path)
    path = fitted.save(tmp_path / "stack")
    manifest = json.loads((path / "stack.json").read_text())
    manifest["files"]["../../evil.txt"] = "0"
    (path / "stack.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="not part of a stack: ../../evil.txt"):
        load_stack(path)
    manifest["version"] = 5
    (path / "stack.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="format 5; this hpastack reads 1 to 4"):
        load_stack(path)
    with pytest.raises(InputError, match="is not a stack"):
        load_stack(tmp_path)


def test_a_folder_that_is_no_stack_is_never_replaced(fitted, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("!")
    with pytest.raises(InputError, match="is not a stack"):
        fitted.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "!"


def test_bad_input_is_named():
    X, y, well = draw()
    with pytest.raises(InputError, match="columns of CNN 'other'"):
        quick(cnns=["other"]).fit(X, y)
    with pytest.raises(InputError, match="boosters has 'randomforest'"):
        quick(boosters=["randomforest"]).fit(X, y)
    with pytest.raises(InputError, match="good: 1.5 for label 1 of field field0007"):
        quick().fit(X.assign(good__1=np.where(X.index == "field0007", 1.5, 0.5)), y)
    with pytest.raises(InputError, match="y lacks 1 field of X: field0000"):
        quick().fit(X, y.iloc[1:])
    with pytest.raises(InputError, match="duplicate ids in X: field0000"):
        quick().fit(pd.concat([X, X.iloc[:1]]), y)
    with pytest.raises(InputError, match="'clue' of field field0003 is infinite"):
        quick().fit(X.assign(clue=np.where(X.index == "field0003", np.inf, 0)), y)
    with pytest.raises(InputError, match="only 0 and 1"):
        quick().fit(X, y * 2)


def test_all_bad_columns_and_values_are_named_together():
    X, y, _ = draw()
    with pytest.raises(InputError) as error:
        quick(cnns=["good", "other"], scores=["near"], embeddings=["net"]).fit(
            X.drop(columns="good__1"), y
        )
    assert str(error.value) == (
        "X lacks columns of CNN 'good': good__1; columns of CNN 'other': other__0, other__1, "
        "other__2; columns of set of scores 'near': near__0, near__1, near__2; columns of the "
        "embedding 'net': net__..."
    )
    values = np.where(X.index < "field0002", 1.5, 0.5)
    bad = X.assign(good__1=values, weak__0=np.nan, clue=np.where(X.index == "field0003", np.inf, 0))
    with pytest.raises(InputError) as error:
        quick(cnns=["good", "weak"], logits=[]).fit(bad, y)
    assert str(error.value) == (
        "good: 1.5 for label 1 of field field0000 is not a probability (and 1 other value); "
        f"weak: nan for label 0 of field field0000 is not a probability (and {len(X) - 1} other "
        "values); column 'clue' of field field0003 is infinite or too large for single precision; "
        "use NaN for a missing value"
    )
    with pytest.raises(InputError, match=r"that are not numbers: 'a' \(.*x.*\); 'b' \(.*y.*\)"):
        quick(cnns=[], logits=[]).fit(X.assign(a="x", b="y"), y)
    with pytest.raises(InputError, match=r"that are not numbers: 'good__0' \(.*x.*\)"):
        quick().fit(X.assign(good__0="x"), y)


def test_a_missing_column_is_named_when_predicting(fitted):
    X, _, _ = draw()
    with pytest.raises(InputError, match="lacks 1 column of the stack: clue"):
        fitted.predict(X.drop(columns="clue"))


@pytest.mark.long
def test_missing_feature_values_are_taken(fitted):
    X, y, well = draw()
    X.loc[X.index[::7], "clue"] = np.nan
    assert np.isfinite(quick().fit(X, y, groups=well).oof_probabilities_).all().all()


def test_parameters_and_clone():
    stack = quick(rounds=7)
    assert clone(stack).get_params() == stack.get_params()
    assert StackSettings.of(stack.set_params(rounds=9)).trees.rounds == 9
