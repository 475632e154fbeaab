"""A stack on disk as plain values: what was saved is what is read."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.errors import InputError
from hpastack.stack import StackClassifier, load_stack
from hpastack.stack.files import LEARNED, SavedStack, read_stack, save_stack

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    y = (rng.random((240, 2)) < [0.4, 0.3]).astype(int)
    X = pd.DataFrame(expit(2 * y - 1 + rng.normal(size=y.shape)), columns=["net__0", "net__1"])
    X[["deep__0", "deep__1"]] = y + rng.normal(size=y.shape)
    X.index = [f"f{i}" for i in range(len(X))]
    stack = StackClassifier(
        ["net"], embeddings=["deep"], n_components=1, rounds=6, min_rounds=3, n_splits=3,
        repeats=2, n_bootstrap=4, random_state=np.random.RandomState(7), n_jobs=1, verbose=False,
    )  # fmt: skip
    return stack.fit(X, y)


def test_what_is_read_is_what_was_saved(fitted, tmp_path):
    saved = SavedStack.of(fitted)
    read = read_stack(save_stack(saved, tmp_path / "stack"))
    assert set(saved.learned) == set(read.learned) == set(LEARNED)
    assert saved.parameters["random_state"] == fitted.seed_  # not the RandomState
    of_run = {"n_jobs", "verbose", "cache"}
    assert set(saved.parameters) - set(read.parameters) == of_run
    for name, value in read.parameters.items():
        before = saved.parameters[name]
        assert value == (list(before) if isinstance(before, tuple) else before)
    for name, value in read.learned.items():
        if isinstance(value, pd.DataFrame):
            # A store holds single precision, and no names of indices.
            loosely = {"check_names": False, "check_dtype": False, "check_index_type": False}
            pd.testing.assert_frame_equal(value, saved.learned[name], **loosely)
        else:
            np.testing.assert_equal(value, saved.learned[name])
    for of_set, before in zip(read.fitted, saved.fitted, strict=True):
        assert of_set.models == before.models
        np.testing.assert_equal(
            [part for columns in of_set.columns for part in columns.arrays()],
            [part for columns in before.columns for part in columns.arrays()],
        )
        np.testing.assert_equal(asdict(of_set.meta_learner), asdict(before.meta_learner))


def test_plain_values_are_written_again_as_they_were(fitted, tmp_path):
    first = save_stack(SavedStack.of(fitted), tmp_path / "first" / "stack")
    again = save_stack(read_stack(first), tmp_path / "again" / "stack")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for name in names:
        if name.suffix != ".json":  # which does not keep the parameters of the run
            assert (first / name).read_bytes() == (again / name).read_bytes(), name
    before, after = (json.loads((path / "stack.json").read_text()) for path in (first, again))
    assert after == before


def test_a_parameter_that_no_stack_has_is_named(fitted, tmp_path):
    path = fitted.save(tmp_path / "stack")
    manifest = json.loads((path / "stack.json").read_text())
    manifest["parameters"]["magic"] = 3
    (path / "stack.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="unknown parameters of a stack: magic"):
        load_stack(path)
