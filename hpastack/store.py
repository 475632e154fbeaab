"""The HDF5 store: one feature set, one row a field, one column a feature.

The format is written down in ``docs/formats.md``. A store is made from finished
blocks ("parts") that lie in ``NAME.h5.parts/`` while the work goes on, and is
published in one rename, so that a reader never sees half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten

FORMAT = "hpastack-store"
VERSION = 1

#: What a feature set knows of the labels.
KINDS = ("label_free", "out_of_fold", "in_sample")
#: What its values are: features, or the predictions of a classifier.
CONTENTS = ("features", "probabilities", "logits", "label_sets")

_DATASETS = ("image_ids", "columns", "values", "fold")
_PACKAGES = (
    "hpastack", "numpy", "scipy", "scikit-image", "opencv-python-headless", "scikit-learn",
    "lightgbm", "xgboost", "torch", "timm"
)  # fmt: skip


@dataclass(frozen=True)
class StoreHeader:
    """Say what a store holds and how it was made.

    Parameters
    ----------
    kind : {"label_free", "out_of_fold", "in_sample"}
        What the values know of the labels of the training fields.
    content : {"features", "probabilities", "logits", "label_sets"}
        What the values are. Everything but features has a column a label.
    columns : sequence of str
        Column names, unique.
    recipe : dict
        The settings that made it, as JSON.
    made_from : str
        Digest of the ids and inputs it was made from.
    fold_plan : str, default=""
        Digest of the fold plan of an out-of-fold store; empty if unknown.
    vocabulary : sequence of str, optional
        Label names, for predictions.
    allow_nan : bool, default=False
        Whether NaN is a documented value of some column.

    Raises
    ------
    InputError
        If a value is not one of those listed, or a column is doubled.
    """

    kind: str
    content: str
    columns: Sequence[str]
    recipe: dict = field(default_factory=dict)
    made_from: str = ""
    fold_plan: str = ""
    vocabulary: Sequence[str] | None = None
    allow_nan: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"unknown kind {self.kind!r} of a store; it is one of {KINDS}")
        if self.content not in CONTENTS:
            raise InputError(f"unknown content {self.content!r} of a store; one of {CONTENTS}")
        columns = list(self.columns)
        if not columns:
            raise InputError("a store needs at least one column")
        doubled = sorted(name for name in set(columns) if columns.count(name) > 1)
        if doubled:
            raise InputError(f"columns stand twice: {shorten(doubled)}")
        if self.content != "features" and self.vocabulary is not None:
            n_labels = len(list(self.vocabulary))
            if n_labels != len(columns):
                raise InputError(f"{len(columns)} columns of predictions for {n_labels} labels")

    def attributes(self) -> dict:
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


def fold_digest(image_ids: Iterable[str], fold) -> str:
    """Return the digest that identifies a fold plan.

    Parameters
    ----------
    image_ids : iterable of str, length n
        Training fields, in any order.
    fold : array-like of int, shape (n,)

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the sorted lines ``image_id,fold``.

    Examples
    --------
    >>> fold_digest(["b", "a"], [1, 0]) == fold_digest(["a", "b"], [0, 1])
    True
    """
    lines = sorted(f"{image_id},{int(k)}\n" for image_id, k in zip(image_ids, fold, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class StoreWriter:
    """Write a store block by block, surviving a kill at any moment.

    Finished blocks are files of their own, written under a temporary name and
    renamed. Run again with the same header, ids and folds, the finished blocks
    are kept; blocks that belong to anything else are dropped. Several writers
    may work on one store at once.

    Parameters
    ----------
    path : path-like
        The store to make, ``NAME.h5``.
    header : StoreHeader
    image_ids : sequence of str, length n
        Rows in their final order.
    fold : array-like of int, shape (n,), optional
        For out-of-fold predictions, the fold of each field; -1 for test
        fields.
    block_size : int, default=256
        Rows a part.
    overwrite : bool, default=False
        Whether an existing store may be replaced (at `publish`, not before).

    Raises
    ------
    InputError
        If the store exists and `overwrite` is false, or an id is doubled.
    """

    def __init__(self, path, header, image_ids, *, fold=None, block_size=256, overwrite=False):
        self.path = Path(path)
        self.header = header
        self.image_ids = _checked_ids(image_ids, self.path)
        self.fold = None if fold is None else np.asarray(fold, dtype=np.int64)
        if self.fold is not None and self.fold.shape != (len(self.image_ids),):
            raise InputError(
                f"{self.path}: {len(self.fold)} fold numbers for {len(self.image_ids)} fields"
            )
        if self.path.exists() and not overwrite:
            raise InputError(f"{self.path} exists; give --overwrite to replace it")
        self.block_size = block_size
        self.parts = self.path.with_name(self.path.name + ".parts")
        self._digest = self._plan_digest()
        self.parts.mkdir(parents=True, exist_ok=True)
        for part in self.parts.glob("part-*.h5"):
            if not self._is_finished(part):
                part.unlink(missing_ok=True)

    def _plan_digest(self) -> str:
        plan = {
            "header": self.header.attributes(),
            "columns": list(self.header.columns),
            "image_ids": self.image_ids,
            "fold": None if self.fold is None else self.fold.tolist(),
            "block_size": self.block_size,
        }
        return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()

    def _blocks(self) -> list[slice]:
        n = len(self.image_ids)
        return [slice(i, min(i + self.block_size, n)) for i in range(0, n, self.block_size)]

    def _part(self, block: slice) -> Path:
        return self.parts / f"part-{block.start:09d}.h5"

    def _is_finished(self, part: Path) -> bool:
        try:
            with h5py.File(part, "r") as file:
                start = int(file.attrs["start"])
                rows = min(self.block_size, len(self.image_ids) - start)
                return (
                    file.attrs["digest"] == self._digest
                    and part == self._part(slice(start, start + rows))
                    and file["values"].shape == (rows, len(self.header.columns))
                )
        except (OSError, KeyError):
            return False

    def pending(self) -> list[slice]:
        """Return the blocks of rows that are not finished yet."""
        return [block for block in self._blocks() if not self._is_finished(self._part(block))]

    def write(self, block: slice, values) -> None:
        """Write one finished block.

        Parameters
        ----------
        block : slice
            One of `pending`.
        values : array-like of float, shape (rows of the block, n_columns)

        Raises
        ------
        InputError
            If the shape does not fit, or a value is infinite, or is NaN where
            the header does not allow it; the id and column are named.
        """
        values = np.asarray(values, dtype=np.float32)
        shape = (block.stop - block.start, len(self.header.columns))
        if values.shape != shape:
            raise InputError(f"{self.path}: a block of shape {values.shape} instead of {shape}")
        self._check_values(values, block)
        temporary = self.parts / f".{self._part(block).name}.{os.getpid()}.tmp"
        try:
            with h5py.File(temporary, "w") as file:
                file.attrs["digest"] = self._digest
                file.attrs["start"] = block.start
                file.create_dataset("values", data=values)
            _flush(temporary)
            os.replace(temporary, self._part(block))
        finally:
            temporary.unlink(missing_ok=True)

    def _check_values(self, values, block: slice) -> None:
        bad = np.isinf(values) if self.header.allow_nan else ~np.isfinite(values)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{self.path}: {values[row, column]} in column {self.header.columns[column]!r} "
                f"of field {self.image_ids[block.start + row]}"
            )

    def publish(self) -> Path:
        """Join the blocks into the store, in one rename, and drop the parts.

        Returns
        -------
        Path
            The store.

        Raises
        ------
        ValueError
            If a block is still pending.
        """
        pending = self.pending()
        if pending:
            raise ValueError(f"{self.path}: {len(pending)} blocks are not finished")
        n, d = len(self.image_ids), len(self.header.columns)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with h5py.File(temporary, "w") as file:
                for name, value in self.header.attributes().items():
                    file.attrs[name] = value
                file.attrs["made_with"] = json.dumps(package_versions(), sort_keys=True)
                file.create_dataset("image_ids", data=_fixed_strings(self.image_ids))
                file.create_dataset("columns", data=_fixed_strings(self.header.columns))
                if self.fold is not None:
                    file.create_dataset("fold", data=self.fold.astype(np.int32))
                values = file.create_dataset(
                    "values", (n, d), dtype=np.float32, chunks=(min(n, self.block_size), d)
                )
                for block in self._blocks():
                    with h5py.File(self._part(block), "r") as part:
                        values[block] = part["values"][()]
            _flush(temporary)
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self.parts)
        return self.path


def write_store(path, header, image_ids, values, *, fold=None, overwrite=False) -> Path:
    """Write a whole matrix as a store.

    Parameters
    ----------
    path, header, image_ids, fold, overwrite
        As `StoreWriter`.
    values : array-like of float, shape (n, n_columns)

    Returns
    -------
    Path
        The store.

    Raises
    ------
    InputError
        As `StoreWriter` and its `write`.
    """
    values = np.asarray(values, dtype=np.float32)
    writer = StoreWriter(path, header, image_ids, fold=fold, overwrite=overwrite)
    try:
        if values.ndim != 2 or len(values) != len(writer.image_ids):
            raise InputError(
                f"{path}: values of shape {values.shape} for {len(writer.image_ids)} fields"
            )
        for block in writer.pending():
            writer.write(block, values[block])
        return writer.publish()
    except InputError:
        shutil.rmtree(writer.parts, ignore_errors=True)
        raise


class Store:
    """A published store, open for reading; made by `open_store`.

    Attributes
    ----------
    name : str
        File name without ``.h5``.
    image_ids, columns : list of str
    kind, content, made_from, fold_plan : str
        As `StoreHeader`.
    recipe, made_with : dict
        Settings and package versions that made it.
    vocabulary : list of str or None
        Label names of predictions.
    fold : ndarray of int, shape (n,), or None
        Fold of each field, -1 for test fields.
    """

    def __init__(self, file: h5py.File, path: Path):
        self._values = file["values"]
        attributes = file.attrs
        self.path = path
        self.name = path.name.removesuffix(".h5")
        self.kind = str(attributes["kind"])
        self.content = str(attributes["content"])
        self.made_from = str(attributes["made_from"])
        self.fold_plan = str(attributes["fold_plan"])
        self.recipe = json.loads(attributes["recipe"])
        self.made_with = json.loads(attributes["made_with"])
        self.vocabulary = json.loads(attributes["vocabulary"] or "null")
        self.allow_nan = bool(attributes["allow_nan"])
        self.image_ids = [value.decode() for value in file["image_ids"][()].tolist()]
        self.columns = [value.decode() for value in file["columns"][()].tolist()]
        self.fold = file["fold"][()].astype(np.int64) if "fold" in file else None

    def values(self) -> np.ndarray:
        """Return the whole matrix, float32, shape (n, n_columns)."""
        return self._values[()]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the matrix in blocks of whole rows, for one too large to hold twice."""
        for start in range(0, len(self._values), 256):
            yield self._values[start : start + 256]

    def to_frame(self, image_ids=None) -> pd.DataFrame:
        """Return rows by id.

        Parameters
        ----------
        image_ids : sequence of str, optional
            Which fields, in which order; all in the order of the store if
            left out.

        Returns
        -------
        DataFrame
            One row a field, indexed by `image_id`.

        Raises
        ------
        InputError
            If an id is not in the store.
        """
        index = pd.Index(self.image_ids, name="image_id", dtype=object)
        frame = pd.DataFrame(self.values(), index=index, columns=self.columns)
        if image_ids is None:
            return frame
        image_ids = list(image_ids)
        rows = index.get_indexer(pd.Index(image_ids, dtype=object))
        if (rows < 0).any():
            missing = [image_ids[i] for i in np.flatnonzero(rows < 0)]
            raise InputError(
                f"{self.path} lacks {len(missing)} of {len(image_ids)} fields: {shorten(missing)}"
            )
        return frame.iloc[rows]


@contextmanager
def open_store(path) -> Iterator[Store]:
    """Open a store for reading.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    Store

    Raises
    ------
    InputError
        If there is no such file, it is not a store, it is of a newer
        format, or it refers to data outside itself.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such store")
    try:
        file = h5py.File(path, "r")
    except OSError:
        raise InputError(f"{path} is not an HDF5 file, or is damaged; make it again") from None
    with file:
        _check_file(file, path)
        yield Store(file, path)


def is_current(path, recipe: dict, made_from: str) -> bool:
    """Say whether a store is there and made by these settings from these inputs.

    Parameters
    ----------
    path : path-like
    recipe : dict
        As `StoreHeader`.
    made_from : str
        Digest of the inputs.

    Returns
    -------
    bool
    """
    if not Path(path).is_file():
        return False
    with open_store(path) as store:
        same_recipe = store.recipe == json.loads(json.dumps(recipe))
        return same_recipe and store.made_from == made_from


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that shape the values of a store."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _check_file(file: h5py.File, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise InputError(f"{path} is an HDF5 file, but not a store; bring it in with ingest")
    version = int(file.attrs.get("version", 0))
    if not 1 <= version <= VERSION:
        raise InputError(
            f"{path} is a store of format {version}; this hpastack reads 1 to {VERSION}"
        )
    for name in file:
        link = file.get(name, getlink=True)
        if name not in _DATASETS or not isinstance(link, h5py.HardLink):
            raise InputError(f"{path} holds {name!r}, which no store has; it is not to be trusted")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise InputError(f"{path}: {name!r} is not plain data; it is not to be trusted")
    missing = [name for name in _DATASETS[:3] if name not in file]
    if missing:
        raise InputError(f"{path} lacks {shorten(missing)}; make it again")


def _checked_ids(image_ids, path) -> list[str]:
    image_ids = [str(image_id) for image_id in image_ids]
    if not image_ids:
        raise InputError(f"{path}: no fields to store")
    if len(set(image_ids)) < len(image_ids):
        counts = pd.Series(image_ids).value_counts()
        raise InputError(f"{path}: ids stand twice: {shorten(sorted(counts[counts > 1].index))}")
    return image_ids


def _fixed_strings(values) -> np.ndarray:
    # Fixed length: HDF5's variable-length strings are slow and cannot be bounded when read.
    return np.array([value.encode() for value in values], dtype=np.bytes_)


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
