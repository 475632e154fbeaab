"""The stack keeps scikit-learn's contract: its own checks, pipelines, searches and copies."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from hpastack.errors import InputError
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.stack import StackClassifier, load_stack

pytestmark = pytest.mark.core


def small(**options):
    return StackClassifier(
        **{"rounds": 3, "min_rounds": 2, "n_splits": 3, "n_bootstrap": 0, "n_jobs": 1} | options
    )


_TWO_CLASSES = "labels are indicators, 0 and 1; the check has two classes of other names"
_ONE_DIMENSION = "labels are a matrix, a column a label; the check has one dimension"
_ONE_COLUMN = "probabilities have one column per label; the check has two for one label"
_COPIES = "without groups, the copies of the check are spread over the folds; weights are not"
EXPECTED_TO_FAIL = {
    "check_sample_weights_pandas_series": _TWO_CLASSES,
    "check_sample_weights_not_an_array": _TWO_CLASSES,
    "check_sample_weights_shape": _TWO_CLASSES,
    "check_sample_weights_not_overwritten": _TWO_CLASSES,
    "check_sample_weight_equivalence_on_dense_data": _COPIES,
    "check_sample_weight_equivalence_on_sparse_data": _COPIES,
    "check_estimator_sparse_array": _ONE_COLUMN,
    "check_estimator_sparse_matrix": _ONE_COLUMN,
    "check_estimators_dtypes": _TWO_CLASSES,
    "check_classifier_data_not_an_array": _TWO_CLASSES,
    "check_fit2d_1feature": _TWO_CLASSES,
    "check_classifiers_classes": _ONE_DIMENSION,
    "check_classifiers_one_label": _ONE_DIMENSION,
    "check_classifiers_train": _ONE_DIMENSION,
}


@parametrize_with_checks(
    [small(boosters=["lightgbm"])], expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL
)
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.long
@parametrize_with_checks(
    [small(boosters=["xgboost"])], expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL
)
def test_with_another_library_it_passes_them_too(estimator, check):
    check(estimator)


def draw(n=150, seed=0):
    rng = np.random.default_rng(seed)
    wells = rng.integers(n // 3, size=n)
    y = (rng.random((n // 3, 2)) < 0.4).astype(int)[wells]
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
    X["a"] += 2 * y[:, 0]
    return X, y, wells


def test_it_ends_a_pipeline():
    X, y, _ = draw()
    model = make_pipeline(FunctionTransformer(lambda X: X[["a", "b"]]), small()).fit(X, y)
    assert list(model[-1].feature_names_in_) == ["a", "b"]
    assert model.predict(X).shape == y.shape


@pytest.mark.slow
def test_it_can_be_searched_and_cross_validated_with_its_groups():
    X, y, wells = draw(400)
    splitter = MultilabelStratifiedGroupKFold(n_splits=2)
    with config_context(enable_metadata_routing=True):
        model = small().set_fit_request(groups=True, folds=False)
        search = GridSearchCV(model, {"thresholds": ["global", "shrunk"]}, cv=splitter)
        search.fit(X, y, groups=wells)
        assert search.best_score_ > 0.3  # macro F1, not the share of fields without a mistake
        scores = cross_val_score(model, X, y, cv=splitter, params={"groups": wells})
    assert scores.shape == (2,)


def test_arrays_and_data_frames_give_the_same():
    X, y, wells = draw()
    of_frame, of_array = small().fit(X, y, groups=wells), small().fit(X.to_numpy(), y, wells)
    frame, array = of_frame.predict_proba(X), of_array.predict_proba(X.to_numpy())
    assert isinstance(frame, pd.DataFrame) and isinstance(array, np.ndarray)
    np.testing.assert_array_equal(frame.to_numpy(), array)
    assert not hasattr(of_array, "feature_names_in_")
    assert of_frame.score(X, y) == of_array.score(X.to_numpy(), y)


def test_copies_are_alike():
    X, y, wells = draw()
    fitted = small().fit(X, y, groups=wells)
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.predict_proba(X), fitted.predict_proba(X))
    refitted = clone(fitted).fit(X, y, groups=wells)
    pd.testing.assert_frame_equal(refitted.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"calibration": "magic"}, "calibration is 'magic'; it must be one of"),
        ({"thresholds": "magic"}, "thresholds is 'magic'; it must be one of"),
        ({"bags": 0}, "bags is 0"),
        ({"n_splits": 2}, "n_splits is 2; it must be at least 3"),
        ({"embeddings": ["e"]}, "columns of the embedding 'e'"),
        ({"scores": ["s"]}, "columns of set of scores 's'"),
        ({"cnns": ["a"], "scores": ["a"]}, "duplicate names in cnns, scores and embeddings: a"),
        ({"logits": ["a"]}, "logits names a, but cnns does not"),
    ],
)
def test_mistakes_in_settings_are_named(options, message):
    X, y, _ = draw()
    with pytest.raises(InputError, match=message):
        small(**options).fit(X, y)


def test_tables_of_a_list_hold_the_same_fields():
    X, y, _ = draw()
    fitted = small().fit(X, y)
    np.testing.assert_allclose(fitted.predict_proba([X, X]), fitted.predict_proba(X))
    with pytest.raises(InputError, match="the same fields in the same order"):
        fitted.predict_proba([X, X.iloc[::-1]])


@pytest.mark.slow
def test_workers_of_another_kind_give_the_same():
    # Processes: what the tasks carry must travel, and nothing may fork after OpenMP.
    X, y, wells = draw()
    threads = small(n_jobs=2).fit(X, y, groups=wells)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        processes = small(n_jobs=None).fit(X, y, groups=wells)
    pd.testing.assert_frame_equal(threads.oof_probabilities_, processes.oof_probabilities_)
    assert threads.fitted_[0].models == processes.fitted_[0].models


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_random_state_is_drawn_from_and_kept_as_a_seed(make, tmp_path):
    X, y, wells = draw()
    stack = small(random_state=make(3)).fit(X, y, groups=wells)
    alike = small(random_state=stack.seed_).fit(X, y, groups=wells)
    pd.testing.assert_frame_equal(stack.oof_probabilities_, alike.oof_probabilities_)
    assert isinstance(stack.get_params()["random_state"], type(make(3)))
    loaded = load_stack(stack.save(tmp_path / "stack"))
    assert loaded.random_state == loaded.seed_ == stack.seed_


def test_without_a_seed_no_fit_is_taken_from_the_cache(tmp_path):
    X, y, wells = draw()
    seeds, kept = [], []
    for _ in range(2):
        stack = small(random_state=None, boosters=["lightgbm"], cache=tmp_path)
        seeds.append(stack.fit(X, y, groups=wells).seed_)
        kept.append(len(list(tmp_path.glob("lightgbm-*"))))
    assert seeds[0] != seeds[1] and kept == [1, 2]
