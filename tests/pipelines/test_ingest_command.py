"""The command: what may not be brought in."""

import pandas as pd
import pytest

from hpastack.store import open_store
from pipelines.ingest import main


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.csv"
    pd.DataFrame({"Id": ["a", "b"], "first": [0.1, 0.2]}).to_csv(path, index=False)
    return path


def test_vectors_of_the_encoders_of_folds_are_refused_with_the_remedy(vectors, tmp_path, capsys):
    bring = [str(vectors), "--name", "net", "--content", "features", "--workspace", str(tmp_path)]
    assert main([*bring, "--kind", "out_of_fold"]) == 2
    message = capsys.readouterr().err
    assert "encoders of different folds" in message
    assert "--content logits" in message and "--kind label_free" in message
    assert not (tmp_path / "features").exists()
    assert main([*bring, "--kind", "label_free"]) == 0
    with open_store(tmp_path / "features" / "net.h5") as store:
        assert (store.kind, store.columns) == ("label_free", ["net__first"])
