"""Check the UBJSON of an XGBoost booster before the library reads it.

A stack is untrusted input. XGBoost trusts the numbers in its file: a child or a column that does
not exist makes it read out of bounds. Only the kind of model that this package fits is accepted:
trees of numeric columns with a single margin.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from hpastack.errors import InputError

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_WORDS = {"Z": None, "T": True, "F": False}
#: Maximum nesting of objects; a booster has eight levels.
_MAX_DEPTH = 16
# Arrays with one number per node.
_INDICES = ("left_children", "right_children", "parents", "split_indices")
_NUMERIC = ("default_left", "split_type", "base_weights", "loss_changes", "split_conditions",
            "sum_hessian")  # fmt: skip
# Categorical splits, which our boosters never have.
_EMPTY = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def check_xgboost_ubjson(content: bytes) -> None:
    """Check that a file is an XGBoost booster as written by this package.

    Parameters
    ----------
    content : bytes
        As XGBoost's ``save_raw`` returns it, in UBJSON.

    Raises
    ------
    InputError
        If a part is missing, out of range or of a type that this package never
        writes; the message names it.
    """
    try:
        reader = _Reader(content)
        booster = reader.value()
        if reader.position != len(content):
            raise ValueError("unexpected bytes at the end")
        _check_learner(booster["learner"])
    except KeyError as error:
        raise InputError(f"not an XGBoost booster: {error.args[0]} is missing") from None
    except (ValueError, TypeError, struct.error) as error:
        raise InputError(f"not an XGBoost booster: {error}") from None


def _check_learner(learner: dict[str, Any]) -> None:
    parameters = learner["learner_model_param"]
    booster = learner["gradient_booster"]
    if (
        booster["name"] != "gbtree"
        or learner["objective"]["name"] != "binary:logistic"
        or int(parameters["num_class"]) != 0
        or int(parameters.get("num_target", "1")) != 1
    ):
        raise ValueError("not trees for a single binary label")
    model, n_columns = booster["model"], int(parameters["num_feature"])
    for names in (learner["feature_names"], learner["feature_types"]):
        if len(names):
            raise ValueError("unexpected column names or types")
    if any(len(part) for part in model.get("cats", {}).values()):
        raise ValueError("unexpected categories")
    trees, layout = model["trees"], model["gbtree_model_param"]
    starts = np.asarray(model.get("iteration_indptr", range(len(trees) + 1)))
    if (
        int(layout["num_trees"]) != len(trees)
        or int(layout.get("num_parallel_tree", "1")) != 1
        or np.asarray(model["tree_info"]).tolist() != [0] * len(trees)
        or starts.tolist() != list(range(len(trees) + 1))
    ):
        raise ValueError("the number of trees is inconsistent")
    for number, tree in enumerate(trees):
        _check_tree(tree, number, n_columns)


def _check_tree(tree: dict[str, Any], number: int, n_columns: int) -> None:
    where, layout = f"tree {number}", tree["tree_param"]
    n_nodes = int(layout["num_nodes"])
    if (
        tree["id"] != number
        or n_nodes < 1
        or int(layout["num_deleted"]) != 0
        or int(layout["size_leaf_vector"]) not in (0, 1)
        or int(layout["num_feature"]) != n_columns
    ):
        raise ValueError(f"{where}: wrong id, number of nodes or number of columns")
    nodes = {name: np.asarray(tree[name]) for name in (*_INDICES, *_NUMERIC)}
    for name, values in nodes.items():
        if values.shape != (n_nodes,) or values.dtype.kind not in "iuf":
            raise ValueError(f"{where}: {name}: not one number for each of {n_nodes} nodes")
        if name in _INDICES and values.dtype.kind == "f":
            raise ValueError(f"{where}: {name} are not whole numbers")
    if any(len(tree[name]) for name in _EMPTY) or nodes["split_type"].any():
        raise ValueError(f"{where}: a categorical split")
    left, right, parents, columns = (nodes[name].astype(np.int64) for name in _INDICES)
    inner = np.flatnonzero(left != -1)
    if (right[left == -1] != -1).any() or not (
        (columns[inner] >= 0) & (columns[inner] < n_columns)
    ).all():
        raise ValueError(f"{where}: a split is not on one of {n_columns} columns")
    # Children come after their parents, and each node except the root has exactly one parent.
    children = np.concatenate([left[inner], right[inner]])
    above = np.concatenate([inner, inner])
    if (
        not np.array_equal(np.sort(children), np.arange(1, n_nodes))
        or (children <= above).any()
        or (parents[children] != above).any()
    ):
        raise ValueError(f"{where}: a child is out of range")


class _Reader:
    """A reader of UBJSON, one value after another."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def value(self, depth: int = 0) -> Any:
        """Return the next value; vectors of numbers are returned as arrays."""
        if depth > _MAX_DEPTH:
            raise ValueError("objects are nested too deeply")
        return self._value_of(self._marker(), depth)

    def _value_of(self, marker: str, depth: int) -> Any:
        if marker == "{":
            return self._object(depth)
        if marker == "[":
            return self._array(depth)
        if marker == "S":
            return self._text()
        if marker in _WORDS:
            return _WORDS[marker]
        return self._numbers(marker, 1)[0].item()

    def _object(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while self._content[self.position : self.position + 1] != b"}":
            key = self._text()
            if key in values:
                raise ValueError(f"duplicate key {key}")
            values[key] = self.value(depth + 1)
        self.position += 1
        return values

    def _array(self, depth: int) -> Any:
        marker = self._marker()
        if marker == "$":
            kind = self._marker()
            if self._marker() != "#":
                raise ValueError("a vector has no length")
            return self._numbers(kind, self._length())
        if marker == "#":
            return [self.value(depth + 1) for _ in range(self._length())]
        values = []
        while marker != "]":
            values.append(self._value_of(marker, depth + 1))
            marker = self._marker()
        return values

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def _length(self) -> int:
        length = self._numbers(self._marker(), 1)[0].item()
        if not isinstance(length, int) or length < 0:
            raise ValueError("a length is not a whole number")
        return length

    def _numbers(self, marker: str, count: int) -> np.ndarray:
        if marker not in _NUMBERS:
            raise ValueError(f"unknown type {marker!r}")
        kind = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self._take(count * kind.itemsize), kind)

    def _marker(self) -> str:
        return self._take(1).decode("latin-1")

    def _take(self, count: int) -> bytes:
        taken = self._content[self.position : self.position + count]
        if len(taken) != count:
            raise ValueError("the file is incomplete")
        self.position += count
        return taken
