"""Texts of LightGBM boosters: real ones pass, and none that would make the library read astray."""

import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from hpastack.boosting.lightgbm_text import check_lightgbm_text
from hpastack.errors import InputError

pytestmark = pytest.mark.core

ARCHIVE = Path(__file__).resolve().parents[1] / "archives" / "stack_version_1" / "boosters"


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    options = {"objective": "binary", "num_leaves": 5, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(x, (x[:, 0] + x[:, 1] > 0).astype(int))
    return lightgbm.train(options, data, 12).model_to_string()


def replaced(text, pattern, by):
    changed, n = re.subn(pattern, by, text, count=1, flags=re.MULTILINE)
    assert n == 1
    # The sizes are set right again, so that only the change itself can be found.
    trees = re.findall(r"^Tree=.*?(?=^Tree=|^end of trees)", changed, re.MULTILINE | re.DOTALL)
    sizes = " ".join(str(len(tree)) for tree in trees)
    return re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", changed, flags=re.MULTILINE)


def test_real_boosters_pass(text):
    check_lightgbm_text(text)
    check_lightgbm_text(replaced(text, "^version=v4$", "version=v4"))
    kept = sorted(ARCHIVE.glob("lightgbm*.txt"))
    assert kept
    for path in kept:
        check_lightgbm_text(path.read_text())


def test_a_booster_without_a_tree_and_one_of_a_single_leaf_pass():
    x, y = np.zeros((50, 2)), np.arange(50) % 2
    options = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    booster = lightgbm.Booster(options, lightgbm.Dataset(x, y))
    check_lightgbm_text(booster.model_to_string())
    booster.update()
    check_lightgbm_text(booster.model_to_string())


@pytest.mark.parametrize(
    ("pattern", "by", "message"),
    [
        (r"^split_feature=\d+", "split_feature=4", "split_feature is not one of 4 columns"),
        (r"^split_feature=\d+", "split_feature=-1", "split_feature is not one of"),
        (r"^left_child=-?\d+", "left_child=0", "left_child 0 of split 0 is out of range"),
        (r"^right_child=-?\d+", "right_child=4", "right_child 4 of split 0 is out of range"),
        (r"^right_child=-?\d+", "right_child=-6", "right_child -6 of split 0 is out of range"),
        (r"^threshold=\S+ ", "threshold=", "3 values of threshold for 5 leaves"),
        (r"^leaf_value=\S+ ", "leaf_value=", "4 values of leaf_value for 5 leaves"),
        (r"^leaf_value=\S+", "leaf_value=x", "leaf_value: 'x' is not a number"),
        (r"^num_leaves=5", "num_leaves=900000000", "for 900,000,000 leaves"),
        (r"^num_leaves=5", "num_leaves=0", "no leaves"),
        (r"^num_cat=0", "num_cat=1", "categorical splits"),
        (r"^decision_type=\d+", "decision_type=1", "a categorical split"),
        (r"^is_linear=0", "is_linear=1", "linear leaves"),
        (r"^num_class=1", "num_class=3", "num_class is 3"),
        (r"^max_feature_idx=3", "max_feature_idx=0", "split_feature is not one of 1 column"),
        (r"^shrinkage=\S+", "shrinkage=0.1\nnum_leaves=9", "duplicate keys"),
        (r"^shrinkage=\S+", "shrinkage=x", "tree 0: shrinkage is not a number"),
        (r"^num_cat=0", "num_cat=0\nother=1", "tree 0: unknown key other"),
        (r"^num_cat=0", "num_cat=0\nother", "tree 0: a line without a value"),
        (r"^num_cat=0", "num_cat=0=1", "a line has two values"),
        (r"^left_child=.*\n", "", "left_child is missing"),
        (r"^Tree=0", "Tree=7", "tree 0 is not"),
        (r"^version=v4", "version=vä", "not printable ASCII"),
    ],
)
def test_what_would_lead_the_library_astray_is_refused(text, pattern, by, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_lightgbm_text(replaced(text, pattern, by))


@pytest.mark.parametrize("sizes", ["", "5", "1000000000", "-3"])
def test_sizes_that_are_not_those_of_the_trees_are_refused(text, sizes):
    with pytest.raises(InputError, match="tree_sizes"):
        check_lightgbm_text(re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", text, flags=re.M))


@pytest.mark.parametrize("nonsense", ["", "tree", "Tree=0\n", "end of trees", "\x00" * 9])
def test_what_is_no_booster_is_refused(nonsense):
    with pytest.raises(InputError, match="not a LightGBM booster"):
        check_lightgbm_text(nonsense)
