"""Check the text of a LightGBM booster before the library reads it.

LightGBM takes the numbers in its text for what they say: an index beyond the columns, a
child that points back, or a wrong size of a tree make it read memory that is not its
own, or never end. A stack may come from someone else.
"""

from __future__ import annotations

import re

from hpastack.errors import InputError

# The lines of a tree that hold a number for each split, and for each leaf.
_OF_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_OF_LEAVES = ("leaf_value",)
# What predictions do not need, but LightGBM reads, and ends the process where it can not.
_ALSO_OF_SPLITS = ("split_gain", "internal_value", "internal_weight", "internal_count")
_ALSO_OF_LEAVES = ("leaf_weight", "leaf_count")
_OF_TREES = ("Tree", "num_leaves", "num_cat", "is_linear", "shrinkage")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|inf|nan)")
_END = "end of trees"
_LAST = "pandas_categorical:null"
# A split by category, in LightGBM's bit field; none of ours.
_CATEGORICAL = 1


def check_lightgbm_text(text: str) -> None:
    """Refuse the text of a booster that is not one of regression trees as written here.

    Parameters
    ----------
    text : str
        As LightGBM's ``model_to_string`` gives it.

    Raises
    ------
    InputError
        If a number of the header or of a tree is missing or out of range; the message says
        which.
    """
    try:
        # LightGBM ends lines at other characters too, and everything at a NUL.
        if not (text.isascii() and text.replace("\n", "").isprintable()):
            raise ValueError("it is not plain text")
        start = min(place for place in (text.find("Tree="), text.find(_END)) if place >= 0)
        header = _lines(text[:start])
        for key in ("num_class", "num_tree_per_iteration"):
            if header[key] != "1":
                raise ValueError(f"{key} is {header[key]}")
        n_columns = int(header["max_feature_idx"]) + 1
        # Where each tree begins is found from these.
        for number, size in enumerate(header.get("tree_sizes", "").split()):
            tree = text[start : start + int(size)]
            if not tree.startswith(f"Tree={number}\n") or not tree.endswith("\n\n"):
                raise ValueError(f"tree_sizes: tree {number} has not {size} characters")
            if not all("=" in line for line in tree.rstrip("\n").split("\n")):
                raise ValueError(f"tree {number}: a line without a value")
            _check_tree(_lines(tree), number, n_columns)
            start += int(size)
        if not text[start:].startswith(_END):
            raise ValueError("there are more trees than tree_sizes")
        if not text.rstrip().endswith(_LAST):
            raise ValueError("it is incomplete")
    except KeyError as error:
        raise InputError(f"no booster of LightGBM: {error.args[0]} is missing") from None
    except ValueError as error:
        raise InputError(f"no booster of LightGBM: {error}") from None


def trees_of(text: str) -> str:
    """Return the text of a booster without what follows its trees.

    These are settings of the fit, which predictions do not need: LightGBM reads memory that
    is not its own where they are damaged, and `check_lightgbm_text` does not look at them.
    """
    return text[: text.index(_END) + len(_END)] + "\n"


def _lines(block: str) -> dict[str, str]:
    pairs = [line.split("=", 1) for line in block.split("\n") if "=" in line]
    if any("=" in value for _, value in pairs):
        raise ValueError("a line has two values")
    lines = dict(pairs)
    if len(lines) < len(pairs):
        raise ValueError("a line stands twice")
    return lines


def _check_tree(tree: dict[str, str], number: int, n_columns: int) -> None:
    where = f"tree {number}"
    n_leaves = int(tree["num_leaves"])
    if not _NUMBER.fullmatch(tree.get("shrinkage", "1")):
        raise ValueError(f"{where}: shrinkage is no number")
    if n_leaves < 1 or tree["num_cat"] != "0" or tree.get("is_linear", "0") != "0":
        raise ValueError(f"{where}: leaves, categories or linear leaves that none of ours has")
    values = {name: tree[name].split(" ") for name in _OF_LEAVES}
    if n_leaves > 1:
        values |= {name: tree[name].split(" ") for name in _OF_SPLITS}
    for name in tree:
        if name in _ALSO_OF_LEAVES or (name in _ALSO_OF_SPLITS and n_leaves > 1):
            values[name] = tree[name].split(" ")
        elif name not in (*_OF_SPLITS, *_OF_LEAVES, *_ALSO_OF_SPLITS, *_OF_TREES):
            raise ValueError(f"{where}: unknown key {name}")
    for name, found in values.items():
        expected = n_leaves if name in (*_OF_LEAVES, *_ALSO_OF_LEAVES) else n_leaves - 1
        if len(found) != expected:
            raise ValueError(f"{where}: {len(found)} of {name} for {n_leaves} leaves")
        for value in found:
            if not _NUMBER.fullmatch(value):
                raise ValueError(f"{where}: {name} holds {value!r}")
    if n_leaves == 1:
        return
    if not all(0 <= int(column) < n_columns for column in values["split_feature"]):
        raise ValueError(f"{where}: a split_feature is not among {n_columns} columns")
    if any(int(kind) & _CATEGORICAL for kind in values["decision_type"]):
        raise ValueError(f"{where}: a split by category")
    for name in ("left_child", "right_child"):
        for split, text in enumerate(values[name]):
            child = int(text)
            # Splits are numbered as they grow, so that a child comes after its parent.
            if not (split < child < n_leaves - 1 if child >= 0 else ~child < n_leaves):
                raise ValueError(f"{where}: {name} {child} of split {split} leads nowhere")
