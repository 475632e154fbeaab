"""Writing of stores: first the finished parts, then the whole store by one rename."""

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

# The earliest version of the HDF5 format, which readers check; numbers are aligned to 64 bytes,
# which makes copying twice as fast.
_LAYOUT = {"libver": "earliest", "alignment_threshold": 1, "alignment_interval": 64}
_ROOM = "free disk space and run it again, finished parts are kept"


class StoreWriter:
    """Write a store block by block; resumable after being killed at any time.

    Each finished block is a separate file, written under a temporary name and
    renamed. In a later run with the same header, ids and folds, the finished rows
    are kept; blocks of any other store are discarded. Several writers,
    on several machines that share the folder, may write to one store at once.

    Parameters
    ----------
    path : path-like
        The store to write, ``NAME.h5``.
    header : StoreHeader
    image_ids : sequence of str, length n
        Ids of the rows, in their final order.
    fold : array-like of int, shape (n,), optional
        For out-of-fold predictions, the fold of each field; -1 for test
        fields.
    n_members : int, default=0
        Number of models (members) whose individual predictions of each test field are
        stored besides their mean; 0 stores the mean only.
    block_size : int, default=256
        Maximum number of rows per block.
    overwrite : bool, default=False
        Whether an existing store may be replaced (at `publish`, not before).

    Raises
    ------
    InputError
        If the store exists and `overwrite` is false, there are duplicate ids, or
        `n_members` is not 0 although the store does not contain predictions of test
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
            raise InputError(f"{self.path} is a folder; remove it or choose another name")
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
            raise InputError(
                f"{self.path}: {self.n_members} members; the number must be 0 to {MAX_MEMBERS}"
            )
        if not self.n_members:
            return
        if self.header.content not in PREDICTIONS or self.fold is None:
            raise InputError(f"{self.path}: only predictions with folds can have members")
        if not self._is_test.any():
            raise InputError(f"{self.path}: members predict test fields, but no field has fold -1")

    def pending(self, rows: ArrayLike | None = None) -> list[np.ndarray]:
        """Return the unfinished rows, in blocks.

        Parameters
        ----------
        rows : array-like of int, optional
            Rows to consider, such as those of a shard. Default: all.

        Returns
        -------
        list of ndarray of int64
            The block boundaries do not depend on what is finished; finished rows and
            then empty blocks are removed. A skipped row is not finished.
        """
        is_finished, _ = self._state()
        rows = np.arange(len(self.image_ids)) if rows is None else np.asarray(rows, np.int64)
        blocks = (rows[i : i + self.block_size] for i in range(0, len(rows), self.block_size))
        left = (block[~is_finished[block]] for block in blocks)
        return [block for block in left if len(block)]

    def drop(self) -> None:
        """Remove all finished parts, to start from scratch."""
        self._folder.clear()

    def faults(self) -> dict[str, str]:
        """Return the fields that were skipped and not finished since, with the reasons."""
        is_finished, faults = self._state()
        return {self.image_ids[row]: faults[row] for row in sorted(faults) if not is_finished[row]}

    def n_missing(self) -> int:
        """Return the number of rows that are neither finished nor skipped."""
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
            Predictions of each member for the rows with fold -1, in their
            order; the values of these rows must be their mean. May be omitted for
            a block without such rows.
        faults : mapping of int to str, optional
            Rows to skip, not among `rows`, with the reason for each.

        Raises
        ------
        InputError
            If a shape does not fit, a value is infinite, NaN where the
            header does not allow it (never in members) or too large for the
            storage, or the values of a test field are not the mean of its
            members; the message names the id and column. Also if the disk is full, or
            another process has published the store in the meantime.
        ValueError
            If rows do not ascend, or are also in `faults`.
        """
        rows = np.asarray(rows, dtype=np.int64)
        values = np.asarray(values, dtype=np.float32)
        shape = (len(rows), len(self.header.columns))
        if values.shape != shape:
            raise InputError(f"{self.path}: a block has shape {values.shape} instead of {shape}")
        image_ids = [self.image_ids[row] for row in rows]
        bad = np.isinf(values) if self.header.allow_nan else ~np.isfinite(values)
        self._reject(bad, values, image_ids)
        stored = self._stored(values, image_ids)
        kept = self._checked_members(members, values, rows)
        try:
            with disk_guard(self.parts, _ROOM):
                self._folder.write(Part(rows, stored, kept, dict(faults or {})))
        except FileNotFoundError:
            raise InputError(
                f"{self.parts} is gone: another process has published the store or "
                "removed the folder; run it again"
            ) from None

    def _stored(self, values: np.ndarray, image_ids: Sequence[str]) -> np.ndarray:
        """Return the values as stored."""
        with np.errstate(over="ignore"):
            stored = values.astype(self._storage)
        remedy = f", which is too large for {self.header.storage}; set storage to float32"
        self._reject(np.isinf(stored), values, image_ids, remedy)
        return stored

    def _checked_members(
        self, members: ArrayLike | None, values: np.ndarray, rows: np.ndarray
    ) -> np.ndarray:
        tested = rows[self._is_test[rows]]
        shape = (self.n_members, len(tested), len(self.header.columns))
        if members is None and (not self.n_members or not len(tested)):
            return np.zeros(shape, "<f4")
        actual = np.shape(members) if members is not None else "none"
        if actual != shape or not self.n_members:
            raise InputError(f"{self.path}: members have shape {actual} instead of {shape}")
        members = np.asarray(members, dtype="<f4")
        image_ids = [self.image_ids[row] for row in tested]
        for position, of_member in enumerate(members):
            self._reject(~np.isfinite(of_member), of_member, image_ids, f" (member {position})")
        # A mean computed in single precision has an error of about 1e-7 of the largest term.
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

    def _reject(
        self, bad: np.ndarray, values: np.ndarray, image_ids: Sequence[str], where: str = ""
    ) -> None:
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{self.path}: {values[row, column]} in column {self.header.columns[column]!r} "
                f"of field {image_ids[row]}{where}"
            )

    def publish(self) -> Path:
        """Combine the blocks into the store, publish it by one rename, and remove the parts.

        Skipped fields have no row in it. If several writers
        publish the same store at once, one succeeds and the others find it published.

        Returns
        -------
        Path
            The store.

        Raises
        ------
        ValueError
            If a row is neither finished nor skipped, or all are skipped.
        InputError
            If a row was written more than once with different values, or the disk is
            full; the parts are kept.
        """
        temporary = self._folder.temporary(self.path.name)
        kept = self._kept_rows()
        try:
            with disk_guard(self.parts, _ROOM):
                self._join(temporary, kept)
            os.replace(temporary, self.path)
            flush_folder(self.path.parent)  # before the parts are removed
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
                f"{self.path}: all {counted(len(faults), 'field is', 'fields are')} skipped"
            )
        return np.flatnonzero(is_finished).tolist()

    def _join(self, temporary: Path, kept: list[int]) -> None:
        """Copy the parts into one file, row by row to their positions."""
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
        # Position of each row among all kept rows, and among those of test fields.
        position = np.full(len(self.image_ids), -1)
        position[kept] = np.arange(n)
        test_position = np.full(len(self.image_ids), -1)
        test_position[np.array(kept)[is_test]] = np.arange(n_test)
        checksums = np.zeros(n, "<u4")
        is_written = np.zeros(n, bool)
        # Not through HDF5: rows of a shard are scattered, and a full disk is a clear error here.
        with open(temporary, "rb+") as raw:
            if hasattr(os, "posix_fallocate"):  # disk space is allocated before any work
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
                    f"{self.parts}: the part with field {lost} was damaged or removed in the "
                    "meantime; run it again"
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
        """Return whether another process has published the same store."""
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
        As for `StoreWriter`.
    values : array-like of float, shape (n, n_columns)
    members : array-like of float, shape (n_members, n_test, n_columns), optional
        Predictions of each member for the rows with fold -1, in their order.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    InputError
        As for `StoreWriter` and its `write`.
    """
    values = np.asarray(values, dtype=np.float32)
    if members is not None:
        members = np.asarray(members, dtype=np.float32)
    n_members = 0 if members is None else len(members)
    writer = StoreWriter(
        path, header, image_ids, fold=fold, n_members=n_members, overwrite=overwrite
    )
    writer.drop()  # a killed call may have left parts with other values
    try:
        if values.ndim != 2 or len(values) != len(writer.image_ids):
            raise InputError(
                f"{path}: values have shape {values.shape} for "
                f"{counted(len(writer.image_ids), 'field')}"
            )
        if members is not None:
            shape = (n_members, int(np.count_nonzero(writer.fold == -1)), values.shape[1])
            if members.shape != shape:
                raise InputError(f"{path}: members have shape {members.shape} instead of {shape}")
            # Number of test fields before each row.
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
        raise InputError(
            f"{path}: {bad[0]!r} is not a valid id: it is empty or contains a zero byte"
        )
    check_unique(image_ids, path)
    return image_ids
