"""Histogram bins computed once for the columns that the labels share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpastack.boosting.libraries import library
from hpastack.boosting.tree_settings import AtStage, TreeSettings

#: Number of fields used to compute bins; more barely change the quantiles.
_MAX_EXAMPLES = 20_000


class SharedBins:
    """Histogram bins computed once from training fields and shared by all labels.

    Columns that the labels share are binned by quantiles. A label's own
    log-odds lie in a known range and get bins of equal width, the same for
    every label.

    Parameters
    ----------
    shared : ndarray of float32, shape (n, d)
        The columns that all labels share, for the training fields only.
    n_logits : int
        Number of a label's own columns that are log-odds.
    bound : float
        The log-odds lie within plus and minus this.
    scores : ndarray of float32, shape (n_scores, n, n_labels)
        A label's own columns with any other range, for the training fields.
    """

    def __init__(self, shared: np.ndarray, n_logits: int, bound: float, scores: np.ndarray) -> None:
        rows = np.unique(np.linspace(0, len(shared) - 1, _MAX_EXAMPLES).astype(np.int64))
        grid = np.linspace(-bound, bound, len(rows), dtype=np.float32)
        own = [np.repeat(grid[:, None], n_logits, axis=1)]
        if len(scores):
            # The rows cycle through the labels, so that all contribute to the bins.
            own.append(scores[:, rows, np.arange(len(rows)) % scores.shape[2]].T)
        self._examples = np.concatenate([*own, shared[rows]], axis=1)
        self._n_logits = n_logits
        self._n_own = n_logits + len(scores)
        self._made: dict[tuple[str, int], Any] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # The libraries' own objects are not pickled; a worker process makes its own.
        return {**self.__dict__, "_made": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _of(self, name: str, columns: np.ndarray, settings: TreeSettings) -> Any:
        if self._n_own + len(columns) < self._examples.shape[1]:
            # Screened columns, selected for this label.
            selected = np.concatenate([np.arange(self._n_own), self._n_own + columns])
            return library(name).bins(self._examples[:, selected], settings)
        with self._lock:
            key = (name, settings.bins)
            if key not in self._made:
                self._made[key] = library(name).bins(self._examples, settings)
            return self._made[key]

    def fit(
        self,
        name: str,
        x: np.ndarray,
        y: np.ndarray,
        margin: np.ndarray,
        columns: np.ndarray,
        settings: TreeSettings,
        *,
        seed: int,
        stages: Sequence[int],
        at_stage: AtStage | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> Any:
        """Fit one label with one library.

        Parameters
        ----------
        name : str
            A key of `LIBRARIES`.
        x : ndarray of float32, shape (n, n_own + len(columns))
            The label's own columns, then `columns` of the shared ones.
        y : ndarray of float32 {0, 1}, shape (n,)
        margin : ndarray of float32, shape (n,)
            Log-odds that the trees start from.
        columns : ndarray of int
            Indices of the shared columns in `x`.
        settings : TreeSettings
        seed : int
        stages : sequence of int
            Sizes of the model (numbers of trees), ascending; the last is fitted.
        at_stage : callable, optional
            As `BoostingLibrary.fit`.
        sample_weight : ndarray of float, shape (n,), optional
            Weight of the loss of each field.

        Returns
        -------
        object
            A booster of the library.
        """
        weighted = {} if sample_weight is None else {"sample_weight": sample_weight}
        return library(name).fit(
            x,
            y,
            margin,
            settings,
            seed=seed,
            stages=stages,
            at_stage=at_stage,
            n_monotone=self._n_logits if settings.monotone else 0,
            bins=self._of(name, columns, settings),
            **weighted,
        )
