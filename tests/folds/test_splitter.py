"""The splitters: what they promise on any rows, in scikit-learn and on real labels."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.fold_cases import labelled_groups
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline

from hpastack.clusters import clusters_from_keys, read_duplicate_lists
from hpastack.errors import InputError
from hpastack.folds import (
    MultilabelStratifiedGroupKFold,
    MultilabelStratifiedGroupShuffleSplit,
    RareLabelWarning,
    RepeatedMultilabelStratifiedGroupKFold,
    audit_folds,
    fold_report,
)
from hpastack.labels import HPA_2018

pytestmark = pytest.mark.core

quick = settings(max_examples=40, deadline=None)


# What is drawn has labels in few groups, which is not what these tests look at.
lenient = pytest.mark.filterwarnings("ignore::hpastack.folds.RareLabelWarning")


class TestSplitter:
    @lenient
    @quick
    @given(labelled_groups())
    def test_groups_are_pure_and_every_row_is_held_out_once(self, case):
        y, groups, n_splits, seed = case
        splitter = MultilabelStratifiedGroupKFold(n_splits, random_state=seed)
        held_out = []
        for train, test in splitter.split(np.zeros((len(y), 1)), y, groups):
            assert len(test) > 0
            assert set(groups[train]).isdisjoint(groups[test])
            assert sorted([*train, *test]) == list(range(len(y)))
            held_out.extend(test)
        assert sorted(held_out) == list(range(len(y)))

    @quick
    @given(labelled_groups())
    def test_permuted_rows_give_the_same_folds_by_group(self, case):
        y, groups, n_splits, seed = case
        splitter = MultilabelStratifiedGroupKFold(n_splits, random_state=seed)
        order = np.random.default_rng(seed).permutation(len(y))
        before = dict(zip(groups, splitter.fold_numbers(y, groups)))
        after = dict(zip(groups[order], splitter.fold_numbers(y[order], groups[order])))
        assert before == after

    def test_known_folds_do_not_change(self):
        y = [[row % 2, row % 3 == 0, row == 5] for row in range(12)]
        groups = ["a", "a", "b", "c", "c", "c", "d", "e", "f", "g", "h", "h"]
        got = MultilabelStratifiedGroupKFold(3, random_state=7).fold_numbers(y, groups)
        assert got.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0]

    def test_seeds_differ_and_repeat(self):
        y = np.ones((40, 1), dtype=int)
        folds = [MultilabelStratifiedGroupKFold(4, s).fold_numbers(y).tolist() for s in (0, 0, 1)]
        assert folds[0] == folds[1] != folds[2]

    def test_giant_group_leaves_no_fold_empty(self):
        y = np.ones((103, 2), dtype=int)
        groups = ["giant"] * 100 + ["a", "b", "c"]
        fold = MultilabelStratifiedGroupKFold(4).fold_numbers(y, groups)
        assert sorted(np.bincount(fold)) == [1, 1, 1, 100]

    def test_single_label_target_is_one_hot(self):
        classes = np.array(["x", "y", "z"] * 10)
        fold = MultilabelStratifiedGroupKFold(5).fold_numbers(classes)
        assert all((np.bincount(fold[classes == c]) == 2).all() for c in "xyz")

    def test_tuples_are_groups(self):
        groups = [("p1", "A1"), ("p1", "A1"), ("p1", "A2"), ("p2", "A1")]
        fold = MultilabelStratifiedGroupKFold(2).fold_numbers([[1], [0], [1], [1]], groups)
        assert fold[0] == fold[1]

    @pytest.mark.parametrize(
        ("y", "groups", "message"),
        [
            ([[1], [1]], ["a", "a"], "1 group cannot fill 2 folds"),
            ([[1], [2]], None, "y is 2 in row 1, column 0"),
            ([[1], [np.nan]], None, "y is nan in row 1, column 0"),
            ([[1], [1]], ["a", None], "row 1 has no group"),
            ([[1], [1]], [1.0, np.nan], "row 1 has no group"),
            ([[1], [1]], ["a", "b", "c"], "groups has 3 rows and y has 2"),
            (np.zeros((2, 1, 1)), None, "y has shape"),
        ],
    )
    def test_bad_input_is_named(self, y, groups, message):
        with pytest.raises(InputError, match=message):
            MultilabelStratifiedGroupKFold(2).fold_numbers(y, groups)

    @pytest.mark.parametrize("n_splits", [1, 0, 2.5, True, "5"])
    def test_number_of_folds_is_checked(self, n_splits):
        with pytest.raises(InputError, match="n_splits"):
            MultilabelStratifiedGroupKFold(n_splits)

    def test_lengths_and_labels_are_checked(self):
        splitter = MultilabelStratifiedGroupKFold(2)
        with pytest.raises(InputError, match="X has 3 rows and y has 2"):
            list(splitter.split([0, 0, 0], [[1], [1]]))
        with pytest.raises(InputError, match="y is missing; pass the labels"):
            list(splitter.split([0, 0]))

    def test_works_in_scikit_learn(self):
        rng = np.random.default_rng(0)
        X, y = rng.random((30, 2)), rng.integers(0, 2, (30, 3))
        y[:2] = [[0] * 3, [1] * 3]
        groups = np.arange(30) // 2
        splitter = MultilabelStratifiedGroupKFold(3)
        model = DummyClassifier()
        assert len(cross_val_score(model, X, y, groups=groups, cv=splitter)) == 3
        search = GridSearchCV(model, {"strategy": ["prior"]}, cv=splitter)
        assert search.fit(X, y, groups=groups).n_splits_ == 3
        assert splitter.get_n_splits() == 3
        assert repr(splitter) == (
            "MultilabelStratifiedGroupKFold(balance=None, n_splits=3, random_state=0)"
        )

    @pytest.mark.long
    def test_repeats_in_a_process_of_its_own(self):
        # Python's own hash of strings differs from process to process; folds must not.
        code = (
            "from hpastack.folds import MultilabelStratifiedGroupKFold as K;"
            "print(K(3).fold_numbers([[1]] * 9, list('abcdefghi')).tolist())"
        )
        here = MultilabelStratifiedGroupKFold(3).fold_numbers([[1]] * 9, list("abcdefghi"))
        there = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == str(here.tolist())


class TestBalance:
    @pytest.fixture
    def rows(self):
        rng = np.random.default_rng(1)
        X = pd.DataFrame({"line": rng.choice(["A-431", "U-2 OS"], 60), "signal": rng.random(60)})
        y = pd.DataFrame(rng.integers(0, 2, (60, 3)), columns=["Golgi", "Nuclei", "Rods"])
        return X, y

    def test_levels_are_spread_beside_the_labels(self, rows):
        X, y = rows
        X.loc[::4, "line"] = None
        fold = MultilabelStratifiedGroupKFold(4, balance={"line": 1}).fold_numbers(y, X=X)
        counts = pd.crosstab(X["line"].fillna("unknown"), fold)
        # 15 rows without a line in four folds, like any other level.
        assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
        assert (np.ptp([y[fold == number].sum() for number in range(4)], axis=0) <= 1).all()

    @quick
    @given(labelled_groups())
    def test_permuted_rows_give_the_same_folds_by_group(self, case):
        y, groups, n_splits, seed = case
        rng = np.random.default_rng(seed)
        X = pd.DataFrame({"line": rng.choice(["a", "b", None], len(y)), "plate": rng.integers(3)})
        splitter = MultilabelStratifiedGroupKFold(n_splits, seed, balance={"line": 1, "plate": 0.3})
        order = rng.permutation(len(y))
        before = dict(zip(groups, splitter.fold_numbers(y, groups, X)))
        shuffled = splitter.fold_numbers(y[order], groups[order], X.iloc[order])
        assert before == dict(zip(groups[order], shuffled))

    def test_follows_the_rows_that_scikit_learn_picks(self, rows):
        X, y = rows
        model = make_pipeline(ColumnTransformer([("kept", "passthrough", ["signal"])]))
        model.steps.append(("model", DummyClassifier()))
        splitter = MultilabelStratifiedGroupKFold(3, balance={"line": 1.0})
        search = GridSearchCV(model, {"model__strategy": ["prior"]}, cv=splitter)
        # The inner splits get data frames of some of the rows.
        scores = cross_validate(search, X, y, cv=splitter, return_indices=True)
        assert np.isfinite(scores["test_score"]).all()
        for test in scores["indices"]["test"]:
            counts = X["line"].iloc[test].value_counts()
            assert (counts - X["line"].value_counts() / 3).abs().max() < 1
        assert pickle.loads(pickle.dumps(splitter)).balance == {"line": 1.0}
        assert "balance={'line': 1.0}" in repr(splitter)

    @pytest.mark.parametrize(
        ("balance", "message"),
        [
            ({"well": 1}, "column 'well' is missing; the columns are line, signal"),
            ({"signal": 1}, "column 'signal' has fractional values"),
        ],
    )
    def test_bad_columns_are_named(self, rows, balance, message):
        X, y = rows
        with pytest.raises(InputError, match=message):
            next(MultilabelStratifiedGroupKFold(balance=balance).split(X, y))

    def test_needs_the_data_frame(self, rows):
        X, y = rows
        splitter = MultilabelStratifiedGroupKFold(balance={"line": 1})
        with pytest.raises(InputError, match="X is a ndarray; to balance line it must be a data"):
            next(splitter.split(X.to_numpy(), y))
        with pytest.raises(InputError, match="has 59 rows and y has 60"):
            splitter.fold_numbers(y, X=X.iloc[1:])

    @pytest.mark.parametrize("balance", [["line"], {"line": 0}, {"line": "1"}, {"line": np.inf}])
    def test_weights_are_checked(self, balance):
        for splitter in (
            MultilabelStratifiedGroupKFold,
            RepeatedMultilabelStratifiedGroupKFold,
            MultilabelStratifiedGroupShuffleSplit,
        ):
            with pytest.raises(InputError, match="balance"):
                splitter(balance=balance)


class TestRareLabels:
    def test_split_names_them(self):
        y = pd.DataFrame({"Golgi": [1, 1, 1, 1], "Rods": [1, 0, 0, 0]})
        splitter = MultilabelStratifiedGroupKFold(2)
        with pytest.warns(
            RareLabelWarning, match=r"missing from some folds: Rods \(1 cluster\)"
        ) as caught:
            next(splitter.split(y, y))
        assert "Golgi" not in str(caught[0].message)
        assert caught[0].filename == __file__

    def test_other_labels_pass_in_silence(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            list(MultilabelStratifiedGroupKFold(2).split([0, 0], [[1], [1]]))

    def test_fold_numbers_leave_that_to_the_caller(self):
        MultilabelStratifiedGroupKFold(2).fold_numbers([[1], [0]])


class TestRepeated:
    @lenient
    @quick
    @given(labelled_groups())
    def test_each_repeat_holds_every_row_out_once(self, case):
        y, groups, n_splits, seed = case
        splitter = RepeatedMultilabelStratifiedGroupKFold(n_splits, 2, seed)
        pairs = list(splitter.split(y, y, groups))
        assert len(pairs) == splitter.get_n_splits() == 2 * n_splits
        for repeat in (pairs[:n_splits], pairs[n_splits:]):
            assert sorted(np.concatenate([test for _, test in repeat])) == list(range(len(y)))
            for train, test in repeat:
                assert set(groups[train]).isdisjoint(groups[test])

    def test_repeats_differ_from_each_other_and_from_the_next_seed(self):
        y = np.ones((30, 1), dtype=int)
        seen = [
            tuple(test)
            for seed in (0, 1)
            for _, test in RepeatedMultilabelStratifiedGroupKFold(3, 4, seed).split(y, y)
        ]
        assert len(set(seen)) == len(seen)

    def test_works_in_scikit_learn(self):
        y = np.tile([[1, 0], [0, 1], [1, 1]], (10, 1))
        splitter = RepeatedMultilabelStratifiedGroupKFold(3, n_repeats=2)
        groups = np.repeat(np.arange(10), 3)
        assert len(cross_val_score(DummyClassifier(), y, y, groups=groups, cv=splitter)) == 6
        assert repr(splitter).startswith("RepeatedMultilabelStratifiedGroupKFold(")

    @pytest.mark.parametrize(("n_splits", "n_repeats"), [(1, 1), (2, 0), (2, 1.5)])
    def test_numbers_are_checked(self, n_splits, n_repeats):
        with pytest.raises(InputError, match="whole number"):
            RepeatedMultilabelStratifiedGroupKFold(n_splits, n_repeats)


class TestShuffleSplit:
    @lenient
    @quick
    @given(labelled_groups(), st.sampled_from([0.001, 0.2, 1 / 3, 0.9]))
    def test_groups_are_on_one_side_and_neither_side_is_empty(self, case, test_size):
        y, groups, _, seed = case
        splitter = MultilabelStratifiedGroupShuffleSplit(2, test_size, seed)
        for train, test in splitter.split(y, y, groups):
            assert len(train) and len(test)
            assert set(groups[train]).isdisjoint(groups[test])
            assert sorted([*train, *test]) == list(range(len(y)))

    @pytest.mark.parametrize("test_size", [0.1, 0.25, 0.4])
    def test_share_of_rows_and_of_each_label(self, test_size):
        rng = np.random.default_rng(2)
        y = (rng.random((200, 4)) < [0.5, 0.2, 0.1, 0.05]).astype(int)
        y[0] = 1
        groups = np.arange(200) // 2
        splitter = MultilabelStratifiedGroupShuffleSplit(3, test_size)
        for _, test in splitter.split(y, y, groups):
            # Groups are pairs of rows, so one row too many or too few cannot be helped.
            assert abs(len(test) - 200 * test_size) <= 2
            assert (np.abs(y[test].sum(0) - test_size * y.sum(0)) <= 1.001).all()

    def test_test_sets_are_independent_draws(self):
        y = np.ones((200, 1), dtype=int)
        tests = [set(t) for _, t in MultilabelStratifiedGroupShuffleSplit(5, 0.5).split(y, y)]
        overlaps = [len(one & other) for one in tests for other in tests if one is not other]
        # Half of 100 rows by chance, with a standard deviation of 3.5.
        assert min(overlaps) > 35 and max(overlaps) < 65

    def test_works_in_scikit_learn(self):
        y = np.tile([[1, 0], [0, 1], [1, 1]], (10, 1))
        splitter = MultilabelStratifiedGroupShuffleSplit(4)
        groups = np.repeat(np.arange(10), 3)
        assert len(cross_val_score(DummyClassifier(), y, y, groups=groups, cv=splitter)) == 4
        assert splitter.get_n_splits() == 4

    @pytest.mark.parametrize("test_size", [0, 1, 1.5, -0.2, "0.2", np.nan])
    def test_share_is_checked(self, test_size):
        with pytest.raises(InputError, match="test_size"):
            MultilabelStratifiedGroupShuffleSplit(test_size=test_size)

    def test_one_group_cannot_be_split(self):
        with pytest.raises(InputError, match="1 group cannot fill 2 folds"):
            next(MultilabelStratifiedGroupShuffleSplit(1).split([[1], [1]], [[1], [1]], ["a", "a"]))


@pytest.fixture(scope="module")
def train(real_data):
    table = pd.read_csv(real_data / "labels" / "train.csv", dtype=str, index_col="Id")
    pairs = pd.concat(
        read_duplicate_lists(real_data / "duplicates" / f"omallo_{name}_duplicates.txt")
        for name in ("train", "external_train")
    )
    return HPA_2018.indicator(table["Target"]), clusters_from_keys(table.index, pairs)


@pytest.mark.long
class TestRealLabels:
    def test_as_even_as_ungrouped_stratification(self, train):
        stratification = pytest.importorskip("iterstrat.ml_stratifiers")
        y, clusters = train
        fold = MultilabelStratifiedGroupKFold(5).fold_numbers(y, clusters)
        ours = fold_report(y, fold).labels["relative_deviation"].mean()
        ungrouped = np.empty(len(y), dtype=int)
        kfold = stratification.MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
        for number, (_, test) in enumerate(kfold.split(y, y)):
            ungrouped[test] = number
        assert ours <= 1.3 * fold_report(y, ungrouped).labels["relative_deviation"].mean()
        assert len(audit_folds(pd.Series(fold, clusters.index), clusters)) == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(3))
    def test_a_third_of_group_k_fold(self, train, seed):
        y, clusters = train
        fold = MultilabelStratifiedGroupKFold(5, seed).fold_numbers(y, clusters)
        assert deviation(y, fold) <= deviation(y, group_k_fold(y, clusters)) / 3

    @pytest.mark.slow
    @pytest.mark.parametrize("parts", [1, 3])  # antibody; antibody, plate and well
    def test_antibodies_and_wells(self, real_data, parts):
        table = pd.read_csv(real_data / "labels" / "hpav18.csv", dtype=str, keep_default_na=False)
        y = HPA_2018.indicator(table["Target"], allow_empty=True)
        groups = table["Id"].str.split("_").str[:parts].str.join("_")
        fold = MultilabelStratifiedGroupKFold(5).fold_numbers(y, groups)
        assert deviation(y, fold) <= deviation(y, group_k_fold(y, groups)) / 3


def group_k_fold(y, groups):
    fold = np.empty(len(y), dtype=int)
    for number, (_, test) in enumerate(GroupKFold(5).split(y, groups=groups)):
        fold[test] = number
    return fold


def deviation(y, fold):
    return fold_report(y, fold).labels["relative_deviation"].mean()


class TestNamesOfGroups:
    @pytest.mark.parametrize(
        "groups", [np.array(list("aabbccddee")), np.arange(10) // 2, np.arange(10) // 2 + 0.0]
    )
    def test_the_container_does_not_matter(self, groups):
        y = np.ones((10, 1), dtype=int)
        splitter = MultilabelStratifiedGroupKFold(3, random_state=1)
        expected = splitter.fold_numbers(y, groups.tolist())
        whole = groups.astype(int).tolist() if groups.dtype.kind == "f" else groups.tolist()
        for same in (groups, list(groups), pd.Series(groups, dtype=object), whole):
            assert splitter.fold_numbers(y, same).tolist() == expected.tolist()
        pairs = [("p", name) for name in groups]
        plain = [("p", name) for name in groups.tolist()]
        assert (splitter.fold_numbers(y, pairs) == splitter.fold_numbers(y, plain)).all()

    def test_memory_order_of_the_labels_does_not_matter(self):
        y = np.random.default_rng(0).integers(0, 2, (40, 5))
        splitter = MultilabelStratifiedGroupKFold(3)
        for same in (np.asfortranarray(y), y[::-1][::-1], pd.DataFrame(y)):
            assert (splitter.fold_numbers(same) == splitter.fold_numbers(y)).all()

    def test_what_cannot_be_stratified_is_rejected(self):
        with pytest.raises(InputError, match="fractional or missing values"):
            MultilabelStratifiedGroupKFold(2).fold_numbers(np.random.default_rng(0).random(10))
        X = pd.DataFrame({"text": [f"{number}.5" for number in range(60)]})
        splitter = MultilabelStratifiedGroupKFold(2, balance={"text": 1.0})
        with pytest.raises(InputError, match="'text' has 60 values in 60 rows"):
            splitter.fold_numbers(np.ones((60, 1)), None, X)
        with pytest.raises(InputError, match="at most 1,000"):
            MultilabelStratifiedGroupKFold(2, balance={"text": 1e18})
