"""Writing stores: finished parts first, then the whole in one rename."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted
from hpastack.files import (
    check_unique,
    disk_guard,
    fixed_strings,
    flush_folder,
    package_versions,
    refuse_existing,
)
from hpastack.store.header import (
    MAX_MEMBERS,
    PREDICTIONS,
    StoreHeader,
    content_digest,
    row_checksum,
)
from hpastack.store.parts import Part, PartFolder
from hpastack.store.placement import reserve
from hpastack.store.reading import open_store

# The oldest kind of HDF5 file, which is what readers check; numbers at multiples of 64 bytes, from
# where they are copied twice as fast.
_LAYOUT = {"libver": "earliest", "alignment_threshold": 1, "alignment_interval": 64}
_ROOM = "make room and run it again, what is finished is kept"


class StoreWriter:
    """Write a store block by block, surviving a kill at any moment.

    Finished blocks are files of their own, written under a temporary name and
    renamed. Run again with the same header, ids and folds, the finished rows
    are kept; blocks that belong to anything else are dropped. Several writers,
    on several machines that share the folder, may work on one store at once.

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
        Most rows a block.
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
        self, path: str | os.PathLike[str], header: StoreHeader, image_ids: Iterable[str], *,
        fold: ArrayLike | None = None, n_members: int = 0, block_size: int = 256,
        overwrite: bool = False,
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self.header = header
        self.image_ids = _checked_ids(image_ids, self.path)
        self.fold = None if fold is None else np.asarray(fold, dtype=np.int64)
        if self.fold is not None and self.fold.shape != (len(self.image_ids),):
            raise InputError(
                f"{self.path}: {len(self.fold)} fold numbers for "
                f"{counted(len(self.image_ids), 'field')}"
            )
        self._is_test = np.zeros(len(self.image_ids), dtype=bool)
        if self.fold is not None:
            self._is_test[self.fold == -1] = True
        self.n_members = n_members
        self._check_n_members()
        refuse_existing(self.path, overwrite)
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder; remove it, or choose another name")
        self.block_size = block_size
        self.parts = self.path.with_name(self.path.name + ".parts")
        digest = content_digest(header.attributes(), header.columns, self.image_ids, self.fold)
        self._storage = np.dtype(header.storage).newbyteorder("<")
        self._folder = PartFolder(
            self.parts, f"{digest} {header.storage} {n_members}",
            self._storage, len(header.columns), n_members, self._is_test,
        )  # fmt: skip

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

    def pending(self, rows: ArrayLike | None = None) -> list[np.ndarray]:
        """Return the rows that are not finished yet, in blocks.

        Parameters
        ----------
        rows : array-like of int, optional
            Look at these only, such as those of a shard; at all if left out.

        Returns
        -------
        list of ndarray of int64
            The same blocks whatever is finished, less their finished rows and
            the empty ones. A row that was set aside is not finished.
        """
        is_finished, _ = self._state()
        rows = np.arange(len(self.image_ids)) if rows is None else np.asarray(rows, np.int64)
        blocks = (rows[i : i + self.block_size] for i in range(0, len(rows), self.block_size))
        left = (block[~is_finished[block]] for block in blocks)
        return [block for block in left if len(block)]

    def drop(self) -> None:
        """Begin from scratch: remove what is finished."""
        self._folder.clear()

    def faults(self) -> dict[str, str]:
        """Return the fields that were set aside and not finished since, with the reasons."""
        is_finished, faults = self._state()
        return {self.image_ids[row]: faults[row] for row in sorted(faults) if not is_finished[row]}

    def n_missing(self) -> int:
        """Return how many rows are neither finished nor set aside."""
        return _n_missing(*self._state())

    def _state(self) -> tuple[np.ndarray, dict[int, str]]:
        is_finished = np.zeros(len(self.image_ids), bool)
        faults: dict[int, str] = {}
        for rows, of_part in self._folder.contents():
            is_finished[rows] = True
            faults |= of_part
        return is_finished, faults

    def write(
        self, rows: ArrayLike, values: ArrayLike, members: ArrayLike | None = None,
        faults: Mapping[int, str] | None = None,
    ) -> None:  # fmt: skip
        """Write a finished block.

        Parameters
        ----------
        rows : array-like of int, shape (k,)
            One of `pending`, or any of its rows.
        values : array-like of float, shape (k, n_columns)
        members : array-like of float, shape (n_members, test fields of the block, n_columns)
            What each member predicts for the rows with fold -1, in their
            order; the values of these rows are the mean. May be left out in
            a block without such rows.
        faults : mapping of int to str, optional
            Rows to set aside, not among `rows`, with what is wrong with each.

        Raises
        ------
        InputError
            If a shape does not fit, a value is infinite, or is NaN where the
            header does not allow it (members never are), is too large for the
            storage, or the values of a test field are not the mean of its
            members; the id and column are named. Also if the disk is full, or
            another process has published the store meanwhile.
        ValueError
            If rows do not ascend, or are set aside too.
        """
        rows = np.asarray(rows, dtype=np.int64)
        values = np.asarray(values, dtype=np.float32)
        shape = (len(rows), len(self.header.columns))
        if values.shape != shape:
            raise InputError(f"{self.path}: a block of shape {values.shape} instead of {shape}")
        image_ids = [self.image_ids[row] for row in rows]
        bad = np.isinf(values) if self.header.allow_nan else ~np.isfinite(values)
        self._refuse(bad, values, image_ids)
        stored = self._stored(values, image_ids)
        kept = self._checked_members(members, values, rows)
        try:
            with disk_guard(self.parts, _ROOM):
                self._folder.write(Part(rows, stored, kept, dict(faults or {})))
        except FileNotFoundError:
            raise InputError(
                f"{self.parts} is gone: another process has published the store, or removed the "
                "folder; run it again"
            ) from None

    def _stored(self, values: np.ndarray, image_ids: Sequence[str]) -> np.ndarray:
        """Return the values as they are kept."""
        with np.errstate(over="ignore"):
            stored = values.astype(self._storage)
        remedy = f", which is too large for {self.header.storage}; set storage to float32"
        self._refuse(np.isinf(stored), values, image_ids, remedy)
        return stored

    def _checked_members(
        self, members: ArrayLike | None, values: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        tested = rows[self._is_test[rows]]
        shape = (self.n_members, len(tested), len(self.header.columns))
        if members is None and (not self.n_members or not len(tested)):
            return np.zeros(shape, "<f4")
        found = np.shape(members) if members is not None else "none"
        if found != shape or not self.n_members:
            raise InputError(f"{self.path}: members of shape {found} instead of {shape}")
        members = np.asarray(members, dtype="<f4")
        image_ids = [self.image_ids[row] for row in tested]
        for position, of_member in enumerate(members):
            self._refuse(~np.isfinite(of_member), of_member, image_ids, f" (member {position})")
        # A mean that was summed in single precision is off by some 1e-7 of the largest term.
        tolerance = 1e-5 * (1 + np.abs(members).max(axis=0))
        mean = members.mean(axis=0, dtype=np.float64)
        off = ~(np.abs(values[self._is_test[rows]] - mean) <= tolerance)
        if off.any():
            row, column = np.argwhere(off)[0]
            raise InputError(
                f"{self.path}: column {self.header.columns[column]!r} of field {image_ids[row]} "
                "is not the mean of the members"
            )
        return members

    def _refuse(
        self, bad: np.ndarray, values: np.ndarray, image_ids: Sequence[str], where: str = ""
    ) -> None:
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{self.path}: {values[row, column]} in column {self.header.columns[column]!r} "
                f"of field {image_ids[row]}{where}"
            )

    def publish(self) -> Path:
        """Join the blocks into the store, in one rename, and drop the parts.

        Fields that were set aside have no row in it. Where several writers
        publish the same store at once, one does and the others find it done.

        Returns
        -------
        Path
            The store.

        Raises
        ------
        ValueError
            If a row is neither finished nor set aside, or all are set aside.
        InputError
            If a row was written twice with different values, or the disk is
            full; the parts are kept.
        """
        temporary = self._folder.temporary(self.path.name)
        kept = self._kept_rows()
        try:
            with disk_guard(self.parts, _ROOM):
                self._join(temporary, kept)
            os.replace(temporary, self.path)
            flush_folder(self.path.parent)  # before the parts go
        except (FileNotFoundError, InputError):
            if not self._is_published(kept):
                raise
            return self.path
        finally:
            temporary.unlink(missing_ok=True)
        self._folder.remove()
        return self.path

    def _kept_rows(self) -> list[int]:
        is_finished, faults = self._state()
        n_missing = _n_missing(is_finished, faults)
        if n_missing:
            raise ValueError(
                f"{self.path}: {counted(n_missing, 'row is', 'rows are')} not finished"
            )
        if not is_finished.any():
            raise ValueError(
                f"{self.path}: all {counted(len(faults), 'field is', 'fields are')} set aside"
            )
        return np.flatnonzero(is_finished).tolist()

    def _join(self, temporary: Path, kept: list[int]) -> None:
        """Copy the parts into one file, row by row to their places."""
        is_test = self._is_test[kept]
        n, n_test, d = len(kept), int(np.count_nonzero(is_test)), len(self.header.columns)
        attributes, image_ids = self._attributes(kept)
        with h5py.File(temporary, "w", **_LAYOUT) as file:
            for name, value in attributes.items():
                file.attrs[name] = value
            file.create_dataset("image_ids", data=fixed_strings(image_ids))
            file.create_dataset("columns", data=fixed_strings(self.header.columns))
            if self.fold is not None:
                file.create_dataset("fold", data=self.fold[kept].astype(np.int32))
            places = {
                "values": reserve(file, "values", (n, d), self._storage),
                "checksums": reserve(file, "checksums", (n,), np.dtype("<u4")),
            }
            if self.n_members:
                shape = (self.n_members, n_test, d)
                places["members"] = reserve(file, "members", shape, np.dtype("<f4"))
        # Where each row of the plan comes to lie, among all kept and among those of test fields.
        position = np.full(len(self.image_ids), -1)
        position[kept] = np.arange(n)
        test_position = np.full(len(self.image_ids), -1)
        test_position[np.array(kept)[is_test]] = np.arange(n_test)
        checksums = np.zeros(n, "<u4")
        is_written = np.zeros(n, bool)
        # Not through HDF5: rows of a shard lie apart, and a full disk is an error of its own here.
        with open(temporary, "rb+") as raw:
            if hasattr(os, "posix_fallocate"):  # the room is asked for before any work
                os.posix_fallocate(raw.fileno(), 0, os.path.getsize(temporary))

            def put(array: np.ndarray, place: int) -> None:
                raw.seek(place)
                raw.write(array.data)

            for file_of_part, part in self._folder:
                own = self._is_test[part.rows]
                for k, row in enumerate(part.rows):
                    at, of_row = int(position[row]), part.values[k]
                    of_members = part.members[:, np.count_nonzero(own[:k])] if own[k] else ()
                    checksum = row_checksum(of_row, of_members)
                    if is_written[at] and checksums[at] != checksum:
                        raise InputError(
                            f"{file_of_part}: field {self.image_ids[row]} has other values than in "
                            "another part; remove one of them and run it again"
                        )
                    is_written[at], checksums[at] = True, checksum
                    put(of_row, places["values"] + at * of_row.nbytes)
                    for m, of_member in enumerate(of_members):
                        where = m * n_test + int(test_position[row])
                        put(of_member, places["members"] + where * of_member.nbytes)
            if not is_written.all():
                lost = self.image_ids[kept[int(np.argmin(is_written))]]
                raise InputError(
                    f"{self.parts}: the part with field {lost} was damaged or removed meanwhile; "
                    "run it again"
                )
            put(checksums, places["checksums"])
            raw.flush()
            os.fsync(raw.fileno())

    def _attributes(self, kept: list[int]) -> tuple[dict[str, Any], list[str]]:
        """Return the attributes of the published store, and its ids."""
        image_ids = [self.image_ids[row] for row in kept]
        attributes = self.header.attributes()
        fold = None if self.fold is None else self.fold[kept]
        attributes["digest"] = content_digest(attributes, self.header.columns, image_ids, fold)
        attributes["made_with"] = json.dumps(package_versions(), sort_keys=True)
        return attributes, image_ids

    def _is_published(self, kept: list[int]) -> bool:
        """Say whether another process has published this very store."""
        if self.parts.exists() or not self.path.exists():
            return False
        with open_store(self.path) as store:
            return store.digest == self._attributes(kept)[0]["digest"]


def write_store(
    path: str | os.PathLike[str], header: StoreHeader, image_ids: Iterable[str], values: ArrayLike,
    *, fold: ArrayLike | None = None, members: ArrayLike | None = None, overwrite: bool = False,
) -> Path:  # fmt: skip
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
    if members is not None:
        members = np.asarray(members, dtype=np.float32)
    n_members = 0 if members is None else len(members)
    writer = StoreWriter(
        path, header, image_ids, fold=fold, n_members=n_members, overwrite=overwrite
    )
    writer.drop()  # a killed call may have left parts of other values
    try:
        if values.ndim != 2 or len(values) != len(writer.image_ids):
            raise InputError(
                f"{path}: values of shape {values.shape} for "
                f"{counted(len(writer.image_ids), 'field')}"
            )
        if members is not None:
            wanted = (n_members, int(np.count_nonzero(writer.fold == -1)), values.shape[1])
            if members.shape != wanted:
                raise InputError(f"{path}: members of shape {members.shape} instead of {wanted}")
            # Where the test fields of each block begin among all test fields.
            before = np.concatenate([[0], np.cumsum(writer.fold == -1)])
        for block in writer.pending():
            of_block = None
            if members is not None:
                of_block = members[:, before[block[0]] : before[block[-1] + 1]]
            writer.write(block, values[block], of_block)
        return writer.publish()
    except InputError:
        shutil.rmtree(writer.parts, ignore_errors=True)
        raise


def _n_missing(is_finished: np.ndarray, faults: Mapping[int, str]) -> int:
    is_known = is_finished.copy()
    is_known[list(faults)] = True
    return int(np.count_nonzero(~is_known))


def _checked_ids(image_ids: Iterable[str], path: Path) -> list[str]:
    image_ids = [str(image_id) for image_id in image_ids]
    if not image_ids:
        raise InputError(f"{path}: no fields to store")
    bad = [image_id for image_id in image_ids if not image_id or "\0" in image_id]
    if bad:
        raise InputError(f"{path}: {bad[0]!r} is no id of a field")
    check_unique(image_ids, path)
    return image_ids
