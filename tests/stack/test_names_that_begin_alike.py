"""Sets whose names begin with those of others get their own columns, and no others."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.errors import InputError
from hpastack.stack import StackClassifier
from hpastack.stack.column_blocks import sets_of_columns, sorted_columns
from hpastack.stack.settings import StackSettings

pytestmark = pytest.mark.core


def table(names, n=4):
    """Columns of which each holds its number, in 64ths."""
    return pd.DataFrame({name: np.full(n, (i + 1) / 64) for i, name in enumerate(names)})


def first(values):
    return (values[0] * 64).tolist()


def test_an_embedding_does_not_take_the_columns_of_longer_names():
    X = table(
        ["net__0", "net__1", "net__a__0", "net__a__1", "net__a__b__0", "net__a__b__1", "net__s__0"]
        + ["net__s__1", "other"]
    )
    named = StackSettings(cnns=["net__a"], scores=["net__s"], embeddings=["net", "net__a__b"])
    blocks = sorted_columns(X, 2, named)
    assert first(blocks.embeddings["net"]) == [1, 2]
    assert first(blocks.embeddings["net__a__b"]) == [5, 6]
    assert (64 * expit(blocks.logits[0, 0])).tolist() == pytest.approx([3, 4])
    assert first(blocks.scores[0]) == [7, 8]
    assert first(blocks.features) == [9]


def test_a_label_of_one_digit_is_not_one_of_two():
    names = [f"net__{label}" for label in range(11)] + [f"net__1__{label}" for label in range(11)]
    named = StackSettings(scores=["net", "net__1"])
    blocks = sorted_columns(table(names)[names[::-1]], 11, named)
    assert first(blocks.scores[0]) == list(range(1, 12))
    assert first(blocks.scores[1]) == list(range(12, 23))
    assert not blocks.features.size
    # An embedding of the same beginning as a label.
    named = StackSettings(scores=["net"], embeddings=["net__1"])
    blocks = sorted_columns(table(names), 11, named)
    assert first(blocks.embeddings["net__1"]) == list(range(12, 23))


def test_a_label_column_is_that_of_its_network_before_all_else():
    named = StackSettings(cnns=["net"], embeddings=["net__0"])
    assert sets_of_columns(["net__0", "net__0__0", "net__0__x", "net__7", 5], 2, named) == [
        "net", "net__0", "net__0", None, None
    ]  # fmt: skip


def test_an_embedding_without_columns_of_its_own_is_named():
    named = StackSettings(cnns=["net__a"], embeddings=["net"])
    with pytest.raises(InputError, match="lacks columns of the embedding 'net'"):
        sorted_columns(table(["net__a__0", "net__a__1"]), 2, named)


def test_the_columns_that_are_explained_are_those_that_were_used():
    rng = np.random.default_rng(0)
    y = (rng.random((300, 2)) < 0.4).astype(int)
    names = ["net__0", "net__1", "net__a__0", "net__a__1", "net__a__clue"]
    X = pd.DataFrame(rng.normal(size=(300, 5)), columns=names)
    X[names[2:4]] += 2 * y
    X["net__a__clue"] += 3 * y[:, 1]
    stack = StackClassifier(
        ["net__a"], logits=["net__a"], embeddings=["net"], boosters=["linear"], n_bootstrap=0,
        n_jobs=1, max_columns=None,
    ).fit(X, y)  # fmt: skip
    # Of the network, but of no label: a feature, not a part of the embedding.
    assert "net__a__clue" in stack.explain(X, ["1"])["1"].columns
    assert stack.fitted_[0].columns[0].reductions["net"].components.shape[1] == 2
