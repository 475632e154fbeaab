"""Settings of a stack: the same for its recipe and for the estimator."""

import inspect
import re
import sys
from dataclasses import fields

import numpy as np
import pytest

from hpastack.boosting import TreeSettings
from hpastack.errors import InputError
from hpastack.stack import StackClassifier, StackRecipe, StackSettings
from hpastack.stack.settings import FitSettings

pytestmark = pytest.mark.core

SOURCE = inspect.getsource(sys.modules[FitSettings.__module__])


def test_names_and_defaults_are_those_of_the_estimator():
    parameters = inspect.signature(StackClassifier).parameters
    defaults = {
        name: list(p.default) if isinstance(p.default, tuple) else p.default
        for name, p in parameters.items()
    }
    settings = StackSettings()
    assert {field.name: getattr(settings, field.name) for field in fields(settings)} == defaults


def test_a_recipe_hands_all_that_it_shares_to_the_estimator():
    parameters = StackRecipe(rounds=7, thresholds="global").parameters()
    assert set(parameters) == {field.name for field in fields(FitSettings)}
    stack = StackClassifier(**parameters)
    assert (stack.rounds, stack.thresholds) == (7, "global")


def test_keys_keep_their_order_in_the_record():
    # stack.json is written in this order.
    names = list(StackRecipe().record())
    assert names[:4] == ["cnns", "features", "accept_fold_plans", "boosters"]
    assert names[-5:] == ["min_labels", "prior_shift", "repeats", "n_bootstrap", "seed"]


def test_the_trees_get_what_they_share():
    given = {"rounds": 7, "learning_rate": 0.3, "leaves": 9, "min_leaf": 4, "l2": 1.0,
             "column_share": 0.5, "monotone": True, "extra_trees": False}  # fmt: skip
    assert StackSettings(**given, max_columns=3).trees == TreeSettings(**given)
    assert StackSettings(max_columns=3).n_screened == 3
    assert StackSettings(max_columns=None).n_screened is None


def test_the_size_of_models_goes_by_whether_there_are_cnns():
    def chosen(**options):
        settings = StackSettings(**options)
        trees = settings.trees
        return (trees.rounds, trees.learning_rate, trees.leaves, trees.min_leaf, trees.l2,
                settings.n_screened)  # fmt: skip

    assert chosen() == (320, 0.1, 15, 5, 1.0, 200)
    assert chosen(cnns=["net"]) == (80, 0.2, 7, 10, 10.0, 48)
    # What is given stays as it is; the rest is chosen.
    assert chosen(rounds=5, l2=0) == (5, 0.1, 15, 5, 0.0, 200)
    assert chosen(cnns=["net"], leaves=3, max_columns=None) == (80, 0.2, 3, 10, 10.0, None)


def test_members_go_by_whether_there_are_cnns():
    few = ["lightgbm", "xgboost", "pooled", "linear"]
    assert StackSettings(cnns=["net"]).members == few
    assert StackSettings().members == [*few, "forest"]
    assert StackSettings(boosters=["linear"]).members == ["linear"]
    assert StackSettings(boosters=[]).members == []


@pytest.mark.parametrize("key", ["rounds", "learning_rate", "leaves", "min_leaf", "l2"])
def test_the_documentation_of_settings_says_what_auto_stands_for(key):
    said = re.search(rf"    {key}: .*\n    .*`auto`: ([\d.]+), without CNNs ([\d.]+)", SOURCE)
    with_cnns, without = (getattr(StackSettings(cnns=of).trees, key) for of in (["net"], []))
    assert (float(said[1]), float(said[2].rstrip("."))) == (with_cnns, without)


WRONG = [
    ({"rounds": "5"}, "rounds is '5'; it must be a whole number from 1 to 10000"),
    ({"rounds": 0}, "rounds is 0; it must be a whole number from 1 to 10000, or auto"),
    ({"leaves": 1}, "leaves is 1; it must be a whole number from 2 to 4096, or auto"),
    ({"l2": float("nan")}, "l2 is nan; it must be a finite number of at least 0"),
    ({"leaves": "many"}, "leaves is 'many'; it must be a whole number from 2 to 4096, or auto"),
    ({"bags": "auto"}, "bags is 'auto'; it must be a whole number from 1 to 100"),
    ({"min_labels": -1}, "min_labels is -1; it must be at least 0"),
    ({"monotone": "no"}, "monotone is 'no'; it must be true or false"),
    ({"n_bootstrap": 1.5}, "n_bootstrap is 1.5; it must be a whole number from 0 to 10000"),
    ({"n_bootstrap": -5}, "n_bootstrap is -5; it must be from 0 to 10000"),
    (
        {"learning_rate": -0.1},
        "learning_rate is -0.1; it must be a number above 0 and at most 10, or auto",
    ),
    ({"column_share": 1.5}, "column_share is 1.5; it must be above 0 and at most 1"),
    (
        {"max_columns": 0},
        "max_columns is 0; it must be a whole number of at least 1, or auto, or",
    ),
    ({"boosters": ["xgboost", "xgboost"]}, "it must not have duplicates"),
    ({"boosters": ["randomforest"]}, "boosters has 'randomforest'; it must be a list of lightgbm"),
    ({"calibration": "magic"}, "calibration is 'magic'; it must be one of none, platt"),
    ({"thresholds": "best"}, "thresholds is 'best'; it must be one of shrunk, combined"),
]


@pytest.mark.parametrize("cls", [StackSettings, StackRecipe])
@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_settings_are_named_alike_for_both(cls, options, message):
    with pytest.raises(InputError) as error:
        cls(**options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cnns": "good"}, r"cnns is 'good'; it must be a list of names, such as \['good'\]"),
        ({"n_splits": 2}, "n_splits is 2; it must be at least 3"),
        ({"random_state": "x"}, "random_state is 'x'; .* None, or a RandomState or Generator"),
        (
            {"random_state": -1},
            "random_state is -1; it must be a whole number from 0 to 2147",
        ),
    ],
)
def test_wrong_parameters_of_the_estimator_are_named(options, message):
    with pytest.raises(InputError, match=message):
        StackSettings(**options)


def test_every_wrong_parameter_is_named_before_any_work():
    with pytest.raises(InputError) as error:
        StackClassifier(rounds="5", monotone="no").fit(np.zeros((4, 1)), np.zeros((4, 1)))
    assert str(error.value) == (
        "2 problems: (1) rounds is '5'; it must be a whole number from 1 to 10000, or auto "
        "(2) monotone is 'no'; it must be true or false"
    )


def test_a_seed_is_taken_or_drawn_as_in_scikit_learn():
    def seed(random_state):
        return StackSettings(random_state=random_state).random_state

    assert seed(7) == seed(np.int64(7)) == 7
    assert seed(np.random.RandomState(0)) == seed(np.random.RandomState(0))
    assert seed(np.random.default_rng(0)) == seed(np.random.default_rng(0))
    state = np.random.RandomState(0)
    assert seed(state) != seed(state)
    assert seed(None) != seed(None)
    for drawn in (seed(None), seed(state), seed(np.random.default_rng(0))):
        assert type(drawn) is int and 0 <= drawn < 2**31


def test_numbers_of_numpy_and_arrays_of_names_are_taken():
    settings = StackSettings(cnns=np.array(["a", "b"]), rounds=np.int64(5), l2=np.float32(0.5))
    assert (settings.cnns, settings.rounds, settings.l2) == (["a", "b"], 5, 0.5)


def test_without_cnns_fewer_positives_are_enough():
    assert StackSettings().least_positives == 8
    assert StackSettings(cnns=["net"]).least_positives == 20
    assert StackSettings(min_positives=3).least_positives == 3
