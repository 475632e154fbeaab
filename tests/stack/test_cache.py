"""What is taken over from an earlier fit, and that it never changes a result."""

from dataclasses import fields, is_dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.calibration import Calibration
from hpastack.stack import StackClassifier
from hpastack.stack import cache as stack_cache
from hpastack.stack.cache import StackCache, digest
from hpastack.stack.consensus import Consensus
from hpastack.stack.cross_fitting import CrossFitter
from hpastack.stack.fitted import BaseLogOdds, LeaveTwoOut, NestedBoosters, NestedConsensus
from hpastack.stack.labelling import Labelling
from hpastack.stack.meta_learner import MetaLearner, MetaLearners
from hpastack.stack.score_tables import ProbabilityScores
from hpastack.stack.scoring import ScoresOfSystems


def draw(seed=0, n=300):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < [0.4, 0.3]).astype(int)
    X = pd.DataFrame(expit(2 * y - 1 + rng.normal(size=y.shape)), columns=["net__0", "net__1"])
    X["clue"] = y[:, 1] + rng.normal(size=n)
    return X, y


def small(cache, **options):
    settings = {
        "boosters": MEMBERS,
        "rounds": 8,
        "min_rounds": 4,
        "n_splits": 3,
        "n_bootstrap": 5,
        "n_jobs": 1,
    }
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


MEMBERS = ["xgboost", "pooled", "linear"]
ALL = [
    ("fit_consensus",),
    *((fit, name) for name in MEMBERS for fit in ("fit_without_two_folds", "fit_without_one_fold")),
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
        ({"leaves": 4}, [fit for fit in ALL[1:] if fit[1] != "pooled"]),
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
    cache, made = StackCache(tmp_path), []

    def remember(number, cache=cache):
        def make():
            made.append(number)
            return LeaveTwoOut(np.full(1000, number), np.zeros(1), np.zeros(1))

        return cache.remember("x", digest(number), make, LeaveTwoOut)

    for number in range(5):
        remember(number)  # a little over 8,000 bytes
    assert len(list(tmp_path.glob("x-*.npz"))) == 3
    assert (tmp_path / "mine.npz").is_file()  # not one of its own
    assert remember(4).added[0] == 4 and made == [0, 1, 2, 3, 4]
    assert remember(0).added[0] == 0 and made == [0, 1, 2, 3, 4, 0]
    remember(4, StackCache(None))
    assert made[-1] == 4


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


def calibration(slope):
    return Calibration("platt", (slope, 0.25))


RESULTS = {
    "consensus": NestedConsensus(
        {(0,): np.ones((4, 2), np.float32), (0, 1): np.zeros((4, 2), np.float32)},
        [Consensus(np.arange(6.0).reshape(2, 3)), Consensus(np.ones((2, 3)))],
    ),
    "boosters": NestedBoosters(
        np.ones((2, 4, 2), np.float32),
        np.array([[3, 4], [5, 6]]),
        {(0, 2, 0): b"x", (0, 2, 1): b"", (1, 0, 0): b"abc"},
        [{"loss": 0.5, "chosen_for": [0, 1]}],
        12.5,
    ),
    "no boosters": NestedBoosters(np.ones((2, 4, 2), np.float32), np.ones((2, 2)), {}),
    "leave two out": LeaveTwoOut(np.ones((2, 4, 2)), np.ones((2, 2), int), np.zeros((2, 2))),
    "meta-learners": MetaLearners(
        [
            MetaLearner(
                np.full((1, 2), 0.5),
                [calibration(1.5), Calibration("none")],
                Labelling.at_one_half(2),
            )
        ],
        MetaLearner(
            np.ones((1, 2)), [calibration(0.5), calibration(2.0)], Labelling.at_one_half(2)
        ),
    ),
    "base log-odds": BaseLogOdds(np.ones((4, 2)), np.zeros((1, 4, 2))),
    "scores": ScoresOfSystems(
        [
            ProbabilityScores(
                np.ones(2), np.ones((number, 2)), np.arange(3.0), np.ones((3, number))
            )
            for number in (0, 3)
        ]
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_what_is_kept_is_made_again_from_plain_arrays(tmp_path, name):
    result = RESULTS[name]
    cache = StackCache(tmp_path)
    assert cache.remember("x", digest(name), lambda: result, type(result)) is result
    with np.load(next(tmp_path.glob("x-*.npz")), allow_pickle=False) as arrays:
        assert sorted(arrays.files) == sorted(result.to_arrays())
    again = cache.remember("x", digest(name), lambda: pytest.fail("made again"), type(result))
    np.testing.assert_equal(plain(again), plain(result))


def plain(value):
    """Return the parts of a result as dicts and lists, which can be compared."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return [plain(part) for part in value] if isinstance(value, list) else value
