"""Reading published stores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.store.checks import check_file


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
        self.digest = str(attributes.get("digest", ""))
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
        check_file(file, path)
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
