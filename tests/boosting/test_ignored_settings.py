"""What a library says to ignore makes no difference to it, and is not searched."""

from dataclasses import fields, replace

import numpy as np
import pytest

from hpastack.boosting import LIBRARIES, TreeSettings, library
from hpastack.stack.tuning import SPACE, candidates

pytestmark = pytest.mark.core

FIRST = TreeSettings(rounds=3, min_leaf=5, l2=1.0, column_share=0.5, leaves=15)
OTHER = {"rounds": 2, "learning_rate": 0.1, "leaves": 4, "min_leaf": 60, "l2": 30.0, "bins": 5}
OTHER |= {"column_share": 1.0, "monotone": True, "extra_trees": True}


def model_of(name, settings):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = (x[:, 0] - x[:, 1] + rng.normal(size=300) > 0).astype(np.float32)
    of = library(name)
    return of.to_bytes(
        of.fit(
            x,
            y,
            np.zeros(300, dtype=np.float32),
            settings,
            seed=0,
            stages=of.stages(settings.rounds, settings.rounds),
            at_stage=None,
            n_monotone=2 if settings.monotone else 0,
            bins=of.bins(x, settings),
        )
    )


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_ignored_makes_no_difference_and_all_else_does(name):
    pytest.importorskip(LIBRARIES[name].package)
    first = model_of(name, FIRST)
    ignored = [
        one.name
        for one in fields(TreeSettings)
        if model_of(name, replace(FIRST, **{one.name: OTHER[one.name]})) == first
    ]
    assert sorted(ignored) == sorted(LIBRARIES[name].ignores)


def test_what_is_ignored_is_not_searched():
    pytest.importorskip("optuna")
    tried = candidates(FIRST, 9, 0, LIBRARIES["xgboost"].ignores)
    assert {settings.min_leaf for settings in tried} == {FIRST.min_leaf}
    for name in SPACE.keys() - {"min_leaf"}:
        assert len({getattr(settings, name) for settings in tried}) > 3
    assert len({settings.min_leaf for settings in candidates(FIRST, 9, 0)}) > 3
