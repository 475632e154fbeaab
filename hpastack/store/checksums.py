"""Verification of the rows of a store by their checksums."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hpastack.store.header import row_checksum
from hpastack.store.placement import DatasetLayout, SharedFile, read_rows, read_whole


class RowChecksums:
    """Compare rows of a store with their checksums.

    Parameters
    ----------
    file : SharedFile
    layouts : mapping of str to DatasetLayout
        Layouts of the datasets of the store.
    fold : ndarray of int or None
        Fold of each field, -1 for test fields; only these have members.
    """

    def __init__(
        self, file: SharedFile, layouts: Mapping[str, DatasetLayout], fold: np.ndarray | None
    ) -> None:
        self._file = file
        self._kept = read_whole(file, layouts["checksums"])
        self._members = MemberRows(file, layouts)
        is_test = np.zeros(len(self._kept), bool) if fold is None else fold == -1
        # Position of each test field among the test fields; -1 for the others.
        self._test_place = np.where(is_test, np.cumsum(is_test) - 1, -1)

    def changed(self, rows: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Return which rows differ from what was written.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)
            Positions of the rows in the store.
        kept : ndarray, shape (k, n_columns)
            Their values, in the type in which they are stored.

        Returns
        -------
        ndarray of bool, shape (k,)
        """
        places = self._test_place[rows]
        members = self._members.at(places[places >= 0])
        return self.changed_with(rows, kept, members)

    def changed_with(self, rows: np.ndarray, kept: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Return which rows differ from what was written, with members that are already read.

        Parameters
        ----------
        rows, kept
            As for `changed`.
        members : ndarray, shape (n_members, n_test of the rows, n_columns)
            Members of the test fields as stored, in the order of the rows.

        Returns
        -------
        ndarray of bool, shape (k,)
        """
        is_test = self._test_place[rows] >= 0
        place = np.cumsum(is_test) - 1
        checksums = np.empty(len(rows), self._kept.dtype)
        for k, is_test_field in enumerate(is_test.tolist()):
            checksums[k] = row_checksum(kept[k], members[:, place[k]] if is_test_field else ())
        return checksums != self._kept[rows]


class MemberRows:
    """Read the predictions of the members of a store for some of its test fields.

    Parameters
    ----------
    file : SharedFile
    layouts : mapping of str to DatasetLayout
        Layouts of the datasets of the store; it need not have members.
    """

    def __init__(self, file: SharedFile, layouts: Mapping[str, DatasetLayout]) -> None:
        self._file = file
        self._layout = layouts.get("members")
        self._n_columns = layouts["values"].shape[1]
        self._whole: np.ndarray | None = None
        if self._layout is not None and not self._layout.is_contiguous:
            self._whole = read_whole(file, self._layout)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the rows of some test fields, as stored.

        Parameters
        ----------
        places : ndarray of int, shape (k,)
            Positions among the test fields of the store.

        Returns
        -------
        ndarray, shape (n_members, k, n_columns)
        """
        if self._layout is None:
            return np.zeros((0, len(places), self._n_columns), "<f4")
        if self._whole is not None:
            return self._whole[:, places]
        n_members, n_test, _ = self._layout.shape
        out = np.empty((n_members, len(places), self._n_columns), self._layout.dtype)
        flat = self._layout.as_rows()
        for number, of_member in enumerate(out):
            read_rows(self._file, flat, number * n_test + places, of_member)
        return out
