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
from hpastack.files import flush

FORMAT = "hpastack-store"
#: Newest format that is read, and that of stores in half precision; others are written as 2.
VERSION = 3
_SINGLE_VERSION = 2

#: What a feature set knows of the labels.
KINDS = ("label_free", "out_of_fold", "in_sample")
#: Contents that are the predictions of a classifier.
PREDICTIONS = ("probabilities", "logits", "label_sets")
#: What its values are: features, predictions, or any other numbers with a column a label.
CONTENTS = ("features", *PREDICTIONS, "scores")
#: Precision in which values are kept; they are always read in single precision.
STORAGES = ("float32", "float16")
#: Most members of a store; what claims more is refused before memory is taken for it.
MAX_MEMBERS = 1000

# Datasets of a store, with the version that brought them; the first three are never missing.
_DATASETS = {"image_ids": 1, "columns": 1, "values": 1, "fold": 1, "members": 2}
_NEEDED = ("image_ids", "columns", "values")
_PACKAGES = (
    "hpastack", "numpy", "scipy", "scikit-image", "opencv-python-headless", "scikit-learn",
    "lightgbm", "xgboost", "torch", "timm", "lightning"
)  # fmt: skip


@dataclass(frozen=True)
class StoreHeader:
    """Say what a store holds and how it was made.

    Parameters
    ----------
    kind : {"label_free", "out_of_fold", "in_sample"}
        What the values know of the labels of the training fields.
    content : {"features", "probabilities", "logits", "label_sets", "scores"}
        What the values are. Everything but features has a column a label;
        scores are no predictions and may be any number.
    columns : sequence of str
        Column names, unique.
    recipe : dict
        The settings that made it, as JSON.
    made_from : str
        Digest of the ids and inputs it was made from.
    fold_plan : str, default=""
        Digest of the fold plan of an out-of-fold store; empty if unknown.
    vocabulary : sequence of str, optional
        Label names, for predictions and scores; scores cannot do without.
    allow_nan : bool, default=False
        Whether NaN is a documented value of some column.
    storage : {"float32", "float16"}, default="float32"
        Precision in which the values are kept; float16 takes half the room,
        keeps three digits, holds up to 65504, and is for features only.

    Raises
    ------
    InputError
        If a value is not one of those listed, a column is doubled, the
        columns do not fit the label names, or predictions or scores are to
        be kept in half precision.
    """

    kind: str
    content: str
    columns: Sequence[str]
    recipe: dict = field(default_factory=dict)
    made_from: str = ""
    fold_plan: str = ""
    vocabulary: Sequence[str] | None = None
    allow_nan: bool = False
    storage: str = "float32"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"unknown kind {self.kind!r} of a store; it is one of {KINDS}")
        if self.content not in CONTENTS:
            raise InputError(f"unknown content {self.content!r} of a store; one of {CONTENTS}")
        if self.storage not in STORAGES:
            raise InputError(f"unknown storage {self.storage!r} of a store; one of {STORAGES}")
        if self.storage != "float32" and self.content != "features":
            raise InputError(f"{self.content} are kept in float32; {self.storage} is for features")
        columns = list(self.columns)
        if not columns:
            raise InputError("a store needs at least one column")
        doubled = sorted(name for name in set(columns) if columns.count(name) > 1)
        if doubled:
            raise InputError(f"columns stand twice: {shorten(doubled)}")
        if self.content == "scores" and self.vocabulary is None:
            raise InputError("a store of scores needs the label names (vocabulary)")
        if self.content != "features" and self.vocabulary is not None:
            n_labels = len(list(self.vocabulary))
            if n_labels != len(columns):
                what = "scores" if self.content == "scores" else "predictions"
                raise InputError(f"{len(columns)} columns of {what} for {n_labels} labels")

    def attributes(self) -> dict:
        """Return the header as the attributes of the HDF5 file."""
        return {
            "format": FORMAT,
            "version": _SINGLE_VERSION if self.storage == "float32" else VERSION,
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
    n_members : int, default=0
        Number of models (members) whose predictions of each test field are
        kept beside their mean; 0 keeps the mean alone.
    block_size : int, default=256
        Rows a part.
    overwrite : bool, default=False
        Whether an existing store may be replaced (at `publish`, not before).

    Raises
    ------
    InputError
        If the store exists and `overwrite` is false, an id is doubled, or
        members are asked for though the store holds no predictions of test
        fields.
    """

    def __init__(
        self, path, header, image_ids, *, fold=None, n_members=0, block_size=256, overwrite=False
    ):
        self.path = Path(path)
        self.header = header
        self.image_ids = _checked_ids(image_ids, self.path)
        self.fold = None if fold is None else np.asarray(fold, dtype=np.int64)
        if self.fold is not None and self.fold.shape != (len(self.image_ids),):
            raise InputError(
                f"{self.path}: {len(self.fold)} fold numbers for {len(self.image_ids)} fields"
            )
        self._is_test = np.zeros(len(self.image_ids), dtype=bool)
        if self.fold is not None:
            self._is_test[self.fold == -1] = True
        self.n_members = n_members
        self._check_n_members()
        if self.path.exists() and not overwrite:
            raise InputError(f"{self.path} exists; give --overwrite to replace it")
        self.block_size = block_size
        self.parts = self.path.with_name(self.path.name + ".parts")
        self._digest = self._plan_digest()
        self.parts.mkdir(parents=True, exist_ok=True)
        for part in self.parts.glob("part-*.h5"):
            if not self._is_finished(part):
                part.unlink(missing_ok=True)

    def _check_n_members(self) -> None:
        if not 0 <= self.n_members <= MAX_MEMBERS:
            raise InputError(f"{self.path}: {self.n_members} members, not 0 to {MAX_MEMBERS}")
        if not self.n_members:
            return
        if self.header.content not in PREDICTIONS or self.fold is None:
            raise InputError(
                f"{self.path}: only predictions with the fold of each field have members"
            )
        if not self._is_test.any():
            raise InputError(f"{self.path}: members of test fields, but no field has fold -1")

    def _plan_digest(self) -> str:
        plan = {
            "header": self.header.attributes(),
            "columns": list(self.header.columns),
            "image_ids": self.image_ids,
            "fold": None if self.fold is None else self.fold.tolist(),
            "n_members": self.n_members,
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
                block = slice(start, start + rows)
                return (
                    file.attrs["digest"] == self._digest
                    and part == self._part(block)
                    and file["values"].shape == (rows, len(self.header.columns))
                    and (not self.n_members or file["members"].shape == self._member_shape(block))
                )
        except (OSError, KeyError):
            return False

    def pending(self) -> list[slice]:
        """Return the blocks of rows that are not finished yet."""
        return [block for block in self._blocks() if not self._is_finished(self._part(block))]

    def write(self, block: slice, values, members=None) -> None:
        """Write one finished block.

        Parameters
        ----------
        block : slice
            One of `pending`.
        values : array-like of float, shape (rows of the block, n_columns)
        members : array-like of float, shape (n_members, test fields of the block, n_columns)
            What each member predicts for the rows with fold -1, in their
            order; the values of these rows are the mean. May be left out in
            a block without such rows.

        Raises
        ------
        InputError
            If a shape does not fit, a value is infinite, or is NaN where the
            header does not allow it (members never are), is too large for the
            storage, or the values of a test field are not the mean of its
            members; the id and column are named.
        """
        values = np.asarray(values, dtype=np.float32)
        shape = (block.stop - block.start, len(self.header.columns))
        if values.shape != shape:
            raise InputError(f"{self.path}: a block of shape {values.shape} instead of {shape}")
        bad = np.isinf(values) if self.header.allow_nan else ~np.isfinite(values)
        self._refuse(bad, values, self.image_ids[block])
        stored = self._stored(values, self.image_ids[block])
        if self.n_members or members is not None:
            members = self._checked_members(members, values, block)
        temporary = self.parts / f".{self._part(block).name}.{os.getpid()}.tmp"
        try:
            with h5py.File(temporary, "w") as file:
                file.attrs["digest"] = self._digest
                file.attrs["start"] = block.start
                file.create_dataset("values", data=stored)
                if members is not None:
                    file.create_dataset("members", data=members)
            flush(temporary)
            os.replace(temporary, self._part(block))
        finally:
            temporary.unlink(missing_ok=True)

    def _stored(self, values: np.ndarray, image_ids: Sequence[str]) -> np.ndarray:
        """Return the values as they are kept."""
        with np.errstate(over="ignore"):
            stored = values.astype(self.header.storage)
        remedy = f", which is too large for {self.header.storage}; set storage to float32"
        self._refuse(np.isinf(stored), values, image_ids, remedy)
        return stored

    def _member_shape(self, block: slice) -> tuple[int, int, int]:
        n_test = int(np.count_nonzero(self._is_test[block]))
        return (self.n_members, n_test, len(self.header.columns))

    def _checked_members(self, members, values, block: slice) -> np.ndarray:
        shape = self._member_shape(block)
        if members is None and not shape[1]:
            return np.zeros(shape, np.float32)
        found = np.shape(members) if members is not None else "none"
        if found != shape or not self.n_members:
            raise InputError(f"{self.path}: members of shape {found} instead of {shape}")
        members = np.asarray(members, dtype=np.float32)
        rows = np.flatnonzero(self._is_test[block]) + block.start
        image_ids = [self.image_ids[row] for row in rows]
        for position, of_member in enumerate(members):
            self._refuse(~np.isfinite(of_member), of_member, image_ids, f" (member {position})")
        # A mean that was summed in single precision is off by some 1e-7 of the largest term.
        tolerance = 1e-5 * (1 + np.abs(members).max(axis=0))
        difference = np.abs(values[rows - block.start] - members.mean(axis=0, dtype=np.float64))
        off = ~(difference <= tolerance)
        if off.any():
            row, column = np.argwhere(off)[0]
            raise InputError(
                f"{self.path}: column {self.header.columns[column]!r} of field {image_ids[row]} "
                "is not the mean of the members"
            )
        return members

    def _refuse(self, bad, values, image_ids: Sequence[str], where: str = "") -> None:
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{self.path}: {values[row, column]} in column {self.header.columns[column]!r} "
                f"of field {image_ids[row]}{where}"
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
                file.create_dataset("image_ids", data=fixed_strings(self.image_ids))
                file.create_dataset("columns", data=fixed_strings(self.header.columns))
                if self.fold is not None:
                    file.create_dataset("fold", data=self.fold.astype(np.int32))
                values = file.create_dataset(
                    "values", (n, d), dtype=self.header.storage, chunks=(min(n, self.block_size), d)
                )
                if self.n_members:
                    n_test = int(np.count_nonzero(self._is_test))
                    chunks = (1, min(n_test, self.block_size), d)
                    members = file.create_dataset(
                        "members", (self.n_members, n_test, d), dtype=np.float32, chunks=chunks
                    )
                done = 0
                for block in self._blocks():
                    with h5py.File(self._part(block), "r") as part:
                        values[block] = part["values"][()]
                        if self.n_members:
                            n_test = part["members"].shape[1]
                            members[:, done : done + n_test] = part["members"][()]
                            done += n_test
            flush(temporary)
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self.parts)
        return self.path


def write_store(
    path, header, image_ids, values, *, fold=None, members=None, overwrite=False
) -> Path:
    """Write a whole matrix as a store.

    Parameters
    ----------
    path, header, image_ids, fold, overwrite
        As `StoreWriter`.
    values : array-like of float, shape (n, n_columns)
    members : array-like of float, shape (n_members, n_test, n_columns), optional
        What each member predicts for the rows with fold -1, in their order.

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
    n_members = 0 if members is None else len(members)
    writer = StoreWriter(
        path, header, image_ids, fold=fold, n_members=n_members, overwrite=overwrite
    )
    try:
        if values.ndim != 2 or len(values) != len(writer.image_ids):
            raise InputError(
                f"{path}: values of shape {values.shape} for {len(writer.image_ids)} fields"
            )
        if members is None:
            for block in writer.pending():
                writer.write(block, values[block])
            return writer.publish()
        members = np.asarray(members, dtype=np.float32)
        wanted = (n_members, int(np.count_nonzero(writer.fold == -1)), values.shape[1])
        if members.shape != wanted:
            raise InputError(f"{path}: members of shape {members.shape} instead of {wanted}")
        # Where the test fields of each block begin among all test fields.
        before = np.concatenate([[0], np.cumsum(writer.fold == -1)])
        for block in writer.pending():
            of_block = members[:, before[block.start] : before[block.stop]]
            writer.write(block, values[block], of_block)
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
        Label names of predictions and scores.
    fold : ndarray of int, shape (n,), or None
        Fold of each field, -1 for test fields.
    n_members : int
        Models whose predictions of each test field are kept beside their
        mean; 0 if only the mean is.
    """

    def __init__(self, file: h5py.File, path: Path):
        self._values = file["values"]
        self._members = file.get("members")
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
        self.n_members = 0 if self._members is None else len(self._members)

    def values(self) -> np.ndarray:
        """Return the whole matrix, float32, shape (n, n_columns)."""
        return self._values[()].astype(np.float32, copy=False)

    def members(self) -> np.ndarray | None:
        """Return what each member predicts for the test fields.

        Returns
        -------
        ndarray of float32, shape (n_members, n_test, n_columns), or None
            The rows with fold -1, in their order; None if only their mean
            was kept.
        """
        return None if self._members is None else self._members[()]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the matrix in blocks of whole rows, for one too large to hold twice."""
        for start in range(0, len(self._values), 256):
            yield self._values[start : start + 256].astype(np.float32, copy=False)

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


def is_current(path, recipe: dict, made_from: str, columns: Sequence[str] | None = None) -> bool:
    """Say whether a store is there and made by these settings from these inputs.

    Parameters
    ----------
    path : path-like
    recipe : dict
        As `StoreHeader`.
    made_from : str
        Digest of the inputs.
    columns : sequence of str, optional
        Columns that it must have: those of a recipe may be others in another
        version. Left out: any.

    Returns
    -------
    bool
    """
    if not Path(path).is_file():
        return False
    with open_store(path) as store:
        same_recipe = store.recipe == json.loads(json.dumps(recipe))
        same_columns = columns is None or store.columns == list(columns)
        return same_recipe and same_columns and store.made_from == made_from


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
        known = name in _DATASETS and _DATASETS[name] <= version
        if not known or not isinstance(link, h5py.HardLink):
            raise InputError(f"{path} holds {name!r}, which no store has; it is not to be trusted")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise InputError(f"{path}: {name!r} is not plain data; it is not to be trusted")
    missing = [name for name in _NEEDED if name not in file]
    if missing:
        raise InputError(f"{path} lacks {shorten(missing)}; make it again")
    _check_shapes(file, path)
    halves = file["values"].dtype == np.float16
    if halves != (version > _SINGLE_VERSION):
        raise InputError(
            f"{path}: values of type {file['values'].dtype} in a store of format {version}; it is "
            "not to be trusted"
        )


def _check_shapes(file: h5py.File, path: Path) -> None:
    """Refuse datasets that do not fit each other, before any of them is read whole."""
    if any(len(file[name].shape or ()) != 1 for name in ("image_ids", "columns")):
        raise InputError(f"{path}: its ids and columns are no lists; it is not to be trusted")
    n, d = len(file["image_ids"]), len(file["columns"])
    for name, shape in (("values", (n, d)), ("fold", (n,))):
        if name in file and file[name].shape != shape:
            raise InputError(
                f"{path}: {name!r} has the shape {file[name].shape} instead of {shape}; it is not "
                "to be trusted"
            )
    if "members" not in file:
        return
    if "fold" not in file or file.attrs.get("content") not in PREDICTIONS:
        raise InputError(
            f"{path} has members, which only predictions with folds have; it is not to be trusted"
        )
    members = file["members"]
    n_test = int(np.count_nonzero(file["fold"][()] == -1))
    fits = members.shape is not None and members.shape[1:] == (n_test, d)
    if not fits or not 1 <= len(members) <= MAX_MEMBERS or members.dtype != np.float32:
        raise InputError(
            f"{path}: members of shape {members.shape} and type {members.dtype} for {n_test} test "
            f"fields and {d} columns; it is not to be trusted"
        )


def _checked_ids(image_ids, path) -> list[str]:
    image_ids = [str(image_id) for image_id in image_ids]
    if not image_ids:
        raise InputError(f"{path}: no fields to store")
    if len(set(image_ids)) < len(image_ids):
        counts = pd.Series(image_ids).value_counts()
        raise InputError(f"{path}: ids stand twice: {shorten(sorted(counts[counts > 1].index))}")
    return image_ids


def fixed_strings(values) -> np.ndarray:
    """Return texts as HDF5 keeps them here: bytes of one length, UTF-8, padded with zeros."""
    # Fixed length: HDF5's variable-length strings are slow and cannot be bounded when read.
    return np.array([value.encode() for value in values], dtype=np.bytes_)
