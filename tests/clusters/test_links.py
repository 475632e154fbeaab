import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.pair_search import clusters_by_flooding

from hpastack.clusters import (
    clusters_from_keys,
    label_disagreements,
    leaks,
    read_duplicate_lists,
    read_leaks,
    strongest_twins,
    unknown_ids,
    weakest_links,
)
from hpastack.clusters.pairs import pair_strength
from hpastack.errors import InputError

pytestmark = pytest.mark.core

quick = settings(max_examples=30, deadline=None)


class TestClusters:
    @quick
    @given(st.lists(st.tuples(st.sampled_from("abcdefghx"), st.sampled_from("abcdefghy"))))
    def test_as_flooding(self, links):
        ids = list("hgfedcba")
        pairs = pd.DataFrame(links, columns=["image_id", "twin"])
        assert clusters_from_keys(ids, pairs).to_dict() == clusters_by_flooding(ids, links)

    def test_keys_join_across_columns(self):
        groups = pd.DataFrame(
            {"well": ["A1", "A1", "A2", "", None], "antibody": ["x", "y", "y", "z", np.nan]},
            index=list("edcba"),
        )
        clusters = clusters_from_keys(list("abcde"), None, groups)
        assert clusters.to_dict() == {"a": "a", "b": "b", "c": "c", "d": "c", "e": "c"}

    def test_same_value_in_another_column_joins_nothing(self):
        groups = pd.DataFrame({"well": ["1", ""], "antibody": ["", "1"]}, index=["a", "b"])
        assert clusters_from_keys(["a", "b"], None, groups).tolist() == ["a", "b"]

    def test_unknown_ids_join_but_get_no_cluster(self):
        pairs = pd.DataFrame({"image_id": ["b", "external"], "twin": ["external", "a"]})
        assert clusters_from_keys(["a", "b"], pairs).to_dict() == {"a": "a", "b": "a"}

    def test_no_keys_and_no_fields(self):
        assert clusters_from_keys(["b", "a"]).tolist() == ["b", "a"]
        assert clusters_from_keys([]).empty

    def test_bad_ids_are_named(self):
        with pytest.raises(InputError, match="duplicate ids: a"):
            clusters_from_keys(["a", "a"])
        with pytest.raises(InputError, match="lack 1 field: b"):
            clusters_from_keys(["a", "b"], None, pd.DataFrame({"well": ["1"]}, index=["a"]))
        doubled = pd.DataFrame({"well": list("1233")}, index=list("aabc"))
        with pytest.raises(InputError, match="the groups: duplicate ids: a"):
            clusters_from_keys(list("abc"), None, doubled)

    def test_ids_are_compared_as_text(self):
        pairs = pd.DataFrame({"image_id": [0, 2], "twin": [1, 9]})
        wells = pd.DataFrame({"well": ["A", "B", "A", "C"]}, index=range(4))
        assert clusters_from_keys(range(4), pairs).tolist() == ["0", "0", "2", "3"]
        assert clusters_from_keys(range(4), pairs, wells).tolist() == ["0", "0", "0", "3"]


class TestDuplicateLists:
    def test_every_pair_of_a_line_once(self, tmp_path):
        path = tmp_path / "known.txt"
        path.write_text("b, a,c\n\na,b\n")
        pairs = read_duplicate_lists(path)
        assert pairs.values.tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]

    @pytest.mark.parametrize(
        ("text", "message"),
        [("a,b\na\n", "line 2"), ("a,,b\n", "line 1"), ("\n", "no pair"), ("a,a\n", "no pair")],
    )
    def test_bad_lines_are_named(self, tmp_path, text, message):
        path = tmp_path / "known.txt"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_duplicate_lists(path)

    @pytest.mark.parametrize("header", ["Id,Target", "image_id,fold", '"ImageId";"Label"'])
    def test_another_table_is_no_list(self, tmp_path, header):
        path = tmp_path / "train.csv"
        path.write_text(f"{header}\na,0\nb,0\n")
        with pytest.raises(InputError, match=r"train\.csv: line 1 names columns"):
            read_duplicate_lists(path)

    def test_a_table_of_pairs_is_a_list(self, tmp_path):
        path = tmp_path / "pairs.csv"
        path.write_text("image_id,twin,evidence\na,b,hash\nd,c,hash\n")
        assert read_duplicate_lists(path).values.tolist() == [["a", "b"], ["c", "d"]]
        path.write_text("a\tb\n\nc\td\n")
        assert read_duplicate_lists(path).values.tolist() == [["a", "b"], ["c", "d"]]

    def test_unknown_ids_are_counted_with_what_they_join(self):
        known = pd.Index(["f000", "f001", "f002"])
        pairs = pd.DataFrame(
            [["f000", "zzz"], ["f001", "zzz"], ["aaa", "f002"]], columns=["image_id", "twin"]
        )
        assert unknown_ids(pairs, known, "p.txt").to_dict() == {"zzz": 2, "aaa": 1}
        others = pd.concat([pairs.replace("f", "g", regex=True), pairs.iloc[:2]])
        with pytest.raises(InputError, match=r"p\.txt: 3 of 5 pairs have no id .*g000"):
            unknown_ids(others, known, "p.txt")
        with pytest.raises(InputError, match="none of the ids is in the catalogue; .*: f000"):
            unknown_ids(pairs, pd.Index(["x"]), "p.txt")

    def test_real_lists_of_other_fields_pass(self, real_data):
        labels = pd.read_csv(real_data / "labels" / "train.csv")
        lists = real_data / "duplicates" / "omallo_external_train_duplicates.txt"
        assert len(unknown_ids(read_duplicate_lists(lists), pd.Index(labels["Id"]), lists)) == 4031

    def test_real_lists(self, real_data):
        pairs = read_duplicate_lists(real_data / "duplicates" / "omallo_train_duplicates.txt")
        ids = sorted(set(pairs["image_id"]) | set(pairs["twin"]))
        # 102 lines of two and 2 lines of three.
        assert len(pairs) == 102 + 2 * 3
        assert clusters_from_keys(ids, pairs).value_counts().value_counts().to_dict() == {
            2: 102,
            3: 2,
        }


class TestWeakestLinks:
    @quick
    @given(st.integers(0, 2**16))
    def test_counts_what_taking_a_link_away_splits_off(self, seed):
        """On a tree of pairs every removal can be tried."""
        rng = np.random.default_rng(seed)
        ids = [f"f{number}" for number in range(int(rng.integers(2, 12)))]
        links = [(ids[k], ids[int(rng.integers(k))]) for k in range(1, len(ids))]
        pairs = pd.DataFrame(links, columns=["image_id", "twin"])
        table = weakest_links(ids, pairs, n_links=99)
        expected = {}
        for k in range(len(links)):
            sizes = clusters_from_keys(ids, pairs.drop(index=k)).value_counts()
            if sizes.min() > 1:
                expected[links[k]] = sizes.min()
        got = {(row.image_id, row.twin): row.n_split_off for row in table.itertuples()}
        assert got == expected
        assert table["n_split_off"].is_monotonic_decreasing

    def test_a_weak_pair_between_two_tight_groups(self):
        first, second = list("abcde"), list("vwxyz")
        tight = [(i, j) for part in (first, second) for i in part for j in part if i < j]
        pairs = pd.DataFrame([*tight, ("a", "v"), ("b", "w")], columns=["image_id", "twin"])
        pairs["distance_red"] = [4] * len(tight) + [40, 44]
        table = weakest_links([*first, *second], pairs)
        # The second weak pair alone would not keep them together any better than the first.
        assert table[["link", "image_id", "twin", "n_split_off"]].values.tolist() == [
            ["pair", "a", "v", 5]
        ]
        assert table["strength"].tolist() == [1 - 40 / 128]

    def test_a_plate_that_joins_everything(self):
        groups = pd.DataFrame({"well": list("112233"), "plate": ["P"] * 6}, index=list("abcdef"))
        table = weakest_links(list("abcdef"), None, groups)
        assert table.loc[0, ["link", "value"]].tolist() == ["plate", "P"]
        assert table["n_split_off"].tolist()[0] >= 4

    def test_links_over_fields_that_are_not_there(self):
        ids = list("abcd")
        pairs = pd.DataFrame({"image_id": ["a", "b", "c", "x"], "twin": ["b", "x", "d", "c"]})
        assert clusters_from_keys(ids, pairs).nunique() == 1
        assert weakest_links(ids, pairs)["n_split_off"].tolist() == [2, 2]

    def test_two_clusters_are_rejected(self):
        with pytest.raises(InputError, match="2 fields belong to 2 clusters"):
            weakest_links(["a", "b"])


class TestDisagreements:
    def test_order_of_labels_does_not_matter(self):
        catalogue = pd.DataFrame(
            {"split": ["train"] * 3 + ["test"], "target": ["1 2", "2 1", "3", ""], "source": "s"},
            index=list("abcd"),
        )
        clusters = pd.Series(["a", "a", "c", "a"], index=list("abcd"))
        assert label_disagreements(clusters, catalogue).empty
        clusters["c"] = "a"
        table = label_disagreements(clusters, catalogue)
        assert table["image_id"].tolist() == ["a", "b", "c"]
        assert table["n_same"].tolist() == [2, 2, 1]
        assert table["n_fields"].tolist() == [3, 3, 3]

    def test_real_duplicates_within_train_agree(self, real_data):
        table = pd.read_csv(real_data / "labels" / "train.csv", dtype=str).set_index("Id")
        pairs = read_duplicate_lists(real_data / "duplicates" / "omallo_train_duplicates.txt")
        catalogue = pd.DataFrame({"split": "train", "target": table["Target"], "source": "hpa2018"})
        assert label_disagreements(clusters_from_keys(table.index, pairs), catalogue).empty


class TestLeaks:
    catalogue = pd.DataFrame(
        {
            "split": ["train", "test", "test", "train", "train"],
            "target": ["3 1", "", "", "2", ""],
            "source": ["hpa2018"] * 4 + ["more"],
        },
        index=list("abcde"),
    )

    def test_are_test_fields_with_a_duplicate_in_training(self):
        pairs = pd.DataFrame(
            [("a", "b", 0.25), ("b", "c", 0.5), ("c", "d", 0.125), ("a", "d", 1.0)],
            columns=["image_id", "twin", "shift_y"],
        )
        found = leaks(pairs, self.catalogue).drop(columns="strength")
        assert found.values.tolist() == [
            ["b", "a", "3 1", "hpa2018", -0.25], ["c", "d", "2", "hpa2018", 0.125]
        ]  # fmt: skip
        nothing = leaks(pairs.iloc[:0], self.catalogue)
        assert nothing.columns.tolist() == [
            "image_id", "twin", "twin_target", "twin_source", "strength", "shift_y"
        ]  # fmt: skip

    def test_a_mirrored_pair_turned_round_says_the_same(self):
        rng = np.random.default_rng(0)
        scene = rng.random((40, 40))
        field, twin = scene[4:36, 4:36], scene[7:39, 2:34][:, ::-1]  # 3 down, 2 to the left
        # The point (y, x) of the mirrored duplicate is at (y + 3, x - 2) of the field.
        assert field[3 + 5, 9 - 2] == twin[:, ::-1][5, 9]
        pairs = pd.DataFrame(
            [("a", "b", 3.0, -2.0, "left-right"), ("a", "c", 3.0, -2.0, "top-bottom")],
            columns=["image_id", "twin", "shift_y", "shift_x", "mirror"],
        )
        found = leaks(pairs, self.catalogue).set_index("image_id")
        y, x = found.loc["b", ["shift_y", "shift_x"]].astype(int)
        assert (y, x) == (-3, -2)
        assert twin[y + 8, x + 9] == field[:, ::-1][8, 9]
        assert found.loc["c", ["shift_y", "shift_x"]].tolist() == [3.0, 2.0]

    def test_labels_are_those_of_the_strongest_annotated_duplicate(self):
        pairs = pd.DataFrame(
            [("a", "b", 30), ("b", "d", 10), ("b", "e", 2), ("a", "c", 5), ("c", "d", 5)],
            columns=["image_id", "twin", "distance_blue"],
        )
        found = leaks(pairs, self.catalogue)
        # Of equal ones the earlier row of the catalogue comes first.
        assert found["twin"].tolist() == ["e", "d", "a", "a", "d"]
        assert found["twin_source"].tolist()[0] == "more"
        chosen = strongest_twins(found)
        assert chosen["twin_target"].to_dict() == {"b": "2", "c": "3 1"}
        assert chosen["twin"].to_dict() == {"b": "d", "c": "a"}

    def test_read_back_with_the_labels_of_today(self, tmp_path):
        pairs = pd.DataFrame({"image_id": ["a"], "twin": ["b"]})
        path = tmp_path / "leaks.csv"
        leaks(pairs, self.catalogue).to_csv(path, index=False)
        corrected = self.catalogue.assign(target=["5", "", "", "2", ""])
        assert strongest_twins(read_leaks(path, corrected))["twin_target"].to_dict() == {"b": "5"}
        with pytest.raises(InputError, match="'image_id' .* are not test fields of the .*: b"):
            read_leaks(path, self.catalogue.drop("b"))
        with pytest.raises(InputError, match="'twin' .* are not train fields of the .*: a"):
            read_leaks(path, self.catalogue.drop("a"))
        path.write_text("image_id,twin\nb,a\n")
        with pytest.raises(InputError, match=r"leaks\.csv: column 'twin_source' is missing; run"):
            read_leaks(path, self.catalogue)

    @pytest.mark.parametrize("text", ["strong", "0,9", "1.5", "-0.1", "nan", "inf"])
    def test_a_strength_that_is_not_a_share_is_named_with_its_place(self, tmp_path, text):
        path = tmp_path / "leaks.csv"
        head = "image_id;twin;twin_source;strength\nb;a;hpa;0.5\nb;d;hpa;\n"
        path.write_text(head)
        assert read_leaks(path, self.catalogue)["strength"].tolist() == ["0.5", ""]
        path.write_text(f"{head}c;a;hpa;{text}\n")
        place = r"leaks\.csv: row 3 \(field c\), column 'strength'"
        with pytest.raises(InputError, match=f"{place}: '{text}' is not .* 1; correct the file"):
            read_leaks(path, self.catalogue)
        path.write_text(f"{head}c;a;hpa;{text}\nc;d;hpa;{text}\n")
        with pytest.raises(InputError, match=f"{place}.*, nor are those of 1 other row; correct"):
            read_leaks(path, self.catalogue)

    def test_strength_is_the_best_evidence(self):
        pairs = pd.DataFrame(
            {
                "evidence": ["hash", "shift", "hash+shift", "hash+listed", "embedding"],
                "distance_red": [64, 128, 0, 100, 128],
                "distance_green": [None, 128, 32, 100, 128],
                "correlation": [None, 0.95, 0.5, None, None],
                "cosine": [None, None, None, None, 0.99],
            }
        )
        assert pair_strength(pairs).tolist() == [0.5, 0.95, 0.875, 1.0, 0.99]


def test_a_column_of_similarities_joins_nothing(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("a1,a2,0.98\nb1,b2,0.98\n")
    with pytest.raises(InputError, match="line 1: 0.98 is a number, not an id"):
        read_duplicate_lists(path)
