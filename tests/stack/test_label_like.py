"""A stack in a notebook: labels as predictions of training fields, probabilities of new ones."""

import warnings

import numpy as np
import pandas as pd
import pytest

from hpastack.stack import PredictionWarning, StackClassifier, load_stack

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
N = 120


def test_new_values_of_another_kind_are_warned_about(tmp_path):
    y = (RNG.random((N, 2)) < 0.4).astype(int)
    wrong = RNG.random(y.shape) < 0.2
    X = pd.DataFrame(np.clip(y ^ wrong, 0.0005, 0.9995), columns=["net__0", "net__1"])
    new = pd.DataFrame(RNG.random((30, 2)), columns=X.columns)
    stack = StackClassifier(["net"], boosters=["linear"], n_bootstrap=2, n_splits=3, n_jobs=1)
    stack.fit(X, y)
    assert stack.label_like_ == ["net"]
    stack.save(tmp_path / "stack")
    for fitted in (stack, load_stack(tmp_path / "stack")):
        with pytest.warns(PredictionWarning, match="net: .* only 0 and 1, these fields have other"):
            fitted.predict_proba(new)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fitted.predict_proba(X[:30])
    with pytest.warns(PredictionWarning, match="net: the values of .* equal their targets"):
        stack.fit(X.assign(net__0=y[:, 0], net__1=y[:, 1]), y)
