"""What is taken over from an earlier fit, and that it never changes a result."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.stack import StackClassifier
from hpastack.stack import cache as stack_cache
from hpastack.stack.cache import StackCache, digest, packed, unpacked
from hpastack.stack.cross_fitting import CrossFitter


def draw(seed=0, n=300):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < [0.4, 0.3]).astype(int)
    X = pd.DataFrame(expit(2 * y - 1 + rng.normal(size=y.shape)), columns=["net__0", "net__1"])
    X["clue"] = y[:, 1] + rng.normal(size=n)
    return X, y


def small(cache, **options):
    settings = {"rounds": 8, "min_rounds": 4, "n_splits": 3, "n_bootstrap": 5, "n_jobs": 1}
    return StackClassifier(["net"], cache=cache, **settings | options)


@pytest.fixture
def fits(monkeypatch):
    """Count what is fitted: the consensus, and boosters by library."""
    counted = []
    for name in ("fit_consensus", "fit_without_two_folds", "fit_without_one_fold"):
        plain = getattr(CrossFitter, name)

        def spy(self, *arguments, _name=name, _plain=plain, **options):
            counted.append((_name, *arguments[:1]) if _name != "fit_consensus" else (_name,))
            return _plain(self, *arguments, **options)

        monkeypatch.setattr(CrossFitter, name, spy)
    return counted


def same(one, other, X):
    pd.testing.assert_frame_equal(one.oof_probabilities_, other.oof_probabilities_)
    pd.testing.assert_frame_equal(one.oof_labels_, other.oof_labels_)
    pd.testing.assert_frame_equal(one.comparison_, other.comparison_)
    pd.testing.assert_frame_equal(one.label_table_, other.label_table_)
    pd.testing.assert_frame_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.cv_results_ == other.cv_results_
    assert one.fitted_[0].models == other.fitted_[0].models


ALL = [
    ("fit_consensus",),
    ("fit_without_two_folds", "lightgbm"),
    ("fit_without_one_fold", "lightgbm"),
    ("fit_without_two_folds", "xgboost"),
    ("fit_without_one_fold", "xgboost"),
]


@pytest.mark.parametrize(
    "options, wanted",
    [
        ({}, []),
        ({"thresholds": "global"}, []),
        ({"calibration": "beta"}, []),
        ({"min_labels": 1}, []),
        ({"n_bootstrap": 0}, []),
        ({"boosters": ["xgboost"]}, []),
        ({"leaves": 4}, ALL[1:]),
        ({"min_rounds": 2}, ALL[1:]),
        ({"bags": 2}, ALL[1:]),
        ({"max_columns": 1}, ALL[1:]),
        ({"min_positives": 95}, ALL[1:]),
        ({"random_state": 3}, ALL),
    ],
)
def test_only_what_depends_on_a_setting_is_fitted_again(tmp_path, fits, options, wanted):
    X, y = draw()
    folds = None if "random_state" in options else np.arange(len(X)) % 3
    small(tmp_path).fit(X, y, folds=folds)
    assert fits == ALL
    fits.clear()
    kept = small(tmp_path, **options).fit(X, y, folds=folds)
    assert fits == wanted
    same(kept, small(None, **options).fit(X, y, folds=folds), X)


def test_other_inputs_are_fitted_again(tmp_path, fits):
    X, y = draw()
    small(tmp_path).fit(X, y)
    for changed_X, changed_y, wanted in (
        (X, np.r_[1 - y[:1], y[1:]], ALL),
        (X.assign(net__0=X["net__0"] ** 2), y, ALL),
        (X.assign(clue=-X["clue"]), y, ALL[1:]),
    ):
        fits.clear()
        kept = small(tmp_path).fit(changed_X, changed_y, folds=np.arange(len(X)) % 3)
        small(tmp_path).fit(changed_X, changed_y, folds=np.arange(len(X)) % 3)
        assert fits[-len(wanted) :] == wanted
        same(kept, small(None).fit(changed_X, changed_y, folds=np.arange(len(X)) % 3), X)


def test_damaged_and_missing_files_are_made_again(tmp_path):
    X, y = draw()
    first = small(tmp_path).fit(X, y)
    files = sorted(tmp_path.glob("*.npz"))
    for number, file in enumerate(files):
        if number % 2:
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    same(small(tmp_path).fit(X, y), first, X)


def test_a_disk_that_takes_nothing_costs_nothing(tmp_path):
    X, y = draw()
    (tmp_path / "cache").write_text("a file where a folder should be")
    same(small(tmp_path / "cache").fit(X, y), small(None).fit(X, y), X)


def test_the_files_used_last_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_cache, "MAX_BYTES", 30_000)
    (tmp_path / "mine.npz").write_bytes(b"0" * 50_000)
    cache = StackCache(tmp_path)
    for number in range(5):
        cache.put("x", digest(number), {"a": np.zeros(1000)})  # a little over 8,000 bytes
    kept = [number for number in range(5) if cache.get("x", digest(number)) is not None]
    assert len(kept) == 3 and 4 in kept
    assert (tmp_path / "mine.npz").is_file()  # not one of its own
    assert StackCache(None).get("x", "4") is None


def test_digests_tell_shapes_types_and_order_apart():
    a = np.arange(6, dtype=np.int64)
    different = [
        digest(a), digest(a.reshape(2, 3)), digest(a.astype(np.int32)), digest(a[::-1]),
        digest(a, 1), digest(1, a), digest([1], a), digest(b"x"), digest("x"), digest(None),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert digest(3, 248) != digest(32, 48) and digest(b"a", b"bc") != digest(b"ab", b"c")
    assert digest(np.int64(3), [np.bool_(True)]) == digest(3, [True])
    assert digest(a[::2]) == digest(a[::2].copy())


def test_boosters_are_packed_and_unpacked():
    models = {(1, 0, 0): b"abc", (0, 2, 1): b"", (0, 2, 0): b"x"}
    assert unpacked(packed(models)) == models
    assert unpacked(packed({})) == {}
