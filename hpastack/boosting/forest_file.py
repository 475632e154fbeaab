"""The file of a forest: a line of JSON, then arrays, compressed.

It may come from anyone, so sizes are bounded before anything is unpacked, and
whatever is an index is checked: following a tree ends in a leaf of it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

import numpy as np

from hpastack.errors import InputError

_FORMAT = "hpastack-forest"
_SIZES = ("trees", "columns", "labels", "leaves")
_MAX_HEADER = 1000
_MAX_BYTES = 2**30


@dataclass(frozen=True)
class ForestArrays:
    """What a forest is made of.

    Nodes are numbered through all trees, each after the one above it. Those
    with children are inner nodes, the others leaves; arrays of either kind are
    in the order of the nodes.

    Parameters
    ----------
    pull : float
        Fields at which what a node adds to the one above it counts half.
    labels : ndarray of int32, shape (n_labels,)
        Numbers of the labels, ascending.
    prevalence : ndarray of float, shape (n_labels,)
        Shares of the training fields, above 0 and below 1.
    medians : ndarray of float32, shape (n_columns,)
        Stand for NaN.
    roots : ndarray of int32, shape (n_trees,)
        First nodes of the trees, ascending.
    feature : ndarray of int32, shape (n_inner,)
        Column that splits an inner node.
    threshold : ndarray of float32, shape (n_inner,)
        Fields at or below it go left.
    left, right : ndarray of int32, shape (n_nodes,)
        Nodes below; -1 of leaves.
    counts : ndarray of int32, shape (n_leaves,)
        Training fields in a leaf.
    positives : ndarray of int32, shape (n_leaves, n_labels)
        Those that carry a label.
    """

    pull: float
    labels: np.ndarray
    prevalence: np.ndarray
    medians: np.ndarray
    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    counts: np.ndarray
    positives: np.ndarray

    def levels(self) -> list[np.ndarray]:
        """Return the nodes of all trees by their depth, the roots first."""
        levels = [self.roots]
        while True:
            inner = levels[-1][self.left[levels[-1]] >= 0]
            if not len(inner):
                return levels
            levels.append(np.concatenate([self.left[inner], self.right[inner]]))


def _layout(sizes: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each array, in the order of the file."""
    n_labels, n_leaves = sizes["labels"], sizes["leaves"]
    n_inner = n_leaves - sizes["trees"]
    nodes = ("<i4", (n_inner + n_leaves,))
    return {
        "labels": ("<i4", (n_labels,)),
        "prevalence": ("<f8", (n_labels,)),
        "medians": ("<f4", (sizes["columns"],)),
        "roots": ("<i4", (sizes["trees"],)),
        "feature": ("<i4", (n_inner,)),
        "threshold": ("<f4", (n_inner,)),
        "left": nodes,
        "right": nodes,
        "counts": ("<i4", (n_leaves,)),
        "positives": ("<i4", (n_leaves, n_labels)),
    }


def write_forest(arrays: ForestArrays) -> bytes:
    """Return the file of a forest."""
    sizes = dict(
        zip(
            _SIZES,
            (len(arrays.roots), len(arrays.medians), len(arrays.labels), len(arrays.counts)),
        )
    )
    header = {"format": _FORMAT, "pull": arrays.pull, **sizes}
    content = b"".join(
        getattr(arrays, name).astype(kind).tobytes() for name, (kind, _) in _layout(sizes).items()
    )
    return json.dumps(header).encode() + b"\n" + zlib.compress(content)


def read_forest(content: bytes, max_depth: int) -> ForestArrays:
    """Read the file of a forest.

    Parameters
    ----------
    content : bytes
    max_depth : int
        Splits that may be one below the other.

    Returns
    -------
    ForestArrays

    Raises
    ------
    InputError
        If it is not a forest.
    """
    try:
        arrays = _unpacked(content)
        _check(arrays, max_depth)
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error) as error:
        raise InputError(f"not a booster of forest: {error}") from None
    return arrays


def _unpacked(content: bytes) -> ForestArrays:
    line, _, packed = content.partition(b"\n")
    header = json.loads(line) if len(line) <= _MAX_HEADER else None
    if not isinstance(header, dict) or sorted(header) != sorted(("format", "pull", *_SIZES)):
        raise ValueError("its first line does not say what it holds")
    if header["format"] != _FORMAT:
        raise ValueError(f"its format is {header['format']!r}")
    sizes = {name: header[name] for name in _SIZES}
    if not all(type(size) is int and 1 <= size <= _MAX_BYTES for size in sizes.values()):
        raise ValueError("a size is not a number of at least 1")
    if sizes["leaves"] < sizes["trees"]:
        raise ValueError("it has trees without leaves")
    pull = header["pull"]
    if type(pull) is not float or not 0 <= pull < np.inf:
        raise ValueError("its pull is not a finite number of at least 0")
    layout = _layout(sizes)
    n_bytes = {
        name: np.dtype(kind).itemsize * _product(shape) for name, (kind, shape) in layout.items()
    }
    total = sum(n_bytes.values())
    if total > _MAX_BYTES:
        raise ValueError("it is too large")
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(packed, total + 1)
    if len(unpacked) != total or not unpacking.eof or unpacking.unused_data:
        raise ValueError("its arrays are not of the sizes it names")
    arrays, start = {}, 0
    for name, (kind, shape) in layout.items():
        part = np.frombuffer(unpacked, kind, _product(shape), start)
        arrays[name] = part.astype(np.dtype(kind).newbyteorder("=")).reshape(shape)
        start += n_bytes[name]
    return ForestArrays(pull=pull, **arrays)


def _product(shape: tuple[int, ...]) -> int:
    # NumPy's may overflow.
    product = 1
    for size in shape:
        product *= size
    return product


def _check(arrays: ForestArrays, max_depth: int) -> None:
    n_nodes, is_leaf = len(arrays.left), arrays.left < 0
    if arrays.labels[0] < 0 or (np.diff(arrays.labels) <= 0).any():
        raise ValueError("its labels do not ascend from 0 or more")
    if not ((arrays.prevalence > 0) & (arrays.prevalence < 1)).all():
        raise ValueError("a prevalence is not between 0 and 1")
    if not (np.isfinite(arrays.medians).all() and np.isfinite(arrays.threshold).all()):
        raise ValueError("a number is not finite")
    if ((arrays.feature < 0) | (arrays.feature >= len(arrays.medians))).any():
        raise ValueError("a node is split by a column that is not there")
    if (arrays.counts < 1).any():
        raise ValueError("a leaf has no fields")
    if ((arrays.positives < 0) | (arrays.positives > arrays.counts[:, None])).any():
        raise ValueError("a leaf has more positives than fields")
    if is_leaf.sum() != len(arrays.counts) or (arrays.left[is_leaf] != -1).any():
        raise ValueError("its leaves are not as many as it says")
    if (arrays.right[is_leaf] != -1).any():
        raise ValueError("a node has one child")
    inner = np.flatnonzero(~is_leaf)
    children = np.concatenate([arrays.left[inner], arrays.right[inner]])
    if ((children <= np.tile(inner, 2)) | (children >= n_nodes)).any():
        raise ValueError("a child does not come after its parent")
    # Every node but the roots has one parent, before it; so the nodes are trees.
    parents = np.bincount(children, minlength=n_nodes)
    if not np.array_equal(np.flatnonzero(parents == 0), arrays.roots) or (parents > 1).any():
        raise ValueError("its nodes are not trees")
    if len(arrays.levels()) > max_depth + 1:
        raise ValueError("its trees are too deep")
