"""The simulated predictions behind two benchmarks: they repeat, and are what they claim to be."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulated_predictions import simulate
from hpastack.metrics import average_precisions

SMALL = {"n_train": 500, "n_test": 800, "n_labels": 6, "n_pairs": 1, "n_informative": 3}


@pytest.fixture(scope="module")
def drawn():
    return simulate(0, **SMALL)


class TestSimulate:
    def test_same_seed_same_data(self, drawn):
        again, other = simulate(0, **SMALL), simulate(1, **SMALL)
        pd.testing.assert_frame_equal(again.X, drawn.X)
        pd.testing.assert_frame_equal(again.members[3], drawn.members[3])
        pd.testing.assert_frame_equal(again.y_test, drawn.y_test)
        pd.testing.assert_series_equal(again.folds, drawn.folds)
        assert not other.y.equals(drawn.y)

    def test_shapes(self, drawn):
        assert drawn.X.shape == (500, 4 * 6 + 30)
        assert len(drawn.members) == drawn.folds.nunique() == 5
        assert drawn.y.shape == (500, 6)
        assert drawn.y_test.shape == (800, 6)
        for table in [*drawn.members, drawn.X_test]:
            assert table.shape == (800, 4 * 6 + 30)
            assert list(table) == list(drawn.X)
        assert drawn.X.columns[0] == "cnn0__0"
        said = drawn.X.filter(like="cnn").to_numpy()
        assert said.min() >= 0
        assert said.max() <= 1

    def test_clusters_share_labels_and_stay_whole(self, drawn):
        for clusters, y in ((drawn.clusters, drawn.y), (drawn.clusters_test, drawn.y_test)):
            assert clusters.value_counts().between(1, 4).all()
            assert (y.groupby(clusters).nunique() == 1).to_numpy().all()
        assert (drawn.folds.groupby(drawn.clusters).nunique() == 1).all()

    def test_labels_are_as_common_in_train_as_in_test(self, drawn):
        # Off by less than a cluster of four fields each.
        gap = (drawn.y.mean() - drawn.y_test.mean()).abs()
        assert (gap < 4 / 500 + 4 / 800).all()

    def test_test_table_is_the_mean_of_the_members(self, drawn):
        mean = sum(drawn.members) / 5
        # float32 sums in another order.
        np.testing.assert_allclose(drawn.X_test, mean, rtol=1e-5, atol=1e-6)

    def test_share_of_a_member_changes_the_mean_and_not_the_member(self):
        little, much = (simulate(0, **SMALL, member_share=share) for share in (0.0, 0.35))
        pd.testing.assert_frame_equal(little.y_test, much.y_test)

        def precision(table):
            said = table[[f"cnn0__{label}" for label in range(6)]]
            return average_precisions(little.y_test, said).mean()

        def single(simulation):
            return np.mean([precision(member) for member in simulation.members])

        # On seeds 0 to 5 the first is at most 0.075 and the second at least 0.05.
        assert abs(single(little) - single(much)) < 0.08
        assert precision(much.X_test) > single(much) + 0.04

    def test_rejects_shares_above_one(self):
        with pytest.raises(ValueError, match="add up"):
            simulate(0, cluster_share=0.6, common_share=0.6)
