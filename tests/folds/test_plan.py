import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.folds import (
    FoldPlan,
    audit_folds,
    check_plan,
    fold_digest,
    labels_digest,
    make_fold_plan,
    read_fold_plan,
    read_fold_table,
    write_fold_plan,
)

pytestmark = pytest.mark.core


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

    def test_an_edited_plan_is_rejected(self, plan, tmp_path):
        path = tmp_path / "folds.csv"
        write_fold_plan(path, plan)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table["fold"] = 1 - table["fold"].astype(int)
        table.to_csv(path, index=False)
        with pytest.raises(InputError, match="do not match folds.json"):
            read_fold_plan(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image_id,fold\na,0\n", "columns image_id, cluster, fold"),
            ("image_id,cluster,fold\na,a,0\na,a,1\n", "duplicate ids: a"),
            ("image_id,cluster,fold\n,a,0\nb,b,1\n", "'' in row 1 is not an image id"),
            ("image_id,cluster,fold\na,,0\nb,b,1\n", "field a has no cluster"),
            ("image_id,cluster,fold\na,a,0\nb,b,one\n", "fold 'one' of field b"),
            ("image_id,cluster,fold\na,a,0\nb,b,-1\n", "fold '-1' of field b"),
            ("image_id,cluster,fold\na,a,0\nb,b,2\n", "fold 1 is empty"),
            ("image_id,cluster,fold\na,a,0\nb,b,0\n", "at least 2 folds"),
            ("image_id,cluster,fold\n", "there are no fields"),
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
            with pytest.raises(InputError, match=r"folds\.json in the same folder"):
                read_fold_plan(tmp_path / "folds.csv")

    def test_frame_is_checked(self):
        with pytest.raises(InputError, match="column 'fold'"):
            FoldPlan(pd.DataFrame({"cluster": ["a"]}, index=["a"]))
        with pytest.raises(InputError, match="whole numbers"):
            FoldPlan(pd.DataFrame({"cluster": ["a", "b"], "fold": [0.0, 1.0]}, index=["a", "b"]))

    def test_balances_columns_by_image_id(self):
        ids = [f"f{number:02d}" for number in range(40)]
        clusters = pd.Series(ids, index=ids)
        y = np.ones((40, 1), dtype=int)
        lines = pd.DataFrame({"line": ["U-2 OS"] * 12 + [None] * 28, "plate": "p"}, index=ids)
        shuffled = lines.sample(frac=1, random_state=0)
        plan = make_fold_plan(ids, y, clusters, 4, balance=shuffled, balance_weights={"line": 2})
        known = lines["line"].notna().to_numpy()
        fold = plan.frame["fold"].to_numpy()
        assert np.bincount(fold[known]).tolist() == [3] * 4
        assert np.bincount(fold[~known]).tolist() == [7] * 4
        assert plan.record["balance"] == {"line": 2.0}
        every = make_fold_plan(ids, y, clusters, 4, balance=lines)
        assert every.record["balance"] == {"line": 1.0, "plate": 1.0}

    def test_columns_to_balance_are_checked(self):
        ids = ["a", "b"]
        clusters = pd.Series(ids, index=ids)
        lines = pd.DataFrame({"line": ["x"]}, index=["a"])
        with pytest.raises(InputError, match="the columns to balance lack 1 field: b"):
            make_fold_plan(ids, [[1], [1]], clusters, 2, balance=lines)
        with pytest.raises(InputError, match="balance_weights has no effect without balance"):
            make_fold_plan(ids, [[1], [1]], clusters, 2, balance_weights={"line": 1})

    def test_needs_a_cluster_for_every_field(self):
        with pytest.raises(InputError, match="the clusters lack 1 field: b"):
            make_fold_plan(["a", "b"], [[1], [1]], pd.Series({"a": "a"}), 2)
        with pytest.raises(InputError, match="image_ids has 2 ids and indicator has 1 row"):
            make_fold_plan(["a", "b"], [[1]], pd.Series({"a": "a", "b": "b"}), 2)


class TestForeignFolds:
    def test_reads_in_the_order_wanted(self, tmp_path):
        path = tmp_path / "theirs.csv"
        path.write_text("Id,fold,comment\nb,1,x\na,0,y\n")
        assert read_fold_table(path, ["a", "b"]).to_dict() == {"a": 0, "b": 1}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("Id,split\na,0\nb,1\n", "no column fold"),
            ("Id,fold\na,0\n", "1 field has no fold: b"),
            ("Id,fold\na,0\nb,1\nc,1\n", "ids that are not training fields of the catalogue: c"),
            ("Id,fold\na,0\nb,1\nb,1\n", "duplicate ids: b"),
            ("Id,fold\na,0\nb,1.5\n", "fold '1.5' of field b"),
            ("Id,fold\na,0\nb,\n", "fold '' of field b"),
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


class TestCheckPlan:
    def test_fields_and_labels_must_be_those_of_the_plan(self):
        ids, y = list("abcd"), np.array([[1], [1], [0], [0]])
        plan = make_fold_plan(ids, y, pd.Series(ids, ids), 2)
        check_plan(plan, ids[::-1], y[::-1])
        with pytest.raises(InputError, match="differ in 1 field: d"):
            check_plan(plan, ids[:3], y[:3])
        with pytest.raises(InputError, match="labels have changed .*--folds data/folds.csv"):
            check_plan(plan, ids, 1 - y)
        check_plan(FoldPlan(plan.frame), ids, 1 - y)  # a plan without a record says nothing

    @pytest.mark.parametrize("nothing", [None, np.nan, ""])
    def test_a_missing_cluster_is_no_cluster(self, nothing):
        frame = pd.DataFrame({"cluster": ["a", nothing], "fold": [0, 1]}, index=["a", "b"])
        with pytest.raises(InputError, match="field b has no cluster"):
            FoldPlan(frame)

    def test_the_audit_ignores_no_field(self):
        fold = pd.Series({"a": 0, "b": 1})
        with pytest.raises(InputError, match="fields without a cluster: b"):
            audit_folds(fold, pd.Series({"a": "a", "b": None}))
        with pytest.raises(InputError, match="duplicate ids: a"):
            audit_folds(fold, pd.Series(["a", "a", "b"], index=["a", "a", "b"]))


def test_groups_are_the_clusters_and_the_parts_of_those_that_folds_split():
    frame = pd.DataFrame(
        {"cluster": ["a", "a", "b", "b"], "fold": [0, 1, 1, 1]}, index=list("pqrs")
    )
    assert FoldPlan(frame).groups.tolist() == ["a in fold 0", "a in fold 1", "b", "b"]
    assert FoldPlan(frame.iloc[[0, 2]]).groups.tolist() == ["a", "b"]
