"""Submissions and known labels that do not fit each other."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.labels import Vocabulary, replace_labels, write_submission

pytestmark = pytest.mark.core

NAMES = Vocabulary(["nucleus", "cytosol"])


def test_a_submission_has_a_row_for_each_id(tmp_path):
    path = tmp_path / "s.csv"
    write_submission(path, ["a", "b"], np.array([[1, 0], [1, 1]]), NAMES)
    assert path.read_text() == "Id,Predicted\na,0\nb,0 1\n"
    with pytest.raises(InputError, match=r"t\.csv: 1 row of labels for 2 ids"):
        write_submission(tmp_path / "t.csv", ["a", "b"], np.array([[1, 0]]), NAMES)
    assert list(tmp_path.iterdir()) == [path]


def test_only_predicted_labels_are_replaced():
    labels = pd.DataFrame([[1, 0], [1, 0]], ["a", "b"], columns=list(NAMES))
    assert replace_labels(labels, pd.Series(["1"], ["b"]), NAMES).loc["b"].tolist() == [0, 1]
    with pytest.raises(InputError, match="fields without predicted labels to replace: c, d"):
        replace_labels(labels, pd.Series("1", ["d", "a", "c"]), NAMES)
