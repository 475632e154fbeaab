"""Header of a store, digest of its metadata and checksums of its rows."""

from __future__ import annotations

import hashlib
import json
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpastack.errors import InputError, counted, shorten

FORMAT = "hpastack-store"
#: Version of the format that is written; older versions can be read.
VERSION = 5

#: How a feature set was made with respect to the labels of the training fields.
KINDS = ("target_free", "out_of_fold", "in_sample")
#: Names of kinds before format 5, and their current names.
FORMER_KINDS = {"label_free": "target_free"}
#: Contents that are the predictions of a classifier.
PREDICTIONS = ("probabilities", "logits", "label_sets")
#: Contents of a store: features, predictions, or other numbers with one column per label.
CONTENTS = ("features", *PREDICTIONS, "scores")
#: Precision in which values are stored; they are always read in single precision.
STORAGES = ("float32", "float16")
#: Maximum number of members; files that claim more are rejected before memory is allocated.
MAX_MEMBERS = 1000

#: Datasets of a store, with the version of the format that introduced them.
DATASETS = {"image_ids": 1, "columns": 1, "values": 1, "fold": 1, "members": 2, "checksums": 4}


# Attributes that enter the digest of a store, in this order.
_DIGESTED = (
    "format", "version", "kind", "content", "recipe", "made_from", "fold_plan", "vocabulary",
    "allow_nan",
)  # fmt: skip


@dataclass(frozen=True)
class StoreHeader:
    """Header of a store: what it contains and how it was made.

    Parameters
    ----------
    kind : {"target_free", "out_of_fold", "in_sample"}
        How the values depend on the labels of the training fields.
    content : {"features", "probabilities", "logits", "label_sets", "scores"}
        What the values are. Everything except features has one column per label;
        scores are not predictions and may be any number.
    columns : sequence of str
        Column names, unique.
    recipe : dict
        The settings it was made with; JSON-serialisable.
    made_from : str
        Digest of the ids and inputs it was made from.
    fold_plan : str, default=""
        Digest of the fold plan of an out-of-fold store; empty if unknown.
    vocabulary : sequence of str, optional
        Label names of predictions and scores; required for scores.
    allow_nan : bool, default=False
        Whether NaN is a documented value of some column.
    storage : {"float32", "float16"}, default="float32"
        Precision in which the values are stored; float16 takes half the space,
        has three digits and a maximum of 65504, and is for features only.

    Raises
    ------
    InputError
        If a value is not one of those listed, there are duplicate columns, the
        columns do not match the label names, or the storage of predictions or scores is
        float16.
    """

    kind: str
    content: str
    columns: Sequence[str]
    recipe: dict[str, Any] = field(default_factory=dict)
    made_from: str = ""
    fold_plan: str = ""
    vocabulary: Sequence[str] | None = None
    allow_nan: bool = False
    storage: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", current_kind(self.kind))
        if self.kind not in KINDS:
            raise InputError(f"unknown kind {self.kind!r}; it must be one of {KINDS}", "kind")
        if self.content not in CONTENTS:
            raise InputError(
                f"unknown content {self.content!r}; it must be one of {CONTENTS}", "content"
            )
        if self.storage not in STORAGES:
            raise InputError(
                f"unknown storage {self.storage!r}; it must be one of {STORAGES}", "storage"
            )
        if self.storage != "float32" and self.content != "features":
            raise InputError(
                f"{self.content} must be stored in float32; {self.storage} is for features only",
                "storage",
            )
        columns = list(self.columns)
        if not columns:
            raise InputError("a store needs at least one column")
        duplicates = sorted(name for name, n in Counter(columns).items() if n > 1)
        if duplicates:
            raise InputError(f"duplicate columns: {shorten(duplicates)}")
        if self.content == "scores" and self.vocabulary is None:
            raise InputError("a store of scores needs the label names (vocabulary)")
        if self.content != "features" and self.vocabulary is not None:
            n_labels = len(list(self.vocabulary))
            if n_labels != len(columns):
                what = "scores" if self.content == "scores" else "predictions"
                raise InputError(
                    f"{counted(len(columns), 'column')} of {what} for {counted(n_labels, 'label')}"
                )

    def attributes(self) -> dict[str, Any]:
        """Return the header as the attributes of the HDF5 file."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "content": self.content,
            "recipe": json.dumps(self.recipe, sort_keys=True),
            "made_from": self.made_from,
            "fold_plan": self.fold_plan,
            "vocabulary": json.dumps(list(self.vocabulary)) if self.vocabulary else "",
            "allow_nan": int(self.allow_nan),
        }


def current_kind(kind: str) -> str:
    """Return the current name of a kind, with a `FutureWarning` for a former name.

    Parameters
    ----------
    kind : str
        Unknown kinds are returned unchanged.

    Returns
    -------
    str
    """
    if kind not in FORMER_KINDS:
        return kind
    warnings.warn(
        f"the kind {kind!r} is now called {FORMER_KINDS[kind]!r}", FutureWarning, stacklevel=4
    )
    return FORMER_KINDS[kind]


def content_digest(
    attributes: Mapping[str, Any],
    columns: Iterable[str],
    image_ids: Iterable[str],
    fold: Iterable[int] | None = None,
) -> str:
    """Return the digest of all contents of a store except its numbers.

    Parameters
    ----------
    attributes : mapping
        At least those of `StoreHeader.attributes`; others are ignored.
    columns, image_ids : iterable of str
    fold : array-like of int, optional

    Returns
    -------
    str
        SHA-256, in hexadecimal, as ``docs/formats.md`` defines it.
    """
    digest = hashlib.sha256()
    for name in _DIGESTED:
        digest.update(f"{name}={attributes[name]}\n".encode())
    for kind, texts in (("column", columns), ("image_id", image_ids)):
        for text in texts:
            digest.update(f"{kind}={text}\n".encode())
    for number in () if fold is None else fold:
        digest.update(f"fold={int(number)}\n".encode())
    return digest.hexdigest()


def row_checksum(values: np.ndarray, members: Iterable[np.ndarray] = ()) -> int:
    """Return the CRC-32 of a row as stored: of its values, then of those of each member.

    Parameters
    ----------
    values : ndarray, shape (n_columns,)
    members : iterable of ndarray, each of shape (n_columns,)

    Returns
    -------
    int
    """
    checksum = zlib.crc32(values.data)
    for member in members:
        checksum = zlib.crc32(member.data, checksum)
    return checksum
