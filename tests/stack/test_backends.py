"""A stack is the same whichever backend of joblib fits it."""

import joblib
import numpy as np
import pandas as pd
import pytest

from hpastack.stack import StackClassifier

pytestmark = pytest.mark.core


def draw():
    rng = np.random.default_rng(0)
    y = (rng.random((300, 2)) < 0.4).astype(int)
    X = pd.DataFrame(2 * y - 1 + rng.normal(size=y.shape), columns=["net__0", "net__1"])
    return X.assign(clue=y[:, 1] + 0.5 * rng.normal(size=300)), y


def fit(X, y):
    stack = StackClassifier(
        ["net"],
        logits=["net"],
        boosters=["lightgbm", "xgboost", "pooled", "linear"],
        rounds=5,
        min_rounds=5,
        n_splits=3,
        n_bootstrap=5,
        n_jobs=2,
    )
    return stack.fit(X, y)


@pytest.mark.slow
# Spawned by fork after threads have used the libraries, as in a notebook.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_of_multiprocessing_give_the_bytes_of_threads():
    X, y = draw()
    threads = fit(X, y)
    with joblib.parallel_config(backend="multiprocessing"):
        processes = fit(X, y)
        probabilities = processes.predict_proba(X)
        parts = processes.explain(X, ["1"])["1"]
    assert threads.predict_proba(X).equals(probabilities)
    assert threads.explain(X, ["1"])["1"].equals(parts)
    assert threads.comparison_.equals(processes.comparison_)
    assert threads.label_table_.equals(processes.label_table_)
    assert processes.fitted_[0].models
    assert threads.fitted_[0].models == processes.fitted_[0].models
