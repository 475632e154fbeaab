"""Label vocabularies, and the conversion between target strings and indicator matrices.

This is the only module that contains the 28 label names of the HPA 2018 task.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted, shorten
from hpastack.files import read_lines
from hpastack.files.notebook_html import html_details, html_table

# Number of labels up to which a notebook shows the list open.
_MOST_SHOWN = 40


class Vocabulary:
    """Label names with conversion between target strings and indicator matrices.

    The id of a label is its position in the list of names. A target is a string of
    ids separated by spaces (``"16 0"``), in any order.

    Parameters
    ----------
    names : sequence of str
        Label names in the order of their ids.

    Raises
    ------
    InputError
        If `names` is empty, or contains an empty or duplicate name.

    Examples
    --------
    >>> vocabulary = Vocabulary(["nucleus", "cytosol", "plasma membrane"])
    >>> vocabulary.indicator(["2 0", "1"]).tolist()
    [[1, 0, 1], [0, 1, 0]]
    >>> vocabulary.targets([[1, 0, 1], [0, 1, 0]])
    ['0 2', '1']
    """

    def __init__(self, names: Sequence[str]) -> None:
        names = tuple(str(name).strip() for name in names)
        if not names:
            raise InputError("a vocabulary needs at least one label name")
        if "" in names:
            raise InputError(f"label {names.index('')} of the vocabulary has an empty name")
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise InputError(f"duplicate label names in the vocabulary: {shorten(duplicates)}")
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Vocabulary({counted(len(self), 'label')}: {shorten(self.names, 3)})"

    def _repr_html_(self) -> str:
        table = html_table(["id", "label"], enumerate(self.names))
        return html_details(repr(self), table, is_open=len(self) <= _MOST_SHOWN)

    def parse(self, target: str, *, allow_empty: bool = False, where: str = "target") -> list[int]:
        """Read one target string.

        Parameters
        ----------
        target : str
            Label ids separated by whitespace, e.g. ``"16 0"``.
        allow_empty : bool, default=False
            Whether a target without labels is valid.
        where : str, default="target"
            Name of the target in errors (an image id, a line).

        Returns
        -------
        list of int
            The ids in the order written.

        Raises
        ------
        InputError
            If a label is not an id of this vocabulary or is duplicate, or if
            the target is empty and `allow_empty` is false.
        """
        words = target.split() if isinstance(target, str) else []
        if not words and not allow_empty:
            raise InputError(f"{where}: no label; every training field needs one")
        ids: list[int] = []
        for word in words:
            # int() accepts "+3", "1_0" and non-ASCII digits; a target must be plain digits.
            if not (word.isascii() and word.isdigit()) or int(word) >= len(self):
                raise InputError(
                    f"{where}: unknown label {word!r}; labels are the ids 0 to {len(self) - 1}"
                )
            if int(word) in ids:
                raise InputError(f"{where}: duplicate label {word} in {target!r}")
            ids.append(int(word))
        return ids

    def indicator(
        self,
        targets: Iterable[str],
        *,
        allow_empty: bool = False,
        image_ids: Sequence[str] | pd.Index | None = None,
    ) -> np.ndarray:
        """Convert target strings to an indicator matrix.

        Parameters
        ----------
        targets : iterable of str, length n
            One target string per field. For a pandas Series indexed by image
            id, errors name the id.
        allow_empty : bool, default=False
            Whether a field may have no label.
        image_ids : sequence of str, optional
            Names of the rows in errors, if `targets` has no index.

        Returns
        -------
        ndarray of uint8, shape (n, n_labels)
            1 where the field has the label.

        Raises
        ------
        InputError
            As `parse`.
        """
        if image_ids is None and isinstance(targets, pd.Series):
            image_ids = targets.index
        targets = list(targets)
        matrix = np.zeros((len(targets), len(self)), dtype=np.uint8)
        for row, target in enumerate(targets):
            where = f"row {row}" if image_ids is None else f"field {image_ids[row]}"
            matrix[row, self.parse(target, allow_empty=allow_empty, where=where)] = 1
        return matrix

    def targets(self, indicator: ArrayLike) -> list[str]:
        """Convert an indicator matrix to target strings, with ids in ascending order.

        Parameters
        ----------
        indicator : array-like of {0, 1}, shape (n, n_labels)

        Returns
        -------
        list of str, length n
            ``""`` for a row without labels.

        Raises
        ------
        InputError
            If the shape does not match, or a value is neither 0 nor 1.
        """
        indicator = np.asarray(indicator)
        if indicator.ndim != 2 or indicator.shape[1] != len(self):
            raise InputError(
                f"an indicator matrix of shape {indicator.shape} does not match "
                f"a vocabulary of {counted(len(self), 'label')}"
            )
        if not np.isin(indicator, (0, 1)).all():
            raise InputError("an indicator matrix must contain only 0 and 1")
        return [" ".join(map(str, np.flatnonzero(row))) for row in indicator]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """Read a vocabulary from a text file with one name per line.

        Parameters
        ----------
        path : path-like
            Text in any encoding read by `hpastack.files.read_lines`; empty lines are ignored.

        Returns
        -------
        Vocabulary

        Raises
        ------
        InputError
            If the file is empty or a name is duplicate.
        """
        lines = read_lines(path)
        try:
            return cls([line for line in lines if line.strip()])
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


#: The labels of the 2018 Human Protein Atlas task, in the order of their ids.
HPA_2018 = Vocabulary(
    [
        "Nucleoplasm",
        "Nuclear membrane",
        "Nucleoli",
        "Nucleoli fibrillar center",
        "Nuclear speckles",
        "Nuclear bodies",
        "Endoplasmic reticulum",
        "Golgi apparatus",
        "Peroxisomes",
        "Endosomes",
        "Lysosomes",
        "Intermediate filaments",
        "Actin filaments",
        "Focal adhesion sites",
        "Microtubules",
        "Microtubule ends",
        "Cytokinetic bridge",
        "Mitotic spindle",
        "Microtubule organizing center",
        "Centrosome",
        "Lipid droplets",
        "Plasma membrane",
        "Cell junctions",
        "Mitochondria",
        "Aggresome",
        "Cytosol",
        "Cytoplasmic bodies",
        "Rods & rings",
    ]
)
