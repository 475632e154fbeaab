"""Check the file of a CatBoost booster before the library reads it.

A stack is untrusted input. CatBoost verifies that the offsets in its file (a FlatBuffer) stay
within the file, but trusts every other number: a split on a column that does not exist makes it
read out of bounds. Only the kind of model that this package fits is accepted: symmetric trees
of numeric columns with a single margin.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from hpastack.errors import InputError

_MAGIC = b"CBM1"
_FORMAT = b"FlabuffersModel_v1"
_MAX_DEPTH = 16
#: CatBoost splits a column with more borders in two, which the check does not support.
MAX_BORDERS = 254

# Field numbers of the tables in CatBoost's schema.
_CORE = {"format": 0, "trees": 1, "information": 2, "parts": 3}
_TREES = {
    "dimension": 0, "splits": 1, "sizes": 2, "starts": 3, "floats": 5, "values": 8, "weights": 9,
    "scale": 14, "bias": 15, "biases": 16, "bins": 17,
}  # fmt: skip
_FLOAT = {"index": 1, "flat_index": 2, "borders": 3}
# Vectors for types of columns and trees that our boosters never use.
_EMPTY = {
    "categories": 4, "one-hot columns": 6, "counters": 7, "asymmetric trees": 10,
    "asymmetric leaves": 11, "texts": 12, "estimated columns": 13, "embeddings": 18,
}  # fmt: skip


def check_catboost_file(content: bytes) -> None:
    """Check that a file is a CatBoost booster as written by this package.

    Parameters
    ----------
    content : bytes
        In CatBoost's format ``cbm``.

    Raises
    ------
    InputError
        If a part is missing, out of range or of a type that this package never
        writes; the message names it.
    """
    try:
        is_whole = content[:4] == _MAGIC and len(content) >= 8
        if not is_whole or len(content) != 8 + struct.unpack_from("<I", content, 4)[0]:
            raise ValueError("the file is incomplete")
        core = _Table.root(memoryview(content)[8:])
        if core.text(_CORE["format"]) != _FORMAT:
            raise ValueError("unknown format")
        for name in ("information", "parts"):
            if core.count(_CORE[name]):
                raise ValueError(f"unexpected {name}")
        _check_trees(core.table(_CORE["trees"]))
    except (ValueError, struct.error) as error:
        raise InputError(f"not a CatBoost booster: {error}") from None


def _check_trees(trees: _Table) -> None:
    for name, number in _EMPTY.items():
        if trees.count(number):
            raise ValueError(f"unexpected {name}")
    if trees.fields - {*_TREES.values(), *_EMPTY.values()}:
        raise ValueError("the file has fields of a newer format")
    scalars = [trees.number(_TREES[name], "<d", of) for name, of in (("scale", 1.0), ("bias", 0.0))]
    biases = trees.numbers(_TREES["biases"], "<f8")
    if trees.number(_TREES["dimension"], "<i", 0) != 1 or scalars != [1, 0] or biases.any():
        raise ValueError("margins are scaled, shifted or multi-dimensional")
    n_borders = [_check_column(*column) for column in enumerate(trees.tables(_TREES["floats"]))]
    splits, sizes, starts = (
        trees.numbers(_TREES[name], "<i4").astype(np.int64)
        for name in ("splits", "sizes", "starts")
    )
    if not (len(sizes) and ((sizes >= 0) & (sizes <= _MAX_DEPTH)).all()):
        raise ValueError(f"tree depths are not between 0 and {_MAX_DEPTH}")
    if starts.tolist() != (np.cumsum(sizes) - sizes).tolist() or len(splits) != sizes.sum():
        raise ValueError("the trees are not contiguous")
    if not ((splits >= 0) & (splits < sum(n_borders))).all():
        raise ValueError("a split has no border")
    for name in ("values", "weights"):
        if len(trees.numbers(_TREES[name], "<f8")) != (1 << sizes).sum():
            raise ValueError(f"the number of leaf {name} differs from the number of leaves")
    # The same splits packed as column and border (from 1); CatBoost predicts from this form.
    used = [count for count in n_borders if count]
    column = np.repeat(np.arange(len(used)), used)
    border = np.concatenate([np.arange(1, count + 1) for count in used] or [np.arange(0)])
    bins = trees.numbers(_TREES["bins"], "<u4")
    if bins.tolist() != (column | border << 24)[splits].tolist():
        raise ValueError("the splits differ from their packed form")


def _check_column(number: int, column: _Table) -> int:
    """Return the number of borders of a column."""
    if any(column.number(_FLOAT[name], "<i", -1) != number for name in ("index", "flat_index")):
        raise ValueError("the columns are not numbered from 0")
    n_borders = len(column.numbers(_FLOAT["borders"], "<f4"))
    if n_borders > MAX_BORDERS:
        raise ValueError(f"column {number} has {n_borders} borders")
    return n_borders


class _Table:
    """A table of a FlatBuffer: numbers, and offsets to vectors and tables further on."""

    def __init__(self, buffer: memoryview, position: int) -> None:
        self._buffer, self._position = buffer, position
        start = position - self._read("<i", position)
        n_fields = (self._read("<H", start) - 4) // 2
        places = (self._read("<H", start + 4 + 2 * number) for number in range(n_fields))
        self._places = {number: place for number, place in enumerate(places) if place}

    @classmethod
    def root(cls, buffer: memoryview) -> _Table:
        return cls(buffer, struct.unpack_from("<I", buffer)[0])

    @property
    def fields(self) -> set[int]:
        return set(self._places)

    def _read(self, kind: str, position: int) -> Any:
        if position < 0:
            raise ValueError("an offset is out of range")
        return struct.unpack_from(kind, self._buffer, position)[0]

    def _target(self, number: int) -> int:
        place = self._position + self._places[number]
        return place + self._read("<I", place)

    def number(self, number: int, kind: str, default: float) -> Any:
        """Return a number, or the default if it is absent."""
        if number not in self._places:
            return default
        return self._read(kind, self._position + self._places[number])

    def count(self, number: int) -> int:
        """Return the length of a vector."""
        return self._read("<I", self._target(number)) if number in self._places else 0

    def numbers(self, number: int, dtype: str) -> np.ndarray:
        """Return a vector of numbers."""
        count = self.count(number)
        return np.frombuffer(self._buffer, dtype, count, self._target(number) + 4 if count else 0)

    def text(self, number: int) -> bytes:
        return self.numbers(number, "u1").tobytes()

    def table(self, number: int) -> _Table:
        if number not in self._places:
            raise ValueError("a table is missing")
        return _Table(self._buffer, self._target(number))

    def tables(self, number: int) -> list[_Table]:
        """Return a vector of tables."""
        places = self._target(number) + 4 if number in self._places else 0
        return [
            _Table(self._buffer, place + self._read("<I", place))
            for place in range(places, places + 4 * self.count(number), 4)
        ]
