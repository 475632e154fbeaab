"""Whether promises are compared with what is delivered to the same labels of other fields."""

import numpy as np
import pytest

from benchmarks import honesty
from benchmarks.simulated_predictions import simulate
from benchmarks.stack_data import N_LABELS, RealSet
from hpastack.metrics import macro_f1
from hpastack.stack.score_tables import OutOfFold


@pytest.fixture(scope="module")
def whole():
    drawn = simulate(0, n_train=1500, n_test=50, n_pairs=1, n_informative=3)
    columns = [f"{cnn}__{label}" for cnn in drawn.cnns for label in range(N_LABELS)]
    y = drawn.y.set_axis(range(N_LABELS), axis=1)
    return RealSet("drawn", drawn.X[columns], y, drawn.clusters, drawn.cnns, [])


def test_the_mean_of_cnns_keeps_its_promises(whole, capsys):
    table = honesty.on_real_fields(whole, honesty.mean_of_cnns, n_samples=3, n_fields=300)
    assert list(table["score"].unique()) == ["macro_f1", "macro_ap", "log_loss", "ece"]
    assert len(table) == 12 and table["held"].sum() >= 9
    assert (table["promised"] - table["delivered"]).abs().max() < 0.1
    printed = capsys.readouterr().out
    assert "3 samples of 300 real fields" in printed and "of 3" in printed


def test_samples_and_others_share_no_cluster_and_absent_labels_do_not_count(whole):
    seen = []

    def system(sample, others):
        seen.append(set(sample.clusters) & set(others.clusters))
        assert len(sample.y) + len(others.y) == len(whole.y)
        sample.y.iloc[:, 3:] = 0  # of the sample's labels, three are left
        labels = others.y.to_numpy().copy()
        labels[:, 3:] = 0
        labels[:10, 0] = 1
        names = ("macro_f1", "macro_ap", "log_loss", "ece")
        promised = dict.fromkeys(names, 1.0)
        promised |= {f"{name}_interval": (0.9, 1.0) for name in names}
        expected.append(macro_f1(others.y.to_numpy()[:, :3], labels[:, :3]))
        return promised, OutOfFold(labels.astype(float), labels)

    expected = []
    table = honesty.on_real_fields(whole, system, n_samples=2, n_fields=200)
    assert seen == [set(), set()]
    found = table[table["score"] == "macro_f1"]
    np.testing.assert_allclose(found["delivered"], expected)
    assert found["held"].tolist() == [value >= 0.9 for value in expected]
