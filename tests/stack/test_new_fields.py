"""New fields: each fold model of the CNNs on its own, and prevalences that differ."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.errors import InputError
from hpastack.labels import Vocabulary
from hpastack.stack import (
    GatheredStores,
    StackClassifier,
    label_fields,
    notes_on_means,
    read_prior_shift,
    shifted_probabilities,
)
from hpastack.stack.stores import MemberValues

COLUMNS = ["net__0", "net__1"]


def draw(n, seed, prevalence=(0.3, 0.4)):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < prevalence).astype(int)
    X = pd.DataFrame(expit(3 * y - 1.5 + rng.normal(size=y.shape)), columns=COLUMNS)
    X.index = y_index = pd.Index([f"{seed}-{i}" for i in range(n)])
    return X, pd.DataFrame(y, y_index, ["a", "b"])


@pytest.fixture(scope="module")
def stack():
    X, y = draw(600, 0)
    return StackClassifier(cnns=["net"], n_bootstrap=0, n_splits=3, n_jobs=1).fit(X, y)


def test_fields_with_members_are_averaged_and_the_others_are_not(stack):
    X, _ = draw(6, 1)
    members = np.stack([X.to_numpy()[[1, 4]], 1 - X.to_numpy()[[1, 4]]]).astype(np.float32)
    stores = {"net": {"kind": "out_of_fold", "n_members": 2}}
    values = {"net": MemberValues(np.array([1, 4]), COLUMNS, members)}
    inputs = GatheredStores(X, ["net"], [], stores, members=values)
    asked = [X.index[k] for k in (4, 0, 1)]
    found = label_fields(stack, inputs, asked).probabilities
    assert list(found.index) == asked
    plain, turned = stack.predict_proba(X), stack.predict_proba(1 - X)
    np.testing.assert_allclose(found.loc[asked[1]], plain.loc[asked[1]])
    for image_id in (asked[0], asked[2]):
        wanted = (plain.loc[image_id] + turned.loc[image_id]) / 2
        np.testing.assert_allclose(found.loc[image_id], wanted, atol=1e-6)  # stores round
    assert notes_on_means(inputs) == []


def test_prevalences_are_estimated(stack):
    X, y = draw(4000, 2, prevalence=(0.6, 0.4))
    plain = stack.predict_proba(X)
    shifted, notes = shifted_probabilities(stack, plain, "em")
    gap = abs(plain.mean() - y.mean()), abs(shifted.mean() - y.mean())
    assert gap[1]["a"] < 0.5 * gap[0]["a"] and gap[1]["b"] < 0.03
    assert len(notes) == 1 and "a 0.2850 -> 0.6" in notes[0]
    same, notes = shifted_probabilities(stack, plain, "none")
    assert same is plain and notes == []


def test_prevalences_of_a_table_are_taken(stack, tmp_path):
    table = pd.DataFrame({"label": ["b", "a"], "prevalence": [0.4, 0.6]})
    table.to_csv(tmp_path / "shares.csv", index=False)
    target = read_prior_shift("shares.csv", Vocabulary(["a", "b"]), tmp_path)
    assert target.tolist() == [0.6, 0.4]
    X, y = draw(4000, 2, prevalence=(0.6, 0.4))
    shifted, _ = shifted_probabilities(stack, stack.predict_proba(X), target)
    assert abs(shifted.mean() - y.mean()).max() < 0.03


def test_a_missing_table_is_named(tmp_path):
    assert read_prior_shift("em", Vocabulary(["a"]), tmp_path) == "em"
    with pytest.raises(InputError, match="'none.csv' is neither none nor em"):
        read_prior_shift("none.csv", Vocabulary(["a"]), tmp_path)
