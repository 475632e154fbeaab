"""Labels are given by the consensus where these score better on folds not chosen on."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.calibration import ThresholdSearch, apply_thresholds, best_thresholds
from hpastack.errors import InputError
from hpastack.metrics import macro_f1
from hpastack.stack import StackClassifier, label_fields, load_stack, notes_on_labels
from hpastack.stack.labelling import Labelling
from hpastack.stack.stores import GatheredStores

pytestmark = pytest.mark.core


def chosen(y, stack, consensus, **options):
    fold = np.arange(len(y)) % 4
    return Labelling.chosen(y, stack, consensus, fold, "combined", **{"compare": True} | options)


@pytest.fixture
def drawn():
    """Return labels, good probabilities of them and poor ones, of two labels."""
    rng = np.random.default_rng(0)
    y = (rng.random((400, 2)) < [0.4, 0.2]).astype(int)
    good, poor = (expit(3 * (y - 0.5) + scale * rng.normal(size=y.shape)) for scale in (1, 4))
    return y, good, poor


def test_the_better_labels_are_taken(drawn):
    y, good, poor = drawn
    assert not chosen(y, good, poor).by_consensus
    labelling = chosen(y, poor, good)
    assert labelling.by_consensus
    assert np.array_equal(
        labelling.labels(poor, good),
        apply_thresholds(good, best_thresholds(y, good, policy="combined")),
    )
    assert np.array_equal(labelling.of_stack, best_thresholds(y, poor, policy="combined"))
    # Not where the two say the same, and not where there is no CNN to agree with.
    assert not chosen(y, good, good).by_consensus
    assert not chosen(y, poor, good, compare=False).by_consensus


def test_each_label_is_sorted_once(drawn, monkeypatch):
    y, good, poor = drawn
    made, search = [], ThresholdSearch.__init__

    def counted(self, *arguments):
        made.append(arguments)
        search(self, *arguments)

    monkeypatch.setattr(ThresholdSearch, "__init__", counted)
    chosen(y, good, poor)
    assert len(made) == 2


def test_it_is_decided_on_folds_that_thresholds_were_not_chosen_on():
    # Thresholds that fit 40 fields by heart say nothing of others.
    rng = np.random.default_rng(1)
    y = (rng.random((40, 12)) < 0.3).astype(int)
    useful, useless = expit(2 * y - 1 + rng.normal(size=y.shape)), rng.random(y.shape)
    fold = np.arange(40) % 4
    for policy in ("per-label", "combined"):
        assert Labelling.chosen(y, useless, useful, fold, policy, compare=True).by_consensus
        assert not Labelling.chosen(y, useful, useless, fold, policy, compare=True).by_consensus


def test_several_sets_of_folds_follow_the_most():
    one = Labelling(np.array([0.2]), np.array([0.6]), False)
    other = Labelling(np.array([0.5]), np.array([0.6]), True)
    assert not Labelling.mean([one, other]).by_consensus
    both = Labelling.mean([one, other, other])
    assert both.by_consensus and both.thresholds == pytest.approx([0.6])
    # Each field has its own source and thresholds.
    rows = Labelling(np.array([[0.2], [0.2]]), np.array([[0.6], [0.6]]), np.array([True, False]))
    assert rows.labels(np.array([[0.1], [0.3]]), np.array([[0.7], [0.1]])).tolist() == [[1], [1]]
    assert rows.thresholds.tolist() == [[0.6], [0.2]]


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    ids = [f"f{i}" for i in range(240)]
    y = pd.DataFrame((rng.random((240, 2)) < [0.4, 0.3]).astype(int), ids, ["a", "b"])
    X = pd.DataFrame(expit(2 * y.to_numpy() - 1 + rng.normal(size=y.shape)), ids)
    X.columns = ["net__0", "net__1"]
    X["clue"] = 3 * y["a"] + rng.normal(size=len(y))
    stack = StackClassifier(["net"], rounds=6, min_rounds=3, n_splits=3, n_bootstrap=0, n_jobs=1)
    return X, y, stack.fit(X, y)


def by_consensus(stack, thresholds=(0.5, 0.4)):
    """Let a stack give its labels by the consensus."""
    for of_set in stack.fitted_:
        labelling = of_set.meta_learner.labelling
        object.__setattr__(labelling, "of_consensus", np.array(thresholds))
        object.__setattr__(labelling, "by_consensus", True)
    stack._keep(stack.fitted_)
    return stack


def test_a_stack_with_labels_of_the_consensus_is_kept_and_used(fitted, tmp_path):
    X, _, stack = fitted
    plain = stack.label(stack.predict_proba(X))
    assert plain.equals(stack.predict(X)) and not stack.labels_by_consensus_
    stack.save(tmp_path / "plain")
    stack = by_consensus(load_stack(tmp_path / "plain"))
    consensus = stack.predict_consensus(X)
    wanted = (consensus >= [0.5, 0.4]).astype(np.uint8)
    assert stack.labels_by_consensus_ and stack.thresholds_.tolist() == [0.5, 0.4]
    pd.testing.assert_frame_equal(stack.predict(X), wanted)
    pd.testing.assert_frame_equal(stack.label(consensus=consensus), wanted)
    with pytest.raises(InputError, match=r"labels from consensus: pass .*predict_consensus"):
        stack.label(stack.predict_proba(X))
    again = load_stack(stack.save(tmp_path / "other"))
    pd.testing.assert_frame_equal(again.predict(X), wanted)
    manifest = json.loads((tmp_path / "other" / "stack.json").read_text())
    assert manifest["thresholds"] == [0.5, 0.4] and manifest["sets"][0]["labels_by_consensus"]

    inputs = GatheredStores(X, ["net"], [], {})
    said = label_fields(again, inputs, list(X.index))
    pd.testing.assert_frame_equal(said.labels, wanted)
    pd.testing.assert_frame_equal(said.probabilities, again.predict_proba(X))
    assert notes_on_labels(stack.__class__.load(tmp_path / "plain")) == []
    assert "from the probabilities of the consensus" in notes_on_labels(again)[0]


def test_the_consensus_is_the_mean_over_the_folds(fitted):
    X, _, stack = fitted
    logit = np.log(X[["net__0", "net__1"]] / (1 - X[["net__0", "net__1"]])).clip(-4.5951, 4.5951)
    rows = [columns.consensus.coefficients for columns in stack.fitted_[0].columns]
    for label in range(2):
        lines = [row[label, 0] * logit.iloc[:, label] + row[label, 1] for row in rows]
        np.testing.assert_allclose(
            stack.predict_consensus(X).iloc[:, label], expit(sum(lines) / 3), atol=1e-4
        )


def test_scores_are_those_of_the_labels_given(monkeypatch, fitted):
    X, y, _ = fitted

    def always(*arguments, **options):
        return Labelling(np.full(2, 0.5), np.array([0.9, 0.3]), True)

    monkeypatch.setattr(Labelling, "chosen", classmethod(always))
    stack = StackClassifier(["net"], rounds=6, min_rounds=3, n_splits=3, n_bootstrap=0, n_jobs=1)
    stack.fit(X, y)
    wanted = (stack.oof_consensus_ >= [0.9, 0.3]).astype(np.uint8)
    assert not wanted.equals((stack.oof_probabilities_ >= [0.9, 0.3]).astype(np.uint8))
    pd.testing.assert_frame_equal(stack.oof_labels_, wanted)
    assert stack.cv_results_["macro_f1"] == stack.comparison_.loc["stack", "macro_f1"]
    assert stack.cv_results_["macro_f1"] == macro_f1(y, wanted)
