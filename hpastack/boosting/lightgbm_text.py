"""Check the text of a LightGBM booster before the library reads it.

A stack is untrusted input. LightGBM trusts the numbers in its text: a column index out of
range, a child that points back or a wrong tree size makes it read out of bounds or loop forever.
"""

from __future__ import annotations

import re

from hpastack.errors import InputError, counted

# The lines of a tree with one number per split, and with one per leaf.
_OF_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_OF_LEAVES = ("leaf_value",)
# Not needed for predictions, but LightGBM parses them and aborts the process if it cannot.
_ALSO_OF_SPLITS = ("split_gain", "internal_value", "internal_weight", "internal_count")
_ALSO_OF_LEAVES = ("leaf_weight", "leaf_count")
_OF_TREES = ("Tree", "num_leaves", "num_cat", "is_linear", "shrinkage")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|inf|nan)")
_END = "end of trees"
_LAST = "pandas_categorical:null"
# The bit of a categorical split in LightGBM's decision_type; never set in our boosters.
_CATEGORICAL = 1


def check_lightgbm_text(text: str) -> None:
    """Check that a text is a LightGBM booster of regression trees as written by this package.

    Parameters
    ----------
    text : str
        As returned by LightGBM's ``model_to_string``.

    Raises
    ------
    InputError
        If a number of the header or of a tree is missing or out of range; the message names
        it.
    """
    try:
        # LightGBM also ends lines at other characters, and the text at a NUL.
        if not (text.isascii() and text.replace("\n", "").isprintable()):
            raise ValueError("not printable ASCII text")
        start = min(place for place in (text.find("Tree="), text.find(_END)) if place >= 0)
        header = _lines(text[:start])
        for key in ("num_class", "num_tree_per_iteration"):
            if header[key] != "1":
                raise ValueError(f"{key} is {header[key]}")
        n_columns = int(header["max_feature_idx"]) + 1
        # LightGBM locates each tree by these sizes.
        for number, size in enumerate(header.get("tree_sizes", "").split()):
            tree = text[start : start + int(size)]
            if not tree.startswith(f"Tree={number}\n") or not tree.endswith("\n\n"):
                raise ValueError(f"tree_sizes: tree {number} is not {size} characters long")
            if not all("=" in line for line in tree.rstrip("\n").split("\n")):
                raise ValueError(f"tree {number}: a line without a value")
            _check_tree(_lines(tree), number, n_columns)
            start += int(size)
        if not text[start:].startswith(_END):
            raise ValueError("there are more trees than tree_sizes")
        if not text.rstrip().endswith(_LAST):
            raise ValueError("the text is incomplete")
    except KeyError as error:
        raise InputError(f"not a LightGBM booster: {error.args[0]} is missing") from None
    except ValueError as error:
        raise InputError(f"not a LightGBM booster: {error}") from None


def trees_of(text: str) -> str:
    """Return the text of a booster up to the end of its trees.

    The fit's settings follow, which predictions do not need. LightGBM reads out of bounds if
    they are corrupt, and `check_lightgbm_text` does not check them.
    """
    return text[: text.index(_END) + len(_END)] + "\n"


def _lines(block: str) -> dict[str, str]:
    pairs = [line.split("=", 1) for line in block.split("\n") if "=" in line]
    if any("=" in value for _, value in pairs):
        raise ValueError("a line has two values")
    lines = dict(pairs)
    if len(lines) < len(pairs):
        raise ValueError("duplicate keys")
    return lines


def _check_tree(tree: dict[str, str], number: int, n_columns: int) -> None:
    where = f"tree {number}"
    n_leaves = int(tree["num_leaves"])
    if not _NUMBER.fullmatch(tree.get("shrinkage", "1")):
        raise ValueError(f"{where}: shrinkage is not a number")
    if n_leaves < 1 or tree["num_cat"] != "0" or tree.get("is_linear", "0") != "0":
        raise ValueError(f"{where}: no leaves, categorical splits or linear leaves")
    values = {name: tree[name].split(" ") for name in _OF_LEAVES}
    if n_leaves > 1:
        values |= {name: tree[name].split(" ") for name in _OF_SPLITS}
    for name in tree:
        if name in _ALSO_OF_LEAVES or (name in _ALSO_OF_SPLITS and n_leaves > 1):
            values[name] = tree[name].split(" ")
        elif name not in (*_OF_SPLITS, *_OF_LEAVES, *_ALSO_OF_SPLITS, *_OF_TREES):
            raise ValueError(f"{where}: unknown key {name}")
    for name, numbers in values.items():
        expected = n_leaves if name in (*_OF_LEAVES, *_ALSO_OF_LEAVES) else n_leaves - 1
        if len(numbers) != expected:
            raise ValueError(
                f"{where}: {counted(len(numbers), 'value')} of {name} for "
                f"{counted(n_leaves, 'leaf', 'leaves')}"
            )
        for value in numbers:
            if not _NUMBER.fullmatch(value):
                raise ValueError(f"{where}: {name}: {value!r} is not a number")
    if n_leaves == 1:
        return
    if not all(0 <= int(column) < n_columns for column in values["split_feature"]):
        raise ValueError(f"{where}: split_feature is not one of {n_columns} columns")
    if any(int(kind) & _CATEGORICAL for kind in values["decision_type"]):
        raise ValueError(f"{where}: a categorical split")
    for name in ("left_child", "right_child"):
        for split, text in enumerate(values[name]):
            child = int(text)
            # Splits are numbered as they grow, so that a child comes after its parent.
            if not (split < child < n_leaves - 1 if child >= 0 else ~child < n_leaves):
                raise ValueError(f"{where}: {name} {child} of split {split} is out of range")
