"""The file format of a forest: a line of JSON, then compressed arrays.

The file is untrusted input: sizes are bounded before anything is decompressed,
and all indices are checked, so that every path down a tree ends in one of its leaves.
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
    """The arrays of a forest.

    Nodes are numbered consecutively across all trees, each after its parent.
    Nodes with children are inner nodes, the others leaves; arrays of inner nodes
    and arrays of leaves are in node order.

    Parameters
    ----------
    pull : float
        Shrinkage strength: a node with this many fields halves the changes of its children.
    labels : ndarray of int32, shape (n_labels,)
        Numbers of the labels, ascending.
    prevalence : ndarray of float, shape (n_labels,)
        Share of the training fields with each label, above 0 and below 1.
    medians : ndarray of float32, shape (n_columns,)
        Replacements for NaN.
    roots : ndarray of int32, shape (n_trees,)
        First nodes of the trees, ascending.
    feature : ndarray of int32, shape (n_inner,)
        Column that an inner node splits on.
    threshold : ndarray of float32, shape (n_inner,)
        Fields at or below it go left.
    left, right : ndarray of int32, shape (n_nodes,)
        Child nodes; -1 for leaves.
    counts : ndarray of int32, shape (n_leaves,)
        Number of training fields in each leaf.
    positives : ndarray of int32, shape (n_leaves, n_labels)
        Number of them with each label.
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
    """Return the content of a forest's file."""
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
        Largest accepted depth of a tree.

    Returns
    -------
    ForestArrays

    Raises
    ------
    InputError
        If the content is not a valid forest.
    """
    try:
        arrays = _unpacked(content)
        _check(arrays, max_depth)
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error) as error:
        raise InputError(f"not a forest: {error}") from None
    return arrays


def _unpacked(content: bytes) -> ForestArrays:
    line, _, packed = content.partition(b"\n")
    header = json.loads(line) if len(line) <= _MAX_HEADER else None
    if not isinstance(header, dict) or sorted(header) != sorted(("format", "pull", *_SIZES)):
        raise ValueError("the first line is not a valid header")
    if header["format"] != _FORMAT:
        raise ValueError(f"the format is {header['format']!r}, not {_FORMAT!r}")
    sizes = {name: header[name] for name in _SIZES}
    if not all(type(size) is int and 1 <= size <= _MAX_BYTES for size in sizes.values()):
        raise ValueError(f"a size is not a whole number from 1 to {_MAX_BYTES}")
    if sizes["leaves"] < sizes["trees"]:
        raise ValueError("there are fewer leaves than trees")
    pull = header["pull"]
    if type(pull) is not float or not 0 <= pull < np.inf:
        raise ValueError("pull is not a finite float of at least 0")
    layout = _layout(sizes)
    n_bytes = {
        name: np.dtype(kind).itemsize * _product(shape) for name, (kind, shape) in layout.items()
    }
    total = sum(n_bytes.values())
    if total > _MAX_BYTES:
        raise ValueError(f"the arrays take more than {_MAX_BYTES} bytes")
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(packed, total + 1)
    if len(unpacked) != total or not unpacking.eof or unpacking.unused_data:
        raise ValueError("the sizes of the arrays differ from the header")
    arrays, start = {}, 0
    for name, (kind, shape) in layout.items():
        part = np.frombuffer(unpacked, kind, _product(shape), start)
        arrays[name] = part.astype(np.dtype(kind).newbyteorder("=")).reshape(shape)
        start += n_bytes[name]
    return ForestArrays(pull=pull, **arrays)


def _product(shape: tuple[int, ...]) -> int:
    # np.prod may overflow.
    product = 1
    for size in shape:
        product *= size
    return product


def _check(arrays: ForestArrays, max_depth: int) -> None:
    n_nodes, is_leaf = len(arrays.left), arrays.left < 0
    if arrays.labels[0] < 0 or (np.diff(arrays.labels) <= 0).any():
        raise ValueError("the labels are not ascending and non-negative")
    if not ((arrays.prevalence > 0) & (arrays.prevalence < 1)).all():
        raise ValueError("a prevalence is not between 0 and 1")
    if not (np.isfinite(arrays.medians).all() and np.isfinite(arrays.threshold).all()):
        raise ValueError("a median or threshold is not finite")
    if ((arrays.feature < 0) | (arrays.feature >= len(arrays.medians))).any():
        raise ValueError("a node splits on a column that does not exist")
    if (arrays.counts < 1).any():
        raise ValueError("a leaf has no fields")
    if ((arrays.positives < 0) | (arrays.positives > arrays.counts[:, None])).any():
        raise ValueError("a leaf has more positives than fields")
    if is_leaf.sum() != len(arrays.counts) or (arrays.left[is_leaf] != -1).any():
        raise ValueError("the number of leaves differs from the header")
    if (arrays.right[is_leaf] != -1).any():
        raise ValueError("a node has only one child")
    inner = np.flatnonzero(~is_leaf)
    children = np.concatenate([arrays.left[inner], arrays.right[inner]])
    if ((children <= np.tile(inner, 2)) | (children >= n_nodes)).any():
        raise ValueError("a child does not come after its parent")
    # Every node except the roots has exactly one parent, and comes after it: a forest.
    parents = np.bincount(children, minlength=n_nodes)
    if not np.array_equal(np.flatnonzero(parents == 0), arrays.roots) or (parents > 1).any():
        raise ValueError("the nodes do not form trees")
    if len(arrays.levels()) > max_depth + 1:
        raise ValueError(f"a tree is deeper than {max_depth}")
