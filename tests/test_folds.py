import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.stratification import stratify_slowly
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from hpastack.clusters import clusters_from_keys, read_duplicate_lists
from hpastack.errors import InputError
from hpastack.folds import (
    FoldPlan,
    MultilabelStratifiedGroupKFold,
    _group_codes,
    _stratify,
    audit_folds,
    fold_report,
    labels_digest,
    labels_missing_from_folds,
    make_fold_plan,
    read_fold_plan,
    read_fold_table,
    write_fold_plan,
)
from hpastack.labels import HPA_2018
from hpastack.store import fold_digest

quick = settings(max_examples=40, deadline=None)


@st.composite
def labelled_groups(draw):
    """Labels (some rows empty), groups of any shape, a number of folds they can fill."""
    n_splits = draw(st.integers(2, 4))
    n_rows = draw(st.integers(n_splits, 30))
    n_labels = draw(st.integers(1, 4))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    y = (rng.random((n_rows, n_labels)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))).astype(int)
    shape = draw(st.sampled_from(["single", "giant", "mixed"]))
    if shape == "single":
        groups = np.arange(n_rows)
    elif shape == "giant":
        groups = np.r_[np.arange(n_splits), np.zeros(n_rows - n_splits, dtype=int)]
    else:
        groups = np.r_[np.arange(n_splits), rng.integers(0, n_rows, n_rows - n_splits)]
    if draw(st.booleans()):
        groups = np.array([f"well {group}" for group in groups], dtype=object)
    return y, groups, n_splits, seed


class TestSplitter:
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

    @quick
    @given(labelled_groups())
    def test_dealing_is_that_of_the_slow_version(self, case):
        y, groups, n_splits, _ = case
        codes = pd.factorize(groups)[0]
        amounts = np.zeros((codes.max() + 1, y.shape[1] + 1), dtype=np.int64)
        np.add.at(amounts, codes, np.c_[y, np.ones(len(y), dtype=int)])
        assert _stratify(amounts, n_splits).tolist() == stratify_slowly(amounts, n_splits)

    @quick
    @given(labelled_groups())
    def test_moves_and_swaps_never_make_it_worse(self, case):
        y, groups, n_splits, seed = case
        fold = MultilabelStratifiedGroupKFold(n_splits, random_state=seed).fold_numbers(y, groups)
        codes, n_groups = _group_codes(groups, len(y), seed)
        columns = np.c_[y, np.ones(len(y), dtype=int)]
        amounts = np.zeros((n_groups, columns.shape[1]), dtype=np.int64)
        np.add.at(amounts, codes, columns)
        dealt = _stratify(amounts, n_splits)[codes]
        if len(np.unique(dealt)) < n_splits:
            return  # an empty fold had to be filled, which may cost
        used = columns[:, columns.sum(0) > 0]

        def cost(folds):
            held = np.stack([used[folds == f].sum(0) for f in range(n_splits)])
            return (np.abs(n_splits * held - used.sum(0)) / used.sum(0)).sum()

        # The fixed-point weights are exact to far below this.
        assert cost(fold) <= cost(dealt) + 1e-6

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
            ([[1], [1]], ["a", "a"], "1 groups cannot fill 2 folds"),
            ([[1], [2]], None, "row 1, column 0 holds 2"),
            ([[1], [np.nan]], None, "row 1, column 0 holds nan"),
            ([[1], [1]], ["a", None], "row 1 has no group"),
            ([[1], [1]], [1.0, np.nan], "row 1 has no group"),
            ([[1], [1]], ["a", "b", "c"], "2 rows of labels and 3 groups"),
            (np.zeros((2, 1, 1)), None, "labels of shape"),
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
        with pytest.raises(InputError, match="need the labels"):
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
        assert repr(splitter) == "MultilabelStratifiedGroupKFold(n_splits=3, random_state=0)"

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


@pytest.fixture(scope="module")
def train(real_data):
    table = pd.read_csv(real_data / "labels" / "train.csv", dtype=str, index_col="Id")
    pairs = pd.concat(
        read_duplicate_lists(real_data / "duplicates" / f"omallo_{name}_duplicates.txt")
        for name in ("train", "external_train")
    )
    return HPA_2018.indicator(table["Target"]), clusters_from_keys(table.index, pairs)


class TestRealLabels:
    def test_as_even_as_ungrouped_stratification(self, train):
        stratification = pytest.importorskip("iterstrat.ml_stratifiers")
        y, clusters = train
        fold = MultilabelStratifiedGroupKFold(5).fold_numbers(y, clusters)
        ours = fold_report(y, fold)["relative_deviation"].mean()
        ungrouped = np.empty(len(y), dtype=int)
        kfold = stratification.MultilabelStratifiedKFold(5, shuffle=True, random_state=0)
        for number, (_, test) in enumerate(kfold.split(y, y)):
            ungrouped[test] = number
        assert ours <= 1.3 * fold_report(y, ungrouped)["relative_deviation"].mean()
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
    return fold_report(y, fold)["relative_deviation"].mean()


class TestPlan:
    @pytest.fixture
    def plan(self):
        clusters = pd.Series({"a": "a", "b": "a", "NA": "NA", "d": "d", "test": "a"})
        return make_fold_plan(
            ["d", "b", "a", "NA"], [[1, 0], [1, 1], [0, 1], [1, 0]], clusters, n_splits=2
        )

    def test_planted_duplicate_never_straddles_folds(self):
        rng = np.random.default_rng(3)
        ids = [f"f{i:03d}" for i in range(200)]
        clusters = pd.Series(ids, index=ids)
        twins = rng.permutation(200)[:100].reshape(-1, 2)
        for one, other in twins:
            clusters.iloc[other] = clusters.iloc[one]
        y = rng.integers(0, 2, (200, 5))
        for seed in range(5):
            plan = make_fold_plan(ids, y, clusters, 5, seed)
            fold = plan.frame["fold"].to_numpy()
            assert (fold[twins[:, 0]] == fold[twins[:, 1]]).all()
            assert plan.split_clusters.empty

    def test_keeps_the_order_of_rows_and_ignores_it(self, plan):
        assert plan.frame.index.tolist() == ["d", "b", "a", "NA"]
        other = make_fold_plan(
            ["a", "NA", "d", "b"], [[0, 1], [1, 0], [1, 0], [1, 1]],
            pd.Series({"a": "a", "b": "a", "NA": "NA", "d": "d"}), n_splits=2,
        )  # fmt: skip
        assert other.digest == plan.digest
        assert other.record == plan.record

    def test_digest_is_the_stores(self, plan):
        assert plan.digest == fold_digest(plan.frame.index.tolist(), plan.frame["fold"])

    def test_round_trip(self, plan, tmp_path):
        path = tmp_path / "folds.csv"
        write_fold_plan(path, plan)
        again = read_fold_plan(path)
        pd.testing.assert_frame_equal(again.frame, plan.frame)
        assert again.digest == plan.digest == again.record["fold_plan"]
        assert again.record["seed"] == 0
        assert again.record["labels"] == labels_digest(
            ["NA", "a", "b", "d"], [[1, 0], [0, 1], [1, 1], [1, 0]]
        )
        assert again.n_folds == again.record["n_splits"] == 2
        assert sorted(file.name for file in tmp_path.iterdir()) == ["folds.csv", "folds.json"]

    def test_reads_a_plan_without_record(self, plan, tmp_path):
        write_fold_plan(tmp_path / "folds.csv", plan)
        (tmp_path / "folds.json").unlink()
        assert read_fold_plan(tmp_path / "folds.csv").record == {}

    def test_refuses_an_edited_plan(self, plan, tmp_path):
        path = tmp_path / "folds.csv"
        write_fold_plan(path, plan)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table["fold"] = 1 - table["fold"].astype(int)
        table.to_csv(path, index=False)
        with pytest.raises(InputError, match="does not fit folds.json"):
            read_fold_plan(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image_id,fold\na,0\n", "columns image_id, cluster, fold"),
            ("image_id,cluster,fold\na,a,0\na,a,1\n", "ids stand twice: a"),
            ("image_id,cluster,fold\n,a,0\nb,b,1\n", "row 0 has an empty id"),
            ("image_id,cluster,fold\na,,0\nb,b,1\n", "a has none"),
            ("image_id,cluster,fold\na,a,0\nb,b,one\n", "fold 'one' of b"),
            ("image_id,cluster,fold\na,a,0\nb,b,-1\n", "fold '-1' of b"),
            ("image_id,cluster,fold\na,a,0\nb,b,2\n", "fold 1 is empty"),
            ("image_id,cluster,fold\na,a,0\nb,b,0\n", "at least 2 folds"),
            ("image_id,cluster,fold\n", "holds no fields"),
            ("", "not a CSV table"),
        ],
    )
    def test_bad_plan_is_named(self, tmp_path, text, message):
        path = tmp_path / "folds.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            read_fold_plan(path)
        assert str(path) in str(caught.value)

    def test_bad_record_is_named(self, plan, tmp_path):
        write_fold_plan(tmp_path / "folds.csv", plan)
        for text in ("{", "[]"):
            (tmp_path / "folds.json").write_text(text)
            with pytest.raises(InputError, match=r"folds\.json beside it"):
                read_fold_plan(tmp_path / "folds.csv")

    def test_frame_is_checked(self):
        with pytest.raises(InputError, match="column 'fold'"):
            FoldPlan(pd.DataFrame({"cluster": ["a"]}, index=["a"]))
        with pytest.raises(InputError, match="whole numbers"):
            FoldPlan(pd.DataFrame({"cluster": ["a", "b"], "fold": [0.0, 1.0]}, index=["a", "b"]))

    def test_needs_a_cluster_for_every_field(self):
        with pytest.raises(InputError, match="the clusters lack 1 fields: b"):
            make_fold_plan(["a", "b"], [[1], [1]], pd.Series({"a": "a"}), 2)
        with pytest.raises(InputError, match="2 fields and 1 rows of labels"):
            make_fold_plan(["a", "b"], [[1]], pd.Series({"a": "a", "b": "b"}), 2)


class TestForeignFolds:
    def test_reads_in_the_order_wanted(self, tmp_path):
        path = tmp_path / "theirs.csv"
        path.write_text("Id,fold,comment\nb,1,x\na,0,y\n")
        assert read_fold_table(path, ["a", "b"]).to_dict() == {"a": 0, "b": 1}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("Id,split\na,0\nb,1\n", "columns image_id"),
            ("Id,fold\na,0\n", "no fold for 1 fields: b"),
            ("Id,fold\na,0\nb,1\nc,1\n", "1 ids are not training fields of the catalogue: c"),
            ("Id,fold\na,0\nb,1\nb,1\n", "ids stand twice: b"),
            ("Id,fold\na,0\nb,1.5\n", "fold '1.5' of b"),
            ("Id,fold\na,0\nb,\n", "fold '' of b"),
            ("Id,fold\na,1\nb,2\n", "fold 0 is empty"),
        ],
    )
    def test_bad_table_is_named(self, tmp_path, text, message):
        path = tmp_path / "theirs.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_fold_table(path, ["a", "b"])

    def test_real_table(self, real_data):
        ids = pd.read_csv(real_data / "labels" / "train.csv", dtype=str)["Id"]
        fold = read_fold_table(real_data / "cnn_oof" / "folds.csv", ids)
        assert fold.index.tolist() == ids.tolist()
        assert fold.nunique() == 5

    def test_audit_names_split_clusters_only(self):
        fold = pd.Series({"a": 2, "b": 0, "c": 1, "d": 1})
        clusters = pd.Series({"a": "a", "b": "a", "c": "c", "d": "c", "test": "a"})
        assert audit_folds(fold, clusters).to_dict("records") == [
            {"cluster": "a", "n_fields": 2, "folds": "0 2"}
        ]
        assert audit_folds(pd.Series({"c": 0, "d": 0}), clusters).columns.tolist() == [
            "cluster", "n_fields", "folds"
        ]  # fmt: skip


class TestReport:
    def test_worked_by_hand(self):
        report = fold_report(
            [[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]], [0, 0, 1, 1], list("xyz")
        )
        assert report.loc["x"].tolist() == [4, 2, 2, 0]
        # 3 positives: 1.5 would be fair, 1 and 2 are off by a third of that.
        assert report.loc["y"].tolist() == pytest.approx([3, 1, 2, 1 / 3])
        assert np.isnan(report.loc["z", "relative_deviation"])

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(InputError, match="2 rows of labels and 3 folds"):
            fold_report([[1], [1]], [0, 1, 1])
        with pytest.raises(InputError, match="fold 0 is empty"):
            fold_report([[1], [1]], [1, 1])

    def test_names_labels_of_few_clusters(self):
        y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
        warnings = labels_missing_from_folds(y, ["a", "a", "b", "c"], 3, ["x", "y", "z"])
        assert [warning.split(",")[0] for warning in warnings] == [
            "label y lives in 1 cluster", "label z lives in 0 clusters"
        ]  # fmt: skip
