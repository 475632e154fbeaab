"""Files of XGBoost boosters with one damage each: the message names it."""

import re
import struct

import numpy as np
import pytest
import xgboost

from hpastack.boosting import library
from hpastack.boosting.xgboost_ubjson import _Reader, check_xgboost_ubjson
from hpastack.errors import InputError

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def content():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    options = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1, "verbosity": 0}
    booster = xgboost.train(options, xgboost.DMatrix(x, x[:, 0] + x[:, 1] > 0), 3)
    return bytes(booster.save_raw(raw_format="ubj"))


def length(number):
    return b"L" + struct.pack(">q", number)


def text(value):
    return length(len(value)) + value.encode()


def encoded(value):
    """UBJSON as XGBoost writes it."""
    if isinstance(value, dict):
        return b"{" + b"".join(text(key) + encoded(part) for key, part in value.items()) + b"}"
    if isinstance(value, np.ndarray):
        marker = {"f": b"d", "i": b"l", "u": b"U"}[value.dtype.kind]
        kind = {"f": ">f4", "i": ">i4", "u": "u1"}[value.dtype.kind]
        return b"[$" + marker + b"#" + length(len(value)) + value.astype(kind).tobytes()
    if isinstance(value, list):
        return b"[#" + length(len(value)) + b"".join(map(encoded, value))
    return b"S" + text(value) if isinstance(value, str) else length(value)


def damaged(content, damage):
    booster = _Reader(content).value()
    damage(booster["learner"], booster["learner"]["gradient_booster"]["model"])
    return encoded(booster)


def at(values, place, number):
    values = np.array(values)
    values[place] = number
    return values


def test_a_real_booster_passes_and_so_does_the_one_of_this_module(content):
    check_xgboost_ubjson(content)
    check_xgboost_ubjson(damaged(content, lambda learner, model: None))


def of_tree(**changes):
    """Damage to the second tree: each change is a function of the values, or a value."""

    def damage(learner, model):
        tree = model["trees"][1]
        for name, change in changes.items():
            tree[name] = change(tree[name]) if callable(change) else change

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda learner, model: learner["objective"].update(name="multi:softprob"),
         "not trees for a single binary label"),
        (lambda learner, model: learner.update(feature_names=["a", "b", "c", "d"]),
         "unexpected column names or types"),
        (lambda learner, model: model.update(cats={"enc": [1]}), "unexpected categories"),
        (lambda learner, model: model["trees"].pop(), "the number of trees is inconsistent"),
        (lambda learner, model: learner.pop("objective"), "objective is missing"),
        (of_tree(id=3), "tree 1: wrong id, number of nodes or number of columns"),
        (of_tree(base_weights=lambda values: values[:-1]),
         "tree 1: base_weights: not one number for each of"),
        (of_tree(left_children=lambda values: np.asarray(values, float)),
         "tree 1: left_children are not whole numbers"),
        (of_tree(split_type=lambda values: at(values, 0, 1)), "tree 1: a categorical split"),
        (of_tree(split_indices=lambda values: at(values, 0, 4)),
         "tree 1: a split is not on one of 4 columns"),
        (of_tree(left_children=lambda values: at(values, 0, 0)), "tree 1: a child is out of range"),
    ],
)  # fmt: skip
def test_a_damaged_booster_is_an_error(content, damage, message):
    with pytest.raises(InputError, match=f"not an XGBoost booster: {re.escape(message)}"):
        check_xgboost_ubjson(damaged(content, damage))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content + b"}", "unexpected bytes at the end"),
        (lambda content: content[:-1], "the file is incomplete"),
        (lambda content: b"{" + 2 * (text("a") + length(1)) + b"}", "duplicate key a"),
        (lambda content: 100 * (b"{" + text("a")), "objects are nested too deeply"),
        (lambda content: b"[$l[", "a vector has no length"),
        (lambda content: b"[$l#" + length(-1), "a length is not a whole number"),
        (lambda content: b"?", "unknown type '?'"),
    ],
)
def test_what_is_no_ubjson_of_a_booster_is_an_error(content, damage, message):
    with pytest.raises(InputError, match=f"not an XGBoost booster: {re.escape(message)}"):
        check_xgboost_ubjson(damage(content))


def test_what_only_the_library_rejects_is_an_error(content):
    def damage(learner, model):
        learner["learner_model_param"]["base_score"] = "x"

    check_xgboost_ubjson(damaged(content, damage))
    # After the bracket come words of the library, which differ between its versions.
    with pytest.raises(InputError, match=r"not an XGBoost booster: \["):
        library("xgboost").check(damaged(content, damage))
