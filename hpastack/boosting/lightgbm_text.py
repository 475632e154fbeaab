"""Check the text of a LightGBM booster before the library reads it.

LightGBM takes the numbers in its text for what they say: an index beyond the columns, a
child that points back, or a wrong size of a tree make it read memory that is not its
own, or never end. A stack may come from someone else.
"""

from __future__ import annotations

from hpastack.errors import InputError

# The lines of a tree that hold a number for each split, and for each leaf.
_OF_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_OF_LEAVES = ("leaf_value",)
_END = "end of trees"
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
        if not text.isascii():
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
            _check_tree(_lines(tree), number, n_columns)
            start += int(size)
        if not text[start:].startswith(_END):
            raise ValueError("there are more trees than tree_sizes")
    except KeyError as error:
        raise InputError(f"no booster of LightGBM: {error.args[0]} is missing") from None
    except ValueError as error:
        raise InputError(f"no booster of LightGBM: {error}") from None


def _lines(block: str) -> dict[str, str]:
    pairs = [line.split("=", 1) for line in block.split("\n") if "=" in line]
    lines = dict(pairs)
    if len(lines) < len(pairs):
        raise ValueError("a line stands twice")
    return lines


def _check_tree(tree: dict[str, str], number: int, n_columns: int) -> None:
    where = f"tree {number}"
    n_leaves = int(tree["num_leaves"])
    if n_leaves < 1 or tree["num_cat"] != "0" or tree.get("is_linear", "0") != "0":
        raise ValueError(f"{where}: leaves, categories or linear leaves that none of ours has")
    values = {name: tree[name].split() for name in _OF_LEAVES}
    if n_leaves > 1:
        values |= {name: tree[name].split() for name in _OF_SPLITS}
    for name, found in values.items():
        expected = n_leaves if name in _OF_LEAVES else n_leaves - 1
        if len(found) != expected:
            raise ValueError(f"{where}: {len(found)} of {name} for {n_leaves} leaves")
        _ = [float(value) for value in found]
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
