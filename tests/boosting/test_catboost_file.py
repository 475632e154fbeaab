"""Files of CatBoost boosters with one damage each: the message names it."""

import re
import struct

import numpy as np
import pytest

from hpastack.boosting import TreeSettings, library
from hpastack.boosting.catboost_file import (
    _CORE,
    _EMPTY,
    _FLOAT,
    _TREES,
    _Table,
    check_catboost_file,
)
from hpastack.errors import InputError

pytest.importorskip("catboost")
#: The magic number and the length come before the FlatBuffer.
HEAD = 8


@pytest.fixture(scope="module")
def content():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.float32)
    catboost = library("catboost")
    settings = TreeSettings(rounds=3, min_leaf=5, l2=5.0)
    fitted = catboost.fit(
        x, y, np.zeros(200, np.float32), settings, seed=0, stages=(3,), at_stage=None,
        n_monotone=0, bins=catboost.bins(x, settings),
    )  # fmt: skip
    return catboost.to_bytes(fitted)


class Parts:
    """The tables of a file, and the places of their parts."""

    def __init__(self, content):
        self.core = _Table.root(memoryview(content)[HEAD:])
        self.trees = self.core.table(_CORE["trees"])
        self.column = self.trees.tables(_TREES["floats"])[0]

    @staticmethod
    def layout(table, number=None):
        """The place of the layout (vtable) of a table, or of the entry of a field in it."""
        start = table._position - table._read("<i", table._position)
        return start if number is None else start + 4 + 2 * number

    def vector(self, name):
        """The place of the length of a vector of the trees; its values follow."""
        return self.trees._target(_TREES[name])


def first(name, kind, value):
    return lambda parts: (parts.vector(name) + 4, kind, value)


def longer(table):
    """A field more than the layout of a table has."""
    return lambda parts: (
        parts.layout(getattr(parts, table)),
        "<H",
        4 + 2 * (max(getattr(parts, table).fields) + 2),
    )


DAMAGES = {
    "unknown format": lambda p: (p.core._target(_CORE["format"]) + 4, "<B", 0),
    "unexpected information": longer("core"),
    "unexpected categories": lambda p: (
        p.layout(p.trees, _EMPTY["categories"]), "<H", p.trees._places[_TREES["splits"]]
    ),
    "the file has fields of a newer format": longer("trees"),
    "margins are scaled, shifted or multi-dimensional": first("biases", "<d", 0.5),
    "tree depths are not between 0 and 16": first("sizes", "<i", 17),
    "the trees are not contiguous": first("starts", "<i", 1),
    "a split has no border": first("splits", "<i", 10**6),
    "the number of leaf weights differs from the number of leaves": lambda p: (
        p.vector("weights"), "<I", p.trees.count(_TREES["weights"]) - 1
    ),
    "the splits differ from their packed form": first("bins", "<I", 2**31),
    "the columns are not numbered from 0": lambda p: (
        p.column._position + p.column._places[_FLOAT["index"]], "<i", 1
    ),
    "column 0 has 255 borders": lambda p: (p.column._target(_FLOAT["borders"]), "<I", 255),
    "an offset is out of range": lambda p: (p.core._position, "<i", 2**30),
    "a table is missing": lambda p: (p.layout(p.core, _CORE["trees"]), "<H", 0),
}  # fmt: skip


def damaged(content, place, kind, value):
    # With enough bytes at the end for a longer vector.
    content = bytearray(content + bytes(1024))
    struct.pack_into("<I", content, 4, len(content) - HEAD)
    struct.pack_into(kind, content, HEAD + place, value)
    return bytes(content)


def test_a_real_booster_passes(content):
    check_catboost_file(content)


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_booster_is_an_error(content, message):
    damage = DAMAGES[message](Parts(content))
    with pytest.raises(InputError, match=f"^not a CatBoost booster: {re.escape(message)}$"):
        check_catboost_file(damaged(content, *damage))


@pytest.mark.parametrize("size", [0, 3, 4, 8, 100])
def test_a_cut_booster_is_an_error(content, size):
    with pytest.raises(InputError, match="not a CatBoost booster: "):
        check_catboost_file(content[:size])


def test_what_only_the_library_rejects_is_an_error(content):
    core = Parts(content).core
    end = core._target(_CORE["format"]) + 4 + core.count(_CORE["format"])
    without_end = damaged(content, end, "<B", 1)  # the name of the format has no final NUL
    check_catboost_file(without_end)
    with pytest.raises(InputError, match="not a CatBoost booster: .*verification failed"):
        library("catboost").check(without_end)
