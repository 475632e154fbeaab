import numpy as np
import pandas as pd
import pytest

from hpastack.clusters import embedding_pairs
from hpastack.errors import InputError


def test_as_comparing_each_pair(monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 8)) + 5
    values[40:] = values[:20] + rng.normal(0, 0.15, (20, 8))
    names = [f"f{number}" for number in range(60)]
    monkeypatch.setattr("hpastack.clusters.embedded._BLOCK", 7)
    pairs = embedding_pairs(pd.DataFrame(values, index=names), min_cosine=0.97)
    expected = {}
    centred = values - values.mean(0)
    for i in range(60):
        for j in range(i + 1, 60):
            cosine = centred[i] @ centred[j]
            cosine /= np.linalg.norm(centred[i]) * np.linalg.norm(centred[j])
            if cosine >= 0.97:
                expected[names[i], names[j]] = cosine
    assert len(expected) > 10
    got = {(row.image_id, row.twin): row.cosine for row in pairs.itertuples()}
    assert got == pytest.approx(expected, abs=1e-4)


def test_same_fields_pair_at_one_and_constant_ones_never():
    embeddings = pd.DataFrame([[1.0, 2.0], [1.0, 2.0], [-2.0, -4.0]], index=list("abc"))
    pairs = embedding_pairs(embeddings, min_cosine=1.0)
    assert pairs.values.tolist() == [["a", "b", 1.0]]
    # Of equal fields nothing is left but the rounding of their mean.
    same = np.random.default_rng(0).random(16).astype(np.float32)
    for row in (np.full(16, 0.1), same):
        assert embedding_pairs(pd.DataFrame(np.tile(row, (300, 1)))).empty
    assert embedding_pairs(pd.DataFrame(columns=["e0"])).columns.tolist() == [
        "image_id", "twin", "cosine"
    ]  # fmt: skip


def test_bad_input_is_named(monkeypatch):
    embeddings = pd.DataFrame([[1.0, np.nan]], index=["a"], columns=["e0", "e1"])
    with pytest.raises(InputError, match="nan in column 'e1' of field a"):
        embedding_pairs(embeddings)
    with pytest.raises(InputError, match="duplicate ids: a"):
        embedding_pairs(pd.DataFrame([[1.0], [2.0]], index=["a", "a"]))
    with pytest.raises(InputError, match="min_cosine is 0"):
        embedding_pairs(embeddings, min_cosine=0)
    monkeypatch.setattr("hpastack.clusters.embedded._MOST_PAIRS", 2)
    with pytest.raises(InputError, match="more than 2 pairs"):
        embedding_pairs(pd.DataFrame([[1.0], [1.0], [1.0], [-9.0]], index=list("abcd")))
