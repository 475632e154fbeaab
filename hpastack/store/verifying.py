"""Whether a store is what was written: its checksums, its digest, and its numbers."""

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

# What is made from the images of the catalogue, by the type of its recipe.
_MADE_FROM_CATALOGUE = ("handcrafted", "embedding", "neighbours")
# As exact as the mean of the members is kept.
_MEAN_TOLERANCE = 1e-5


@dataclass
class StoreCheck:
    """What was found when a store was read from end to end.

    Parameters
    ----------
    path : Path
    n_rows : int
    has_checksums : bool
        Whether it carries them; those of a format before 4 do not, and changed
        numbers are then found only where they are no valid ones.
    problems : list of str
        What is wrong, a line each; empty for a sound store.
    damaged : list of str
        Ids of the fields whose numbers are not those that were written.
    unfinished : int or None
        Fields in the parts of a store that is being made beside it; None if
        none is. That is no problem of the store.
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
    """Read a store from end to end and say what is wrong with it.

    The numbers of each field are held against their checksum, and all else
    against the digest of the store. Infinite values, NaN where none is
    documented, probabilities beyond [0, 1], and members that do not have the
    values of their field as their mean are named too. What was brought in with
    ``ingest`` is also held against the digest of its table.

    Parameters
    ----------
    path : path-like
    catalogue : DataFrame, optional
        The fields of today. A store that was made from others is named.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    StoreCheck

    Raises
    ------
    InputError
        If it cannot be opened: see `open_store`.
    """
    with open_store(path, verify=False) as store:
        check = StoreCheck(store.path, len(store), store._has("checksums"))
        _check_digest(store, check)
        _check_numbers(store, check, progress)
        if catalogue is not None and is_of_catalogue(store, catalogue) is False:
            check.problems.append("it was made from other fields than the catalogue lists now")
    check.unfinished = unfinished_rows(store.path)
    return check


def is_of_catalogue(store: Store, catalogue: pd.DataFrame) -> bool | None:
    """Say whether a store was made from the fields of a catalogue, pixels included.

    Parameters
    ----------
    store : Store
    catalogue : DataFrame

    Returns
    -------
    bool or None
        None where it was not made from the images of a catalogue.
    """
    kind = store.recipe.get("type")
    if not isinstance(kind, str) or kind not in _MADE_FROM_CATALOGUE:
        return None
    return store.made_from == catalogue_digest(catalogue)


def unfinished_rows(path: str | os.PathLike[str]) -> int | None:
    """Count the fields that lie in the parts of a store that is being made.

    Parameters
    ----------
    path : path-like
        The store, which need not be there yet.

    Returns
    -------
    int or None
        None if there are no parts.
    """
    folder = Path(path).with_name(Path(path).name + ".parts")
    if not folder.is_dir():
        return None
    found: set[int] = set()
    for file in folder.glob("part-*.h5"):
        try:
            with h5py.File(file, "r") as part:
                rows = part["rows"]
                if rows.dtype.kind == "i" and rows.nbytes <= file.stat().st_size:
                    found.update(rows[()].tolist())
        # One that is damaged or has gone meanwhile does not count; HDF5 says so in many ways.
        except Exception:
            continue
    return len(found)


def _check_digest(store: Store, check: StoreCheck) -> None:
    if store._contents.has_changed():
        check.problems.append(
            "its header, columns, ids or folds are not those that were written (digest)"
        )


class _Findings:
    """Bad numbers of one kind: the first by id and column, the others counted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.first: dict[str, str] = {}
        self.count: dict[str, int] = {}

    def add(self, what: str, bad: np.ndarray, numbers: np.ndarray, rows: np.ndarray) -> None:
        n_bad = int(np.count_nonzero(bad))
        if not n_bad:
            return
        self.count[what] = self.count.get(what, 0) + n_bad
        if what not in self.first:
            row, column = np.argwhere(bad)[0]
            self.first[what] = (
                f"{numbers[row, column]:g} in column {self.store.columns[column]!r} of field "
                f"{self.store.image_ids[rows[row]]}{what}"
            )

    def lines(self) -> Iterator[str]:
        for what, text in self.first.items():
            more = self.count[what] - 1
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
            check.problems.append("its ids and numbers are not those of the table it was made from")


def _check_values(
    store: Store, findings: _Findings, values: np.ndarray, rows: np.ndarray, is_test: np.ndarray
) -> None:
    bad = np.isinf(values) if store.allow_nan else ~np.isfinite(values)
    findings.add("", bad, values, rows)
    if store.content == "probabilities":
        findings.add(", no probability", (values < 0) | (values > 1), values, rows)
    elif store.content == "label_sets":
        # What the members of a test field say is averaged.
        is_shared = is_test[:, None] & (values >= 0) & (values <= 1)
        findings.add(
            ", neither 0 nor 1", ~(is_shared | (values == 0) | (values == 1)), values, rows
        )


def _check_mean(
    findings: _Findings,
    values: np.ndarray,
    members: np.ndarray,
    rows: np.ndarray,
    is_test: np.ndarray,
) -> None:
    # Infinite members are named elsewhere.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = members.mean(axis=0, dtype=np.float64)
        room = _MEAN_TOLERANCE * (1 + np.abs(members).max(axis=0))
        off = np.abs(values[is_test] - mean) > room
    findings.add(", not the mean of its members", off, values[is_test], rows[is_test])
