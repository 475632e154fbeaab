"""Curves and scores, for people."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpastack.cnn import write_scores
from hpastack.cnn.history import FoldCurves, live_history
from hpastack.folds import FoldPlan
from hpastack.metrics import average_precisions, macro_average_precision


def events(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_curves_come_as_they_are_written(tmp_path):
    curves = FoldCurves(tmp_path, 2)
    curves.step(20, 0.5, 0.001)
    curves.epoch({"epoch": 0, "loss": 0.4, "macro_ap": 0.2})
    curves.step(40, 0.3, 0.002)
    curves.epoch({"epoch": 1, "loss": 0.3, "macro_ap": 0.25})
    table = pd.read_csv(live_history(tmp_path, 2))
    assert table.to_dict("list") == {"epoch": [0, 1], "loss": [0.4, 0.3], "macro_ap": [0.2, 0.25]}
    # Taken up from before the last epoch: its row is written anew.
    curves.close()
    again = FoldCurves(tmp_path, 2)
    again.epoch({"epoch": 1, "loss": 0.31, "macro_ap": 0.26})
    again.close()
    table = pd.read_csv(live_history(tmp_path, 2))
    assert table["loss"].tolist() == [0.4, 0.31]
    found = events(tmp_path / "tensorboard" / "fold_2")
    assert [step for step, _ in found["step/loss"]] == [20, 40]
    assert found["epoch/macro_ap"][0] == (0, pytest.approx(0.2))


def test_scores_are_those_of_each_label(tmp_path):
    rng = np.random.default_rng(0)
    indicator = rng.integers(2, size=(40, 3))
    logits = indicator + rng.normal(size=(40, 3))
    ids = [f"f{number}" for number in range(40)]
    frame = pd.DataFrame(
        {"cluster": [f"c{number // 2}" for number in range(40)], "fold": np.arange(40) // 2 % 4},
        index=ids,
    )
    table = write_scores(tmp_path, FoldPlan(frame), indicator, logits, ["a", "b/c", "d"], ids)
    assert table["label"].tolist() == ["a", "b/c", "d", "macro"]
    assert table["average_precision"].tolist()[:3] == average_precisions(indicator, logits).tolist()
    assert table["average_precision"].iloc[3] == macro_average_precision(indicator, logits)
    assert table["n_positives"].tolist() == [*indicator.sum(axis=0), indicator.sum()]
    assert (table["low"] < table["average_precision"]).all()
    assert (table["average_precision"] < table["high"]).all()
    written = pd.read_csv(tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(written, table)
    found = events(tmp_path / "tensorboard" / "out_of_fold")
    values = defaultdict(list)
    for tag, scalars in found.items():
        values[tag.split("/")[0]] += [value for _, value in scalars]
    assert np.allclose(values["average_precision"], table["average_precision"], atol=1e-6)
