"""Verification of a whole store: its checksums, its digest, and the validity of its numbers."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from hpastack.catalogue import catalogue_digest
from hpastack.errors import counted, shorten
from hpastack.parallel import progress_bar
from hpastack.store.checksums import MemberRows, RowChecksums
from hpastack.store.placement import read_rows
from hpastack.store.reading import Store, open_store

# Types of recipes whose stores are made from the images of the catalogue.
_MADE_FROM_CATALOGUE = ("handcrafted", "embedding", "neighbours")
# Tolerance for the mean of the members, which is stored in single precision.
_MEAN_TOLERANCE = 1e-5


@dataclass
class StoreCheck:
    """Result of the verification of a store.

    Parameters
    ----------
    path : Path
    n_rows : int
    has_checksums : bool
        Whether the store has checksums. Before format 4 it does not, and changed
        numbers are then only detected if they are invalid.
    problems : list of str
        Problems found, one line each; empty for a valid store.
    damaged : list of str
        Ids of the fields whose numbers differ from those that were written.
    unfinished : int or None
        Number of fields in the parts of a new version of the store that is being written; None if
        there are no parts. This is not a problem of the store.
    """

    path: Path
    n_rows: int
    has_checksums: bool
    problems: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unfinished: int | None = None


def verify_store(
    path: str | os.PathLike[str], catalogue: pd.DataFrame | None = None, *, progress: bool = True
) -> StoreCheck:
    """Verify a store by reading all of it, and return the problems found.

    The numbers of each field are compared with their checksum, and everything else
    with the digest of the store. Infinite values, NaN where it is not
    allowed, probabilities outside [0, 1], and members whose mean differs from the
    values of their field are reported, too. A store imported with
    ``ingest`` is also compared with the digest of its table.

    Parameters
    ----------
    path : path-like
    catalogue : DataFrame, optional
        The current fields. It is reported if the store was made from other fields.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    StoreCheck

    Raises
    ------
    InputError
        If the store cannot be opened: see `open_store`.
    """
    with open_store(path, verify=False) as store:
        check = StoreCheck(store.path, len(store), store._has("checksums"))
        _check_digest(store, check)
        _check_numbers(store, check, progress)
        if catalogue is not None and is_of_catalogue(store, catalogue) is False:
            check.problems.append("it was made from other fields than those now in the catalogue")
    check.unfinished = unfinished_rows(store.path)
    return check


def is_of_catalogue(store: Store, catalogue: pd.DataFrame) -> bool | None:
    """Return whether a store was made from the fields of a catalogue, with the same pixels.

    Parameters
    ----------
    store : Store
    catalogue : DataFrame

    Returns
    -------
    bool or None
        None if it was not made from the images of a catalogue.
    """
    kind = store.recipe.get("type")
    if not isinstance(kind, str) or kind not in _MADE_FROM_CATALOGUE:
        return None
    return store.made_from == catalogue_digest(catalogue)


def unfinished_rows(path: str | os.PathLike[str]) -> int | None:
    """Count the fields in the parts of a store that is being written.

    Parameters
    ----------
    path : path-like
        The store, which need not exist yet.

    Returns
    -------
    int or None
        None if there are no parts.
    """
    folder = Path(path).with_name(Path(path).name + ".parts")
    if not folder.is_dir():
        return None
    finished: set[int] = set()
    for file in folder.glob("part-*.h5"):
        try:
            with h5py.File(file, "r") as part:
                rows = part["rows"]
                if rows.dtype.kind == "i" and rows.nbytes <= file.stat().st_size:
                    finished.update(rows[()].tolist())
        # Damaged or removed files are ignored; HDF5 reports them with many types of exceptions.
        except Exception:
            continue
    return len(finished)


def _check_digest(store: Store, check: StoreCheck) -> None:
    if store._contents.has_changed():
        check.problems.append(
            "header, columns, ids or folds differ from those that were written (digest)"
        )


class _Findings:
    """Invalid numbers by kind: the first with id and column, the number of others."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.first: dict[str, str] = {}
        self.count: dict[str, int] = {}

    def add(self, problem: str, bad: np.ndarray, numbers: np.ndarray, rows: np.ndarray) -> None:
        n_bad = int(np.count_nonzero(bad))
        if not n_bad:
            return
        self.count[problem] = self.count.get(problem, 0) + n_bad
        if problem not in self.first:
            row, column = np.argwhere(bad)[0]
            self.first[problem] = (
                f"{numbers[row, column]:g} in column {self.store.columns[column]!r} of field "
                f"{self.store.image_ids[rows[row]]}{problem}"
            )

    def lines(self) -> Iterator[str]:
        for problem, text in self.first.items():
            more = self.count[problem] - 1
            yield text + (f", and {more:,} more" if more else "")


def _check_numbers(store: Store, check: StoreCheck, progress: bool) -> None:
    findings = _Findings(store)
    layouts = store._contents.layouts
    checksums = None
    if check.has_checksums:
        checksums = RowChecksums(store._file, layouts, store.fold)
    is_test = np.zeros(len(store), bool) if store.fold is None else store.fold == -1
    before = np.concatenate([[0], np.cumsum(is_test)])  # test fields before each row
    is_ingested = store.recipe.get("type") == "ingest" and re.fullmatch(
        "[0-9a-f]{64}", store.made_from
    )
    table = hashlib.sha256("\n".join(store.image_ids).encode())
    members = MemberRows(store._file, layouts)
    blocks = list(store._blocks_of_rows(1 + store.n_members))
    for rows in progress_bar(blocks, what=f"verify {store.name}", show=progress):
        kept = np.empty((len(rows), len(store.columns)), store._place("values").dtype)
        read_rows(store._file, store._place("values"), rows, kept)
        values = kept.astype("<f4")
        if is_ingested:
            table.update(values.data)
        _check_values(store, findings, values, rows, is_test[rows])
        first, last = int(before[rows[0]]), int(before[rows[-1] + 1])
        of_block = members.at(np.arange(first, last))
        for number, of_member in enumerate(of_block):
            where = f" (member {number})"
            findings.add(where, ~np.isfinite(of_member), of_member, rows[is_test[rows]])
        if len(of_block) and first < last:
            _check_mean(findings, values, of_block, rows, is_test[rows])
        if checksums is not None:
            changed = rows[checksums.changed_with(rows, kept, of_block)]
            check.damaged.extend(store.image_ids[row] for row in changed.tolist())
    if check.damaged:
        check.problems.append(
            f"{len(check.damaged):,} of {counted(len(store), 'field is', 'fields are')} damaged "
            "(checksum): "
            f"{shorten(check.damaged)}"
        )
    check.problems.extend(findings.lines())
    if is_ingested:
        all_test = np.arange(np.count_nonzero(is_test))
        for number in range(store.n_members):
            table.update(members.at(all_test)[number].astype("<f4").tobytes())
        if table.hexdigest() != store.made_from:
            check.problems.append(
                "ids and numbers differ from those of the table from which it was made"
            )


def _check_values(
    store: Store, findings: _Findings, values: np.ndarray, rows: np.ndarray, is_test: np.ndarray
) -> None:
    bad = np.isinf(values) if store.allow_nan else ~np.isfinite(values)
    findings.add("", bad, values, rows)
    if store.content == "probabilities":
        findings.add(" is not a probability", (values < 0) | (values > 1), values, rows)
    elif store.content == "label_sets":
        # For test fields, the predictions of the members are averaged.
        is_mean = is_test[:, None] & (values >= 0) & (values <= 1)
        findings.add(
            " is neither 0 nor 1", ~(is_mean | (values == 0) | (values == 1)), values, rows
        )


def _check_mean(
    findings: _Findings,
    values: np.ndarray,
    members: np.ndarray,
    rows: np.ndarray,
    is_test: np.ndarray,
) -> None:
    # Infinite members are reported elsewhere.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = members.mean(axis=0, dtype=np.float64)
        room = _MEAN_TOLERANCE * (1 + np.abs(members).max(axis=0))
        off = np.abs(values[is_test] - mean) > room
    findings.add(" is not the mean of its members", off, values[is_test], rows[is_test])
