"""Validation of a store before any of its contents is used: a store is untrusted input.

Everything is checked before memory is allocated for it: only names of the
format, no links out of the file, no filters (which may decompress to any size), only the
documented types, and no more data than the file has bytes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5s, h5t

from hpastack.errors import InputError, counted, shorten
from hpastack.files import UNTRUSTED, filters, plain_dataset
from hpastack.store.guarding import GuardedFile, check_start
from hpastack.store.header import (
    CONTENTS,
    DATASETS,
    FORMAT,
    FORMER_KINDS,
    KINDS,
    MAX_MEMBERS,
    PREDICTIONS,
    VERSION,
    content_digest,
)
from hpastack.store.placement import DatasetLayout, SharedFile, read_whole

# Since this format all datasets are contiguous and have checksums; formats 1 and 2 have values in
# single precision only, format 3 in half precision only.
_WHOLE_VERSION = 4
_HALVES_VERSION = 3
# Since this format a store that uses no labels is of kind target_free.
_TARGET_FREE_VERSION = 5
# Maximum size of a text of the header, which is read and parsed as a whole.
_MAX_TEXT = 4 * 1024**2
# Maximum number of chunks of a dataset; no valid store has more.
_MAX_CHUNKS = 2**20
# Maximum number of names that are examined.
_MAX_NAMES = 100
_NUMBERS = ("version", "allow_nan")
_TEXTS = (
    "format", "kind", "content", "recipe", "made_from", "fold_plan", "vocabulary", "made_with",
)  # fmt: skip


@dataclass(frozen=True)
class Contents:
    """Validated contents of an opened store, except its matrices.

    Parameters
    ----------
    attributes : dict
        Attributes of the root group that a store has, as stored.
    recipe, made_with : dict
    vocabulary : list of str or None
    image_ids, columns : list of str
    fold : ndarray of int64 or None
    layouts : dict of str to DatasetLayout
        Layout of every dataset.
    """

    attributes: dict[str, Any]
    recipe: dict[str, Any]
    made_with: dict[str, Any]
    vocabulary: list[str] | None
    image_ids: list[str]
    columns: list[str]
    fold: np.ndarray | None
    layouts: dict[str, DatasetLayout]

    def has_changed(self) -> bool:
        """Return whether it differs from what was written, by its digest (since format 4)."""
        digest = self.attributes.get("digest")
        if not digest:
            return False
        return digest != content_digest(self.attributes, self.columns, self.image_ids, self.fold)


def read_contents(source: SharedFile) -> Contents:
    """Validate a store, and read everything except its matrices.

    Parameters
    ----------
    source : SharedFile

    Returns
    -------
    Contents

    Raises
    ------
    InputError
        If it is not a store, is of a newer format, is damaged, or violates the format in a way
        that only a manipulated file would.
    """
    path = source.path
    check_start(source)
    try:
        with h5py.File(GuardedFile(source), "r") as file:
            version = _version(file, path)
            attributes = _attributes(file, version, path)
            layouts = _layouts(file, version, source)
    except InputError:
        raise
    # HDF5 detects damage in many places, which h5py reports as many types of exceptions.
    except Exception as error:
        raise InputError(f"{path} is damaged or not an HDF5 file; make it again") from error
    return _read_lists(source, attributes, layouts)


def _version(file: h5py.File, path: Path) -> int:
    """Return the version of the format; reject other files and newer versions."""
    if not h5a.exists(file.id, b"format") or not h5a.exists(file.id, b"version"):
        raise InputError(f"{path} is an HDF5 file, but not a store; import it with ingest")
    version = _attribute(file, "version", path)
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise InputError(
            f"{path} is a store of format {version}; this hpastack reads 1 to {VERSION}"
        )
    return version


def _attributes(file: h5py.File, version: int, path: Path) -> dict[str, Any]:
    """Read the attributes of a store; others are ignored."""
    names = [*_NUMBERS, *_TEXTS, *(["digest"] if version >= _WHOLE_VERSION else [])]
    values = {name: _attribute(file, name, path) for name in names}
    if values["format"] != FORMAT:
        raise InputError(f"{path} is an HDF5 file, but not a store; import it with ingest")
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise InputError(f"{path} lacks the attributes {shorten(missing)}; make it again")
    return values


def _attribute(file: h5py.File, name: str, path: Path) -> int | str | None:
    """Read one number or text; None if it does not exist."""
    if not h5a.exists(file.id, name.encode()):
        return None
    attribute = h5a.open(file.id, name.encode())
    kind = attribute.get_type()
    wanted = h5t.INTEGER if name in _NUMBERS else h5t.STRING
    is_plain = attribute.get_space().get_simple_extent_type() == h5s.SCALAR
    if not is_plain or kind.get_class() != wanted or kind.get_size() > _MAX_TEXT:
        raise InputError(f"{path}: the attribute {name!r} has the wrong type; {UNTRUSTED}")
    value = file.attrs[name]
    if name in _NUMBERS:
        return int(value)
    # h5py returns fixed-length bytes unchanged, and decodes invalid UTF-8 as surrogates.
    text = bytes(value) if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    if len(text) > _MAX_TEXT:
        raise InputError(f"{path}: the attribute {name!r} has {len(text):,} bytes; {UNTRUSTED}")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: the attribute {name!r} is not UTF-8; {UNTRUSTED}") from None


def _layouts(file: h5py.File, version: int, source: SharedFile) -> dict[str, DatasetLayout]:
    """Check every name and every dataset, and return the layouts of the datasets."""
    path = source.path
    if file.userblock_size:
        raise InputError(f"{path} has data before the HDF5 signature; {UNTRUSTED}")
    root = file.id
    if root.get_num_objs() > _MAX_NAMES:
        raise InputError(
            f"{path} contains {root.get_num_objs()} names, more than any store; it is not read"
        )
    names = [root.get_objname_by_idx(number) for number in range(root.get_num_objs())]
    datasets: dict[str, h5d.DatasetID] = {}
    addresses = set()
    for raw in names:
        name = raw.decode(errors="replace")
        if name not in DATASETS or DATASETS[name] > version:
            raise InputError(f"{path} contains {name!r}, which no store has; {UNTRUSTED}")
        datasets[name] = plain_dataset(root, raw, path)
        address = root.links.get_info(raw).u
        if address in addresses:
            raise InputError(f"{path}: {name!r} has two names; {UNTRUSTED}")
        addresses.add(address)
        _check_layout(datasets[name], name, path, may_have_chunks=version < _WHOLE_VERSION)
    needed = [name for name in DATASETS if name not in ("fold", "members")]
    missing = [name for name in needed if name not in datasets and DATASETS[name] <= version]
    if missing:
        raise InputError(f"{path} lacks {shorten(missing)}; make it again")
    _check_shapes(datasets, path)
    layouts, room = {}, source.size
    for name, dataset in datasets.items():
        dtype = _dtype(dataset, name, version, path)
        room -= math.prod(_shape(dataset) or ()) * dtype.itemsize
        if room < 0:
            raise InputError(f"{path}: {name!r} claims more bytes than the file has; {UNTRUSTED}")
        layouts[name] = _place(dataset, name, dtype, source)
    return layouts


def _check_layout(dataset: h5d.DatasetID, name: str, path: Path, *, may_have_chunks: bool) -> None:
    """Reject chunks where the format has none, and filters, which may decompress to any size."""
    layouts = (h5d.CONTIGUOUS, h5d.CHUNKED) if may_have_chunks else (h5d.CONTIGUOUS,)
    if dataset.get_create_plist().get_layout() not in layouts:
        raise InputError(
            f"{path}: {name!r} is not a contiguous dataset; write it again, contiguous"
        )
    if filters(dataset):
        raise InputError(
            f"{path}: {name!r} is compressed or filtered, which stores never are; write it again "
            "without filters (h5repack -f NONE)"
        )


def _check_shapes(datasets: dict[str, h5d.DatasetID], path: Path) -> None:
    """Reject datasets with inconsistent shapes; the number of test fields is not known yet."""
    shapes: dict[str, Any] = {name: _shape(dataset) for name, dataset in datasets.items()}
    if any(len(shapes[name] or ()) != 1 for name in ("image_ids", "columns")):
        raise InputError(f"{path}: image_ids and columns are not 1-D; {UNTRUSTED}")
    (n,), (d,) = shapes["image_ids"], shapes["columns"]
    if not n or not d:
        raise InputError(
            f"{path}: {counted(n, 'field')} and {counted(d, 'column')}; the store is empty"
        )
    for name, shape in (("values", (n, d)), ("fold", (n,)), ("checksums", (n,))):
        if name in shapes and shapes[name] != shape:
            raise InputError(
                f"{path}: {name!r} has the shape {shapes[name]} instead of {shape}; {UNTRUSTED}"
            )
    members = shapes.get("members", (1, n, d))
    if len(members or ()) != 3 or not 1 <= members[0] <= MAX_MEMBERS or members[2] != d:
        raise InputError(f"{path}: members of shape {members} for {d} columns; {UNTRUSTED}")


def _shape(dataset: h5d.DatasetID) -> tuple[int, ...] | None:
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return None
    return space.get_simple_extent_dims()


def _dtype(dataset: h5d.DatasetID, name: str, version: int, path: Path) -> np.dtype:
    """Return the numpy type of a dataset; reject types other than those documented."""
    kind = dataset.get_type()
    if name in ("image_ids", "columns"):
        is_text = kind.get_class() == h5t.STRING and not kind.is_variable_str()
        if not is_text or kind.get_strpad() == h5t.STR_SPACEPAD:
            raise InputError(
                f"{path}: {name!r} does not have zero-padded texts of fixed length; {UNTRUSTED}"
            )
        return np.dtype(f"S{kind.get_size()}")
    allowed = {
        "values": [(h5t.IEEE_F32LE, "<f4"), (h5t.IEEE_F16LE, "<f2")],
        "members": [(h5t.IEEE_F32LE, "<f4")],
        "fold": [(h5t.STD_I32LE, "<i4")],
        "checksums": [(h5t.STD_U32LE, "<u4")],
    }[name]
    if version < _WHOLE_VERSION:  # before, the byte order was not specified
        allowed += {
            "values": [(h5t.IEEE_F32BE, ">f4"), (h5t.IEEE_F16BE, ">f2")],
            "members": [(h5t.IEEE_F32BE, ">f4")],
            "fold": [(h5t.STD_I32BE, ">i4")],
        }[name]
    codes = [code for known, code in allowed if kind.equal(known)]
    if not codes:
        raise InputError(
            f"{path}: {name!r} of shape {_shape(dataset)} does not have the type specified by the "
            f"format; {UNTRUSTED}"
        )
    dtype = np.dtype(codes[0])
    is_half = dtype.itemsize == 2
    if version < _WHOLE_VERSION and name == "values" and is_half != (version == _HALVES_VERSION):
        raise InputError(
            f"{path}: values of type {dtype.name} in a store of format {version}; {UNTRUSTED}"
        )
    return dtype


def _place(dataset: h5d.DatasetID, name: str, dtype: np.dtype, source: SharedFile) -> DatasetLayout:
    """Return the layout of a dataset; reject missing chunks, and chunks beyond the file."""
    shape = _shape(dataset) or ()
    settings = dataset.get_create_plist()
    if settings.get_layout() == h5d.CONTIGUOUS:
        chunk, n_chunks = shape, (1,) * len(shape)
        offsets = [dataset.get_offset()] if math.prod(shape) else [0]
    else:
        chunk = settings.get_chunk()
        n_chunks = tuple(-(-length // side) for length, side in zip(shape, chunk))
        n_all = math.prod(n_chunks)
        if n_all > _MAX_CHUNKS:
            raise InputError(f"{source.path}: {name!r} has {n_all:,} chunks; write it again")
        # Opened separately: the chunk index is parsed according to the number of dimensions.
        with h5py.File(GuardedFile(source, rank=len(shape)), "r") as file:
            chunks = h5d.open(file.id, name.encode())
            if chunks.get_num_chunks() < n_all:  # HDF5 would fill in missing chunks
                raise InputError(f"{source.path}: parts of {name!r} are missing; make it again")
            corners = (
                tuple(i * side for i, side in zip(place, chunk))
                for place in product(*map(range, n_chunks))
            )
            offsets = [chunks.get_chunk_info_by_coord(corner).byte_offset for corner in corners]
    n_bytes = math.prod(chunk) * dtype.itemsize
    if any(offset is None for offset in offsets):
        raise InputError(f"{source.path}: parts of {name!r} are missing; make it again")
    if max(offsets, default=0) + n_bytes > source.size or len(offsets) * n_bytes > source.size:
        raise InputError(
            f"{source.path}: {name!r} claims more bytes than the file has; {UNTRUSTED}"
        )
    return DatasetLayout(shape, dtype, chunk, np.array(offsets, np.int64).reshape(n_chunks))


def _read_lists(
    source: SharedFile, attributes: dict[str, Any], layouts: dict[str, DatasetLayout]
) -> Contents:
    """Read ids, columns and folds, and check that they and the header are consistent."""
    path = source.path
    former = FORMER_KINDS if attributes["version"] < _TARGET_FREE_VERSION else ()
    kinds = (*KINDS, *former)
    for name, known in (("kind", kinds), ("content", CONTENTS)):
        if attributes[name] not in known:
            value = attributes[name][:40]
            raise InputError(f"{path}: unknown {name} {value!r}; it must be one of {known}")
    texts = {
        name: _texts(read_whole(source, layouts[name]), name, path)
        for name in ("image_ids", "columns")
    }
    fold = None
    if "fold" in layouts:
        fold = read_whole(source, layouts["fold"]).astype(np.int64)
        if fold.min() < -1:
            raise InputError(f"{path}: invalid fold {fold.min()}; {UNTRUSTED}")
    if "members" in layouts:
        if fold is None or attributes["content"] not in PREDICTIONS:
            raise InputError(
                f"{path} has members, which only predictions with folds have; {UNTRUSTED}"
            )
        shape, n_test = layouts["members"].shape, int(np.count_nonzero(fold == -1))
        if shape[1] != n_test:
            raise InputError(
                f"{path}: members of shape {shape} for {counted(n_test, 'test field')}; {UNTRUSTED}"
            )
    vocabulary = None
    if attributes["vocabulary"]:
        vocabulary = _json(attributes, "vocabulary", list, path)
        if not all(isinstance(label, str) for label in vocabulary):
            raise InputError(f"{path}: the vocabulary is not a list of texts; {UNTRUSTED}")
        if attributes["content"] != "features" and len(vocabulary) != len(texts["columns"]):
            raise InputError(
                f"{path}: {counted(len(texts['columns']), 'column')} for "
                f"{counted(len(vocabulary), 'label')}; {UNTRUSTED}"
            )
    return Contents(
        attributes=attributes,
        recipe=_json(attributes, "recipe", dict, path),
        made_with=_json(attributes, "made_with", dict, path),
        vocabulary=vocabulary,
        fold=fold,
        layouts=layouts,
        **texts,
    )


def _texts(kept: np.ndarray, name: str, path: Path) -> list[str]:
    what = "id" if name == "image_ids" else "column"
    try:
        texts = [text.decode() for text in kept.tolist()]
    except UnicodeDecodeError:
        raise InputError(f"{path}: one {what} is not UTF-8; {UNTRUSTED}") from None
    if len(set(texts)) < len(texts):
        duplicates = [text for text, count in Counter(texts).items() if count > 1]
        raise InputError(f"{path}: duplicate {what}s: {shorten(duplicates)}; {UNTRUSTED}")
    if "" in texts or "\0" in "".join(texts):
        raise InputError(f"{path}: one {what} is empty or contains a zero byte; {UNTRUSTED}")
    return texts


def _json(attributes: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    try:
        value = json.loads(attributes[name])
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        value = None
    if not isinstance(value, kind):
        raise InputError(f"{path}: its {name} is not valid JSON of a store; {UNTRUSTED}")
    return value
