"""The report: whole, self-contained, escaped."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.models.stacking import StackClassifier
from hpastack.report.stack_report import write_report


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rng = np.random.default_rng(0)
    ids = [f"field{i}" for i in range(200)]
    y = pd.DataFrame((rng.random((200, 3)) < [0.5, 0.2, 0]).astype(int), ids, ["<b>&", "c", "none"])
    X = pd.DataFrame(np.clip(0.6 * y.to_numpy() + 0.4 * rng.random((200, 3)), 0, 1), ids)
    X.columns = [f"net__{label}" for label in range(3)]
    stack = StackClassifier(cnns=["net"], boosters=["lightgbm"], n_bootstrap=5, n_jobs=1).fit(X, y)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    record = {
        "notes": ["net: its fold plan splits 3 clusters"],
        "stores": {"net": {"kind": "out_of_fold", "content": "logits", "fold_plan": "abc"}},
    }
    stack.save(folder, record=record)
    return folder, y


def test_it_says_what_the_stack_is_and_needs_nothing_else(made, tmp_path):
    folder, y = made
    path = write_report(folder, y, tmp_path / "reports" / "tiny.html")
    text = path.read_text()
    assert "its fold plan splits 3 clusters" in text
    assert "&lt;b&gt;&amp;" in text and "<b>&" not in text
    assert text.count("<svg") == 4
    for word in ("<script", "src=", "@import", "url(http"):
        assert word not in text
    assert write_report(folder, y, tmp_path / "again.html").read_text() == text


def test_fields_without_labels_are_named(made, tmp_path):
    folder, y = made
    with pytest.raises(InputError, match="1 of its training fields have no label.*field0"):
        write_report(folder, y.iloc[1:], tmp_path / "tiny.html")
    assert not (tmp_path / "tiny.html").exists()
